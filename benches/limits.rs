//! The forward of large states beside what memory and arithmetic allow, on one thread and on two.
//!
//! `cargo bench --bench limits`. Bytes are those that the plan reads and writes, the start and the
//! probabilities among them; the bandwidth is that of a multiplication in place over as many bytes
//! as the state has, by as many threads; the arithmetic is 2N + 8 multiply-adds per amplitude and
//! layer at the peak of as many cores. All times are the least of several.

mod machine;

use std::hint::black_box;

use machine::{least, peak};
use qnnw::parallel::{Cancel, set_num_threads};
use qnnw::simd::Level;
use qnnw::state::Kept;
use qnnw::{Circuit, EfficientSu2, Entanglement, evolve};

fn main() {
    println!(
        "| N | precision | threads | a layer | walked a layer | bandwidth | memory's limit | \
         arithmetic's | share of the larger |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for threads in [1, 2] {
        set_num_threads(threads).unwrap();
        limits::<f64>("float64", threads);
        limits::<f32>("float32", threads);
    }
}

/// Bytes per second, read and written, of a multiplication in place by so many threads.
fn in_place(threads: usize, length: usize, rounds: usize) -> f64 {
    let mut values = vec![1.0f64; length];
    let seconds = least(rounds, 1, || {
        std::thread::scope(|scope| {
            for part in black_box(&mut values).chunks_mut(length.div_ceil(threads)) {
                scope.spawn(move || part.iter_mut().for_each(|value| *value *= 1.000_000_1));
            }
        });
    });
    2.0 * (length * 8) as f64 / seconds
}

/// The forward of large states: bytes that the plan walks over, and the larger of two limits.
fn limits<R: Kept>(name: &str, threads: usize) {
    let level = Level::current().unwrap();
    let (peak, cancel) = (peak::<R>(level) * threads as f64, Cancel::default());
    for (qubits, reps, rounds) in [(16usize, 26, 60), (20, 26, 6), (24, 6, 3)] {
        let circuit = Circuit::from(EfficientSu2::new(qubits, reps, Entanglement::Linear).unwrap());
        let angles = circuit.random_angles(0).unwrap();
        let mut out = vec![R::default(); circuit.dimension()];
        let seconds = least(rounds, 1, || {
            evolve::probabilities(&circuit, &angles, &mut out, &cancel).unwrap();
        });
        let plan = circuit.plan::<R>(level).unwrap();
        let state = 2.0 * (size_of::<R>() << qubits) as f64;
        // Each walk reads and writes the state; out of place a pass also reads what it overwrites.
        let passes = 2 * plan.schedule.passes.len() + 1;
        let layers = match &plan.walks {
            Some(walks) => walks.blocks().map(|(_, walks)| 2 * walks.len()).sum(),
            None => passes * reps,
        };
        // The start writes the state, the end reads it and writes the probabilities.
        let bytes = state * (layers as f64 + 2.5);
        let bandwidth = in_place(threads, state as usize / 8, rounds.min(20));
        let work = 2.0 * (2 * qubits + 8) as f64 * reps as f64 * (1u64 << qubits) as f64;
        let (memory, arithmetic) = (bytes / bandwidth, work / peak);
        println!(
            "| {qubits} | {name} | {threads} | {:.2} ms | {:.1} MB | {:.1} GB/s | {:.2} ms | {:.2} ms \
             | {:.0} % |",
            1e3 * seconds / reps as f64,
            bytes / reps as f64 / 1e6,
            bandwidth / 1e9,
            1e3 * memory / reps as f64,
            1e3 * arithmetic / reps as f64,
            100.0 * memory.max(arithmetic) / seconds
        );
    }
}
