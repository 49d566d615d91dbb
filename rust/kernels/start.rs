//! The first rotation layer acts on a product state: written down, not simulated.

use std::ops::Range;

use crate::layer::{Layer, LayerAngles};
use crate::layout::Layout;
use crate::simd::{Cpu, Kernel, Lanes, Real};
use crate::view::View;

/// Amplitudes of the product state as a product of two tables: a line by the low bits of the line
/// number, a factor by its high bits.
pub struct ProductState<R> {
    low_bits: usize,
    low: Vec<R>,
    high: Vec<R>,
}

impl<R: Real> ProductState<R> {
    /// Hadamards and the RY of the first layer.
    pub fn new(layout: Layout, angles: LayerAngles<'_>) -> Self {
        let low_bits = layout.line_bits.min(8);
        let line = 1 << layout.lane_bits;
        let mut low = vec![1.0; line << low_bits];
        let lane_qubits = (0..layout.lane_bits).map(|bit| layout.line_bits + bit);
        let mut known = 1;
        for qubit in lane_qubits.chain(0..low_bits) {
            let [zero, one] = angles.start(qubit);
            for index in 0..known {
                low[known + index] = low[index] * one;
                low[index] *= zero;
            }
            known *= 2;
        }
        let mut high = vec![1.0];
        for qubit in low_bits..layout.line_bits {
            let [zero, one] = angles.start(qubit);
            let ones: Vec<f64> = high.iter().map(|factor| factor * one).collect();
            high.iter_mut().for_each(|factor| *factor *= zero);
            high.extend(ones);
        }
        let single = |table: Vec<f64>| table.into_iter().map(R::from_f64).collect();
        Self { low_bits, low: single(low), high: single(high) }
    }
}

/// Writes the product state, with the phases of the first layer.
pub struct Start<'a, R> {
    /// The layout.
    pub layout: Layout,
    /// The amplitudes.
    pub product: &'a ProductState<R>,
    /// The phases.
    pub layer: &'a Layer<R>,
    /// The state.
    pub state: View<'a, R>,
    /// Where the state before the phases is kept as well.
    pub kept: Option<View<'a, R>>,
    /// The lines, in logical order.
    pub lines: Range<usize>,
}

impl<R: Real> Kernel<R> for Start<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let ProductState { low_bits, low, high } = self.product;
        let phases = &self.layer.phases;
        let (amplitude_mask, phase_mask) = ((1 << low_bits) - 1, (1usize << phases.low_bits) - 1);
        let middle_mask = phases.middle.len() - 1;
        let to = self.state.lines::<V, 1>(cpu, 0);
        for line in self.lines.clone() {
            let place = self.layout.place(line);
            let rest = line >> phases.low_bits;
            let [mc, ms] = phases.middle[rest & middle_mask];
            let [hc, hs] = phases.high[rest / phases.middle.len()];
            let factor = high[line >> low_bits];
            let (cos, sin) = (mc * hc - ms * hs, mc * hs + ms * hc);
            let amplitude = V::read(cpu, &low[(line & amplitude_mask) << V::BITS..]);
            let amplitude = amplitude.mul(V::splat(cpu, factor));
            let low = &phases.low[(line & phase_mask) << (V::BITS + 1)..];
            let (low_cos, low_sin) = (V::read(cpu, low), V::read(cpu, &low[V::COUNT..]));
            let (cos, sin) = (V::splat(cpu, cos), V::splat(cpu, sin));
            let turn_cos = low_sin.neg_mul_add(sin, low_cos.mul(cos));
            let turn_sin = low_cos.mul_add(sin, low_sin.mul(cos));
            let to = to.at(place);
            to.set(0, 0, amplitude.mul(turn_cos));
            to.set(0, 1, amplitude.mul(turn_sin));
            if let Some(kept) = self.kept {
                let kept = kept.lines::<V, 1>(cpu, 0).at(place);
                kept.set(0, 0, amplitude);
                kept.set(0, 1, V::splat(cpu, R::default()));
            }
        }
    }
}
