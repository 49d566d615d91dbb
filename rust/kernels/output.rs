//! From the stored state to arrays in the order of the basis.

use std::ops::Range;

use crate::layout::Layout;
use crate::simd::{Kernel, Lanes, Real};

/// Probabilities of some lines: |amplitude|^2 times `scale`, flipped bits put right.
pub struct Probabilities<R> {
    /// The layout.
    pub layout: Layout,
    /// The state.
    pub state: *const R,
    /// Square of the last layer's scale.
    pub scale: R,
    /// Flipped bits of the stored basis indices.
    pub frame: usize,
    /// Where basis 0 goes.
    pub out: *mut R,
    /// The lines of the result; a multiple of `V::COUNT` of them where there are that many.
    pub lines: Range<usize>,
}

impl<R: Real> Kernel<R> for Probabilities<R> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes<Real = R>>(self) {
        let Layout { num_qubits, line_bits, .. } = self.layout;
        let line_flips = self.frame & ((1 << line_bits) - 1);
        let lane_flips = self.frame >> line_bits;
        // SAFETY: the promises of this kernel's maker and of the caller.
        unsafe {
            let scale = V::splat(self.scale);
            let mut line = self.lines.start;
            while line < self.lines.end {
                let count = V::COUNT.min(self.lines.end - line);
                let mut block = [scale; 16];
                for (index, vector) in block.iter_mut().enumerate().take(count) {
                    let place = self.layout.place((line + index) ^ line_flips);
                    let re = V::load(self.state.add(place));
                    let im = V::load(self.state.add(place + V::COUNT));
                    *vector = re.mul_add(re, im.mul(im)).mul(scale);
                }
                if count == V::COUNT && num_qubits == self.layout.padded_qubits() {
                    transpose::<V>(&mut block);
                    for lane in 0..V::COUNT {
                        let row = (lane ^ lane_flips) << line_bits;
                        block[lane].store(self.out.add(row + line));
                    }
                } else {
                    // Fewer lines than lanes, or qubits beyond the circuit's.
                    let mut lanes = [R::default(); 16];
                    for (index, vector) in block.iter().enumerate().take(count) {
                        vector.store(lanes.as_mut_ptr());
                        for (lane, &value) in lanes.iter().enumerate().take(V::COUNT) {
                            let basis = ((lane ^ lane_flips) << line_bits) | (line + index);
                            if basis < 1 << num_qubits {
                                *self.out.add(basis) = value;
                            }
                        }
                    }
                }
                line += count;
            }
        }
    }
}

/// Transposes `V::COUNT` vectors, bit by bit of the lane.
#[inline(always)]
pub fn transpose<V: Lanes>(block: &mut [V; 16]) {
    for bit in 0..V::BITS {
        for zero in 0..V::COUNT {
            if (zero >> bit) & 1 == 0 {
                let one = zero | 1 << bit;
                let (a, b) = (block[zero], block[one]);
                block[zero] = a.merge(b.swap(bit), bit);
                block[one] = a.swap(bit).merge(b, bit);
            }
        }
    }
}
