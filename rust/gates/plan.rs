//! Rotations → passes over the state, tile by tile, each a list of steps in registers.
//!
//! A state is lines of as many amplitudes as a vector has lanes, real parts and then imaginary
//! ones. A rotation pairs index p with p ^ flips. So a tile is a coset of the span of its rotations'
//! flips, a step loads the coset of up to three of them into registers, and nobody asks which of
//! the flips are single bits: CNOTs cost nothing.

use super::program::Rotation;
use super::span::{Span, parity, sums};
use super::steps::{Step, steps_of};
use crate::error::Result;
use crate::simd::{Cpu, Kernel, Lanes, Level, Real};

/// Rotations that may wait while later ones, which commute with them, go first.
const WAITING: usize = 96;
/// Neighbouring lines that higher bits are spread over, so that a tile uses all sets of the cache.
const SPREAD: usize = 5;

/// How indices lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// log2 of the lanes.
    pub lane_bits: usize,
    /// log2 of the amplitudes: the qubits, or more where one line has more lanes.
    pub bits: usize,
}

impl Lines {
    /// Amplitudes with those that fill up a line.
    pub fn amplitudes(self) -> usize {
        1 << self.bits
    }

    /// Number of lines.
    pub fn count(self) -> usize {
        1 << (self.bits - self.lane_bits)
    }

    /// Where an index lies, and what lies there: its own inverse, and linear.
    pub fn place(self, index: u64) -> u64 {
        let first = self.lane_bits + SPREAD;
        let (mut high, mut folded) = (index >> first, 0);
        while high != 0 {
            folded ^= high & ((1 << SPREAD) - 1);
            high >>= SPREAD;
        }
        index ^ folded << self.lane_bits
    }

    /// The mask whose parity with a place is that of `mask` with its index.
    pub fn mask(self, mask: u64) -> u64 {
        let low = mask >> self.lane_bits & ((1 << SPREAD) - 1);
        let mut all = mask;
        for first in (self.lane_bits + SPREAD..self.bits).step_by(SPREAD) {
            all ^= low << first;
        }
        all & ((1 << self.bits) - 1)
    }
}

/// What may be done at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// log2 of the lines that a step has in registers.
    pub slots: usize,
    /// log2 of the lines of a tile.
    pub tile: usize,
    /// Rotations in a row after which the state is scaled.
    pub stretch: usize,
}

/// One walk over the state.
#[derive(Debug)]
pub struct Pass {
    /// Bits of the line number that tell the tiles apart.
    pub free: Vec<u32>,
    /// What is done on every tile, in this order.
    pub steps: Vec<Step>,
    /// Numbers in the tables of the steps.
    pub table_length: usize,
    /// Numbers of a gradient before it is summed.
    pub partial_length: usize,
}

impl Pass {
    /// Number of tiles.
    pub fn tiles(&self) -> usize {
        1 << self.free.len()
    }

    /// First line of a tile.
    #[inline(always)]
    pub fn tile(&self, number: usize) -> u64 {
        let bits = self.free.iter().enumerate();
        bits.fold(0, |line, (place, &bit)| line | (number as u64 >> place & 1) << bit)
    }
}

/// All passes of one direction.
#[derive(Debug)]
pub struct Plan {
    /// How the state lies in memory.
    pub lines: Lines,
    /// In their order.
    pub passes: Vec<Pass>,
    /// Prepared exchanges of lanes l and l ^ number.
    pub exchanges: [[u32; 16]; 16],
    /// Angles of phases that the steps look up.
    pub entries: usize,
}

