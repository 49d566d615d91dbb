//! Derivatives of one layer's angles: products of the adjoint with the state under every Pauli.
//!
//! With lambda = dL/dp psi, both taken back to the point between a layer's RY and its RZ,
//! dL/dtheta_k = Re <lambda| J_k |psi> with J = [[0, -1], [1, 0]], and
//! dL/dphi_k = -sum_x z_k(x) Im(conj(lambda_x) psi_x) with z = -1 where bit k is 0 and 1 where it is
//! 1. All sums over z come from one tree of sums.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::layout::MAX_BLOCK_LINES;
use crate::schedule::{Pass, Step};
use crate::simd::{Cpu, Kernel, Lanes, Real};
use crate::view::{Group, View};

/// Sums of one chunk of tiles, by stored qubit: line bits, then lanes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Re <lambda| J_k |psi>.
    pub ry: [f64; 32],
    /// sum_x z_k(x) Im(conj(lambda_x) psi_x).
    pub rz: [f64; 32],
}

impl Sums {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for qubit in 0..32 {
            self.ry[qubit] += other.ry[qubit];
            self.rz[qubit] += other.rz[qubit];
        }
    }
}

/// Tiles whose sums are added up in vectors: fixed, so that no sum depends on who does the work.
pub const CHUNK: usize = 16;

/// The sums of some chunks of tiles of one pass. The first pass does the lanes and the phases as
/// well.
pub struct Products<'a, R> {
    /// The pass.
    pub pass: &'a Pass,
    /// Whether it is the first.
    pub first: bool,
    /// Whether it does the lanes.
    pub lanes: bool,
    /// Bits of a line number.
    pub line_bits: usize,
    /// Lambda.
    pub adjoint: View<'a, R>,
    /// Psi.
    pub state: View<'a, R>,
    /// The chunks, of up to [`CHUNK`] tiles each.
    pub chunks: Range<usize>,
    /// Where the sums of chunk 0 are; those of `chunks` are written.
    pub sums: View<'a, Sums>,
}

/// Sums in vectors, by bit of the line number, then by lane qubit.
struct Accumulators<V> {
    ry: [V; 32],
    rz: [V; 32],
    /// All of Im(conj(lambda) psi).
    total: V,
}

impl<R: Real> Kernel<R> for Products<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        for chunk in self.chunks.clone() {
            let tiles = chunk * CHUNK..((chunk + 1) * CHUNK).min(self.pass.tiles.len());
            let zero = V::splat(cpu, R::default());
            let mut sums = Accumulators { ry: [zero; 32], rz: [zero; 32], total: zero };
            for tile in tiles {
                self.tile(cpu, tile, &mut sums);
            }
            self.sums.set(chunk, self.finish(&sums));
        }
    }
}

/// One butterfly of lambda, and of psi.
type Pair<'a, V, const J: usize> = [Group<'a, V, J>; 2];

