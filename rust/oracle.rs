//! The circuit gate by gate, slow and short: what the kernels are tested against.

use num_complex::Complex64;

use crate::ansatz::EfficientSu2;

/// The state vector, one gate after another.
pub fn statevector(ansatz: &EfficientSu2, angles: &[f64]) -> Vec<Complex64> {
    let qubits = ansatz.num_qubits();
    let dimension = ansatz.dimension();
    let mut state = vec![Complex64::new((dimension as f64).powf(-0.5), 0.0); dimension];
    for (layer, angles) in angles.chunks(2 * qubits).enumerate() {
        let (ry, rz) = angles.split_at(qubits);
        for (qubit, &theta) in ry.iter().enumerate() {
            let (sin, cos) = (theta / 2.0).sin_cos();
            for zero in (0..dimension).filter(|index| (index >> qubit) & 1 == 0) {
                let one = zero | 1 << qubit;
                let (a, b) = (state[zero], state[one]);
                state[zero] = cos * a - sin * b;
                state[one] = sin * a + cos * b;
            }
        }
        for (qubit, &phi) in rz.iter().enumerate() {
            for (index, amplitude) in state.iter_mut().enumerate() {
                let sign = if (index >> qubit) & 1 == 0 { -0.5 } else { 0.5 };
                *amplitude *= Complex64::cis(sign * phi);
            }
        }
        if layer < ansatz.reps() {
            for (control, target) in ansatz.entanglement().pairs(qubits, layer) {
                let move_on = (0..dimension).filter(|index| (index >> control) & 1 == 1);
                for zero in move_on.filter(|index| (index >> target) & 1 == 0) {
                    state.swap(zero, zero | 1 << target);
                }
            }
        }
    }
    state
}

/// Circuits of every entanglement, for property tests.
pub mod strategies {
    use proptest::prelude::*;

    use crate::ansatz::{EfficientSu2, Entanglement};

    /// As many cases, or a few where Miri looks on: it is a thousand times slower.
    pub fn cases(count: u32) -> ProptestConfig {
        ProptestConfig::with_cases(if cfg!(miri) { 4 } else { count })
    }

    /// Angles of a circuit, with `special` multiples of a quarter turn among them.
    pub fn angles(ansatz: &EfficientSu2, seed: u64, special: bool) -> Vec<f64> {
        let mut stream = crate::rng::Stream::new(seed, crate::rng::Domain::Angles, 7, 8);
        let angle = |_| {
            let angle = 40.0 * stream.uniform() - 20.0;
            if special && stream.below(3) == 0 {
                (angle / 2.0).round() * std::f64::consts::FRAC_PI_2
            } else {
                angle
            }
        };
        (0..ansatz.num_parameters()).map(angle).collect()
    }

    /// Circuits of up to `max_qubits` qubits with a set of angles, special values among them.
    /// Under Miri they are small.
    pub fn circuits(
        max_qubits: usize,
        max_reps: usize,
    ) -> impl Strategy<Value = (EfficientSu2, Vec<f64>)> {
        let [max_qubits, max_reps] =
            if cfg!(miri) { [max_qubits.min(5), max_reps.min(2)] } else { [max_qubits, max_reps] };
        (1..=max_qubits, 0..=max_reps, 0..7usize, any::<u64>(), any::<bool>()).prop_map(
            |(qubits, reps, kind, seed, special)| {
                let mut stream = crate::rng::Stream::new(seed, crate::rng::Domain::Angles, 7, 7);
                let entanglement = match Entanglement::NAMES.get(kind) {
                    Some(name) => Entanglement::from_name(name).unwrap(),
                    None => {
                        let count = if qubits > 1 { stream.below(12) } else { 0 };
                        let pair = |_| {
                            let control = stream.below(qubits as u64) as u32;
                            let step = 1 + stream.below(qubits as u64 - 1) as u32;
                            (control, (control + step) % qubits as u32)
                        };
                        Entanglement::Pairs((0..count).map(pair).collect())
                    }
                };
                let ansatz = EfficientSu2::new(qubits, reps, entanglement).unwrap();
                let angles = angles(&ansatz, seed, special);
                (ansatz, angles)
            },
        )
    }
}
