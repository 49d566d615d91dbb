//! WeightMap: probabilities → weights.
//!
//! q_j = (p_first + p_second) / 2, where one basis feeds the weight first = second, and
//! theta_j = gamma tanh(s_j gamma 2^(N-1) q_j)      (the paper's map, eqs. 8 and 9), or
//! theta_j = gamma tanh(s_j gamma (2^N q_j - 1))    (centred: the argument's mean is 0);
//!
//! or a number y_b for every basis, and theta_j = gamma tanh(s_j gamma y_j), where two bases share
//! (y_first + y_second) / sqrt 2, whose variance is theirs:
//!
//! y_b = (sqrt(2^N p_b) - m) / sd                   (square root), or
//! y   = H (r (2^N p - 1)) / sqrt(2^N)              (Hadamard).
//!
//! Where M = 1 the paper's weight is fed by both bases of its qubit: q = 1/2, and gamma alone moves it.
//! By any other map it would stay where it is for ever; there the one weight is fed by one basis, and
//! moves.
//!
//! This file draws and checks maps; `apply` holds their application and its derivative, `features`
//! the numbers y, `walsh` the transform H.

mod apply;
mod features;
mod task;
pub mod walsh;

use crate::error::{Error, Result};
use crate::memory;
use crate::parallel::Cancel;
use crate::rng::{Domain, Stream};

/// Entries of a map between two looks at whether to stop.
const CHECKED: u64 = 1 << 20;
/// Largest number of weights: one for each of 2^32 bases.
pub const MAX_WEIGHTS: u64 = 1 << 32;

/// How the signs of the weights are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    /// The paper's rule: counted from 1, even weights are positive and odd ones negative.
    Parity,
    /// A fair coin per weight, from the map's seed.
    Random,
}

/// What the tanh is taken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// s gamma 2^(N-1) q
    Paper,
    /// s gamma (2^N q - 1)
    Centered,
    /// s gamma (sqrt(2^N p) - m) / sd
    Sqrt,
    /// s gamma H (r (2^N p - 1)) / sqrt(2^N)
    Hadamard,
}

impl Signs {
    /// The rule with this name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "parity" => Ok(Self::Parity),
            "random" => Ok(Self::Random),
            _ => Err(Error::value(
                "signs",
                format!("is {name:?}"),
                "it must be \"parity\" or \"random\"",
            )),
        }
    }
}

impl Mapping {
    /// The mapping with this name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "paper" => Ok(Self::Paper),
            "centered" => Ok(Self::Centered),
            "sqrt" => Ok(Self::Sqrt),
            "hadamard" => Ok(Self::Hadamard),
            _ => Err(Error::value(
                "mapping",
                format!("is {name:?}"),
                "it must be \"paper\", \"centered\", \"sqrt\" or \"hadamard\"",
            )),
        }
    }

    /// The mapping's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Centered => "centered",
            Self::Sqrt => "sqrt",
            Self::Hadamard => "hadamard",
        }
    }
}

/// Which bases feed which weight, with which sign.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightMap {
    num_qubits: usize,
    first: Vec<u32>,
    second: Vec<u32>,
    signs: Vec<i8>,
    /// r; empty but for the Hadamard map.
    basis_signs: Vec<i8>,
    mapping: Mapping,
}

/// Qubits that `num_weights` weights need: max(1, ceil(log2 M)).
pub fn qubits_for(num_weights: u64) -> usize {
    num_weights.next_power_of_two().trailing_zeros().max(1) as usize
}

impl WeightMap {
    /// Draws a map: every basis feeds exactly one weight, 2^N - M weights have two bases; but a
    /// weight that is alone has one, unless it is the paper's.
    pub fn new(
        num_weights: u64,
        seed: u64,
        signs: Signs,
        mapping: Mapping,
        cancel: &Cancel,
    ) -> Result<Self> {
        if !(1..=MAX_WEIGHTS).contains(&num_weights) {
            return Err(Error::value(
                "num_weights",
                format!("is {num_weights}"),
                format!("it must be from 1 to 2**32 = {MAX_WEIGHTS}"),
            ));
        }
        let num_qubits = qubits_for(num_weights);
        let dimension = 1u64 << num_qubits;
        // Two permutations while drawing, then the map and its arrays as Python sees them.
        memory::require(u128::from(dimension) * 9 + u128::from(num_weights) * 26, || {
            format!("a map of {num_weights} weights")
        })?;
        let weights = num_weights as usize;
        let mut stream = Stream::new(seed, Domain::WeightMap, 0, 0);
        let mut first = shuffled(dimension, dimension, &mut stream, cancel)?;
        let spare = memory::collected(first.drain(weights..))?;
        let mut second = memory::collected(first.iter().copied())?;
        let mut stream = Stream::new(seed, Domain::WeightMap, 0, 1);
        let doubled = shuffled(num_weights, spare.len() as u64, &mut stream, cancel)?;
        if !lone(num_weights, mapping) {
            for (weight, basis) in doubled.into_iter().zip(spare) {
                second[weight as usize] = basis;
            }
        }
        let signs = draw_signs(weights, seed, signs)?;
        let basis_signs = match mapping {
            Mapping::Hadamard => draw_basis_signs(dimension as usize, seed)?,
            _ => Vec::new(),
        };
        Ok(Self { num_qubits, first, second, signs, basis_signs, mapping })
    }