impl<R: Real> Products<'_, R> {
    #[inline(always)]
    fn tile<V: Lanes<Real = R>>(&self, cpu: Cpu<V>, tile: usize, sums: &mut Accumulators<V>) {
        for (index, stage) in self.pass.stages.iter().enumerate() {
            for block in 0..stage.blocks.len() {
                let start = self.pass.tiles.places[tile] + stage.blocks.places[block];
                let number = self.pass.tiles.numbers[tile] + stage.blocks.numbers[block];
                for (order, step) in stage.steps.iter().enumerate() {
                    let first = self.first && (index, order) == (0, 0);
                    let at = [start, number];
                    match (step.bits.len(), first) {
                        (1, false) => self.lines::<V, 2>(cpu, start, step, &mut sums.ry),
                        (2, false) => self.lines::<V, 4>(cpu, start, step, &mut sums.ry),
                        (_, false) => self.lines::<V, 8>(cpu, start, step, &mut sums.ry),
                        (0, true) => self.low::<V, 1>(cpu, at, step, sums),
                        (1, true) => self.low::<V, 2>(cpu, at, step, sums),
                        (2, true) => self.low::<V, 4>(cpu, at, step, sums),
                        (_, true) => self.low::<V, 8>(cpu, at, step, sums),
                    }
                }
            }
        }
    }

    /// Adds up lanes.
    #[inline(always)]
    fn finish<V: Lanes<Real = R>>(&self, sums: &Accumulators<V>) -> Sums {
        let mut result = Sums::default();
        for bit in 0..self.line_bits {
            result.ry[bit] = sums.ry[bit].sum().to_f64();
            result.rz[bit] = sums.rz[bit].sum().to_f64();
        }
        for bit in 0..V::BITS {
            let qubit = self.line_bits + bit;
            result.ry[qubit] = lane_difference(sums.ry[qubit], bit);
            result.rz[qubit] = lane_difference(sums.total, bit);
        }
        result
    }

    /// The first step of a block: J on its bits and on the lanes, and the tree of sums over
    /// Im(conj(lambda) psi), group by group while its lines are at hand.
    #[inline(always)]
    fn low<V: Lanes<Real = R>, const J: usize>(
        &self,
        cpu: Cpu<V>,
        [block, number]: [usize; 2],
        step: &Step,
        sums: &mut Accumulators<V>,
    ) {
        let zero = V::splat(cpu, R::default());
        let mut chains = Chains::new(cpu);
        let mut lanes = [[zero; 4]; 2];
        let mut differences = [zero; 3];
        let mut tree = [MaybeUninit::<V>::uninit(); MAX_BLOCK_LINES];
        let groups = step.run;
        let totals = &mut tree[..groups];
        let both = [self.adjoint, self.state].map(
            #[inline(always)]
            |state| state.lines::<V, J>(cpu, 2 * V::COUNT).groups(block, J * 2 * V::COUNT, groups),
        );
        // All sums at once are more vectors than AVX2 has registers; the block is in the cache.
        for group in 0..groups {
            let pair = both.each_ref().map(
                #[inline(always)]
                |groups| groups.at(group),
            );
            for part in [0, 1] {
                chains.add(pair, part);
            }
            if self.lanes {
                lane_products(pair, &mut lanes);
            }
        }
        for (group, total) in totals.iter_mut().enumerate() {
            let pair = both.each_ref().map(
                #[inline(always)]
                |groups| groups.at(group),
            );
            total.write(difference_tree(cpu, pair, &mut differences));
        }
        // SAFETY: the loop above wrote every total, and both have one layout.
        let totals = unsafe { &mut *(std::ptr::from_mut(totals) as *mut [V]) };
        chains.write(step, &mut sums.ry);
        for bit in 0..V::BITS {
            let sum = &mut sums.ry[self.line_bits + bit];
            *sum = sum.add(lanes[0][bit].add(lanes[1][bit]));
        }
        let low_bits = step.bits.len();
        for bit in 0..low_bits {
            sums.rz[bit] = sums.rz[bit].add(differences[bit]);
        }
        let bits = groups.trailing_zeros() as usize;
        for bit in 0..bits {
            // Two chains of sums, for what waits for a sum is the next one.
            let mut difference = [zero; 2];
            for index in 0..groups >> (bit + 1) {
                let (zeros, ones) = (totals[2 * index], totals[2 * index + 1]);
                let sum = &mut difference[index % 2];
                *sum = sum.add(ones.sub(zeros));
                totals[index] = zeros.add(ones);
            }
            let sum = &mut sums.rz[low_bits + bit];
            *sum = sum.add(difference[0].add(difference[1]));
        }
        let total = totals[0];
        sums.total = sums.total.add(total);
        // Bits that are the same in all of the block.
        for bit in low_bits + bits..self.line_bits {
            let sum = &mut sums.rz[bit];
            *sum = if (number >> bit) & 1 == 1 { sum.add(total) } else { sum.sub(total) };
        }
    }

    /// J on the bits of one step of the block at `block`.
    #[inline(always)]
    fn lines<V: Lanes<Real = R>, const J: usize>(
        &self,
        cpu: Cpu<V>,
        block: usize,
        step: &Step,
        ry: &mut [V; 32],
    ) {
        // A chain for each part: what waits for a sum is the next one of its chain.
        let mut chains = [Chains::new(cpu), Chains::new(cpu)];
        let states = [self.adjoint, self.state].map(
            #[inline(always)]
            |state| state.lines::<V, J>(cpu, step.stride),
        );
        for &run in &step.runs.places {
            let both = states.map(
                #[inline(always)]
                |lines| lines.groups(block + run, step.advance, step.run),
            );
            for index in 0..step.run {
                let pair = both.each_ref().map(
                    #[inline(always)]
                    |groups| groups.at(index),
                );
                for (part, chains) in chains.iter_mut().enumerate() {
                    chains.add(pair, part);
                }
            }
        }
        for chains in chains {
            chains.write(step, ry);
        }
    }
}

