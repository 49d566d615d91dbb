//! Several layers in one walk over the state.
//!
//! Gates on different qubits commute, so what of some layers acts inside a tile's qubits, and does
//! not wait for a gate outside of them, may be done while the tile is in the cache. Of a ladder of
//! CNOTs that is a trapezoid: layer l on one qubit less than layer l - 1. The next walk's tiles
//! hold the qubits where that left off, so a few walks carry out all of these layers, in place.

use std::ops::Range;

use crate::ansatz::{EfficientSu2, Entangler};
use crate::error::Result;
use crate::gather::Gather;
use crate::layer::Split;
use crate::layout::Layout;
use crate::memory;
use crate::schedule::{Lines, Schedule};
use crate::shares::{Part, Shape, share_out, windows};
use crate::simd::{Level, Real};

/// Bytes of a tile: two of them, one to read and one to write, fit in most second-level caches. The
/// same on every machine, for the order of the work decides the last bit of a result.
const WALK_BYTES: usize = 256 << 10;
/// Fewest tiles, as a power of two: threads share them.
const TILES_BITS: usize = 4;
/// Fewest bytes that lie together in a tile.
const RUN_BYTES: usize = 128;
/// Most layers of a walk.
const MAX_DEPTH: usize = 8;
/// Fewest bytes of a state that is worth it: of smaller ones caches hold enough.
const LEAST_BYTES: usize = 8 << 20;
/// What a walk over the state costs, and an operation of a walk.
const COSTS: [usize; 2] = [3, 1];

/// One layer's part of a walk: CNOTs, then rotations and phases of some qubits.
#[derive(Debug, Clone)]
pub struct Op {
    /// Number of the layer, from the first one that the walk begins.
    pub layer: usize,
    /// By the tile's qubits: the circuit's, if it is turned.
    pub qubits: Vec<Option<usize>>,
    /// Reads the tile through the CNOTs.
    pub gather: Gather,
    /// Reads it back.
    pub inverse: Gather,
    /// The order of the butterflies.
    pub schedule: Schedule,
    /// The order of the products of two states.
    pub products: Schedule,
    /// Tables of phases.
    pub split: Split,
}

/// Tiles, and what is done to each of them.
#[derive(Debug, Clone)]
pub struct Walk {
    /// The layout of a tile that was read.
    pub layout: Layout,
    /// Where the tiles start in the state.
    pub tiles: Lines,
    /// Numbers that lie together in the state and in the tile.
    pub run: usize,
    /// Where such runs start in the tile and in the state, as they lie in the state.
    pub runs: Vec<[usize; 2]>,
    /// Whether the first operation reads the state itself, and not a copy of the tile.
    pub direct: bool,
    /// What is done.
    pub ops: Vec<Op>,
    /// The circuit's first layer on the qubits that no walk before this one has: the way back goes
    /// on to there.
    pub start: Op,
    /// Reads the tile of the state as it is.
    pub whole: Gather,
}

/// The walks of a circuit: blocks of layers, each with walks of its own.
#[derive(Debug, Clone)]
pub struct Walks {
    /// How many blocks there are, their layers, and their walks.
    blocks: Vec<(usize, usize, Vec<Walk>)>,
}

impl Walks {
    /// The walks of a circuit, if its CNOTs let several layers into one and that is worth it.
    pub fn new<R: Real>(
        ansatz: &EfficientSu2,
        layout: Layout,
        shape: Option<Shape>,
        level: Level,
    ) -> Result<Option<Self>> {
        let Some(best) = Self::best::<R>(ansatz, layout, shape) else { return Ok(None) };
        let blocks = ansatz.reps().div_ceil(best.shape.depth);
        let (depth, deeper) = (ansatz.reps() / blocks, ansatz.reps() % blocks);
        let mut walks = Self { blocks: vec![] };
        for (count, depth) in [(deeper, depth + 1), (blocks - deeper, depth)] {
            if count == 0 {
                continue;
            }
            let shape = Shape { depth, ..best.shape };
            let Some(parts) = Parts::new(ansatz, layout, shape) else { return Ok(None) };
            let Some(made) = parts.walks::<R>(layout, level)? else { return Ok(None) };
            walks.blocks.push((count, depth, made));
        }
        Ok(Some(walks))
    }

    /// Whether a circuit has walks; it makes none of their tables, which take a while of many qubits.
    pub fn wanted<R: Real>(ansatz: &EfficientSu2, shape: Option<Shape>, level: Level) -> bool {
        // Small circuits are asked in every call, and have no layout made for it.
        let large = shape.is_some() || is_large::<R>(ansatz.num_qubits());
        let layout = || Layout::new::<R>(ansatz.num_qubits(), level);
        large && Self::best::<R>(ansatz, layout(), shape).is_some()
    }

