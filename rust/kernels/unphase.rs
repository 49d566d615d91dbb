//! Backwards through the CNOTs and the phases before them.

use std::ops::Range;

use crate::gather::{Gather, Packed};
use crate::kernels::read::{Source, gather_block};
use crate::layer::Phases;
use crate::schedule::Pass;
use crate::simd::{Kernel, Lanes, Real};

/// Reads tiles of the first pass through (inverse) CNOTs and multiplies them by phases.
pub struct Unphase<'a, R> {
    /// The first pass.
    pub pass: &'a Pass,
    /// The state to read.
    pub source: Source<'a, R>,
    /// The phases: a low table and one for all other bits of the line number.
    pub phases: &'a Phases<R>,
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
                    if gather.sources.len() == 1 {
                        read_and_multiply::<V>(state, &self.source, from, number, self.phases);
                    } else {
                        gather_block::<V>(state, &self.source, from);
                        multiply::<V>(state, number, gather.lines.len(), self.phases);
                    }
                }
            }
        }
    }
}

/// Reads the lines of a block through the CNOTs and multiplies them by their phases.
#[inline(always)]
unsafe fn read_and_multiply<V: Lanes>(
    block: *mut V::Real,
    source: &Source<'_, V::Real>,
    start: Packed,
    number: usize,
    phases: &Phases<V::Real>,
) {
    let Gather { lines, rows, permutations, .. } = source.gather;
    let row_lines = lines.len().min(1 << phases.low_bits);
    // SAFETY: the caller's promise; the tables cover all lines.
    unsafe {
        let mut to = block;
        for (row, lines) in lines.chunks_exact(row_lines).enumerate() {
            let line = number + row * row_lines;
            let [row_cos, row_sin] = phases.middle[line >> phases.low_bits];
            let (row_cos, row_sin) = (V::splat(row_cos), V::splat(row_sin));
            let first = line & ((1 << phases.low_bits) - 1);
            let mut low = phases.low.as_ptr().add(first << (V::BITS + 1));
            for &line in lines {
                let line = start ^ line;
                let from =
                    source.state.add(rows.get_unchecked(line.row as usize) + line.low as usize);
                let index = V::load_index(permutations.get_unchecked(line.control as usize));
                let re = V::load(from).permute(index);
                let im = V::load(from.add(V::COUNT)).permute(index);
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

/// Multiplies neighbouring lines by their phases.
#[inline(always)]
unsafe fn multiply<V: Lanes>(
    state: *mut V::Real,
    number: usize,
    lines: usize,
    phases: &Phases<V::Real>,
) {
    let row_lines = lines.min(1 << phases.low_bits);
    // SAFETY: the caller's promise; the tables cover all lines.
    unsafe {
        let mut place = state;
        for row in 0..lines / row_lines {
            let line = number + row * row_lines;
            let [row_cos, row_sin] = phases.middle[line >> phases.low_bits];
            let (row_cos, row_sin) = (V::splat(row_cos), V::splat(row_sin));
            let first = line & ((1 << phases.low_bits) - 1);
            let mut low = phases.low.as_ptr().add(first << (V::BITS + 1));
            for _ in 0..row_lines {
                let (cos, sin) = (V::load(low), V::load(low.add(V::COUNT)));
                let (cos, sin) = V::turn(cos, sin, row_cos, row_sin);
                let (re, im) = (V::load(place), V::load(place.add(V::COUNT)));
                let (re, im) = V::turn(re, im, cos, sin);
                re.store(place);
                im.store(place.add(V::COUNT));
                low = low.add(2 * V::COUNT);
                place = place.add(2 * V::COUNT);
            }
        }
    }
}
