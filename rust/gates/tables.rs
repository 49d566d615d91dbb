//! The numbers that a pass reads: tangents with the signs of lanes, and phases by line.

use super::numbers::Numbers;
use super::plan::{Pass, lane_signs};
use super::steps::{Group, Turn};
use crate::simd::{Cpu, Kernel, Lanes, MAX_LANES, Real};
use crate::view::View;

/// Writes the tables of one pass.
pub struct Tables<'a, R> {
    /// The pass.
    pub pass: &'a Pass,
    /// The set's numbers.
    pub numbers: &'a Numbers,
    /// Those of the pass' steps.
    pub scales: &'a [f64],
    /// Whether rotations are undone.
    pub back: bool,
    /// Room for `table_length` numbers.
    pub to: View<'a, R>,
}

impl<R: Real> Kernel<R> for Tables<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        for (step, &scale) in self.pass.steps.iter().zip(self.scales) {
            for turn in &step.turns {
                let tangent = self.numbers.tangents[turn.rotation];
                let tangent = if self.back { -tangent } else { tangent };
                write_turn::<V>(turn, tangent, self.to.from(turn.table));
            }
            for group in &step.groups {
                write_group(cpu, group, &self.numbers.phases, self.to.from(group.table));
            }
            // The scale goes into the first group's.
            if let Some(group) = step.groups.first() {
                let factor = V::splat(cpu, R::from_f64(scale));
                let table = self.to.vectors(cpu);
                for place in 0..2usize << group.masks.len() {
                    let at = group.table + place * V::COUNT;
                    table.set(at, table.get(at).mul(factor));
                }
            }
        }
    }
}

/// The tangent with its signs, its negative, the signs alone, and theirs.
#[inline(always)]
fn write_turn<V: Lanes>(turn: &Turn, tangent: f64, to: View<'_, V::Real>) {
    let sign = if turn.negative { -1.0 } else { 1.0 };
    for (lane, odd) in lane_signs(turn.lane_signs, V::COUNT).enumerate() {
        let sign = if odd { -sign } else { sign };
        let values = [sign * tangent, -sign * tangent, sign, -sign];
        for (vector, value) in values.into_iter().enumerate() {
            to.set(vector * V::COUNT + lane, V::Real::from_f64(value));
        }
    }
}

/// exp(-i half angle) by place and lane, cosines and then sines: twice as long with every mask, each
/// multiplied once for every entry whose highest mask it is.
#[inline(always)]
fn write_group<V: Lanes>(cpu: Cpu<V>, group: &Group, phases: &[(f64, f64)], to: View<'_, V::Real>) {
    let (one, zero) = (V::Real::from_f64(1.0), V::Real::default());
    let table = to.lines::<V, 1>(cpu, 0);
    // Writes what is at one place, multiplied, to another.
    let turned = |from: usize, to: usize, cos: V, sin: V| {
        let [from, to] = [from, to].map(|place| table.at(2 * place * V::COUNT));
        let (re, im) = V::turn(from.get(0, 0), from.get(0, 1), cos, sin);
        to.set(0, 0, re);
        to.set(0, 1, im);
    };
    table.at(0).set(0, 0, V::splat(cpu, one));
    table.at(0).set(0, 1, V::splat(cpu, zero));
    let mut size = 1;
    for entry in &group.entries {
        let (cos, sin) = phases[entry.angle];
        let mut signed = [zero; MAX_LANES];
        for (lane, odd) in lane_signs(entry.lane_signs, V::COUNT).enumerate() {
            signed[lane] = V::Real::from_f64(if odd { sin } else { -sin });
        }
        let (cos, sin) = (V::splat(cpu, V::Real::from_f64(cos)), V::read(cpu, &signed));
        let minus = V::splat(cpu, zero).sub(sin);
        let Some(highest) = entry.coordinates.checked_ilog2() else {
            // Lanes alone: one number, before there are more.
            turned(0, 0, cos, sin);
            continue;
        };
        let half = 1usize << highest;
        let doubles = half == size;
        size = 2 * half;
        for place in 0..half {
            let odd = (entry.coordinates & place as u32).count_ones() & 1 == 1;
            let (first, second) = if odd { (minus, sin) } else { (sin, minus) };
            turned(if doubles { place } else { place + half }, place + half, cos, second);
            turned(place, place, cos, first);
        }
    }
}

/// Sums of a group by entry: sum over lines of the sign of its mask times what stands at the line.
///
/// `bins` are overwritten.
pub fn entry_sums(group: &Group, bins: &mut [f64], lanes: usize, mut give: impl FnMut(usize, f64)) {
    let mut rank = group.masks.len() as u32;
    for (number, entry) in group.entries.iter().enumerate().rev() {
        let needed = entry.coordinates.checked_ilog2().map_or(0, |highest| highest + 1);
        // No entry that is left asks for the higher bits.
        while rank > needed {
            rank -= 1;
            let (low, high) = bins.split_at_mut(lanes << rank);
            low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
        }
        let mut by_lane = [0.0; 16];
        for (place, bin) in bins[..lanes << rank].chunks_exact(lanes).enumerate() {
            let odd = (entry.coordinates & place as u32).count_ones() & 1 == 1;
            for (sum, &value) in by_lane.iter_mut().zip(bin) {
                *sum += if odd { -value } else { value };
            }
        }
        let signed = lane_signs(entry.lane_signs, lanes).zip(by_lane);
        give(number, signed.map(|(odd, sum)| if odd { -sum } else { sum }).sum());
    }
}
