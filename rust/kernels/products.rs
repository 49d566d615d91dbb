//! Derivatives of one layer's angles: products of the adjoint with the state under every Pauli.
//!
//! With lambda = dL/dp psi, both taken back to the point between a layer's RY and its RZ,
//! dL/dtheta_k = Re <lambda| J_k |psi> with J = [[0, -1], [1, 0]], and
//! dL/dphi_k = -sum_x z_k(x) Im(conj(lambda_x) psi_x) with z = -1 where bit k is 0 and 1 where it is
//! 1. All sums over z come from one tree of sums.

use std::ops::Range;

use crate::kernels::butterfly::load_group;
use crate::schedule::{Pass, Step};
use crate::simd::{Kernel, Lanes, Real};

/// Sums of one tile, by stored qubit: line bits, then lanes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Re <lambda| J_k |psi>.
    pub ry: [f64; 32],
    /// sum_x z_k(x) Im(conj(lambda_x) psi_x).
    pub rz: [f64; 32],
}

/// Lines of a block of the first stage, at most.
const MAX_BLOCK: usize = 512;

/// The sums of some tiles of one pass. The first pass does the lanes and the phases as well.
pub struct Products<'a, R> {
    /// The pass.
    pub pass: &'a Pass,
    /// Whether it is the first.
    pub first: bool,
    /// Bits of a line number.
    pub line_bits: usize,
    /// Lambda.
    pub adjoint: *const R,
    /// Psi.
    pub state: *const R,
    /// The tiles.
    pub tiles: Range<usize>,
    /// Where the sums of tile 0 are; those of `tiles` are written.
    pub sums: *mut Sums,
}

impl<R: Real> Kernel<R> for Products<'_, R> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes<Real = R>>(self) {
        for tile in self.tiles.clone() {
            let mut sums = Sums::default();
            // SAFETY: the promises of this kernel's maker and of the caller.
            unsafe {
                let zero = V::splat(R::default());
                let mut ry = [zero; 32];
                for (index, stage) in self.pass.stages.iter().enumerate() {
                    for block in 0..stage.blocks.len() {
                        let start = self.pass.tiles.places[tile] + stage.blocks.places[block];
                        let number = self.pass.tiles.numbers[tile] + stage.blocks.numbers[block];
                        let (adjoint, state) = (self.adjoint.add(start), self.state.add(start));
                        if self.first && index == 0 {
                            let bits = stage.steps.iter().map(|step| step.bits.len()).sum();
                            self.phases::<V>(adjoint, state, number, bits, &mut sums);
                            self.lanes::<V>(adjoint, state, 1 << bits, &mut ry);
                        }
                        for step in &stage.steps {
                            match step.bits.len() {
                                1 => lines::<V, 2>(adjoint, state, step, &mut ry),
                                2 => lines::<V, 4>(adjoint, state, step, &mut ry),
                                _ => lines::<V, 8>(adjoint, state, step, &mut ry),
                            }
                        }
                    }
                }
                for bit in 0..self.line_bits {
                    sums.ry[bit] = ry[bit].sum().to_f64();
                }
                for bit in 0..V::BITS {
                    sums.ry[self.line_bits + bit] = lane_difference(ry[self.line_bits + bit], bit);
                }
                self.sums.add(tile).write(sums);
            }
        }
    }
}

