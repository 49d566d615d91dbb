//! EfficientSU2: shape, order of the angles, entanglement.
//!
//! Hadamards on every qubit, then `reps` times (rotation layer, block of CNOTs), then one last
//! rotation layer. A rotation layer is RY on every qubit, then RZ on every qubit. Angles come
//! layer by layer: RY of qubits 0 … N-1, then RZ of qubits 0 … N-1, as in Qiskit.

use crate::error::{Error, Result};
use crate::memory;
use crate::rng::{Domain, Stream};

/// Largest number of qubits: basis indices are kept in 32 bits.
pub const MAX_QUBITS: usize = 32;
/// Largest number of repetitions.
pub const MAX_REPS: usize = 1 << 20;

/// How the CNOTs of a block are laid, in Qiskit's words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Entanglement {
    /// (0,1), (1,2), …
    Linear,
    /// …, (1,2), (0,1)
    ReverseLinear,
    /// (N-1,0), then linear; just linear for two qubits.
    Circular,
    /// Every pair (i,j) with i < j.
    Full,
    /// Even neighbours, then odd neighbours.
    Pairwise,
    /// Circular, shifted by one per block, control and target swapped in every second block.
    Sca,
    /// The same (control, target) pairs in every block.
    Pairs(Vec<(u32, u32)>),
}

impl Entanglement {
    /// The names that [`Entanglement::from_name`] knows.
    pub const NAMES: [&'static str; 6] =
        ["linear", "reverse_linear", "circular", "full", "pairwise", "sca"];

    /// The pattern with Qiskit's name.
    pub fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "linear" => Self::Linear,
            "reverse_linear" => Self::ReverseLinear,
            "circular" => Self::Circular,
            "full" => Self::Full,
            "pairwise" => Self::Pairwise,
            "sca" => Self::Sca,
            _ => {
                return Err(Error::value(
                    "entanglement",
                    format!("is {name:?}"),
                    format!(
                        "it must be one of {:?} or a list of (control, target) pairs",
                        Self::NAMES
                    ),
                ));
            }
        })
    }

    /// The CNOTs of block number `block`, in the order they act.
    pub fn pairs(&self, num_qubits: usize, block: usize) -> Vec<(u32, u32)> {
        let last = num_qubits as u32 - 1;
        let linear = || (0..last).map(|q| (q, q + 1));
        let circular = || -> Vec<(u32, u32)> {
            let wrap = (num_qubits > 2).then_some((last, 0));
            wrap.into_iter().chain(linear()).collect()
        };
        match self {
            Self::Linear => linear().collect(),
            Self::ReverseLinear => linear().rev().collect(),
            Self::Circular => circular(),
            Self::Full => (0..=last).flat_map(|i| (i + 1..=last).map(move |j| (i, j))).collect(),
            Self::Pairwise => {
                let neighbours = |start| (start..last).step_by(2).map(|q| (q, q + 1));
                neighbours(0).chain(neighbours(1)).collect()
            }
            Self::Sca => {
                let mut pairs = circular();
                if !pairs.is_empty() {
                    let shift = block % pairs.len();
                    pairs.rotate_right(shift);
                }
                if block % 2 == 1 {
                    for pair in &mut pairs {
                        *pair = (pair.1, pair.0);
                    }
                }
                pairs
            }
            Self::Pairs(pairs) => pairs.clone(),
        }
    }

    /// After how many blocks the pattern repeats.
    fn period(&self, num_qubits: usize) -> usize {
        match self {
            // Shift repeats after N blocks, direction after two.
            Self::Sca if num_qubits > 2 && num_qubits % 2 == 1 => 2 * num_qubits,
            Self::Sca if num_qubits > 2 => num_qubits,
            Self::Sca => 2,
            _ => 1,
        }
    }
}

/// A block of CNOTs as what it is: a GF(2)-linear permutation of the basis indices.
///
/// After the block, the amplitude at `y` is the one that was at `source(y)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entangler {
    /// `source(1 << bit)` for every qubit.
    pub sources: Vec<u32>,
    /// Where the amplitude at `1 << bit` goes: the columns of the inverse map.
    pub targets: Vec<u32>,
}

impl Entangler {
    /// The permutation of these (control, target) pairs, in the order they act.
    pub fn new(num_qubits: usize, pairs: &[(u32, u32)]) -> Self {
        let cnot = |index: u32, &(control, target): &(u32, u32)| {
            index ^ (((index >> control) & 1) << target)
        };
        // A CNOT is its own inverse: undoing the block means the same CNOTs, last first.
        let column = |bit: usize| pairs.iter().fold(1 << bit, cnot);
        let inverse_column = |bit: usize| pairs.iter().rev().fold(1 << bit, cnot);
        Self {
            sources: (0..num_qubits).map(inverse_column).collect(),
            targets: (0..num_qubits).map(column).collect(),
        }
    }
}

