//! Reading the lines of a block through any CNOTs.

use crate::gather::{Gather, Packed};
use crate::simd::{Lanes, Real};

/// Where a layer reads from.
#[derive(Clone, Copy)]
pub struct Source<'a, R> {
    /// The state before the CNOTs.
    pub state: *const R,
    /// The CNOTs.
    pub gather: &'a Gather,
}

/// Reads all lines of one block, whose sources start at `start`.
///
/// # Safety
/// The processor has the instructions of `V`; the block's lines are this thread's, and nobody
/// writes to the source.
#[inline(always)]
pub unsafe fn gather_block<V: Lanes>(
    block: *mut V::Real,
    source: &Source<'_, V::Real>,
    start: Packed,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if source.gather.sources.len() > 1 {
            scattered::<V>(block, source, start);
        } else {
            renamed::<V>(block, source, start);
        }
    }
}

/// Every new line is an old one with its lanes permuted.
#[inline(always)]
unsafe fn renamed<V: Lanes>(block: *mut V::Real, source: &Source<'_, V::Real>, start: Packed) {
    let Gather { lines, rows, permutations, .. } = source.gather;
    // SAFETY: the caller's promise; the tables cover all lines.
    unsafe {
        let mut to = block;
        for &line in lines {
            let line = start ^ line;
            let from = source.state.add(rows.get_unchecked(line.row as usize) + line.low as usize);
            let index = V::load_index(permutations.get_unchecked(line.control as usize));
            V::load(from).permute(index).store(to);
            V::load(from.add(V::COUNT)).permute(index).store(to.add(V::COUNT));
            to = to.add(2 * V::COUNT);
        }
    }
}

/// A new line takes its lanes from several old ones: masks pick them.
#[inline(always)]
unsafe fn scattered<V: Lanes>(block: *mut V::Real, source: &Source<'_, V::Real>, start: Packed) {
    let Gather { lines, rows, permutations, sources, .. } = source.gather;
    // SAFETY: the caller's promise; the tables cover all lines.
    unsafe {
        let mut masks = [V::splat(V::Real::default()); 16];
        for (mask, &(_, lanes)) in masks.iter_mut().zip(sources) {
            *mask = lane_mask(lanes);
        }
        let mut to = block;
        for &line in lines {
            let line = start ^ line;
            let index = V::load_index(permutations.get_unchecked(line.control as usize));
            let mut re = V::splat(V::Real::default());
            let mut im = re;
            for (&(offset, _), &mask) in sources.iter().zip(&masks) {
                let line = line ^ offset;
                let from =
                    source.state.add(rows.get_unchecked(line.row as usize) + line.low as usize);
                re = V::load(from).permute(index).mul_add(mask, re);
                im = V::load(from.add(V::COUNT)).permute(index).mul_add(mask, im);
            }
            re.store(to);
            im.store(to.add(V::COUNT));
            to = to.add(2 * V::COUNT);
        }
    }
}

/// Ones in the lanes of a mask, zeros elsewhere.
#[inline(always)]
unsafe fn lane_mask<V: Lanes>(lanes: u32) -> V {
    let mut numbers = [V::Real::default(); 16];
    for (lane, number) in numbers.iter_mut().enumerate() {
        *number = V::Real::from_f64(f64::from((lanes >> lane) & 1));
    }
    // SAFETY: the caller's promise; no vector has more than 16 lanes.
    unsafe { V::load(numbers.as_ptr()) }
}
