//! A block of CNOTs as the first step of a layer reads it: which line, which lanes.
//!
//! The new amplitude at y is the old one at A y, with A linear over GF(2). A block of lines that
//! differ in their low bits alone reads from a few such blocks, called rows here. The lanes of a new
//! line come from one old line, in another order, unless a lane qubit controls a line qubit.

use crate::ansatz::linear_image;
use crate::error::Result;
use crate::layout::Layout;
use crate::memory;
use crate::schedule::{Lines, Schedule};
use crate::simd::{Cpu, Kernel, Lanes, Level, MAX_LANES, Real};
use crate::view::Rows;

/// Words of a prepared lane permutation.
pub const INDEX_WORDS: usize = 16;

/// A source as it adds up by exclusive or: low bits of the line, its row, and the lane control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Packed {
    /// Place, within the row, of the line.
    pub low: u32,
    /// Number of the row.
    pub row: u32,
    /// Lane l of the new line comes from lane `A l ^ control`.
    pub control: u32,
}

impl std::ops::BitXor for Packed {
    type Output = Self;

    #[inline(always)]
    fn bitxor(self, other: Self) -> Self {
        Self {
            low: self.low ^ other.low,
            row: self.row ^ other.row,
            control: self.control ^ other.control,
        }
    }
}

/// Tables for reading the old state in a layer's first step.
#[derive(Debug, Clone)]
pub struct Gather {
    /// By tile of the first pass.
    pub tiles: Vec<Packed>,
    /// By block of its first stage.
    pub blocks: Vec<Packed>,
    /// By line of a block.
    pub lines: Vec<Packed>,
    /// `low` of `lines` once more, by itself.
    pub lows: Vec<u32>,
    /// Whether every line comes from one line, and all lines of a butterfly from one row with one
    /// lane control.
    pub uniform: bool,
    /// Whether `low` depends on the line within the block alone: then it need not add up by exclusive
    /// or.
    pub lone_block: bool,
    /// Whether the lanes are permuted as by a ladder of CNOTs (see [`Lanes::permute_ladder`]).
    pub ladder: bool,
    /// Whether lanes stay where they are.
    pub plain: bool,
    /// Places of the rows.
    pub rows: Rows,
    /// The largest `low` that sources add up to.
    pub last_low: u32,
    /// Prepared lane permutations, by lane control.
    pub permutations: [[u32; INDEX_WORDS]; MAX_LANES],
    /// Sources that lanes of one new line come from, relative to the first; and for each, which
    /// lanes do. One source with all lanes, unless a lane qubit controls a line qubit.
    pub sources: Vec<(Packed, u32)>,
}

impl Gather {
    /// The tables of the map with these columns.
    pub fn new<R: Real>(schedule: &Schedule, columns: &[u32], level: Level) -> Result<Self> {
        let place = |line| schedule.layout.place(line);
        let mut gather = Self::from::<R>(schedule, columns, place, level)?;
        gather.uniform &= gather.lone_block;
        Ok(gather)
    }

    /// The same, where `place` says where a line lies in the source. Unless `lone_block` is true,
    /// places within a block must add up by exclusive or.
    pub fn from<R: Real>(
        schedule: &Schedule,
        columns: &[u32],
        place: impl Fn(usize) -> usize,
        level: Level,
    ) -> Result<Self> {
        let layout = schedule.layout;
        let low_bits = schedule.block_bits;
        // Qubits beyond N are left alone.
        let mut columns = columns.to_vec();
        columns.extend((layout.num_qubits..layout.padded_qubits()).map(|qubit| 1 << qubit));
        let packed = |index: usize| {
            let source = linear_image(&columns, index);
            let line = source & ((1 << layout.line_bits) - 1);
            Packed {
                low: place(line & ((1 << low_bits) - 1)) as u32,
                row: (line >> low_bits) as u32,
                control: (source >> layout.line_bits) as u32,
            }
        };
        let table =
            |lines: &Lines| memory::collected(lines.numbers.iter().map(|&line| packed(line)));
        let pass = &schedule.passes[0];
        let stage = &pass.stages[0];
        let (tiles, blocks) = (table(&pass.tiles)?, table(&stage.blocks)?);
        let lines = memory::collected((0..1 << low_bits).map(packed))?;
        let first = stage.steps.first().map_or(0..0, |step| step.bits.clone());
        let group = &lines[..1 << first.len()];
        let lone_block = tiles.iter().chain(&blocks).all(|start| start.low == 0);
        let uniform = first.start == 0
            && !first.is_empty()
            && group.iter().all(|line| (line.row, line.control) == (0, 0));
        let rows = (0..1 << (layout.line_bits - low_bits)).map(|row| place(row << low_bits));
        let lane_sources: Vec<_> =
            (0..1usize << layout.lane_bits).map(|lane| packed(lane << layout.line_bits)).collect();
        let controls = tiles.iter().chain(&blocks).chain(&lines);
        let plain = controls.clone().all(|source| source.control == 0)
            && lane_sources
                .iter()
                .enumerate()
                .all(|(lane, source)| source.control as usize == lane);
        let ladder = controls.into_iter().all(|source| source.control <= 1)
            && lane_sources.iter().enumerate().all(|(lane, source)| {
                source.control as usize == (lane ^ (lane << 1)) & (lane_sources.len() - 1)
            });
        let sources = distinct(&lane_sources);
        let all = tiles.iter().chain(&blocks).chain(&lines).chain(sources.iter().map(|(at, _)| at));
        // Alone, lines' places need not be made of bits; where they add up, all bits are one's.
        let last_low = if lone_block && sources.len() == 1 {
            lines.iter().map(|line| line.low).max().unwrap_or(0)
        } else {
            all.fold(0, |bits, at| bits | at.low)
        };
        Ok(Self {
            ladder,
            plain,
            lows: memory::collected(lines.iter().map(|line| line.low))?,
            tiles,
            blocks,
            lines,
            uniform: uniform && sources.len() == 1,
            lone_block,
            rows: Rows::new(memory::collected(rows)?),
            last_low,
            permutations: permutations::<R>(layout, &lane_sources, level),
            sources,
        })
    }
}

fn permutations<R: Real>(
    layout: Layout,
    lane_sources: &[Packed],
    level: Level,
) -> [[u32; INDEX_WORDS]; MAX_LANES] {
    let lanes = 1 << layout.lane_bits;
    // There are as many controls as lanes; those that repeat are asked for by no source.
    let permutation = |control: usize| {
        let control = (control % lanes) as u32;
        let sources: Vec<u8> =
            lane_sources.iter().map(|source| (source.control ^ control) as u8).collect();
        level.run(Prepare::<R> { sources: &sources, precision: std::marker::PhantomData })
    };
    std::array::from_fn(permutation)
}

/// The lines that lanes come from, each with a mask of its lanes.
fn distinct(lane_sources: &[Packed]) -> Vec<(Packed, u32)> {
    let mut sources: Vec<(Packed, u32)> = vec![];
    for (lane, source) in lane_sources.iter().enumerate() {
        let line = Packed { control: 0, ..*source };
        match sources.iter_mut().find(|(known, _)| *known == line) {
            Some((_, mask)) => *mask |= 1 << lane,
            None => sources.push((line, 1 << lane)),
        }
    }
    sources
}

struct Prepare<'a, R> {
    sources: &'a [u8],
    precision: std::marker::PhantomData<R>,
}

impl<R: Real> Kernel<R> for Prepare<'_, R> {
    type Output = [u32; INDEX_WORDS];

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, _: Cpu<V>) -> Self::Output {
        V::index_words(self.sources)
    }
}
