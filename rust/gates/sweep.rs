//! The kernels: a pass over some tiles, forwards with one state, backwards with two.

use std::ops::Range;
use std::ptr::null;

use super::plan::{Pass, Plan};
use super::steps::{MAX_GROUPS, Step, Turn};
use crate::simd::{Kernel, Lanes, Real};

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

/// One pass over some tiles.
pub struct Sweep<'a, R> {
    /// The plan.
    pub plan: &'a Plan,
    /// The pass.
    pub pass: &'a Pass,
    /// Its tables.
    pub tables: *const R,
    /// The state, whose lines of these tiles are nobody else's.
    pub state: *mut R,
    /// The cotangent's state and where the gradient's sums go, backwards.
    pub back: Option<(*mut R, *mut R)>,
    /// The tiles.
    pub tiles: Range<usize>,
}

/// One step on one tile.
#[derive(Clone, Copy)]
struct At<'a> {
    step: &'a Step,
    line: u64,
    odd: u32,
    groups: [u32; MAX_GROUPS],
}

impl<R: Real> Kernel<R> for Sweep<'_, R> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes<Real = R>>(self) {
        for tile in self.tiles.clone() {
            let line = self.pass.tile(tile);
            for number in 0..self.pass.steps.len() {
                let last = self.pass.steps.len() - 1;
                let number = if self.back.is_some() { last - number } else { number };
                let step = &self.pass.steps[number];
                let mut groups = [0; MAX_GROUPS];
                for (at, group) in groups.iter_mut().zip(&step.groups) {
                    *at = group.at(line, V::BITS);
                }
                let at = At { step, line, odd: step.odd_of(line), groups };
                // SAFETY: the caller's promise, and that of who made this kernel.
                unsafe {
                    match (self.back, step.real) {
                        (None, true) => self.forwards::<V, true>(at),
                        (None, false) => self.forwards::<V, false>(at),
                        (Some(to), true) => self.backwards::<V, true>(at, to),
                        (Some(to), false) => self.backwards::<V, false>(at, to),
                    }
                }
            }
        }
    }
}

/// A group of phases on one tile.
#[derive(Clone, Copy)]
struct Phases<R> {
    table: *const R,
    bases: *const u32,
    slots: [u32; 8],
    partial: usize,
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
    unsafe fn at<V: Lanes<Real = R>>(&self, base: usize, slot: usize) -> (V, V) {
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
    unsafe fn bin<V: Lanes<Real = R>>(
        &self,
        base: usize,
        slot: usize,
        partials: *mut R,
    ) -> *mut R {
        // SAFETY: there is a bin for every number in the table.
        unsafe { partials.add(self.partial + self.place(base, slot) * V::COUNT) }
    }
}

/// Real and imaginary parts of the lines in registers.
type Slots<V, const J: usize> = ([V; J], [V; J]);

/// Groups of phases that are multiplied while a line is in registers anyway; others first.
const FUSED: usize = 2;

impl<R: Real> Sweep<'_, R> {
    #[inline(always)]
    unsafe fn forwards<V: Lanes<Real = R>, const REAL: bool>(&self, at: At<'_>) {
        let step = at.step;
        // SAFETY: the caller's promise.
        unsafe {
            for number in FUSED..step.groups.len() {
                self.phased::<V>(at, number);
            }
            macro_rules! by_groups {
                ($j:literal) => {
                    match step.groups.len() {
                        0 => self.forth::<V, $j, REAL, 0>(at),
                        1 => self.forth::<V, $j, REAL, 1>(at),
                        _ => self.forth::<V, $j, REAL, FUSED>(at),
                    }
                };
            }
            match step.slots {
                0 => by_groups!(1),
                1 => by_groups!(2),
                2 => by_groups!(4),
                _ => by_groups!(8),
            }
        }
    }

    #[inline(always)]
    unsafe fn backwards<V: Lanes<Real = R>, const REAL: bool>(
        &self,
        at: At<'_>,
        to: (*mut R, *mut R),
    ) {
        let step = at.step;
        // SAFETY: the caller's promise.
        unsafe {
            macro_rules! by_groups {
                ($j:literal) => {
                    match step.groups.len() {
                        0 => self.back::<V, $j, REAL, 0>(at, to),
                        1 => self.back::<V, $j, REAL, 1>(at, to),
                        _ => self.back::<V, $j, REAL, FUSED>(at, to),
                    }
                };
            }
            match step.slots {
                0 => by_groups!(1),
                1 => by_groups!(2),
                _ => by_groups!(4),
            }
            for number in FUSED..step.groups.len() {
                self.unphased::<V>(at, number, to);
            }
        }
    }

