//! The numbers that a pass reads: tangents with the signs of lanes, and phases by line.

use super::numbers::Numbers;
use super::plan::{Pass, lane_signs};
use super::steps::{Group, Turn};
use crate::simd::{Kernel, Lanes, Real};

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
    pub to: *mut R,
}

impl<R: Real> Kernel<R> for Tables<'_, R> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes<Real = R>>(self) {
        for (step, &scale) in self.pass.steps.iter().zip(self.scales) {
            // SAFETY: the tables have room for all of a pass' steps, where the plan laid them out.
            unsafe {
                for turn in &step.turns {
                    let tangent = self.numbers.tangents[turn.rotation];
                    let tangent = if self.back { -tangent } else { tangent };
                    write_turn::<V>(turn, tangent, self.to.add(turn.table));
                }
                for group in &step.groups {
                    write_group::<V>(group, &self.numbers.phases, self.to.add(group.table));
                }
                // The scale goes into the first group's.
                if let Some(group) = step.groups.first() {
                    let factor = V::splat(R::from_f64(scale));
                    for place in 0..2usize << group.masks.len() {
                        let at = self.to.add(group.table + place * V::COUNT);
                        V::load(at).mul(factor).store(at);
                    }
                }
            }
        }
    }
}

/// The tangent with its signs, its negative, the signs alone, and theirs.
#[inline(always)]
unsafe fn write_turn<V: Lanes>(turn: &Turn, tangent: f64, to: *mut V::Real) {
    let sign = if turn.negative { -1.0 } else { 1.0 };
    for (lane, odd) in lane_signs(turn.lane_signs, V::COUNT).enumerate() {
        let sign = if odd { -sign } else { sign };
        let values = [sign * tangent, -sign * tangent, sign, -sign];
        for (vector, value) in values.into_iter().enumerate() {
            // SAFETY: four vectors are this rotation's.
            unsafe { *to.add(vector * V::COUNT + lane) = V::Real::from_f64(value) };
        }
    }
}

/// exp(-i half angle) by place and lane, cosines and then sines: twice as long with every mask, each
/// multiplied once for every entry whose highest mask it is.
#[inline(always)]
unsafe fn write_group<V: Lanes>(group: &Group, phases: &[(f64, f64)], to: *mut V::Real) {
    // SAFETY: the table is this group's; no vector has more than 16 lanes.
    unsafe {
        let (one, zero) = (V::Real::from_f64(1.0), V::Real::default());
        V::splat(one).store(to);
        V::splat(zero).store(to.add(V::COUNT));
        let mut size = 1;
        for entry in &group.entries {
            let (cos, sin) = phases[entry.angle];
            let mut signed = [zero; 16];
            for (lane, odd) in lane_signs(entry.lane_signs, V::COUNT).enumerate() {
                signed[lane] = V::Real::from_f64(if odd { sin } else { -sin });
            }
            let (cos, sin) = (V::splat(V::Real::from_f64(cos)), V::load(signed.as_ptr()));
            let minus = V::splat(zero).sub(sin);
            let half = match entry.coordinates.checked_ilog2() {
                Some(highest) => 1usize << highest,
                // Lanes alone: one number, before there are more.
                None => {
                    let (re, im) = (V::load(to), V::load(to.add(V::COUNT)));
                    let (re, im) = V::turn(re, im, cos, sin);
                    re.store(to);
                    im.store(to.add(V::COUNT));
                    continue;
                }
            };
            let doubles = half == size;
            size = 2 * half;
            for place in 0..half {
                let low = to.add(2 * place * V::COUNT);
                let high = to.add(2 * (place + half) * V::COUNT);
                let odd = (entry.coordinates & place as u32).count_ones() & 1 == 1;
                let (first, second) = if odd { (minus, sin) } else { (sin, minus) };
                let from = if doubles { low } else { high };
                let (re, im) = (V::load(from), V::load(from.add(V::COUNT)));
                let (re, im) = V::turn(re, im, cos, second);
                re.store(high);
                im.store(high.add(V::COUNT));
                let (re, im) = (V::load(low), V::load(low.add(V::COUNT)));
                let (re, im) = V::turn(re, im, cos, first);
                re.store(low);
                im.store(low.add(V::COUNT));
            }
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
