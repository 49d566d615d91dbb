//! Where the reverse sweep starts: dL/dp times the state.

use std::ops::Range;

use crate::kernels::output::transpose;
use crate::layout::Layout;
use crate::simd::{Cpu, Kernel, Lanes, MAX_LANES, Real};
use crate::view::View;

/// `adjoint = scale * cotangent * state` for some lines, the cotangent in the order of the basis.
pub struct Cotangent<'a, R> {
    /// The layout.
    pub layout: Layout,
    /// dL/dp, by basis.
    pub cotangent: &'a [R],
    /// The last layer's scale.
    pub scale: R,
    /// Flipped bits of the stored basis indices.
    pub frame: usize,
    /// The state.
    pub state: View<'a, R>,
    /// The result.
    pub adjoint: View<'a, R>,
    /// The lines, counted with the frame's flips undone.
    pub lines: Range<usize>,
}

impl<R: Real> Kernel<R> for Cotangent<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let Layout { num_qubits, line_bits, .. } = self.layout;
        let line_flips = self.frame & ((1 << line_bits) - 1);
        let lane_flips = self.frame >> line_bits;
        let (from, to) = (self.state.lines::<V, 1>(cpu, 0), self.adjoint.lines::<V, 1>(cpu, 0));
        let scale = V::splat(cpu, self.scale);
        let mut line = self.lines.start;
        while line < self.lines.end {
            let count = V::COUNT.min(self.lines.end - line);
            let mut block = [scale; MAX_LANES];
            if count == V::COUNT && num_qubits == self.layout.padded_qubits() {
                for lane in 0..V::COUNT {
                    let row = (lane ^ lane_flips) << line_bits;
                    block[lane] = V::read(cpu, &self.cotangent[row + line..]);
                }
                transpose(&mut block);
            } else {
                for (index, vector) in block.iter_mut().enumerate().take(count) {
                    let mut lanes = [R::default(); MAX_LANES];
                    for (lane, value) in lanes.iter_mut().enumerate().take(V::COUNT) {
                        let basis = ((lane ^ lane_flips) << line_bits) | (line + index);
                        *value = self.cotangent.get(basis).copied().unwrap_or_default();
                    }
                    *vector = V::read(cpu, &lanes);
                }
            }
            for (index, vector) in block.iter().enumerate().take(count) {
                let place = self.layout.place((line + index) ^ line_flips);
                let (from, to) = (from.at(place), to.at(place));
                let factor = vector.mul(scale);
                for part in [0, 1] {
                    to.set(0, part, from.get(0, part).mul(factor));
                }
            }
            line += count;
        }
    }
}