    /// Multiplies a tile by the phases of one group.
    #[inline(always)]
    unsafe fn phased<V: Lanes<Real = R>>(&self, at: At<'_>, number: usize) {
        let step = at.step;
        // SAFETY: the caller's promise.
        let phases = unsafe { self.phases(at, number) };
        for (base, &from) in step.bases.iter().enumerate() {
            for v in 0..1 << step.slots {
                let place = (at.line ^ from ^ step.spread[v]) as usize * 2 * V::COUNT;
                // SAFETY: the caller's promise.
                unsafe {
                    let (cos, sin) = phases.at::<V>(base, v);
                    turn_line(self.state.add(place), cos, sin);
                }
            }
        }
    }

    /// Takes the phases of one group from both states, and adds up their products.
    #[inline(always)]
    unsafe fn unphased<V: Lanes<Real = R>>(
        &self,
        at: At<'_>,
        number: usize,
        (other, partials): (*mut R, *mut R),
    ) {
        let step = at.step;
        // SAFETY: the caller's promise.
        let phases = unsafe { self.phases(at, number) };
        for (base, &from) in step.bases.iter().enumerate() {
            for v in 0..1 << step.slots {
                let place = (at.line ^ from ^ step.spread[v]) as usize * 2 * V::COUNT;
                // SAFETY: the caller's promise.
                unsafe {
                    let (psi, lambda) = (self.state.add(place), other.add(place));
                    let (re, im) = (V::load(psi), V::load(psi.add(V::COUNT)));
                    let (by_re, by_im) = (V::load(lambda), V::load(lambda.add(V::COUNT)));
                    let product = by_im.neg_mul_add(re, by_re.mul(im));
                    let bin = phases.bin::<V>(base, v, partials);
                    V::load(bin).add(product).store(bin);
                    let (cos, sin) = phases.at::<V>(base, v);
                    let minus = V::splat(R::default()).sub(sin);
                    turn_line(psi, cos, minus);
                    turn_line(lambda, cos, minus);
                }
            }
        }
    }

    /// A group on this tile.
    #[inline(always)]
    unsafe fn phases(&self, at: At<'_>, number: usize) -> Phases<R> {
        let group = &at.step.groups[number];
        // SAFETY: the tables are the pass'.
        let table = unsafe { self.tables.add(group.table) };
        let slots = group.at_slots.map(|slot| slot ^ at.groups[number]);
        Phases { table, bases: group.at_bases.as_ptr(), slots, partial: group.partial }
    }

    /// The groups that are multiplied while lines are in registers.
    #[inline(always)]
    unsafe fn fused(&self, at: At<'_>, count: usize) -> [Phases<R>; FUSED] {
        std::array::from_fn(
            #[inline(always)]
            |number| match number < count {
                // SAFETY: the caller's promise.
                true => unsafe { self.phases(at, number) },
                false => Phases { table: null(), bases: null(), slots: [0; 8], partial: 0 },
            },
        )
    }

    #[inline(always)]
    unsafe fn forth<V: Lanes<Real = R>, const J: usize, const REAL: bool, const G: usize>(
        &self,
        at: At<'_>,
    ) {
        let step = at.step;
        // SAFETY: the caller's promise.
        unsafe {
            let phases = self.fused(at, G);
            for (base, &from) in step.bases.iter().enumerate() {
                let line = at.line ^ from;
                let zero = V::splat(R::default());
                let mut slots = ([zero; J], [zero; J]);
                each!(v in J {
                    let from = self.state.add((line ^ step.spread[v]) as usize * 2 * V::COUNT);
                    let (mut re, mut im) = (V::load(from), V::load(from.add(V::COUNT)));
                    if G > 0 {
                        let (cos, sin) = phases[0].at::<V>(base, v);
                        (re, im) = V::turn(re, im, cos, sin);
                    }
                    if G > 1 {
                        let (cos, sin) = phases[1].at::<V>(base, v);
                        (re, im) = V::turn(re, im, cos, sin);
                    }
                    (slots.0[v], slots.1[v]) = (re, im);
                });
                self.exchange::<V, J>(step, &mut slots);
                let odd = at.odd ^ step.odd[base];
                for number in 0..step.ends[0] {
                    self.of_lanes::<V, J, REAL>(&step.turns[number], odd >> number, &mut slots);
                }
                macro_rules! of_slot {
                    ($slot:literal) => {
                        for number in step.ends[$slot]..step.ends[$slot + 1] {
                            let turn = &step.turns[number];
                            self.of_slots::<V, J, $slot, REAL>(turn, odd >> number, &mut slots);
                        }
                    };
                }
                of_slot!(0);
                of_slot!(1);
                of_slot!(2);
                self.exchange::<V, J>(step, &mut slots);
                each!(v in J {
                    let to = self.state.add((line ^ step.spread[v]) as usize * 2 * V::COUNT);
                    slots.0[v].store(to);
                    slots.1[v].store(to.add(V::COUNT));
                });
            }
        }
    }

