//! Backwards through the CNOTs and the phases before them.

use std::ops::Range;

use crate::gather::Packed;
use crate::kernels::read::{Reader, Source, gather_block};
use crate::layer::Phases;
use crate::schedule::Pass;
use crate::simd::{Cpu, Kernel, Lanes, Real};
use crate::view::View;

/// Reads tiles of the first pass through (inverse) CNOTs and multiplies them by phases.
pub struct Unphase<'a, R> {
    /// The first pass.
    pub pass: &'a Pass,
    /// The state to read.
    pub source: Source<'a, R>,
    /// The phases, if any: a low table and one for all other bits of the line number.
    pub phases: Option<&'a Phases<R>>,
    /// The state to write.
    pub state: View<'a, R>,
    /// The tiles.
    pub tiles: Range<usize>,
}

impl<R: Real> Kernel<R> for Unphase<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let stage = &self.pass.stages[0];
        let gather = self.source.gather;
        for tile in self.tiles.clone() {
            for block in 0..stage.blocks.len() {
                let start = self.pass.tiles.places[tile] + stage.blocks.places[block];
                let number = self.pass.tiles.numbers[tile] + stage.blocks.numbers[block];
                let from = gather.tiles[tile] ^ gather.blocks[block];
                let at = [start, number];
                match (self.phases, gather.sources.len() > 1) {
                    (None, _) => gather_block(cpu, (self.state, start), &self.source, from),
                    (Some(by), true) => self.block::<V, true>(cpu, by, from, at),
                    (Some(by), false) => self.block::<V, false>(cpu, by, from, at),
                }
            }
        }
    }
}

impl<R: Real> Unphase<'_, R> {
    /// Reads the lines of a block and multiplies them by their phases.
    #[inline(always)]
    fn block<V: Lanes<Real = R>, const SCATTERED: bool>(
        &self,
        cpu: Cpu<V>,
        phases: &Phases<R>,
        start: Packed,
        [block, number]: [usize; 2],
    ) {
        let lines = &self.source.gather.lines;
        let row_lines = lines.len().min(1 << phases.low_bits);
        let reader = Reader::<V, SCATTERED>::new(cpu, &self.source);
        let to = self.state.lines::<V, 1>(cpu, 0).groups(block, 2 * V::COUNT, lines.len());
        for (row, lines) in lines.chunks_exact(row_lines).enumerate() {
            let line = number + row * row_lines;
            let [row_cos, row_sin] = phases.middle[line >> phases.low_bits];
            let (row_cos, row_sin) = (V::splat(cpu, row_cos), V::splat(cpu, row_sin));
            let first = line & ((1 << phases.low_bits) - 1);
            let low = phases.low[first << (V::BITS + 1)..].chunks_exact(2 * V::COUNT);
            for (index, (&line, low)) in lines.iter().zip(low).enumerate() {
                let [re, im] = reader.line(start ^ line);
                let (cos, sin) = (V::read(cpu, low), V::read(cpu, &low[V::COUNT..]));
                let (cos, sin) = V::turn(cos, sin, row_cos, row_sin);
                let (re, im) = V::turn(re, im, cos, sin);
                let to = to.at(row * row_lines + index);
                to.set(0, 0, re);
                to.set(0, 1, im);
            }
        }
    }
}
