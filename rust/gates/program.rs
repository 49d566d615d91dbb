//! A circuit as Pauli rotations: what is left of any circuit of standard gates.

use super::plan::Plan;
use crate::error::{Error, Result};
use crate::memory;
use crate::simd::Level;

/// Largest number of qubits, as for EfficientSU2.
pub const MAX_QUBITS: usize = 32;

/// exp(-i angle P / 2) for P with (P psi)(i) = (-i)^quarters (-1)^(signs . i) psi(i ^ flips).
///
/// Without flips it is a phase, which has none of the factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Bits that P flips.
    pub flips: u64,
    /// Bits whose parity is P's sign.
    pub signs: u64,
    /// Number of factors -i.
    pub quarters: u8,
}

impl Rotation {
    /// Whether the two can change places.
    pub fn commutes(&self, other: &Self) -> bool {
        super::span::parity(self.flips & other.signs ^ self.signs & other.flips) == 0
    }
}

/// Angles by rotation: constants and linear terms of the parameters.
#[derive(Debug, Clone, Default)]
pub struct Angles {
    /// One constant a rotation.
    pub constants: Vec<f64>,
    /// Where the terms of every rotation start; one more than rotations.
    pub starts: Vec<usize>,
    /// Parameter of every term.
    pub parameters: Vec<usize>,
    /// Coefficient of every term.
    pub coefficients: Vec<f64>,
}

/// A circuit, checked, with its plans for both precisions.
///
/// CNOTs, swaps and what else permutes basis states linearly have been taken out of it: rotations
/// act on the basis of the start, and `rows` tell where its states are at the end.
#[derive(Debug)]
pub struct Program {
    /// Number of qubits.
    pub num_qubits: usize,
    /// Number of parameters.
    pub num_parameters: usize,
    /// In their order.
    pub rotations: Vec<Rotation>,
    /// Of the rotations.
    pub angles: Angles,
    /// Bit q of a basis index at the end is the parity of `rows[q]` and the index at the start.
    pub rows: Vec<u64>,
    /// Qubits that start in |+>; the others in |0>.
    pub hadamards: u64,
    /// Of what runs.
    pub level: Level,
    /// Forwards and backwards, in single and in double precision.
    pub plans: [[Plan; 2]; 2],
}

impl Program {
    /// Checks a circuit and plans it.
    pub fn new(
        num_qubits: usize,
        num_parameters: usize,
        rotations: Vec<Rotation>,
        angles: Angles,
        rows: Vec<u64>,
        hadamards: u64,
        level: Level,
    ) -> Result<Self> {
        let wrong = |argument, got: String| {
            Err(Error::value(argument, got, "it must be what a circuit is lowered to"))
        };
        if !(1..=MAX_QUBITS).contains(&num_qubits) {
            let need = format!("it must be from 1 to {MAX_QUBITS}");
            return Err(Error::value("num_qubits", format!("is {num_qubits}"), need));
        }
        let beyond = |mask: u64| mask >> num_qubits != 0;
        let Angles { constants, starts, parameters, coefficients } = &angles;
        if constants.len() != rotations.len()
            || starts.len() != rotations.len() + 1
            || starts[0] != 0
            || starts.windows(2).any(|pair| pair[0] > pair[1])
            || starts[rotations.len()] != parameters.len()
            || parameters.len() != coefficients.len()
            || parameters.iter().any(|&place| place >= num_parameters)
        {
            return wrong("angles", "do not fit the rotations".into());
        }
        if !constants.iter().chain(coefficients).all(|value| value.is_finite()) {
            return wrong("angles", "have NaN or infinity".into());
        }
        let mut span = super::span::Span::default();
        let independent = rows.iter().filter(|&&row| !beyond(row) && span.insert(row)).count();
        if rows.len() != num_qubits || independent != num_qubits || beyond(hadamards) {
            return wrong("rows", "are no permutation of the basis".into());
        }
        let fits = |r: &Rotation| {
            let odd = super::span::parity(r.flips & r.signs) == u32::from(r.quarters & 1);
            let most = if r.flips == 0 { 0 } else { 3 };
            !beyond(r.flips | r.signs) && r.quarters <= most && odd && r.flips | r.signs != 0
        };
        if !rotations.iter().all(fits) {
            return wrong("rotations", "are not all by Hermitian Paulis of the qubits".into());
        }
        let plan = |single, back| Plan::new(num_qubits, &rotations, level, single, back);
        let plans =
            [[plan(false, false)?, plan(false, true)?], [plan(true, false)?, plan(true, true)?]];
        Ok(Self { num_qubits, num_parameters, rotations, angles, rows, hadamards, level, plans })
    }

    /// Number of basis states.
    pub fn dimension(&self) -> usize {
        1 << self.num_qubits
    }

    /// Bytes that the states of one set of angles take in a precision of so many.
    pub fn state_bytes(&self, real_bytes: usize) -> u128 {
        let padded = self.plans[usize::from(real_bytes == 4)][0].lines.amplitudes();
        2 * padded as u128 * real_bytes as u128
    }

    /// The angle of every rotation.
    pub fn evaluated(&self, parameters: &[f64]) -> Result<Vec<f64>> {
        let Angles { constants, starts, parameters: places, coefficients } = &self.angles;
        memory::collected((0..constants.len()).map(|rotation| {
            let terms = starts[rotation]..starts[rotation + 1];
            terms.fold(constants[rotation], |sum, term| {
                sum + coefficients[term] * parameters[places[term]]
            })
        }))
    }

    /// Brings a gradient by the rotations' angles back to the parameters.
    pub fn brought_back(&self, by_rotations: &[f64], by_parameters: &mut [f64]) {
        by_parameters.fill(0.0);
        for (rotation, &gradient) in by_rotations.iter().enumerate() {
            for term in self.angles.starts[rotation]..self.angles.starts[rotation + 1] {
                let coefficient = self.angles.coefficients[term];
                by_parameters[self.angles.parameters[term]] += coefficient * gradient;
            }
        }
    }
}
