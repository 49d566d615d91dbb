//! Random shapes of circuits and batches, held against what is true of all of them: up to sizes
//! where the oracle would take too long. `PROPTEST_CASES` asks for more cases than a few.

use std::sync::LazyLock;

use num_complex::Complex;
use proptest::prelude::*;

use crate::EfficientSu2;
use crate::circuit::Circuit;
use crate::evolve::{self, Run};
use crate::generate::{self, generate_weights, generate_weights_vjp, probabilities_vjp};
use crate::oracle::strategies::circuits;
use crate::parallel::{self, Cancel, Team};
use crate::rng::{Domain, Stream};
use crate::simd::{Level, Real};
use crate::state::{Kept, with_workspace};
use crate::weights::{Mapping, Signs, WeightMap};

const MAX_QUBITS: usize = 18;
const MAX_REPS: usize = 9;
const MAX_THREADS: usize = 3;
/// Amplitudes times layers of one evolution, at most, unless one layer alone has more: tests are
/// built with little optimization.
const MAX_WORK: usize = 1 << 16;
/// Largest circuit whose every level goes through every check.
const MAX_CHECKED_QUBITS: usize = 13;

static POOLS: LazyLock<[rayon::ThreadPool; MAX_THREADS]> = LazyLock::new(|| {
    std::array::from_fn(|index| {
        rayon::ThreadPoolBuilder::new().num_threads(index + 1).build().unwrap()
    })
});

/// As many cases as the environment asks for, or else `default`.
fn cases(default: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = default;
    }
    config
}

/// Circuits of every size and entanglement, large ones with few repetitions, and their angles.
fn shapes() -> impl Strategy<Value = (Circuit, Vec<f64>)> {
    circuits(MAX_QUBITS, MAX_REPS).prop_map(|(ansatz, mut angles)| {
        let reps = ansatz.reps().min((MAX_WORK >> ansatz.num_qubits()).max(1));
        let entanglement = ansatz.entanglement().clone();
        let ansatz = EfficientSu2::new(ansatz.num_qubits(), reps, entanglement).unwrap();
        angles.truncate(ansatz.num_parameters());
        (ansatz.into(), angles)
    })
}

/// How far results of one precision may be from each other.
fn tolerance<R: Real>() -> f64 {
    if size_of::<R>() == 8 { 1e-12 } else { 1e-5 }
}

/// What no kernel writes: entries left out would show.
fn unwritten<R: Real>(length: usize) -> Vec<R> {
    vec![R::from_f64(f64::NAN); length]
}

/// Numbers uniform on [-1, 1).
fn cotangent<R: Real>(length: usize, stream: &mut Stream) -> Vec<R> {
    (0..length).map(|_| R::from_f64(2.0 * stream.uniform() - 1.0)).collect()
}

fn doubles<R: Real>(numbers: &[R]) -> Vec<f64> {
    numbers.iter().map(|number| number.to_f64()).collect()
}

/// The same numbers, bit for bit.
fn assert_same<R: Real>(numbers: &[R], others: &[R], what: &str) {
    assert_eq!(numbers.len(), others.len(), "{what}");
    for (index, (number, other)) in numbers.iter().zip(others).enumerate() {
        let same = number.to_f64().to_bits() == other.to_f64().to_bits();
        assert!(same, "{what}, {index}: {number:?} and {other:?}");
    }
}

fn assert_close(numbers: &[f64], others: &[f64], tolerance: f64, what: &str) {
    assert_eq!(numbers.len(), others.len());
    for (index, (number, other)) in numbers.iter().zip(others).enumerate() {
        let apart = (number - other).abs();
        assert!(apart <= tolerance, "{what}, {index}: {number} and {other}");
    }
}

/// The probabilities at a level.
fn forward<R: Kept>(circuit: &Circuit, angles: &[f64], level: Level, team: Team) -> Vec<R> {
    let cancel = Cancel::default();
    let run = Run { level, team, cancel: &cancel };
    let mut probabilities = unwritten(circuit.dimension());
    with_workspace::<R, _>(circuit.plan::<R>(level).unwrap().layout, |workspace| {
        evolve::evolve(circuit, angles, workspace, run, None)?;
        evolve::measure(circuit, workspace, &mut probabilities, run)
    })
    .unwrap();
    probabilities
}

