//! RY in tangent form on the lines and on the lanes.

use crate::layer::Layer;
use crate::schedule::Step;
use crate::simd::{Cpu, Lanes};
use crate::view::View;

/// The tangents of a step and of the lanes, spread over vectors.
#[derive(Clone, Copy)]
pub struct Tangents<V> {
    /// By bit of the step.
    pub step: [V; 3],
    /// By lane qubit; the first `V::BITS` are used.
    pub lanes: [V; 4],
}

impl<V: Lanes> Tangents<V> {
    /// Those of a step.
    #[inline(always)]
    pub fn new(cpu: Cpu<V>, layer: &Layer<V::Real>, step: &Step) -> Self {
        let zero = V::splat(cpu, V::Real::default());
        let mut tangents = Self { step: [zero; 3], lanes: [zero; 4] };
        for bit in 0..step.bits.len().min(3) {
            tangents.step[bit] = V::splat(cpu, layer.tangents[step.bits.start + bit]);
        }
        for bit in 0..V::BITS {
            tangents.lanes[bit] = V::read(cpu, &layer.lane_tangents[bit << V::BITS..]);
        }
        tangents
    }
}

/// RY on log2 J neighbouring bits: J vectors, real or imaginary parts.
///
/// With `FUSED`, fused multiply-adds throughout: fewest operations, shortest chain. Without, the
/// level's own form, for steps that do little else than load and store.
#[inline(always)]
pub fn butterfly<V: Lanes, const J: usize, const FUSED: bool>(
    x: &mut [V; J],
    tangents: &Tangents<V>,
) {
    let mut bit = 0;
    while 1 << bit < J {
        let tangent = tangents.step[bit];
        for zero in 0..J {
            if (zero >> bit) & 1 == 0 {
                let one = zero | 1 << bit;
                let (a, b) = (x[zero], x[one]);
                (x[zero], x[one]) = if FUSED {
                    (b.neg_mul_add(tangent, a), a.mul_add(tangent, b))
                } else {
                    V::rotate(a, b, tangent)
                };
            }
        }
        bit += 1;
    }
}

/// RY on all lane qubits.
#[inline(always)]
pub fn lane_butterfly<V: Lanes, const J: usize>(x: &mut [V; J], tangents: &Tangents<V>) {
    for bit in 0..V::BITS {
        for vector in x.iter_mut() {
            *vector = vector.swap(bit).mul_add(tangents.lanes[bit], *vector);
        }
    }
}

/// A step between the first and the last, over the block at `block`: butterflies in place.
#[inline(always)]
pub fn middle_step<V: Lanes, const J: usize, const LANES: bool>(
    cpu: Cpu<V>,
    state: View<'_, V::Real>,
    block: usize,
    step: &Step,
    layer: &Layer<V::Real>,
) {
    let tangents = Tangents::new(cpu, layer, step);
    let lines = state.lines::<V, J>(cpu, step.stride);
    for &run in &step.runs.places {
        let groups = lines.groups(block + run, step.advance, step.run);
        for index in 0..step.run {
            let group = groups.at(index);
            for part in [0, 1] {
                let mut x = group.load(part);
                if LANES {
                    butterfly::<V, J, true>(&mut x, &tangents);
                    lane_butterfly(&mut x, &tangents);
                } else {
                    butterfly::<V, J, false>(&mut x, &tangents);
                }
                group.store(part, &x);
            }
        }
    }
}
