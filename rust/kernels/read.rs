//! Reading the lines of a block through any CNOTs.

use crate::gather::{Gather, Packed};
use crate::simd::{Cpu, Lanes, MAX_LANES, Real};
use crate::view::{Spread, View};

/// Where a layer reads from.
#[derive(Debug)]
pub struct Source<'a, R> {
    /// The state before the CNOTs.
    pub state: View<'a, R>,
    /// The CNOTs.
    pub gather: &'a Gather,
}

impl<R> Clone for Source<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Source<'_, R> {}

/// Reads new lines out of an old state. `SCATTERED` where a line takes its lanes from several.
pub struct Reader<'a, V: Lanes, const SCATTERED: bool> {
    lines: Spread<'a, V>,
    gather: &'a Gather,
    /// Which lanes come from which source.
    masks: [V; 16],
    cpu: Cpu<V>,
}

impl<'a, V: Lanes, const SCATTERED: bool> Reader<'a, V, SCATTERED> {
    /// A reader of this source.
    #[inline(always)]
    pub fn new(cpu: Cpu<V>, source: &Source<'a, V::Real>) -> Self {
        let gather = source.gather;
        let mut masks = [V::splat(cpu, V::Real::default()); 16];
        if SCATTERED {
            for (mask, &(_, lanes)) in masks.iter_mut().zip(&gather.sources) {
                *mask = lane_mask(cpu, lanes);
            }
        }
        let lines = source.state.spread(cpu, &gather.rows, gather.last_low);
        Self { lines, gather, masks, cpu }
    }

    /// Real and imaginary parts of a line.
    #[inline(always)]
    pub fn line(&self, line: Packed) -> [V; 2] {
        let words = &self.gather.permutations[line.control as usize % MAX_LANES];
        let index = V::load_index(self.cpu, words);
        if !SCATTERED {
            let [re, im] = self.old(line);
            return [re.permute(index), im.permute(index)];
        }
        let mut new = [V::splat(self.cpu, V::Real::default()); 2];
        for (&(offset, _), &mask) in self.gather.sources.iter().zip(&self.masks) {
            let old = self.old(line ^ offset);
            new[0] = old[0].permute(index).mul_add(mask, new[0]);
            new[1] = old[1].permute(index).mul_add(mask, new[1]);
        }
        new
    }

    /// An old line, its lanes in place.
    #[inline(always)]
    fn old(&self, line: Packed) -> [V; 2] {
        let line = self.lines.row(line.row).lines([line.low]);
        [line.get(0, 0), line.get(0, 1)]
    }
}

/// Reads all lines of the block at `block`, whose sources start at `start`.
#[inline(always)]
pub fn gather_block<V: Lanes>(
    cpu: Cpu<V>,
    to: (View<'_, V::Real>, usize),
    source: &Source<'_, V::Real>,
    start: Packed,
) {
    if source.gather.sources.len() > 1 {
        copy::<V, true>(cpu, to, source, start);
    } else {
        copy::<V, false>(cpu, to, source, start);
    }
}

#[inline(always)]
fn copy<V: Lanes, const SCATTERED: bool>(
    cpu: Cpu<V>,
    (state, block): (View<'_, V::Real>, usize),
    source: &Source<'_, V::Real>,
    start: Packed,
) {
    let reader = Reader::<V, SCATTERED>::new(cpu, source);
    let lines = &source.gather.lines;
    let block = state.lines::<V, 1>(cpu, 0).groups(block, 2 * V::COUNT, lines.len());
    for (index, &line) in lines.iter().enumerate() {
        let [re, im] = reader.line(start ^ line);
        let to = block.at(index);
        to.set(0, 0, re);
        to.set(0, 1, im);
    }
}

/// Ones in the lanes of a mask, zeros elsewhere.
#[inline(always)]
fn lane_mask<V: Lanes>(cpu: Cpu<V>, lanes: u32) -> V {
    let mut numbers = [V::Real::default(); MAX_LANES];
    for (lane, number) in numbers.iter_mut().enumerate() {
        *number = V::Real::from_f64(f64::from((lanes >> lane) & 1));
    }
    V::read(cpu, &numbers)
}
