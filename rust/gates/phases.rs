//! Phases of a group, looked up while lines are loaded.

use crate::simd::{Lanes, Real};
use crate::view::{Group, Lines, Vectors};

/// A group of phases on one tile.
#[derive(Clone, Copy)]
pub struct Phases<'a, V: Lanes> {
    /// The table.
    pub table: Lines<'a, V, 1>,
    /// Numbers by coset.
    pub bases: &'a [u32],
    /// By slot, the tile's added.
    pub slots: [u32; 8],
    /// Where the sums start.
    pub partial: usize,
}

impl<V: Lanes<Real: Real>> Phases<'_, V> {
    /// Number of a line in the table.
    #[inline(always)]
    fn place(&self, base: usize, slot: usize) -> usize {
        (self.bases[base] ^ self.slots[slot]) as usize
    }

    /// Cosine and sine of a line's phase.
    #[inline(always)]
    pub fn at(&self, base: usize, slot: usize) -> (V, V) {
        let phase = self.table.at(self.place(base, slot) * 2 * V::COUNT);
        (phase.get(0, 0), phase.get(0, 1))
    }

    /// Adds to the products of such lines.
    #[inline(always)]
    pub fn add(&self, base: usize, slot: usize, product: V, partials: Vectors<'_, V>) {
        let bin = self.partial + self.place(base, slot) * V::COUNT;
        partials.set(bin, partials.get(bin).add(product));
    }
}

/// Multiplies a line by phases.
#[inline(always)]
pub fn turn_line<V: Lanes>(line: Group<'_, V, 1>, cos: V, sin: V) {
    let (re, im) = V::turn(line.get(0, 0), line.get(0, 1), cos, sin);
    line.set(0, 0, re);
    line.set(0, 1, im);
}