/// The probabilities at a level, and the gradient for a cotangent.
fn both_ways<R: Kept>(
    circuit: &Circuit,
    angles: &[f64],
    cotangent: &[R],
    level: Level,
    team: Team,
) -> (Vec<R>, Vec<R>) {
    let cancel = Cancel::default();
    let run = Run { level, team, cancel: &cancel };
    let mut probabilities = unwritten(circuit.dimension());
    let mut gradient = unwritten(circuit.num_parameters());
    with_workspace::<R, _>(circuit.plan::<R>(level).unwrap().layout, |workspace| {
        let mut tape = generate::record(circuit, angles, workspace, &mut probabilities, run)?;
        tape.backward(circuit, cotangent, &mut gradient, run)
    })
    .unwrap();
    (probabilities, gradient)
}

/// Half the difference of sum(cotangent * probabilities) half a turn apart: the derivative.
fn shifted<R: Kept>(
    circuit: &Circuit,
    angles: &[f64],
    cotangent: &[R],
    level: Level,
    place: usize,
) -> f64 {
    let [above, below] = [1.0, -1.0].map(|sign| -> f64 {
        let mut angles = angles.to_vec();
        angles[place] += sign * std::f64::consts::FRAC_PI_2;
        let probabilities = forward::<R>(circuit, &angles, level, Team::Solo);
        probabilities.iter().zip(cotangent).map(|(p, c)| p.to_f64() * c.to_f64()).sum()
    });
    0.5 * (above - below)
}

/// All levels of one precision, on one thread and on several.
fn check_levels<R: Kept>(circuit: &Circuit, angles: &[f64], threads: usize, stream: &mut Stream) {
    let tolerance = tolerance::<R>();
    let cotangent = cotangent::<R>(circuit.dimension(), stream);
    let constant = vec![R::from_f64(1.0); circuit.dimension()];
    let place = stream.below(angles.len() as u64) as usize;
    let last_rz = circuit.num_parameters() - circuit.num_qubits();
    let levels = Level::available();
    let mut results: Vec<[Vec<f64>; 2]> = vec![];
    for &level in &levels {
        let name = level.name();
        let (probabilities, gradient) = both_ways(circuit, angles, &cotangent, level, Team::Solo);
        assert!(probabilities.iter().all(|p| p.to_f64() >= 0.0), "{name}: not a probability");
        let sum: f64 = doubles(&probabilities).iter().sum();
        assert!((sum - 1.0).abs() <= tolerance, "{name}: probabilities sum to {sum}");
        assert!(gradient[last_rz..].iter().all(|&one| one == R::default()), "{name}: last RZ");

        let team = &POOLS[threads - 1];
        let (of_team, gradient_of_team) =
            team.install(|| both_ways(circuit, angles, &cotangent, level, Team::Pool));
        assert_same(&of_team, &probabilities, name);
        assert_same(&gradient_of_team, &gradient, name);

        if circuit.num_qubits() <= MAX_CHECKED_QUBITS || level == levels[levels.len() - 1] {
            // Without a tape the same.
            let forward = team.install(|| forward::<R>(circuit, angles, level, Team::Pool));
            assert_same(&forward, &probabilities, name);
            // Probabilities always sum to 1.
            let (_, flat) = both_ways(circuit, angles, &constant, level, Team::Solo);
            assert_close(&doubles(&flat), &vec![0.0; flat.len()], tolerance, name);
            let expected = shifted(circuit, angles, &cotangent, level, place);
            let found = gradient[place].to_f64();
            assert!((found - expected).abs() <= tolerance, "{name}: {found}, not {expected}");
        }
        results.push([doubles(&probabilities), doubles(&gradient)]);
    }
    for [probabilities, gradient] in &results[1..] {
        assert_close(probabilities, &results[0][0], tolerance, "levels' probabilities");
        assert_close(gradient, &results[0][1], tolerance, "levels' gradients");
    }
}

/// A batch: every result of the public functions, rows one after the other.
struct Batch<'a> {
    circuit: &'a Circuit,
    map: &'a WeightMap,
    /// One for all sets, or one per set.
    gammas: &'a [f64],
    angles: &'a [f64],
    sets: usize,
}

