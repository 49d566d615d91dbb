//! Backwards through the CNOTs and the phases before them.

use std::ops::Range;

use crate::gather::Packed;
use crate::kernels::read::{Reader, Source, gather_block};
use crate::layer::Phases;
use crate::schedule::Pass;
use crate::simd::{Kernel, Lanes, Real};

/// Reads tiles of the first pass through (inverse) CNOTs and multiplies them by phases.
pub struct Unphase<'a, R> {
    /// The first pass.
    pub pass: &'a Pass,
    /// The state to read.
    pub source: Source<'a, R>,
    /// The phases, if any: a low table and one for all other bits of the line number.
    pub phases: Option<&'a Phases<R>>,
    /// The state to write.
    pub state: *mut R,
    /// The tiles.
    pub tiles: Range<usize>,
}

impl<R: Real> Kernel<R> for Unphase<'_, R> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes<Real = R>>(self) {
        let stage = &self.pass.stages[0];
        let gather = self.source.gather;
        for tile in self.tiles.clone() {
            for block in 0..stage.blocks.len() {
                let start = self.pass.tiles.places[tile] + stage.blocks.places[block];
                let number = self.pass.tiles.numbers[tile] + stage.blocks.numbers[block];
                // SAFETY: the promises of this kernel's maker and of the caller.
                unsafe {
                    let state = self.state.add(start);
                    let from = gather.tiles[tile] ^ gather.blocks[block];
                    match (self.phases, gather.sources.len() > 1) {
                        (None, _) => gather_block::<V>(state, &self.source, from),
                        (Some(by), true) => self.block::<V, true>(by, state, from, number),
                        (Some(by), false) => self.block::<V, false>(by, state, from, number),
                    }
                }
            }
        }
    }
}

impl<R: Real> Unphase<'_, R> {
    /// Reads the lines of a block and multiplies them by their phases.
    #[inline(always)]
    unsafe fn block<V: Lanes<Real = R>, const SCATTERED: bool>(
        &self,
        phases: &Phases<R>,
        block: *mut R,
        start: Packed,
        number: usize,
    ) {
        let lines = &self.source.gather.lines;
        let row_lines = lines.len().min(1 << phases.low_bits);
        // SAFETY: the caller's promise; the tables cover all lines.
        unsafe {
            let reader = Reader::<V, SCATTERED>::new(&self.source);
            debug_assert_eq!(phases.low.len(), (2 * V::COUNT) << phases.low_bits);
            let mut to = block;
            for (row, lines) in lines.chunks_exact(row_lines).enumerate() {
                let line = number + row * row_lines;
                let [row_cos, row_sin] = phases.middle[line >> phases.low_bits];
                let (row_cos, row_sin) = (V::splat(row_cos), V::splat(row_sin));
                let first = line & ((1 << phases.low_bits) - 1);
                let mut low = phases.low.as_ptr().add(first << (V::BITS + 1));
                for &line in lines {
                    let [re, im] = reader.line(start ^ line);
                    let (cos, sin) = (V::load(low), V::load(low.add(V::COUNT)));
                    let (cos, sin) = V::turn(cos, sin, row_cos, row_sin);
                    let (re, im) = V::turn(re, im, cos, sin);
                    re.store(to);
                    im.store(to.add(V::COUNT));
                    low = low.add(2 * V::COUNT);
                    to = to.add(2 * V::COUNT);
                }
            }
        }
    }
}
