//! The kernels: a pass over some tiles, forwards with one state, backwards with two.

use std::ops::Range;

use super::phases::{Phases, turn_line};
use super::plan::{Pass, Plan};
use super::steps::{MAX_GROUPS, Step};
use super::turns::each;
use crate::simd::{Cpu, Kernel, Lanes, Real};
use crate::view::{Lines, Vectors, View};

/// One pass over some tiles.
pub struct Sweep<'a, R> {
    /// The plan.
    pub plan: &'a Plan,
    /// The pass.
    pub pass: &'a Pass,
    /// Its tables.
    pub tables: View<'a, R>,
    /// The state, whose lines of these tiles are nobody else's.
    pub state: View<'a, R>,
    /// The cotangent's state and where the gradient's sums go, backwards.
    pub back: Option<(View<'a, R>, View<'a, R>)>,
    /// The tiles.
    pub tiles: Range<usize>,
}

/// What a pass reads and writes, in vectors.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a, V: Lanes> {
    pub(super) cpu: Cpu<V>,
    pub(super) tables: View<'a, V::Real>,
    state: Lines<'a, V, 1>,
    /// Backwards, the cotangent's state.
    other: Lines<'a, V, 1>,
    /// Backwards, where the gradient's sums go.
    partials: Vectors<'a, V>,
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
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let (other, partials) = self.back.unwrap_or((self.state, self.state));
        let memory = &Memory {
            cpu,
            tables: self.tables,
            state: self.state.lines(cpu, 0),
            other: other.lines(cpu, 0),
            partials: partials.vectors(cpu),
        };
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
                match (self.back.is_none(), step.real) {
                    (true, true) => self.forwards::<V, true>(memory, at),
                    (true, false) => self.forwards::<V, false>(memory, at),
                    (false, true) => self.backwards::<V, true>(memory, at),
                    (false, false) => self.backwards::<V, false>(memory, at),
                }
            }
        }
    }
}

/// Groups of phases that are multiplied while a line is in registers anyway; others first.
const FUSED: usize = 2;

impl<V: Lanes> Memory<'_, V> {
    /// A group on this tile.
    #[inline(always)]
    fn phases<'a>(&'a self, at: At<'a>, number: usize) -> Phases<'a, V> {
        let group = &at.step.groups[number];
        let length = (2 * V::COUNT) << group.masks.len();
        Phases {
            table: self.tables.part(group.table, length).lines(self.cpu, 0),
            bases: &group.at_bases,
            slots: group.at_slots.map(|slot| slot ^ at.groups[number]),
            partial: group.partial,
        }
    }

    /// The groups that are multiplied while lines are in registers.
    #[inline(always)]
    fn fused<'a, const G: usize>(&'a self, at: At<'a>) -> [Phases<'a, V>; G] {
        std::array::from_fn(
            #[inline(always)]
            |number| self.phases(at, number),
        )
    }
}

/// Where a line starts.
#[inline(always)]
fn place<V: Lanes>(line: u64) -> usize {
    line as usize * 2 * V::COUNT
}