impl Batch<'_> {
    /// The results by function, with the length of a row.
    fn results<R: Kept>(
        &self,
        by_basis: &[R],
        by_weight: &[R],
        cancel: &Cancel,
    ) -> [(usize, Vec<R>); 5] {
        let Self { circuit, map, gammas, angles, sets } = *self;
        let (bases, parameters) = (circuit.dimension(), circuit.num_parameters());
        let mut states = vec![Complex::new(R::from_f64(f64::NAN), R::default()); sets * bases];
        evolve::statevectors(circuit, angles, &mut states, cancel).unwrap();
        let states: Vec<R> = states.into_iter().flat_map(|one| [one.re, one.im]).collect();
        let mut probabilities = unwritten::<R>(sets * bases);
        evolve::probabilities(circuit, angles, &mut probabilities, cancel).unwrap();
        let mut gradients = unwritten::<R>(sets * parameters);
        probabilities_vjp(circuit, angles, by_basis, &mut gradients, cancel).unwrap();
        let mut weights = unwritten::<R>(sets * map.num_weights());
        generate_weights(circuit, angles, map, gammas, None, &mut weights, cancel).unwrap();
        let mut pulled = unwritten::<R>(sets * (parameters + 1));
        generate_weights_vjp(circuit, angles, map, gammas, by_weight, &mut pulled, cancel).unwrap();
        // dL/dgamma is the last entry of a row.
        assert!(pulled.iter().all(|one| one.to_f64().is_finite()));
        assert!(weights.iter().all(|one| one.to_f64().is_finite()));
        [
            (2 * bases, states),
            (bases, probabilities),
            (parameters, gradients),
            (map.num_weights(), weights),
            (parameters + 1, pulled),
        ]
    }
}

/// Batches at the level of public functions: rows are as when alone, whatever the threads.
fn check_batch<R: Kept>(
    circuit: &Circuit,
    angles: &[f64],
    sets: usize,
    threads: usize,
    stream: &mut Stream,
) {
    let cancel = Cancel::default();
    let (bases, parameters) = (circuit.dimension(), circuit.num_parameters());
    let angles: Vec<f64> = (0..sets)
        .flat_map(|set| angles.iter().map(move |angle| angle * (1.0 - 0.3 * set as f64)))
        .collect();
    let fewest = if bases == 2 { 1 } else { bases as u64 / 2 + 1 };
    let num_weights = fewest + stream.below(bases as u64 - fewest + 1);
    let [mapping, signs] = [stream.below(2), stream.below(2)];
    let mapping = [Mapping::Paper, Mapping::Centered][mapping as usize];
    let signs = [Signs::Parity, Signs::Random][signs as usize];
    let map = WeightMap::new(num_weights, stream.next_u64(), signs, mapping, &cancel).unwrap();
    let gammas = if stream.below(2) == 0 { 1 } else { sets };
    let gammas: Vec<f64> = (0..gammas).map(|_| 0.01 + 2.0 * stream.uniform()).collect();
    let by_basis = cotangent::<R>(sets * bases, stream);
    let by_weight = cotangent::<R>(sets * map.num_weights(), stream);

    let batch = Batch { circuit, map: &map, gammas: &gammas, angles: &angles, sets };
    let before = parallel::num_threads();
    parallel::set_num_threads(threads).unwrap();
    let together = batch.results(&by_basis, &by_weight, &cancel);
    parallel::set_num_threads(1).unwrap();
    for set in 0..sets {
        let alone = Batch {
            gammas: &[gammas[set % gammas.len()]],
            angles: &angles[set * parameters..][..parameters],
            sets: 1,
            ..batch
        };
        let alone = alone.results(
            &by_basis[set * bases..][..bases],
            &by_weight[set * map.num_weights()..][..map.num_weights()],
            &cancel,
        );
        for ((row, together), (_, alone)) in together.iter().zip(&alone) {
            let together = &together[set * row..][..*row];
            assert_same(together, alone, &format!("set {set} of {sets}"));
        }
    }
    parallel::set_num_threads(before).unwrap();
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn levels_and_threads_agree(
        (circuit, angles) in shapes(),
        threads in 1..=MAX_THREADS,
        seed in any::<u64>(),
    ) {
        let mut stream = Stream::new(seed, Domain::Angles, 8, 8);
        check_levels::<f64>(&circuit, &angles, threads, &mut stream);
        check_levels::<f32>(&circuit, &angles, threads, &mut stream);
    }

    #[test]
    fn levels_and_threads_agree_in_walks_of_several_layers(
        (circuit, angles) in crate::walk::tests::strategies::walked(11, 9),
        threads in 1..=MAX_THREADS,
        seed in any::<u64>(),
    ) {
        let mut stream = Stream::new(seed, Domain::Angles, 8, 8);
        check_levels::<f64>(&circuit, &angles, threads, &mut stream);
        check_levels::<f32>(&circuit, &angles, threads, &mut stream);
    }

    #[test]
    fn rows_of_batches_are_as_when_alone(
        (circuit, angles) in shapes(),
        sets in 1usize..=5,
        threads in 1..=MAX_THREADS,
        seed in any::<u64>(),
    ) {
        let mut stream = Stream::new(seed, Domain::Angles, 8, 9);
        check_batch::<f64>(&circuit, &angles, sets, threads, &mut stream);
        check_batch::<f32>(&circuit, &angles, sets, threads, &mut stream);
    }
}
