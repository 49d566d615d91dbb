//! A layer's last step: turn the top qubits, those in the lanes among them, then the phases.

use crate::kernels::butterfly::{Tangents, butterfly, lane_butterfly};
use crate::layer::Layer;
use crate::schedule::Step;
use crate::simd::{Cpu, Lanes};
use crate::view::{Group, View};

/// The last step of the block at `block`, whose first line has the number `number`.
///
/// With `KEEP` the state before the phases goes to `kept` as well. Without `PHASES` there are none.
#[inline(always)]
pub fn last_step<V: Lanes, const J: usize, const PHASES: bool, const KEEP: bool>(
    cpu: Cpu<V>,
    [state, kept]: [View<'_, V::Real>; 2],
    [block, number]: [usize; 2],
    step: &Step,
    layer: &Layer<V::Real>,
) {
    let tangents = Tangents::new(cpu, layer, step);
    let [lines, kept] = [state, kept].map(
        #[inline(always)]
        |view| view.lines::<V, J>(cpu, step.stride),
    );
    let phases = &layer.phases;
    let low_mask = (1usize << phases.low_bits) - 1;
    let lone_row = phases.middle.len() == 1;
    // Butterflies of the lowest bits have one phase each, of the high table.
    let next = if step.bits.start == 0 { 0 } else { 2 * V::COUNT };
    let mut cos = [V::splat(cpu, V::Real::default()); J];
    let mut sin = cos;
    for j in 0..J {
        cos[j] = V::splat(cpu, phases.high[j][0]);
        sin[j] = V::splat(cpu, phases.high[j][1]);
    }
    for (&run, &run_number) in step.runs.places.iter().zip(&step.runs.numbers) {
        let line = number + run_number;
        let mut low = (line & low_mask) << (V::BITS + 1);
        let [row_cos, row_sin] =
            phases.middle[(line >> phases.low_bits) & (phases.middle.len() - 1)];
        let (row_cos, row_sin) = (V::splat(cpu, row_cos), V::splat(cpu, row_sin));
        let [groups, kept] = [lines, kept].map(
            #[inline(always)]
            |lines| lines.groups(block + run, step.advance, step.run),
        );
        for index in 0..step.run {
            let group = groups.at(index);
            let mut re = group.load(0);
            butterfly::<V, J, true>(&mut re, &tangents);
            if step.lanes {
                lane_butterfly(&mut re, &tangents);
            }
            if KEEP {
                kept.at(index).store(0, &re);
            }
            // Vectors for both parts at once are more than AVX2 has registers.
            group.store(0, &re);
            let mut im = group.load(1);
            butterfly::<V, J, true>(&mut im, &tangents);
            if step.lanes {
                lane_butterfly(&mut im, &tangents);
            }
            if KEEP {
                kept.at(index).store(1, &im);
            }
            if !PHASES {
                group.store(1, &im);
                continue;
            }
            let line = &phases.low[low..][..2 * V::COUNT];
            let (mut low_cos, mut low_sin) = (V::read(cpu, line), V::read(cpu, &line[V::COUNT..]));
            low += next;
            if !lone_row {
                (low_cos, low_sin) = V::turn(low_cos, low_sin, row_cos, row_sin);
            }
            for j in 0..J / 2 {
                // The phases of an index and of its complement are conjugate: one set of
                // products.
                let (cc, ss) = (low_cos.mul(cos[j]), low_sin.mul(sin[j]));
                let (cs, sc) = (low_cos.mul(sin[j]), low_sin.mul(cos[j]));
                let turn = [cc.sub(ss), sc.add(cs)];
                let complement = [cc.add(ss), sc.sub(cs)];
                turn_line(group, j, turn, im[j]);
                turn_line(group, J - 1 - j, complement, im[J - 1 - j]);
            }
        }
    }
}

/// Multiplies a line by phases; its imaginary parts are at hand.
#[inline(always)]
fn turn_line<V: Lanes, const J: usize>(
    group: Group<'_, V, J>,
    line: usize,
    [cos, sin]: [V; 2],
    im: V,
) {
    let (re, im) = V::turn(group.get(line, 0), im, cos, sin);
    group.set(line, 0, re);
    group.set(line, 1, im);
}