    /// The map of these arrays, checked; `basis_signs` is for the Hadamard map alone.
    pub fn from_arrays(
        first: Vec<u32>,
        second: Vec<u32>,
        signs: Vec<i8>,
        basis_signs: Option<Vec<i8>>,
        mapping: Mapping,
        cancel: &Cancel,
    ) -> Result<Self> {
        let weights = first.len();
        if weights == 0 || weights as u64 > MAX_WEIGHTS {
            return Err(Error::value(
                "first",
                format!("has length {weights}"),
                format!("it must have from 1 to {MAX_WEIGHTS} entries, one per weight"),
            ));
        }
        for (argument, length) in [("second", second.len()), ("signs", signs.len())] {
            if length != weights {
                return Err(Error::value(
                    argument,
                    format!("has length {length}"),
                    format!("it must have length {weights}, as `first` has"),
                ));
            }
        }
        check_signs("signs", &signs)?;
        let num_qubits = qubits_for(weights as u64);
        if lone(weights as u64, mapping) {
            check_lone(first[0], second[0])?;
        } else {
            check_bases(&first, &second, num_qubits, cancel)?;
        }
        let basis_signs = checked_basis_signs(basis_signs, num_qubits, mapping)?;
        Ok(Self { num_qubits, first, second, signs, basis_signs, mapping })
    }

    /// Number of weights, M.
    pub fn num_weights(&self) -> usize {
        self.first.len()
    }

    /// Number of qubits, N.
    pub fn num_qubits(&self) -> usize {
        self.num_qubits
    }

    /// The first basis of every weight.
    pub fn first(&self) -> &[u32] {
        &self.first
    }

    /// The second basis of every weight; the first again where there is only one.
    pub fn second(&self) -> &[u32] {
        &self.second
    }

    /// The sign of every weight, -1 or 1.
    pub fn signs(&self) -> &[i8] {
        &self.signs
    }

    /// The sign of every basis, r: -1 or 1; empty but for the Hadamard map.
    pub fn basis_signs(&self) -> &[i8] {
        &self.basis_signs
    }

    /// What the tanh is taken of.
    pub fn mapping(&self) -> Mapping {
        self.mapping
    }
}

/// The first `count` entries of a random permutation of 0 … size-1 (or all of it, if that is asked).
fn shuffled(size: u64, count: u64, stream: &mut Stream, cancel: &Cancel) -> Result<Vec<u32>> {
    let mut items = memory::collected((0..size as usize).map(|item| item as u32))?;
    for place in 0..count {
        if place % CHECKED == 0 {
            cancel.check()?;
        }
        items.swap(place as usize, (place + stream.below(size - place)) as usize);
    }
    items.truncate(count as usize);
    Ok(items)
}

fn draw_signs(weights: usize, seed: u64, signs: Signs) -> Result<Vec<i8>> {
    match signs {
        Signs::Parity => {
            memory::collected((0..weights).map(|weight| if weight % 2 == 0 { -1 } else { 1 }))
        }
        Signs::Random => coins(weights, Stream::new(seed, Domain::Signs, 0, 0)),
    }
}

/// Fair coins, -1 or 1.
fn coins(count: usize, mut stream: Stream) -> Result<Vec<i8>> {
    let mut bits = 0;
    memory::collected((0..count).map(|place| {
        if place % 64 == 0 {
            bits = stream.next_u64();
        }
        if (bits >> (place % 64)) & 1 == 0 { -1 } else { 1 }
    }))
}

