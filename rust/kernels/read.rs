//! Reading the lines of a block through any CNOTs.

use crate::gather::{Gather, Packed};
use crate::parallel::Pointer;
use crate::simd::{Lanes, Real};

/// Where a layer reads from.
#[derive(Debug)]
pub struct Source<'a, R> {
    /// The state before the CNOTs.
    pub state: Pointer<R>,
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
    state: *const V::Real,
    gather: &'a Gather,
    /// Which lanes come from which source.
    masks: [V; 16],
}

impl<'a, V: Lanes, const SCATTERED: bool> Reader<'a, V, SCATTERED> {
    /// A reader of this source.
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    pub unsafe fn new(source: &Source<'a, V::Real>) -> Self {
        let gather = source.gather;
        // SAFETY: the caller's promise.
        let mut masks = unsafe { [V::splat(V::Real::default()); 16] };
        if SCATTERED {
            for (mask, &(_, lanes)) in masks.iter_mut().zip(&gather.sources) {
                // SAFETY: the caller's promise.
                *mask = unsafe { lane_mask(lanes) };
            }
        }
        Self { state: source.state.get(), gather, masks }
    }

    /// Real and imaginary parts of a line.
    ///
    /// # Safety
    /// The line is one of the gather's, and nobody writes to the source.
    #[inline(always)]
    pub unsafe fn line(&self, line: Packed) -> [V; 2] {
        debug_assert!((line.control as usize) < self.gather.permutations.len());
        // SAFETY: the caller's promise; the tables cover all lines.
        unsafe {
            let permutations = &self.gather.permutations;
            let index = V::load_index(permutations.get_unchecked(line.control as usize));
            if !SCATTERED {
                let [re, im] = self.old(line);
                return [re.permute(index), im.permute(index)];
            }
            let mut new = [V::splat(V::Real::default()); 2];
            for (&(offset, _), &mask) in self.gather.sources.iter().zip(&self.masks) {
                let old = self.old(line ^ offset);
                new[0] = old[0].permute(index).mul_add(mask, new[0]);
                new[1] = old[1].permute(index).mul_add(mask, new[1]);
            }
            new
        }
    }

    /// An old line, its lanes in place.
    #[inline(always)]
    unsafe fn old(&self, line: Packed) -> [V; 2] {
        debug_assert!((line.row as usize) < self.gather.rows.len());
        // SAFETY: the caller's promise.
        unsafe {
            let row = *self.gather.rows.get_unchecked(line.row as usize);
            let from = self.state.add(row + line.low as usize);
            [V::load(from), V::load(from.add(V::COUNT))]
        }
    }
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
            copy::<V, true>(block, source, start);
        } else {
            copy::<V, false>(block, source, start);
        }
    }
}

#[inline(always)]
unsafe fn copy<V: Lanes, const SCATTERED: bool>(
    block: *mut V::Real,
    source: &Source<'_, V::Real>,
    start: Packed,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let reader = Reader::<V, SCATTERED>::new(source);
        let mut to = block;
        for &line in &source.gather.lines {
            let [re, im] = reader.line(start ^ line);
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
