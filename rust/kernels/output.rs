//! From the stored state to arrays in the order of the basis.

use std::ops::Range;

use crate::layout::Layout;
use crate::simd::{Cpu, Kernel, Lanes, MAX_LANES, Real};
use crate::view::View;

/// Probabilities of some lines: |amplitude|^2 times `scale`, flipped bits put right.
pub struct Probabilities<'a, R> {
    /// The layout.
    pub layout: Layout,
    /// The state.
    pub state: View<'a, R>,
    /// Square of the last layer's scale.
    pub scale: R,
    /// Flipped bits of the stored basis indices.
    pub frame: usize,
    /// Where basis 0 goes.
    pub out: View<'a, R>,
    /// The lines of the result; a multiple of `V::COUNT` of them where there are that many.
    pub lines: Range<usize>,
}

impl<R: Real> Kernel<R> for Probabilities<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let Layout { num_qubits, line_bits, .. } = self.layout;
        let line_flips = self.frame & ((1 << line_bits) - 1);
        let lane_flips = self.frame >> line_bits;
        let (from, out) = (self.state.lines::<V, 1>(cpu, 0), self.out.vectors(cpu));
        let scale = V::splat(cpu, self.scale);
        let mut line = self.lines.start;
        while line < self.lines.end {
            let count = V::COUNT.min(self.lines.end - line);
            let mut block = [scale; MAX_LANES];
            for (index, vector) in block.iter_mut().enumerate().take(count) {
                let from = from.at(self.layout.place((line + index) ^ line_flips));
                let (re, im) = (from.get(0, 0), from.get(0, 1));
                *vector = re.mul_add(re, im.mul(im)).mul(scale);
            }
            if count == V::COUNT && num_qubits == self.layout.padded_qubits() {
                transpose::<V>(&mut block);
                for lane in 0..V::COUNT {
                    let row = (lane ^ lane_flips) << line_bits;
                    out.set(row + line, block[lane]);
                }
            } else {
                // Fewer lines than lanes, or qubits beyond the circuit's.
                for (index, vector) in block.iter().enumerate().take(count) {
                    for (lane, value) in vector.lanes().into_iter().enumerate().take(V::COUNT) {
                        let basis = ((lane ^ lane_flips) << line_bits) | (line + index);
                        if basis < 1 << num_qubits {
                            self.out.set(basis, value);
                        }
                    }
                }
            }
            line += count;
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
