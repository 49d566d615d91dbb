//! How circuits fall apart into walks.

use super::*;
use crate::ansatz::Entanglement;

fn found(kind: Entanglement, shape: Shape) -> bool {
    let ansatz = EfficientSu2::new(12, 6, kind).unwrap();
    let layout = Layout::new::<f64>(12, Level::Portable);
    Walks::new::<f64>(&ansatz, layout, Some(shape), Level::Portable).unwrap().is_some()
}

#[test]
fn ladders_fall_apart_into_trapezoids_and_rings_do_not() {
    let shape = Shape { tile_bits: 6, run_bits: 1, depth: 3 };
    assert!(found(Entanglement::Linear, shape));
    assert!(found(Entanglement::ReverseLinear, shape));
    assert!(found(Entanglement::Pairwise, Shape { tile_bits: 8, depth: 2, ..shape }));
    let pairs = |all: &[(u32, u32)]| Entanglement::Pairs(all.to_vec());
    let ladder: Vec<_> = (0..11).map(|qubit| (qubit, qubit + 1)).collect();
    assert!(found(pairs(&ladder), shape));
    assert!(!found(pairs(&[&ladder[..], &[(0, 11), (0, 11)]].concat()), shape));
    assert!(!found(Entanglement::Circular, shape));
    assert!(!found(Entanglement::Full, shape));
    assert!(!found(Entanglement::Linear, Shape { depth: 5, ..shape }));
}

#[test]
fn every_gate_is_in_one_walk() {
    let ansatz = EfficientSu2::new(9, 4, Entanglement::Linear).unwrap();
    let walks = share_out(&ansatz, 2, &[0b1_1111, 0b1_1111_1000]).unwrap();
    // Two CNOTs and three rotations less in the second layer of the first walk: a trapezoid.
    assert_eq!(walks[0][0], (vec![(0, 1), (1, 2), (2, 3), (3, 4)], 0b1111));
    assert_eq!(walks[0][1], (vec![(0, 1), (1, 2), (2, 3)], 0b111));
    assert_eq!(walks[1][1].1, 0b1_1111_1000);
}

/// Random circuits for other files' tests.
pub(crate) mod strategies {
    use proptest::prelude::*;

    use super::*;
    use crate::ansatz::Entanglement;
    use crate::circuit::Circuit;
    use crate::oracle::strategies::angles;

    /// Circuits that fall apart into walks, over tiny tiles, with a set of angles.
    pub fn walked(qubits: usize, reps: usize) -> impl Strategy<Value = (Circuit, Vec<f64>)> {
        let [qubits, reps] = if cfg!(miri) { [6, 3] } else { [qubits, reps] };
        let tiles = (2..=8usize, 0..=2usize, 1..=5usize);
        let circuit = (4..=qubits, 1..=reps, 0..3usize, any::<u64>(), any::<bool>());
        (tiles, circuit).prop_map(
            |((tile_bits, run_bits, depth), (qubits, reps, kind, seed, special))| {
                let ladder = ["linear", "reverse_linear", "pairwise"][kind];
                let ladder = Entanglement::from_name(ladder).unwrap();
                let ansatz = EfficientSu2::new(qubits, reps, ladder).unwrap();
                let angles = angles(&ansatz, seed, special);
                let shape = Shape { tile_bits, run_bits, depth };
                (Circuit::with_shape(ansatz, shape), angles)
            },
        )
    }
}