    fn best<R: Real>(ansatz: &EfficientSu2, layout: Layout, shape: Option<Shape>) -> Option<Parts> {
        let whole = layout.padded_qubits() == layout.num_qubits;
        if ansatz.reps() == 0
            || !whole
            || ansatz.entanglers().len() != 1
            || layout.length() > u32::MAX as usize
        {
            return None;
        }
        match shape {
            None if !is_large::<R>(layout.num_qubits) => None,
            None => {
                let line = size_of::<R>() * layout.line_length();
                let tile_bits = ((WALK_BYTES / line).ilog2() as usize)
                    .min(layout.line_bits.saturating_sub(TILES_BITS));
                let run_bits = RUN_BYTES.div_ceil(line).ilog2() as usize;
                let shapes = (1..=MAX_DEPTH).map(|depth| Shape { tile_bits, run_bits, depth });
                shapes
                    .filter_map(|shape| Parts::new(ansatz, layout, shape))
                    .min_by_key(|parts| parts.cost(ansatz.reps()))
            }
            Some(shape) => Parts::new(ansatz, layout, shape),
        }
    }

    /// The blocks in order: their first layers and their walks.
    pub fn blocks(&self) -> impl DoubleEndedIterator<Item = (usize, &[Walk])> {
        let mut first = 1;
        let mut blocks = vec![];
        for (count, depth, walks) in &self.blocks {
            for _ in 0..*count {
                blocks.push((first, walks.as_slice()));
                first += depth;
            }
        }
        blocks.into_iter()
    }

    /// How many blocks there are, their layers, and their walks.
    pub fn kinds(&self) -> impl Iterator<Item = (usize, usize, &[Walk])> {
        self.blocks.iter().map(|(count, depth, walks)| (*count, *depth, walks.as_slice()))
    }

    /// Numbers in the largest tile.
    pub fn tile_length(&self) -> usize {
        let walks = self.blocks.iter().flat_map(|(_, _, walks)| walks);
        walks.map(|walk| walk.layout.length()).max().unwrap_or(0)
    }
}

/// Whether a state is so large that walks are worth it.
fn is_large<R: Real>(num_qubits: usize) -> bool {
    (2 * size_of::<R>()) << num_qubits >= LEAST_BYTES
}

/// What every walk over a block of layers does.
struct Parts {
    shape: Shape,
    /// By walk: the bits of the line number that it works on, its qubits, and its part of every layer.
    walks: Vec<(Range<usize>, u32, Vec<Part>)>,
}

impl Parts {
    /// The walks over windows of qubits that rise, or that fall, if one of the two does all.
    fn new(ansatz: &EfficientSu2, layout: Layout, shape: Shape) -> Option<Self> {
        // What a layer leaves to the next walk: a qubit of a ladder, two of pairs of neighbours.
        let left = [shape.depth, 2 * shape.depth, 2 * shape.depth + 1];
        let ways = left.into_iter().flat_map(|left| [(left, false), (left, true)]);
        ways.into_iter().find_map(|(left, falling)| {
            let windows = windows(layout.line_bits, shape, left, falling)?;
            let qubits = |window: &Range<usize>| {
                let end =
                    if window.end == layout.line_bits { layout.num_qubits } else { window.end };
                ((1u64 << end) - (1 << window.start)) as u32
            };
            let sets: Vec<_> = windows.iter().map(qubits).collect();
            let parts = share_out(ansatz, shape.depth, &sets)?;
            let walks = windows.into_iter().zip(sets).zip(parts);
            let walks = walks.map(|((window, set), parts)| (window, set, parts)).collect();
            Some(Self { shape, walks })
        })
    }

    /// What the walks of a circuit cost.
    fn cost(&self, reps: usize) -> usize {
        let walks = reps.div_ceil(self.shape.depth) * self.walks.len();
        COSTS[0] * walks + COSTS[1] * self.walks.len() * reps
    }

    fn walks<R: Real>(&self, layout: Layout, level: Level) -> Result<Option<Vec<Walk>>> {
        let mut known = 0;
        let walks = self.walks.iter().map(|(window, set, parts)| {
            let new = set & !known;
            known |= set;
            // Lines that lie together fill the tile up.
            let run = (self.shape.tile_bits - window.len()).min(window.start);
            let bits = ordered(0..run, window.clone(), parts);
            Walk::new::<R>(layout, &bits, parts, new, level)
        });
        walks.collect()
    }
}

/// The bits of a tile: those that are turned in most layers first, if then every layer turns the
/// first ones of all. It needs fewest sweeps through the tile so.
fn ordered(run: Range<usize>, window: Range<usize>, parts: &[Part]) -> Vec<usize> {
    let turned = |part: &Part, bit: usize| (part.1 >> bit) & 1 == 1;
    let layers = |bit: &usize| parts.iter().filter(|part| turned(part, *bit)).count();
    let mut busiest: Vec<_> = window.clone().collect();
    busiest.sort_by_key(|bit| std::cmp::Reverse(layers(bit)));
    let nested = parts.iter().all(|part| busiest.is_sorted_by_key(|&bit| !turned(part, bit)));
    if nested { busiest.into_iter().chain(run).collect() } else { run.chain(window).collect() }
}

