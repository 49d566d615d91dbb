//! Time per call of the core, without Python, on one thread: `cargo bench`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use qnnw::evolve;
use qnnw::generate::{generate_weights, generate_weights_vjp, probabilities_vjp};
use qnnw::parallel::{Cancel, set_num_threads};
use qnnw::sampling::sample_counts;
use qnnw::simd::math::HalfAngles;
use qnnw::simd::{Level, Real};
use qnnw::state::Kept;
use qnnw::weights::{Mapping, Signs};
use qnnw::{Circuit, EfficientSu2, Entanglement, WeightMap};

/// Repetitions of all circuits.
const REPS: usize = 26;
/// Numbers of qubits: states of 4 KiB to 1 MiB in double precision.
const QUBITS: [usize; 4] = [8, 10, 13, 16];
/// Weights of the map; it reads 13 qubits.
const WEIGHTS: u64 = 6690;
const GAMMA: f64 = 0.3;

fn circuit(qubits: usize) -> Circuit {
    EfficientSu2::new(qubits, REPS, Entanglement::Linear).unwrap().into()
}

fn weight_map() -> WeightMap {
    WeightMap::new(WEIGHTS, 0, Signs::Parity, Mapping::Paper, &Cancel::default()).unwrap()
}

/// A cotangent, its entries from -1 to 1.
fn cotangent<R: Real>(length: usize) -> Vec<R> {
    (0..length).map(|index| R::from_f64((index as f64).sin())).collect()
}

fn precision<R>() -> String {
    format!("f{}", 8 * size_of::<R>())
}

/// Angles to probabilities, and the way back.
fn evolution<R: Kept>(criterion: &mut Criterion) {
    set_num_threads(1).unwrap();
    let cancel = Cancel::default();
    let mut group = criterion.benchmark_group(format!("reps {REPS}, {}", precision::<R>()));
    for qubits in QUBITS {
        let circuit = circuit(qubits);
        let angles = circuit.random_angles(0).unwrap();
        let mut probabilities = vec![R::default(); circuit.dimension()];
        group.bench_function(BenchmarkId::new("probabilities", qubits), |bencher| {
            bencher.iter(|| {
                evolve::probabilities(&circuit, black_box(&angles), &mut probabilities, &cancel)
                    .unwrap();
            });
        });
        let cotangent = cotangent::<R>(circuit.dimension());
        let mut gradient = vec![R::default(); circuit.num_parameters()];
        group.bench_function(BenchmarkId::new("probabilities_vjp", qubits), |bencher| {
            bencher.iter(|| {
                let angles = black_box(&angles);
                probabilities_vjp(&circuit, angles, &cotangent, &mut gradient, &cancel).unwrap();
            });
        });
    }
}

/// Angles to half angles: what every evolution begins with.
fn half_angles(criterion: &mut Criterion) {
    let level = Level::current().unwrap();
    let mut group = criterion.benchmark_group("half angles");
    for qubits in QUBITS {
        let angles = circuit(qubits).random_angles(0).unwrap();
        let mut half = HalfAngles::default();
        group.bench_function(BenchmarkId::from_parameter(angles.len()), |bencher| {
            bencher.iter(|| half.fill(level, black_box(&angles)).unwrap());
        });
    }
}

/// Probabilities, or angles, to weights, and the way back.
fn weights<R: Kept>(criterion: &mut Criterion) {
    let cancel = Cancel::default();
    let level = Level::current().unwrap();
    let map = weight_map();
    let circuit = circuit(map.num_qubits());
    let angles = circuit.random_angles(0).unwrap();
    let mut probabilities = vec![R::default(); circuit.dimension()];
    evolve::probabilities(&circuit, &angles, &mut probabilities, &cancel).unwrap();
    let mut out = vec![R::default(); map.num_weights()];
    let cotangent = cotangent::<R>(map.num_weights());
    let mut pulled = vec![R::default(); circuit.dimension()];
    let mut gradient = vec![R::default(); circuit.num_parameters() + 1];

    let name = format!("{WEIGHTS} weights, {}", precision::<R>());
    let mut group = criterion.benchmark_group(name);
    group.bench_function("WeightMap::apply", |bencher| {
        bencher.iter(|| {
            map.apply(level, black_box(&probabilities), GAMMA, &mut out, &cancel).unwrap();
        });
    });
    group.bench_function("WeightMap::vjp", |bencher| {
        bencher.iter(|| {
            let probabilities = black_box(&probabilities);
            map.vjp(level, probabilities, GAMMA, &cotangent, &mut pulled, 0.0, &cancel).unwrap()
        });
    });
    group.bench_function("generate_weights", |bencher| {
        bencher.iter(|| {
            let angles = black_box(&angles);
            generate_weights(&circuit, angles, &map, &[GAMMA][..], None, &mut out, &cancel)
                .unwrap();
        });
    });
    group.bench_function("generate_weights_vjp", |bencher| {
        bencher.iter(|| {
            let angles = black_box(&angles);
            generate_weights_vjp(
                &circuit,
                angles,
                &map,
                &[GAMMA][..],
                &cotangent,
                &mut gradient,
                &cancel,
            )
            .unwrap();
        });
    });
}

/// Probabilities to counts.
fn shots(criterion: &mut Criterion) {
    let cancel = Cancel::default();
    let circuit = circuit(13);
    let mut probabilities = vec![0.0; circuit.dimension()];
    evolve::probabilities(
        &circuit,
        &circuit.random_angles(0).unwrap(),
        &mut probabilities,
        &cancel,
    )
    .unwrap();
    let mut counts = vec![0; circuit.dimension()];
    let mut group = criterion.benchmark_group("sample_counts, 8192 bins");
    for per_bin in [1, 13, 1000] {
        let shots = 8192 * per_bin;
        group.bench_function(BenchmarkId::new("shots per bin", per_bin), |bencher| {
            bencher.iter(|| {
                sample_counts(black_box(&probabilities), shots, 0, 0, &mut counts, &cancel)
                    .unwrap();
            });
        });
    }
}

criterion_group!(
    benches,
    evolution<f64>,
    evolution<f32>,
    half_angles,
    weights<f64>,
    weights<f32>,
    shots
);
criterion_main!(benches);