    #[inline(always)]
    unsafe fn back<V: Lanes<Real = R>, const J: usize, const REAL: bool, const G: usize>(
        &self,
        at: At<'_>,
        (other, partials): (*mut R, *mut R),
    ) {
        let step = at.step;
        // SAFETY: the caller's promise.
        unsafe {
            let phases = self.fused(at, G);
            for (base, &from) in step.bases.iter().enumerate() {
                let line = at.line ^ from;
                let zero = V::splat(R::default());
                let (mut psi, mut lambda) = (([zero; J], [zero; J]), ([zero; J], [zero; J]));
                each!(v in J {
                    let place = (line ^ step.spread[v]) as usize * 2 * V::COUNT;
                    psi.0[v] = V::load(self.state.add(place));
                    psi.1[v] = V::load(self.state.add(place + V::COUNT));
                    lambda.0[v] = V::load(other.add(place));
                    lambda.1[v] = V::load(other.add(place + V::COUNT));
                });
                self.exchange::<V, J>(step, &mut psi);
                self.exchange::<V, J>(step, &mut lambda);
                let odd = at.odd ^ step.odd[base];
                macro_rules! of_slot {
                    ($slot:literal) => {
                        for number in (step.ends[$slot]..step.ends[$slot + 1]).rev() {
                            let (turn, odd) = (&step.turns[number], odd >> number);
                            let sum = self.product::<V, J, $slot, REAL>(turn, odd, &psi, &lambda);
                            let to = partials.add(turn.partial);
                            V::load(to).add(sum).store(to);
                            self.of_slots::<V, J, $slot, REAL>(turn, odd, &mut psi);
                            self.of_slots::<V, J, $slot, REAL>(turn, odd, &mut lambda);
                        }
                    };
                }
                of_slot!(1);
                of_slot!(0);
                for number in (0..step.ends[0]).rev() {
                    let (turn, odd) = (&step.turns[number], odd >> number);
                    let sum = self.lane_product::<V, J, REAL>(turn, odd, &psi, &lambda);
                    let to = partials.add(turn.partial);
                    V::load(to).add(sum).store(to);
                    self.of_lanes::<V, J, REAL>(turn, odd, &mut psi);
                    self.of_lanes::<V, J, REAL>(turn, odd, &mut lambda);
                }
                self.exchange::<V, J>(step, &mut psi);
                self.exchange::<V, J>(step, &mut lambda);
                each!(v in J {
                    let place = (line ^ step.spread[v]) as usize * 2 * V::COUNT;
                    let (mut re, mut im) = (psi.0[v], psi.1[v]);
                    let (mut by_re, mut by_im) = (lambda.0[v], lambda.1[v]);
                    // Im(conj(lambda) psi), which phases leave alone.
                    let product = by_im.neg_mul_add(re, by_re.mul(im));
                    macro_rules! unphase {
                        ($number:expr) => {
                            let bin = phases[$number].bin::<V>(base, v, partials);
                            V::load(bin).add(product).store(bin);
                            let (cos, sin) = phases[$number].at::<V>(base, v);
                            let minus = zero.sub(sin);
                            (re, im) = V::turn(re, im, cos, minus);
                            (by_re, by_im) = V::turn(by_re, by_im, cos, minus);
                        };
                    }
                    if G > 0 {
                        unphase!(0);
                    }
                    if G > 1 {
                        unphase!(1);
                    }
                    re.store(self.state.add(place));
                    im.store(self.state.add(place + V::COUNT));
                    by_re.store(other.add(place));
                    by_im.store(other.add(place + V::COUNT));
                });
            }
        }
    }