impl<R: Real> Sweep<'_, R> {
    #[inline(always)]
    fn forwards<V: Lanes<Real = R>, const REAL: bool>(&self, memory: &Memory<'_, V>, at: At<'_>) {
        let step = at.step;
        for number in FUSED..step.groups.len() {
            phased(memory, at, number);
        }
        macro_rules! by_groups {
            ($j:literal) => {
                match step.groups.len() {
                    0 => self.forth::<V, $j, REAL, 0>(memory, at),
                    1 => self.forth::<V, $j, REAL, 1>(memory, at),
                    _ => self.forth::<V, $j, REAL, FUSED>(memory, at),
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

    #[inline(always)]
    fn backwards<V: Lanes<Real = R>, const REAL: bool>(&self, memory: &Memory<'_, V>, at: At<'_>) {
        let step = at.step;
        macro_rules! by_groups {
            ($j:literal) => {
                match step.groups.len() {
                    0 => self.back::<V, $j, REAL, 0>(memory, at),
                    1 => self.back::<V, $j, REAL, 1>(memory, at),
                    _ => self.back::<V, $j, REAL, FUSED>(memory, at),
                }
            };
        }
        match step.slots {
            0 => by_groups!(1),
            1 => by_groups!(2),
            _ => by_groups!(4),
        }
        for number in FUSED..step.groups.len() {
            unphased(memory, at, number);
        }
    }

    #[inline(always)]
    fn forth<V: Lanes<Real = R>, const J: usize, const REAL: bool, const G: usize>(
        &self,
        memory: &Memory<'_, V>,
        at: At<'_>,
    ) {
        let step = at.step;
        let phases = memory.fused::<G>(at);
        for (base, &from) in step.bases.iter().enumerate() {
            let line = at.line ^ from;
            let zero = V::splat(memory.cpu, R::default());
            let mut slots = ([zero; J], [zero; J]);
            each!(v in J {
                let from = memory.state.at(place::<V>(line ^ step.spread[v]));
                let (mut re, mut im) = (from.get(0, 0), from.get(0, 1));
                for phases in &phases {
                    let (cos, sin) = phases.at(base, v);
                    (re, im) = V::turn(re, im, cos, sin);
                }
                (slots.0[v], slots.1[v]) = (re, im);
            });
            self.exchange(memory, step, &mut slots);
            let odd = at.odd ^ step.odd[base];
            for number in 0..step.ends[0] {
                let (turn, odd) = (&step.turns[number], odd >> number);
                self.of_lanes::<V, J, REAL>(memory, turn, odd, &mut slots);
            }
            macro_rules! of_slot {
                ($slot:literal) => {
                    for number in step.ends[$slot]..step.ends[$slot + 1] {
                        let (turn, odd) = (&step.turns[number], odd >> number);
                        memory.of_slots::<J, $slot, REAL>(turn, odd, &mut slots);
                    }
                };
            }
            of_slot!(0);
            of_slot!(1);
            of_slot!(2);
            self.exchange(memory, step, &mut slots);
            each!(v in J {
                let to = memory.state.at(place::<V>(line ^ step.spread[v]));
                to.set(0, 0, slots.0[v]);
                to.set(0, 1, slots.1[v]);
            });
        }
    }

    #[inline(always)]
    fn back<V: Lanes<Real = R>, const J: usize, const REAL: bool, const G: usize>(
        &self,
        memory: &Memory<'_, V>,
        at: At<'_>,
    ) {
        let (step, partials) = (at.step, memory.partials);
        let phases = memory.fused::<G>(at);
        for (base, &from) in step.bases.iter().enumerate() {
            let line = at.line ^ from;
            let zero = V::splat(memory.cpu, R::default());
            let (mut psi, mut lambda) = (([zero; J], [zero; J]), ([zero; J], [zero; J]));
            each!(v in J {
                let place = place::<V>(line ^ step.spread[v]);
                let (own, other) = (memory.state.at(place), memory.other.at(place));
                (psi.0[v], psi.1[v]) = (own.get(0, 0), own.get(0, 1));
                (lambda.0[v], lambda.1[v]) = (other.get(0, 0), other.get(0, 1));
            });
            self.exchange(memory, step, &mut psi);
            self.exchange(memory, step, &mut lambda);
            let odd = at.odd ^ step.odd[base];
            macro_rules! of_slot {
                ($slot:literal) => {
                    for number in (step.ends[$slot]..step.ends[$slot + 1]).rev() {
                        let (turn, odd) = (&step.turns[number], odd >> number);
                        let sum = memory.product::<J, $slot, REAL>(turn, odd, &psi, &lambda);
                        partials.set(turn.partial, partials.get(turn.partial).add(sum));
                        memory.of_slots::<J, $slot, REAL>(turn, odd, &mut psi);
                        memory.of_slots::<J, $slot, REAL>(turn, odd, &mut lambda);
                    }
                };
            }
            of_slot!(1);
            of_slot!(0);
            for number in (0..step.ends[0]).rev() {
                let (turn, odd) = (&step.turns[number], odd >> number);
                let sum = self.lane_product::<V, J, REAL>(memory, turn, odd, &psi, &lambda);
                partials.set(turn.partial, partials.get(turn.partial).add(sum));
                self.of_lanes::<V, J, REAL>(memory, turn, odd, &mut psi);
                self.of_lanes::<V, J, REAL>(memory, turn, odd, &mut lambda);
            }
            self.exchange(memory, step, &mut psi);
            self.exchange(memory, step, &mut lambda);
            each!(v in J {
                let place = place::<V>(line ^ step.spread[v]);
                let (mut re, mut im) = (psi.0[v], psi.1[v]);
                let (mut by_re, mut by_im) = (lambda.0[v], lambda.1[v]);
                // Im(conj(lambda) psi), which phases leave alone.
                let product = by_im.neg_mul_add(re, by_re.mul(im));
                for phases in &phases {
                    phases.add(base, v, product, partials);
                    let (cos, sin) = phases.at(base, v);
                    let minus = zero.sub(sin);
                    (re, im) = V::turn(re, im, cos, minus);
                    (by_re, by_im) = V::turn(by_re, by_im, cos, minus);
                }
                let (own, other) = (memory.state.at(place), memory.other.at(place));
                own.set(0, 0, re);
                own.set(0, 1, im);
                other.set(0, 0, by_re);
                other.set(0, 1, by_im);
            });
        }
    }
}

/// Multiplies a tile by the phases of one group.
#[inline(always)]
fn phased<V: Lanes>(memory: &Memory<'_, V>, at: At<'_>, number: usize) {
    let step = at.step;
    let phases = memory.phases(at, number);
    for (base, &from) in step.bases.iter().enumerate() {
        for v in 0..1 << step.slots {
            let (cos, sin) = phases.at(base, v);
            turn_line(memory.state.at(place::<V>(at.line ^ from ^ step.spread[v])), cos, sin);
        }
    }
}

/// Takes the phases of one group from both states, and adds up their products.
#[inline(always)]
fn unphased<V: Lanes>(memory: &Memory<'_, V>, at: At<'_>, number: usize) {
    let step = at.step;
    let phases = memory.phases(at, number);
    for (base, &from) in step.bases.iter().enumerate() {
        for v in 0..1 << step.slots {
            let place = place::<V>(at.line ^ from ^ step.spread[v]);
            let (psi, lambda) = (memory.state.at(place), memory.other.at(place));
            let (re, im) = (psi.get(0, 0), psi.get(0, 1));
            let product = lambda.get(0, 1).neg_mul_add(re, lambda.get(0, 0).mul(im));
            phases.add(base, v, product, memory.partials);
            let (cos, sin) = phases.at(base, v);
            let minus = V::splat(memory.cpu, V::Real::default()).sub(sin);
            turn_line(psi, cos, minus);
            turn_line(lambda, cos, minus);
        }
    }
}