/// The image of an index under the GF(2)-linear map with these columns.
pub fn linear_image(columns: &[u32], index: usize) -> usize {
    let mut image = 0;
    let mut rest = index;
    while rest != 0 {
        image ^= columns[rest.trailing_zeros() as usize] as usize;
        rest &= rest - 1;
    }
    image
}

/// The circuit's shape.
#[derive(Debug, Clone)]
pub struct EfficientSu2 {
    num_qubits: usize,
    reps: usize,
    entanglement: Entanglement,
    entanglers: Vec<Entangler>,
}

impl EfficientSu2 {
    /// Checks the shape and prepares the blocks of CNOTs.
    pub fn new(num_qubits: usize, reps: usize, entanglement: Entanglement) -> Result<Self> {
        if !(1..=MAX_QUBITS).contains(&num_qubits) {
            return Err(Error::value(
                "num_qubits",
                format!("is {num_qubits}"),
                format!("it must be from 1 to {MAX_QUBITS}"),
            ));
        }
        if reps > MAX_REPS {
            return Err(Error::value(
                "reps",
                format!("is {reps}"),
                format!("it must be from 0 to {MAX_REPS}"),
            ));
        }
        if let Entanglement::Pairs(pairs) = &entanglement {
            check_pairs(num_qubits, pairs)?;
        }
        let distinct = entanglement.period(num_qubits).min(reps);
        let entanglers = (0..distinct)
            .map(|block| Entangler::new(num_qubits, &entanglement.pairs(num_qubits, block)))
            .collect();
        Ok(Self { num_qubits, reps, entanglement, entanglers })
    }

    /// Number of qubits, N.
    pub fn num_qubits(&self) -> usize {
        self.num_qubits
    }

    /// Number of repetitions, L.
    pub fn reps(&self) -> usize {
        self.reps
    }

    /// How the CNOTs are laid.
    pub fn entanglement(&self) -> &Entanglement {
        &self.entanglement
    }

    /// Length of a state vector, 2^N.
    pub fn dimension(&self) -> usize {
        1 << self.num_qubits
    }

    /// Number of angles, 2 N (L + 1).
    pub fn num_parameters(&self) -> usize {
        2 * self.num_qubits * (self.reps + 1)
    }

    /// The distinct blocks of CNOTs: block number b is entry b modulo their number.
    pub fn entanglers(&self) -> &[Entangler] {
        &self.entanglers
    }

    /// Angles uniform on [0, 2 pi).
    pub fn random_angles(&self, seed: u64) -> Result<Vec<f64>> {
        let mut stream = Stream::new(seed, Domain::Angles, 0, 0);
        let angles = (0..self.num_parameters()).map(|_| stream.uniform() * std::f64::consts::TAU);
        memory::collected(angles)
    }
}

fn check_pairs(num_qubits: usize, pairs: &[(u32, u32)]) -> Result<()> {
    for &(control, target) in pairs {
        let wrong = if control == target {
            "control and target must differ".to_owned()
        } else if control.max(target) as usize >= num_qubits {
            format!("qubits must be from 0 to {}", num_qubits - 1)
        } else {
            continue;
        };
        return Err(Error::value(
            "entanglement",
            format!("has the pair ({control}, {target})"),
            wrong,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ladder_is_one_shift_and_xor() {
        let ansatz = EfficientSu2::new(9, 1, Entanglement::Linear).unwrap();
        let entangler = &ansatz.entanglers()[0];
        for index in 0..512 {
            let source = linear_image(&entangler.sources, index);
            assert_eq!(source, (index ^ (index << 1)) & 511);
            assert_eq!(linear_image(&entangler.targets, source), index);
        }
    }

    #[test]
    fn bad_shapes_are_named() {
        let message = |result: Result<EfficientSu2>| result.unwrap_err().to_string();
        assert!(message(EfficientSu2::new(0, 1, Entanglement::Linear)).contains("`num_qubits`"));
        assert!(message(EfficientSu2::new(33, 1, Entanglement::Linear)).contains("from 1 to 32"));
        let pairs = Entanglement::Pairs(vec![(0, 3)]);
        assert!(message(EfficientSu2::new(3, 1, pairs)).contains("(0, 3)"));
    }
}