impl<R: Real> Products<'_, R> {
    /// J on every lane qubit.
    #[inline(always)]
    unsafe fn lanes<V: Lanes<Real = R>>(
        &self,
        adjoint: *const R,
        state: *const R,
        lines: usize,
        ry: &mut [V; 32],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = V::splat(R::default());
            // A chain of sums for each part.
            let mut chains = [[zero; 4]; 2];
            for vector in 0..2 * lines {
                let lambda = V::load(adjoint.add(vector * V::COUNT));
                let psi = V::load(state.add(vector * V::COUNT));
                for bit in 0..V::BITS {
                    let sum = &mut chains[vector % 2][bit];
                    *sum = lambda.mul_add(psi.swap(bit), *sum);
                }
            }
            for bit in 0..V::BITS {
                let sum = &mut ry[self.line_bits + bit];
                *sum = sum.add(chains[0][bit].add(chains[1][bit]));
            }
        }
    }

    /// The tree of sums over Im(conj(lambda) psi) of neighbouring lines.
    #[inline(always)]
    unsafe fn phases<V: Lanes<Real = R>>(
        &self,
        adjoint: *const R,
        state: *const R,
        number: usize,
        bits: usize,
        sums: &mut Sums,
    ) {
        // SAFETY: the caller's promise; a block has at most `MAX_BLOCK` lines.
        unsafe {
            let zero = V::splat(R::default());
            let mut tree = [zero; MAX_BLOCK];
            for (line, entry) in tree.iter_mut().enumerate().take(1 << bits) {
                let place = line * 2 * V::COUNT;
                let lambda = [V::load(adjoint.add(place)), V::load(adjoint.add(place + V::COUNT))];
                let psi = [V::load(state.add(place)), V::load(state.add(place + V::COUNT))];
                *entry = lambda[1].neg_mul_add(psi[0], lambda[0].mul(psi[1]));
            }
            for bit in 0..bits {
                let mut difference = zero;
                for pair in 0..1 << (bits - bit - 1) {
                    let (zeros, ones) = (tree[2 * pair], tree[2 * pair + 1]);
                    difference = difference.add(ones.sub(zeros));
                    tree[pair] = zeros.add(ones);
                }
                sums.rz[bit] += difference.sum().to_f64();
            }
            let total = tree[0].sum().to_f64();
            for bit in bits..self.line_bits {
                sums.rz[bit] += if (number >> bit) & 1 == 1 { total } else { -total };
            }
            for bit in 0..V::BITS {
                sums.rz[self.line_bits + bit] += lane_difference(tree[0], bit);
            }
        }
    }
}

/// J on the bits of one step: sums of lambda_1 psi_0 - lambda_0 psi_1.
#[inline(always)]
unsafe fn lines<V: Lanes, const J: usize>(
    adjoint: *const V::Real,
    state: *const V::Real,
    step: &Step,
    ry: &mut [V; 32],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = V::splat(V::Real::default());
        let (mut plus, mut minus) = ([zero; 3], [zero; 3]);
        let advance = if step.bits.start == 0 { 2 * V::COUNT * J } else { 2 * V::COUNT };
        for &run in &step.runs.places {
            for index in 0..step.run {
                for part in [0, V::COUNT] {
                    let place = run + index * advance + part;
                    let psi: [V; J] = load_group(state.add(place), step.stride);
                    for j in 0..J {
                        let lambda = V::load(adjoint.add(place + j * step.stride));
                        let mut bit = 0;
                        while 1 << bit < J {
                            if (j >> bit) & 1 == 1 {
                                plus[bit] = lambda.mul_add(psi[j ^ (1 << bit)], plus[bit]);
                            } else {
                                minus[bit] = lambda.mul_add(psi[j ^ (1 << bit)], minus[bit]);
                            }
                            bit += 1;
                        }
                    }
                }
            }
        }
        for bit in 0..step.bits.len().min(3) {
            let sum = &mut ry[step.bits.start + bit];
            *sum = sum.add(plus[bit].sub(minus[bit]));
        }
    }
}

/// Lanes whose index has `bit` set, less the others.
#[inline(always)]
unsafe fn lane_difference<V: Lanes>(vector: V, bit: usize) -> f64 {
    let mut lanes = [V::Real::default(); 16];
    // SAFETY: no vector has more than 16 lanes.
    unsafe { vector.store(lanes.as_mut_ptr()) };
    let mut difference = 0.0;
    for (lane, value) in lanes.iter().enumerate().take(V::COUNT) {
        let value = value.to_f64();
        difference += if (lane >> bit) & 1 == 1 { value } else { -value };
    }
    difference
}
