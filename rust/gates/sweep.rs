//! The kernels: a pass over some tiles, forwards with one state, backwards with two.

use std::ops::Range;
use std::ptr::null;

use super::phases::{Phases, turn_line};
use super::plan::{Pass, Plan};
use super::steps::{MAX_GROUPS, Step};
use super::turns::each;
use crate::simd::{Kernel, Lanes, Real};

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
}
