//! RY in tangent form on the lines and on the lanes.

use crate::layer::Layer;
use crate::schedule::Step;
use crate::simd::Lanes;

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
    ///
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    pub unsafe fn new(layer: &Layer<V::Real>, step: &Step) -> Self {
        // SAFETY: the caller's promise; the layer has `V::COUNT` signed tangents per lane qubit.
        unsafe {
            let zero = V::splat(V::Real::default());
            let mut tangents = Self { step: [zero; 3], lanes: [zero; 4] };
            for bit in 0..step.bits.len().min(3) {
                tangents.step[bit] = V::splat(layer.tangents[step.bits.start + bit]);
            }
            for bit in 0..V::BITS {
                let signed = &layer.lane_tangents[bit << V::BITS..][..V::COUNT];
                tangents.lanes[bit] = V::load(signed.as_ptr());
            }
            tangents
        }
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

/// J lines of a butterfly, a stride apart: real or imaginary parts.
///
/// # Safety
/// The processor has the instructions of `V`; the lines may be read.
#[inline(always)]
pub unsafe fn load_group<V: Lanes, const J: usize>(from: *const V::Real, stride: usize) -> [V; J] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut x = [V::splat(V::Real::default()); J];
        for j in 0..J {
            x[j] = V::load(from.add(j * stride));
        }
        x
    }
}

/// Writes one part of the J lines of a butterfly.
///
/// # Safety
/// The lines may be written.
#[inline(always)]
pub unsafe fn store_group<V: Lanes, const J: usize>(to: *mut V::Real, stride: usize, x: &[V; J]) {
    for j in 0..J {
        // SAFETY: the caller's promise.
        unsafe { x[j].store(to.add(j * stride)) };
    }
}

/// A step between the first and the last, over one block: butterflies in place.
///
/// # Safety
/// The processor has the instructions of `V`; the block's lines are this thread's.
#[inline(always)]
pub unsafe fn middle_step<V: Lanes, const J: usize, const LANES: bool>(
    block: *mut V::Real,
    step: &Step,
    layer: &Layer<V::Real>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let tangents = Tangents::<V>::new(layer, step);
        let stride = step.stride;
        for &run in &step.runs.places {
            let mut start = block.add(run);
            for _ in 0..step.run {
                for part in [start, start.add(V::COUNT)] {
                    let mut x = load_group::<V, J>(part, stride);
                    if LANES {
                        butterfly::<V, J, true>(&mut x, &tangents);
                        lane_butterfly(&mut x, &tangents);
                    } else {
                        butterfly::<V, J, false>(&mut x, &tangents);
                    }
                    store_group(part, stride, &x);
                }
                start = start.add(step.advance);
            }
        }
    }
}