impl Walk {
    fn new<R: Real>(
        state: Layout,
        bits: &[usize],
        parts: &[Part],
        new: u32,
        level: Level,
    ) -> Result<Option<Self>> {
        let layout = Layout::of_tile::<R>(bits.len(), level);
        let global = |line: usize| -> usize {
            let ones = bits.iter().enumerate().filter(|&(local, _)| (line >> local) & 1 == 1);
            ones.map(|(_, &bit)| state.strides[bit]).sum()
        };
        let local = |line: usize| layout.place(line);
        let mut ops: Vec<Op> = vec![];
        for (layer, part) in parts.iter().enumerate() {
            if !part.0.is_empty() || part.1 != 0 {
                ops.push(Op::new::<R>(layout, state, bits, (layer, part), local, level)?);
            }
        }
        // Lanes that come from several lines are left to the passes over the whole state.
        let Some(first) = ops.first_mut().filter(|op| op.gather.sources.len() == 1) else {
            return Ok(None);
        };
        let direct = first.gather.lone_block;
        if direct {
            let part = (first.layer, &parts[first.layer]);
            *first = Op::new::<R>(layout, state, bits, part, global, level)?;
        }
        let part = (vec![], new);
        let start = Op::new::<R>(layout, state, bits, (0, &part), local, level)?;
        let identity: Vec<_> = (0..layout.num_qubits).map(|qubit| 1 << qubit).collect();
        let last = &ops[ops.len() - 1].schedule;
        let whole = Gather::from::<R>(last, &identity, global, level)?;
        let together = |bit: &usize| {
            bits[*bit] == *bit
                && [layout, state].iter().all(|all| all.strides[*bit] == all.line_length() << *bit)
        };
        let run_bits = (0..bits.len()).take_while(together).count();
        let lines = (0..1 << (bits.len() - run_bits)).map(|run| run << run_bits);
        let mut runs = memory::collected(lines.map(|line| [local(line), global(line)]))?;
        runs.sort_unstable_by_key(|&[_, global]| global);
        Ok(Some(Self {
            layout,
            tiles: Lines::span(state, (0..state.line_bits).filter(|bit| !bits.contains(bit)))?,
            run: layout.line_length() << run_bits,
            runs,
            direct,
            ops,
            start,
            whole,
        }))
    }
}

impl Op {
    /// The bits of a frame that concern the qubits it turns.
    pub fn frame(&self, frame: usize) -> usize {
        let bits = self.qubits.iter().enumerate();
        bits.map(|(own, qubit)| qubit.map_or(0, |qubit| ((frame >> qubit) & 1) << own)).sum()
    }

    fn new<R: Real>(
        layout: Layout,
        state: Layout,
        bits: &[usize],
        (layer, (pairs, turned)): (usize, &Part),
        place: impl Fn(usize) -> usize,
        level: Level,
    ) -> Result<Self> {
        let lanes = state.line_bits..state.num_qubits;
        let qubits: Vec<_> = bits.iter().copied().chain(lanes).collect();
        let local =
            |qubit: u32| qubits.iter().position(|&own| own == qubit as usize).unwrap_or(0) as u32;
        let pairs: Vec<_> = pairs.iter().map(|&(c, t)| (local(c), local(t))).collect();
        let turned: Vec<_> =
            qubits.iter().map(|&qubit| Some(qubit).filter(|q| (turned >> q) & 1 == 1)).collect();
        let (lines, in_lanes) = turned.split_at(bits.len());
        let active = match lines.iter().position(Option::is_some) {
            Some(first) => {
                first..bits.len() - lines.iter().rev().position(Option::is_some).unwrap_or(0)
            }
            None => bits.len() - 1..bits.len(),
        };
        let products = Schedule::of_two_tiles(layout, &active)?;
        let schedule = Schedule::of_tile(layout, &active, in_lanes.iter().any(Option::is_some))?;
        let Entangler { sources, targets } = Entangler::new(qubits.len(), &pairs);
        let own = |line| layout.place(line);
        let last = &schedule.last_step().expect("a tile has a step");
        Ok(Self {
            layer,
            gather: Gather::from::<R>(&schedule, &sources, place, level)?,
            inverse: Gather::from::<R>(&schedule, &targets, own, level)?,
            products,
            // The low table covers a run of the last step.
            split: Split::new(&last.bits, (last.run.ilog2() as usize).max(5)),
            schedule,
            qubits: turned,
        })
    }
}

#[cfg(test)]
#[path = "walk_tests.rs"]
pub(crate) mod tests;