/// J on every lane qubit, over the lines of one butterfly.
#[inline(always)]
fn lane_products<V: Lanes, const J: usize>(
    [adjoint, state]: Pair<'_, V, J>,
    sums: &mut [[V; 4]; 2],
) {
    for vector in 0..2 * J {
        let (line, part) = (vector / 2, vector % 2);
        let (lambda, psi) = (adjoint.get(line, part), state.get(line, part));
        for bit in 0..V::BITS {
            let sum = &mut sums[part][bit];
            *sum = lambda.mul_add(psi.swap(bit), *sum);
        }
    }
}

/// Im(conj(lambda) psi) summed over the lines of one butterfly, and the differences by its bits.
#[inline(always)]
fn difference_tree<V: Lanes, const J: usize>(
    cpu: Cpu<V>,
    [adjoint, state]: Pair<'_, V, J>,
    differences: &mut [V; 3],
) -> V {
    let mut tree = [V::splat(cpu, V::Real::default()); J];
    for (line, entry) in tree.iter_mut().enumerate() {
        let lambda = [adjoint.get(line, 0), adjoint.get(line, 1)];
        let psi = [state.get(line, 0), state.get(line, 1)];
        *entry = lambda[1].neg_mul_add(psi[0], lambda[0].mul(psi[1]));
    }
    let mut bit = 0;
    while 1 << bit < J {
        let mut difference = tree[1].sub(tree[0]);
        for index in 0..J >> (bit + 1) {
            let (zeros, ones) = (tree[2 * index], tree[2 * index + 1]);
            if index > 0 {
                difference = difference.add(ones.sub(zeros));
            }
            tree[index] = zeros.add(ones);
        }
        differences[bit] = differences[bit].add(difference);
        bit += 1;
    }
    tree[0]
}

/// Sums of lambda_1 psi_0 and of lambda_0 psi_1, by bit of a step.
struct Chains<V> {
    plus: [V; 3],
    minus: [V; 3],
}

impl<V: Lanes> Chains<V> {
    /// Sums of nothing.
    #[inline(always)]
    fn new(cpu: Cpu<V>) -> Self {
        let zeros = [V::splat(cpu, V::Real::default()); 3];
        Self { plus: zeros, minus: zeros }
    }

    /// Adds one part of one butterfly.
    #[inline(always)]
    fn add<const J: usize>(&mut self, [adjoint, state]: Pair<'_, V, J>, part: usize) {
        let psi = state.load(part);
        for j in 0..J {
            let lambda = adjoint.get(j, part);
            let mut bit = 0;
            while 1 << bit < J {
                let other = psi[j ^ (1 << bit)];
                if (j >> bit) & 1 == 1 {
                    self.plus[bit] = lambda.mul_add(other, self.plus[bit]);
                } else {
                    self.minus[bit] = lambda.mul_add(other, self.minus[bit]);
                }
                bit += 1;
            }
        }
    }

    /// Adds the sums to those of all qubits.
    #[inline(always)]
    fn write(self, step: &Step, ry: &mut [V; 32]) {
        for bit in 0..step.bits.len().min(3) {
            let sum = &mut ry[step.bits.start + bit];
            *sum = sum.add(self.plus[bit].sub(self.minus[bit]));
        }
    }
}

/// Lanes whose index has `bit` set, less the others.
#[inline(always)]
fn lane_difference<V: Lanes>(vector: V, bit: usize) -> f64 {
    let mut difference = 0.0;
    for (lane, value) in vector.lanes().into_iter().enumerate().take(V::COUNT) {
        let value = value.to_f64();
        difference += if (lane >> bit) & 1 == 1 { value } else { -value };
    }
    difference
}
