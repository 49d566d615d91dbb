//! What is done to lines in registers: exchanges of lanes, and rotations of slots and of lanes.

use super::steps::{Step, Turn};
use super::sweep::{Memory, Sweep};
use crate::simd::{Lanes, Real};

/// The body for every slot, written out: what is a number in a loop would put slots on the stack.
macro_rules! each {
    ($v:ident in $count:ident $body:block) => {
        each!(@ $v $count $body 0 1 2 3 4 5 6 7)
    };
    (@ $v:ident $count:ident $body:block $($number:literal)*) => {
        $(if $number < $count {
            let $v: usize = $number;
            $body
        })*
    };
}

pub(super) use each;

/// Real and imaginary parts of the lines in registers.
pub type Slots<V, const J: usize> = ([V; J], [V; J]);

impl<R: Real> Sweep<'_, R> {
    /// Exchanges lanes so that the slots' bits are their flips; its own inverse.
    #[inline(always)]
    pub(super) fn exchange<V: Lanes<Real = R>, const J: usize>(
        &self,
        memory: &Memory<'_, V>,
        step: &Step,
        slots: &mut Slots<V, J>,
    ) {
        if !step.moved {
            return;
        }
        each!(v in J {
            if v > 0 {
                let words = &self.plan.exchanges[step.exchanged[v] as usize % 16];
                let index = V::load_index(memory.cpu, words);
                slots.0[v] = slots.0[v].permute(index);
                slots.1[v] = slots.1[v].permute(index);
            }
        });
    }

    /// Rotates lanes of every slot.
    #[inline(always)]
    pub(super) fn of_lanes<V: Lanes<Real = R>, const J: usize, const REAL: bool>(
        &self,
        memory: &Memory<'_, V>,
        turn: &Turn,
        odd: u32,
        (re, im): &mut Slots<V, J>,
    ) {
        let index = V::load_index(memory.cpu, &self.plan.exchanges[turn.lanes as usize]);
        for v in 0..J {
            let factor = memory.factor(turn, 0, turn.pattern >> v ^ odd);
            let (c, d) = (re[v].permute(index), im[v].permute(index));
            if REAL {
                (re[v], im[v]) = (c.mul_add(factor, re[v]), d.mul_add(factor, im[v]));
            } else {
                (re[v], im[v]) = (d.mul_add(factor, re[v]), c.neg_mul_add(factor, im[v]));
            }
        }
    }

    /// [`Self::product`] of a rotation of lanes.
    #[inline(always)]
    pub(super) fn lane_product<V: Lanes<Real = R>, const J: usize, const REAL: bool>(
        &self,
        memory: &Memory<'_, V>,
        turn: &Turn,
        odd: u32,
        psi: &Slots<V, J>,
        lambda: &Slots<V, J>,
    ) -> V {
        let index = V::load_index(memory.cpu, &self.plan.exchanges[turn.lanes as usize]);
        let mut sum = V::splat(memory.cpu, R::default());
        for v in 0..J {
            let signs = memory.factor(turn, 2, turn.pattern >> v ^ odd);
            let (c, d) = (psi.0[v].permute(index), psi.1[v].permute(index));
            let one = if REAL {
                lambda.0[v].mul_add(c, lambda.1[v].mul(d))
            } else {
                lambda.1[v].neg_mul_add(c, lambda.0[v].mul(d))
            };
            sum = one.mul_add(signs, sum);
        }
        sum
    }
}

impl<V: Lanes> Memory<'_, V> {
    /// Vector number `which` of a rotation's, or the next one where the sign is turned.
    #[inline(always)]
    fn factor(&self, turn: &Turn, which: usize, odd: u32) -> V {
        let vector = which + (odd & 1) as usize;
        self.tables.vectors(self.cpu).get(turn.table + vector * V::COUNT)
    }

    /// Rotates pairs of slots. Real factors have the sign of the slot's bit, others are all alike.
    #[inline(always)]
    pub(super) fn of_slots<const J: usize, const S: usize, const REAL: bool>(
        &self,
        turn: &Turn,
        odd: u32,
        (re, im): &mut Slots<V, J>,
    ) {
        let factor = self.factor(turn, 0, odd);
        for v in 0..J {
            let u = v | 1 << S;
            if v == u || u >= J {
                continue;
            }
            let (a, b, c, d) = (re[v], im[v], re[u], im[u]);
            if REAL {
                (re[v], im[v]) = (c.mul_add(factor, a), d.mul_add(factor, b));
                (re[u], im[u]) = (a.neg_mul_add(factor, c), b.neg_mul_add(factor, d));
            } else {
                (re[v], im[v]) = (d.mul_add(factor, a), c.neg_mul_add(factor, b));
                (re[u], im[u]) = (b.mul_add(factor, c), a.neg_mul_add(factor, d));
            }
        }
    }

    /// Sum of Im(conj(lambda) P psi) lane by lane, before the rotation of slots is undone.
    #[inline(always)]
    pub(super) fn product<const J: usize, const S: usize, const REAL: bool>(
        &self,
        turn: &Turn,
        odd: u32,
        psi: &Slots<V, J>,
        lambda: &Slots<V, J>,
    ) -> V {
        let (signs, zero) = (self.factor(turn, 2, odd), V::splat(self.cpu, V::Real::default()));
        let mut sums = [zero; 2];
        for v in 0..J {
            let u = v | 1 << S;
            if v == u || u >= J {
                continue;
            }
            if REAL {
                sums[0] = lambda.0[v].mul_add(psi.0[u], sums[0]);
                sums[1] = lambda.1[v].mul_add(psi.1[u], sums[1]);
                sums[0] = lambda.0[u].neg_mul_add(psi.0[v], sums[0]);
                sums[1] = lambda.1[u].neg_mul_add(psi.1[v], sums[1]);
            } else {
                sums[0] = lambda.0[v].mul_add(psi.1[u], sums[0]);
                sums[1] = lambda.1[v].neg_mul_add(psi.0[u], sums[1]);
                sums[0] = lambda.0[u].mul_add(psi.1[v], sums[0]);
                sums[1] = lambda.1[u].neg_mul_add(psi.0[v], sums[1]);
            }
        }
        sums[0].add(sums[1]).mul(signs)
    }
}
