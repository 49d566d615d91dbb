//! Phases of a group, looked up while lines are loaded.

use crate::simd::{Lanes, Real};

/// A group of phases on one tile.
#[derive(Clone, Copy)]
pub struct Phases<R> {
    /// The table.
    pub table: *const R,
    /// Numbers by coset.
    pub bases: *const u32,
    /// By slot, the tile's added.
    pub slots: [u32; 8],
    /// Where the sums start.
    pub partial: usize,
}

impl<R: Real> Phases<R> {
    /// Number of a line in the table.
    ///
    /// # Safety
    /// `base` is one of the step's.
    #[inline(always)]
    unsafe fn place(&self, base: usize, slot: usize) -> usize {
        // SAFETY: the caller's promise.
        unsafe { (*self.bases.add(base) ^ self.slots[slot]) as usize }
    }

    /// Cosine and sine of a line's phase.
    ///
    /// # Safety
    /// As for `place`; the processor has the instructions of `V`.
    #[inline(always)]
    pub unsafe fn at<V: Lanes<Real = R>>(&self, base: usize, slot: usize) -> (V, V) {
        // SAFETY: places are sums of masks, of which the table has all.
        unsafe {
            let from = self.table.add(self.place(base, slot) * 2 * V::COUNT);
            (V::load(from), V::load(from.add(V::COUNT)))
        }
    }

    /// Where the products of such lines are added up.
    ///
    /// # Safety
    /// As for `at`; `partials` are those of the pass.
    #[inline(always)]
    pub unsafe fn bin<V: Lanes<Real = R>>(
        &self,
        base: usize,
        slot: usize,
        partials: *mut R,
    ) -> *mut R {
        // SAFETY: there is a bin for every number in the table.
        unsafe { partials.add(self.partial + self.place(base, slot) * V::COUNT) }
    }
}

/// Multiplies a line by phases.
///
/// # Safety
/// The line may be written; the processor has the instructions of `V`.
#[inline(always)]
pub unsafe fn turn_line<V: Lanes>(line: *mut V::Real, cos: V, sin: V) {
    // SAFETY: the caller's promise.
    unsafe {
        let (re, im) = V::turn(V::load(line), V::load(line.add(V::COUNT)), cos, sin);
        re.store(line);
        im.store(line.add(V::COUNT));
    }
}
