//! Where the reverse sweep starts: dL/dp times the state.

use std::ops::Range;

use crate::kernels::output::transpose;
use crate::layout::Layout;
use crate::simd::{Kernel, Lanes, Real};

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
    pub state: *const R,
    /// The result.
    pub adjoint: *mut R,
    /// The lines, counted with the frame's flips undone.
    pub lines: Range<usize>,
}

impl<R: Real> Kernel<R> for Cotangent<'_, R> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes<Real = R>>(self) {
        let Layout { num_qubits, line_bits, .. } = self.layout;
        let line_flips = self.frame & ((1 << line_bits) - 1);
        let lane_flips = self.frame >> line_bits;
        // SAFETY: the promises of this kernel's maker and of the caller; whole blocks are within
        // the cotangent where no qubit is beyond the circuit's.
        unsafe {
            let scale = V::splat(self.scale);
            let mut line = self.lines.start;
            while line < self.lines.end {
                let count = V::COUNT.min(self.lines.end - line);
                let mut block = [scale; 16];
                if count == V::COUNT && num_qubits == self.layout.padded_qubits() {
                    for lane in 0..V::COUNT {
                        let row = (lane ^ lane_flips) << line_bits;
                        block[lane] = V::load(self.cotangent.as_ptr().add(row + line));
                    }
                    transpose(&mut block);
                } else {
                    for (index, vector) in block.iter_mut().enumerate().take(count) {
                        let mut lanes = [R::default(); 16];
                        for (lane, value) in lanes.iter_mut().enumerate().take(V::COUNT) {
                            let basis = ((lane ^ lane_flips) << line_bits) | (line + index);
                            *value = self.cotangent.get(basis).copied().unwrap_or_default();
                        }
                        *vector = V::load(lanes.as_ptr());
                    }
                }
                for (index, vector) in block.iter().enumerate().take(count) {
                    let place = self.layout.place((line + index) ^ line_flips);
                    let factor = vector.mul(scale);
                    for part in [place, place + V::COUNT] {
                        V::load(self.state.add(part)).mul(factor).store(self.adjoint.add(part));
                    }
                }
                line += count;
            }
        }
    }
}