impl Plan {
    /// Plans rotations for a level and a precision.
    pub fn new(
        num_qubits: usize,
        rotations: &[Rotation],
        level: Level,
        single: bool,
        back: bool,
    ) -> Result<Self> {
        let (lane_bits, exchanges) = match single {
            true => (level.lane_bits::<f32>(), level.run(Exchanges::<f32>::new())),
            false => (level.lane_bits::<f64>(), level.run(Exchanges::<f64>::new())),
        };
        // Vectors of 512 bits come with 32 registers, the others with 16.
        let wide = lane_bits - usize::from(single) >= 3;
        let limits = Limits {
            slots: if wide { 3 } else { 2 } - usize::from(back),
            tile: if back { 6 } else { 7 } + 3 - (lane_bits - usize::from(single)).min(3),
            stretch: if single { 60 } else { 500 },
        };
        let lines = Lines { lane_bits, bits: num_qubits.max(lane_bits) };
        let placed: Vec<_> = rotations
            .iter()
            .map(|r| Rotation { flips: lines.place(r.flips), signs: lines.mask(r.signs), ..*r })
            .collect();
        let (mut entries, mut since, mut passes) = (0, 0, Vec::new());
        for (mut taken, span) in walks(&placed, lines, limits) {
            let mut steps = steps_of(&placed, &mut taken, &span, lines, limits, &mut entries);
            let (mut table, mut partial) = (0, 0);
            for step in &mut steps {
                if step.groups.is_empty() && since + step.turns.len() > limits.stretch {
                    step.scale_alone();
                }
                since = if step.groups.is_empty() { since } else { 0 } + step.turns.len();
                step.lay_out(1 << lane_bits, &mut table, &mut partial);
            }
            let free = 0..(lines.bits - lane_bits) as u32;
            let free = free.filter(|bit| span.pivots() >> bit & 1 == 0).collect();
            passes.push(Pass { free, steps, table_length: table, partial_length: partial });
        }
        Ok(Self { lines, passes, exchanges, entries })
    }
}

/// Which rotations every walk takes, and the span of its tiles' lines.
///
/// A rotation goes as early as it can: it changes places with those that wait and commute with it.
/// Phases that nothing in the walk waits for are left to the next one, where they meet others.
fn walks(rotations: &[Rotation], lines: Lines, limits: Limits) -> Vec<(Vec<usize>, Span)> {
    let mut pending: Vec<usize> = (0..rotations.len()).collect();
    let mut found = Vec::new();
    while pending.iter().any(|&place| rotations[place].flips != 0) {
        let (mut span, mut taken) = (Span::default(), Vec::new());
        let mut waiting: Vec<usize> = Vec::new();
        let mut rest = pending.len();
        for (number, &place) in pending.iter().enumerate() {
            let rotation = &rotations[place];
            let line = rotation.flips >> lines.lane_bits;
            let fits = span.rank() < limits.tile || span.contains(line);
            if fits && waiting.iter().all(|&other| rotations[other].commutes(rotation)) {
                if line != 0 {
                    span.insert(line);
                }
                taken.push(place);
            } else {
                waiting.push(place);
            }
            if waiting.len() == WAITING {
                rest = number + 1;
                break;
            }
        }
        let mut later: Vec<usize> = Vec::new();
        for &place in taken.iter().rev() {
            let rotation = &rotations[place];
            let needed = |&other: &usize| !rotations[other].commutes(rotation);
            if rotation.flips != 0 {
                later.push(place);
            } else if !later.iter().any(needed) {
                waiting.push(place);
            }
        }
        waiting.sort_unstable();
        taken.retain(|place| waiting.binary_search(place).is_err());
        waiting.extend_from_slice(&pending[rest..]);
        waiting.sort_unstable();
        pending = waiting;
        found.push((taken, span));
    }
    found
}

/// Offsets of the cosets of `part` in `whole`.
pub fn cosets(whole: &Span, part: &Span) -> Vec<u64> {
    let (mut span, mut others) = (part.clone(), Vec::new());
    for row in whole.rows() {
        if span.insert(row) {
            others.push(row);
        }
    }
    sums(&others)
}

struct Exchanges<R>(std::marker::PhantomData<R>);

impl<R> Exchanges<R> {
    fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<R: Real> Kernel<R> for Exchanges<R> {
    type Output = [[u32; 16]; 16];

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, _: Cpu<V>) -> Self::Output {
        std::array::from_fn(|bits| {
            let sources: [u8; 16] = std::array::from_fn(|lane| lane as u8 ^ bits as u8);
            // Beyond the lanes there is nothing to exchange.
            V::index_words(if bits < V::COUNT { &sources } else { &NOTHING })
        })
    }
}

const NOTHING: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// By lane, whether the parity of `mask` and its number is odd.
pub fn lane_signs(mask: u64, lanes: usize) -> impl Iterator<Item = bool> {
    (0..lanes as u64).map(move |lane| parity(mask & lane) == 1)
}