/// r: coins for every basis, tossed again while they are a row of H.
fn draw_basis_signs(dimension: usize, seed: u64) -> Result<Vec<i8>> {
    let mut attempt = 0;
    loop {
        let signs = coins(dimension, Stream::new(seed, Domain::BasisSigns, 0, attempt))?;
        if !is_walsh_row(&signs) {
            return Ok(signs);
        }
        attempt += 1;
    }
}

/// Whether the signs are a row of H, or its negative: then the sum of the probabilities, which is
/// always 1, fixes one entry of y at 0. (Two bases have no other signs, and no transform.)
fn is_walsh_row(signs: &[i8]) -> bool {
    // A sign is the product of those of its bits, each relative to the first of all.
    signs.len() > 2
        && (1..signs.len()).all(|basis| {
            let lowest = basis & basis.wrapping_neg();
            signs[basis] == signs[basis ^ lowest] * signs[lowest] * signs[0]
        })
}

fn check_signs(argument: &'static str, signs: &[i8]) -> Result<()> {
    match signs.iter().find(|sign| ![-1, 1].contains(*sign)) {
        Some(sign) => Err(Error::value(
            argument,
            format!("has the entry {sign}"),
            "every sign must be -1 or 1",
        )),
        None => Ok(()),
    }
}

/// The Hadamard map needs a sign for every basis, the others none.
fn checked_basis_signs(
    signs: Option<Vec<i8>>,
    num_qubits: usize,
    mapping: Mapping,
) -> Result<Vec<i8>> {
    let argument = "basis_signs";
    match (signs, mapping) {
        (None, Mapping::Hadamard) => {
            let need = "the Hadamard map needs a sign for every basis";
            Err(Error::value(argument, "is missing", need))
        }
        (None, _) => Ok(Vec::new()),
        (Some(signs), Mapping::Hadamard) => {
            check_signs(argument, &signs)?;
            if signs.len() != 1 << num_qubits {
                let need = format!("it must have length 2**{num_qubits}, one per basis");
                return Err(Error::value(argument, format!("has length {}", signs.len()), need));
            }
            if is_walsh_row(&signs) {
                let need = "one weight would be 0 for ever; other signs are needed";
                return Err(Error::value(argument, "is a row of the transform", need));
            }
            Ok(signs)
        }
        (Some(_), _) => {
            let need = format!("it is for \"hadamard\" alone, not for {:?}", mapping.name());
            Err(Error::value(argument, "is given", need))
        }
    }
}

/// Whether the map is that of one weight that reads one of its two bases.
fn lone(num_weights: u64, mapping: Mapping) -> bool {
    num_weights == 1 && mapping != Mapping::Paper
}

/// One weight, unless it is the paper's, is fed by one of two bases.
fn check_lone(first: u32, second: u32) -> Result<()> {
    let need = "one weight that is not the paper's is fed by one basis, 0 or 1, and `second` is \
                `first`; fed by both it is 0 for ever";
    for (argument, basis, fits) in
        [("first", first, first < 2), ("second", second, second == first)]
    {
        if !fits {
            return Err(Error::value(argument, format!("has the entry {basis}"), need));
        }
    }
    Ok(())
}

/// Every basis must feed exactly one weight.
fn check_bases(first: &[u32], second: &[u32], num_qubits: usize, cancel: &Cancel) -> Result<()> {
    let dimension = 1usize << num_qubits;
    let mut seen = memory::filled(dimension, false)?;
    let mut take = |argument, basis: u32| {
        let need = format!("every basis from 0 to {} must feed exactly one weight", dimension - 1);
        match seen.get_mut(basis as usize) {
            None => Err(Error::value(argument, format!("has the entry {basis}"), need)),
            Some(true) => Err(Error::value(argument, format!("has the basis {basis} again"), need)),
            Some(free) => {
                *free = true;
                Ok(())
            }
        }
    };
    let chunks = first.chunks(CHECKED as usize).zip(second.chunks(CHECKED as usize));
    for (first, _) in chunks.clone() {
        cancel.check()?;
        first.iter().try_for_each(|&basis| take("first", basis))?;
    }
    for (first, second) in chunks {
        cancel.check()?;
        let mut others = first.iter().zip(second).filter(|(first, second)| first != second);
        others.try_for_each(|(_, &basis)| take("second", basis))?;
    }
    match seen.iter().position(|&used| !used) {
        Some(basis) => Err(Error::value(
            "second",
            format!("leaves out the basis {basis}"),
            format!("every basis from 0 to {} must feed exactly one weight", dimension - 1),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
