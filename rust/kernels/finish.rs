//! A layer's last step: turn the top qubits, those in the lanes among them, then the phases.

use crate::kernels::butterfly::{Tangents, butterfly, lane_butterfly, load_group, store_group};
use crate::layer::Layer;
use crate::schedule::Step;
use crate::simd::Lanes;

/// The last step of one block, whose first line has the number `number`.
///
/// With `KEEP` the state before the phases goes to `kept` as well. Without `PHASES` there are none.
///
/// # Safety
/// The processor has the instructions of `V`; the block's lines, and those of `kept`, are this
/// thread's.
#[inline(always)]
pub unsafe fn last_step<V: Lanes, const J: usize, const PHASES: bool, const KEEP: bool>(
    block: *mut V::Real,
    kept: *mut V::Real,
    number: usize,
    step: &Step,
    layer: &Layer<V::Real>,
) {
    // SAFETY: the caller's promise; the tables of phases cover all lines.
    unsafe {
        let tangents = Tangents::<V>::new(layer, step);
        let stride = step.stride;
        let phases = &layer.phases;
        let low_mask = (1usize << phases.low_bits) - 1;
        let lone_row = phases.middle.len() == 1;
        // Butterflies of the lowest bits have one phase each, of the high table.
        let next = if step.bits.start == 0 { 0 } else { 2 * V::COUNT };
        debug_assert!(next == 0 || step.run <= 1 << phases.low_bits);
        debug_assert_eq!(phases.low.len(), (2 * V::COUNT) << phases.low_bits);
        let mut cos = [V::splat(V::Real::default()); J];
        let mut sin = cos;
        for j in 0..J {
            cos[j] = V::splat(phases.high[j][0]);
            sin[j] = V::splat(phases.high[j][1]);
        }
        for (&run, &run_number) in step.runs.places.iter().zip(&step.runs.numbers) {
            let line = number + run_number;
            let mut low = phases.low.as_ptr().add((line & low_mask) << (V::BITS + 1));
            let [row_cos, row_sin] =
                *phases.middle.get_unchecked((line >> phases.low_bits) & (phases.middle.len() - 1));
            let (row_cos, row_sin) = (V::splat(row_cos), V::splat(row_sin));
            for index in 0..step.run {
                let start = block.add(run + index * step.advance);
                let kept = kept.add(run + index * step.advance);
                let mut re = load_group::<V, J>(start, stride);
                butterfly::<V, J, true>(&mut re, &tangents);
                if step.lanes {
                    lane_butterfly(&mut re, &tangents);
                }
                if KEEP {
                    store_group(kept, stride, &re);
                }
                // Vectors for both parts at once are more than AVX2 has registers.
                store_group(start, stride, &re);
                let mut im = load_group::<V, J>(start.add(V::COUNT), stride);
                butterfly::<V, J, true>(&mut im, &tangents);
                if step.lanes {
                    lane_butterfly(&mut im, &tangents);
                }
                if KEEP {
                    store_group(kept.add(V::COUNT), stride, &im);
                }
                if !PHASES {
                    store_group(start.add(V::COUNT), stride, &im);
                    continue;
                }
                let (mut low_cos, mut low_sin) = (V::load(low), V::load(low.add(V::COUNT)));
                low = low.add(next);
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
                    turn_line(start.add(j * stride), turn, im[j]);
                    turn_line(start.add((J - 1 - j) * stride), complement, im[J - 1 - j]);
                }
            }
        }
    }
}

/// Multiplies a line by phases; its imaginary parts are at hand.
#[inline(always)]
unsafe fn turn_line<V: Lanes>(line: *mut V::Real, [cos, sin]: [V; 2], im: V) {
    // SAFETY: the caller's promise.
    unsafe {
        let (re, im) = V::turn(V::load(line), im, cos, sin);
        re.store(line);
        im.store(line.add(V::COUNT));
    }
}