    /// Exchanges lanes so that the slots' bits are their flips; its own inverse.
    #[inline(always)]
    unsafe fn exchange<V: Lanes<Real = R>, const J: usize>(
        &self,
        step: &Step,
        slots: &mut Slots<V, J>,
    ) {
        if !step.moved {
            return;
        }
        each!(v in J {
            if v > 0 {
                let words = &self.plan.exchanges[step.exchanged[v] as usize % 16];
                // SAFETY: the plan's words are those of these vectors.
                let index = unsafe { V::load_index(words) };
                slots.0[v] = slots.0[v].permute(index);
                slots.1[v] = slots.1[v].permute(index);
            }
        });
    }

    /// Vector number `which` of a rotation's, or the next one where the sign is turned.
    #[inline(always)]
    unsafe fn factor<V: Lanes<Real = R>>(&self, turn: &Turn, which: usize, odd: u32) -> V {
        let vector = which + (odd & 1) as usize;
        // SAFETY: the tables are the pass'.
        unsafe { V::load(self.tables.add(turn.table + vector * V::COUNT)) }
    }

    /// Rotates pairs of slots. Real factors have the sign of the slot's bit, others are all alike.
    #[inline(always)]
    unsafe fn of_slots<V: Lanes<Real = R>, const J: usize, const S: usize, const REAL: bool>(
        &self,
        turn: &Turn,
        odd: u32,
        (re, im): &mut Slots<V, J>,
    ) {
        // SAFETY: the caller's promise.
        let factor = unsafe { self.factor::<V>(turn, 0, odd) };
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
    unsafe fn product<V: Lanes<Real = R>, const J: usize, const S: usize, const REAL: bool>(
        &self,
        turn: &Turn,
        odd: u32,
        psi: &Slots<V, J>,
        lambda: &Slots<V, J>,
    ) -> V {
        // SAFETY: the caller's promise.
        let (signs, zero) = unsafe { (self.factor::<V>(turn, 2, odd), V::splat(R::default())) };
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

    /// Rotates lanes of every slot.
    #[inline(always)]
    unsafe fn of_lanes<V: Lanes<Real = R>, const J: usize, const REAL: bool>(
        &self,
        turn: &Turn,
        odd: u32,
        (re, im): &mut Slots<V, J>,
    ) {
        // SAFETY: the caller's promise; the plan's words are those of these vectors.
        unsafe {
            let index = V::load_index(&self.plan.exchanges[turn.lanes as usize]);
            for v in 0..J {
                let factor = self.factor::<V>(turn, 0, turn.pattern >> v ^ odd);
                let (c, d) = (re[v].permute(index), im[v].permute(index));
                if REAL {
                    (re[v], im[v]) = (c.mul_add(factor, re[v]), d.mul_add(factor, im[v]));
                } else {
                    (re[v], im[v]) = (d.mul_add(factor, re[v]), c.neg_mul_add(factor, im[v]));
                }
            }
        }
    }

    /// [`Self::product`] of a rotation of lanes.
    #[inline(always)]
    unsafe fn lane_product<V: Lanes<Real = R>, const J: usize, const REAL: bool>(
        &self,
        turn: &Turn,
        odd: u32,
        psi: &Slots<V, J>,
        lambda: &Slots<V, J>,
    ) -> V {
        // SAFETY: the caller's promise; the plan's words are those of these vectors.
        unsafe {
            let index = V::load_index(&self.plan.exchanges[turn.lanes as usize]);
            let mut sum = V::splat(R::default());
            for v in 0..J {
                let signs = self.factor::<V>(turn, 2, turn.pattern >> v ^ odd);
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
}

/// Multiplies a line by phases.
#[inline(always)]
unsafe fn turn_line<V: Lanes>(line: *mut V::Real, cos: V, sin: V) {
    // SAFETY: the caller's promise.
    unsafe {
        let (re, im) = V::turn(V::load(line), V::load(line.add(V::COUNT)), cos, sin);
        re.store(line);
        im.store(line.add(V::COUNT));
    }
}
