//! One task of the map or of its way back: blocks are gathered, then whole vectors of arithmetic.

use crate::simd::math::{tanh, tanh_with_derivative};
use crate::simd::{Cpu, Kernel, Lanes, Real};
use crate::view::View;

/// Weights between a gather and the arithmetic: a multiple of the lanes of every vector.
const BLOCK: usize = 64;
/// Running sums of the derivative by gamma, the same for vectors of every length.
const SUMS: usize = 16;

/// The numbers of the formula.
#[derive(Clone, Copy)]
pub(super) struct Formula<R> {
    pub(super) gamma: R,
    /// 2^(N-1) or 2^N, and for features 1 or 2^(-N/2): the derivative of x by q.
    pub(super) slope: R,
    /// What x is at q = 0, as a positive number: 0 or 1.
    pub(super) offset: R,
}

/// One task's weights: the bases that feed them, and their signs.
///
/// All slices of bases have the length of `signs`, and all bases are below 2^N.
#[derive(Clone, Copy)]
pub(super) struct Feed<'a> {
    pub(super) first: &'a [u32],
    pub(super) second: &'a [u32],
    pub(super) signs: &'a [i8],
}

/// The formula in every lane.
struct Splat<V> {
    gamma: V,
    slope: V,
    offset: V,
}

impl<R: Real> Formula<R> {
    #[inline(always)]
    fn splat<V: Lanes<Real = R>>(self, cpu: Cpu<V>) -> Splat<V> {
        Splat {
            gamma: V::splat(cpu, self.gamma),
            slope: V::splat(cpu, self.slope),
            offset: V::splat(cpu, self.offset),
        }
    }
}

impl<V: Lanes> Splat<V> {
    /// b = gamma x. The slope is a power of two, so all is rounded as in the formula's order.
    #[inline(always)]
    fn argument(&self, gamma: V, q: V) -> V {
        gamma.mul(q.mul(self.slope).sub(self.offset))
    }
}

impl Feed<'_> {
    /// q of the weights from `start` on, as many as `buffer` takes.
    #[inline(always)]
    fn gather<R: Real, const SHARED: bool>(&self, start: usize, values: &[R], buffer: &mut [R]) {
        let half = R::from_f64(0.5);
        let end = start + buffer.len();
        let bases = self.first[start..end].iter().zip(&self.second[start..end]);
        for (q, (&first, &second)) in buffer.iter_mut().zip(bases) {
            let sum = values[first as usize] + values[second as usize];
            // Exact where both are the same basis.
            *q = if SHARED { share::<R>(first, second) * sum } else { half * sum };
        }
    }

    /// Signs of the weights from `start` on, as many as `buffer` takes.
    #[inline(always)]
    fn signs<R: Real>(&self, start: usize, buffer: &mut [R]) {
        for (sign, &byte) in buffer.iter_mut().zip(&self.signs[start..]) {
            *sign = R::from_f64(f64::from(byte));
        }
    }
}

/// Factor of the sum of two bases' features: it keeps the variance of one.
#[inline(always)]
pub(super) fn share<R: Real>(first: u32, second: u32) -> R {
    R::from_f64(if first == second { 0.5 } else { std::f64::consts::FRAC_1_SQRT_2 })
}

/// [`WeightMap::apply`] of one task.
pub(super) struct Apply<'a, R, const SHARED: bool, const EACH: bool> {
    pub(super) feed: Feed<'a>,
    pub(super) formula: Formula<R>,
    pub(super) values: &'a [R],
    pub(super) gammas: &'a [R],
    pub(super) weights: &'a mut [R],
}

impl<R: Real, const SHARED: bool, const EACH: bool> Kernel<R> for Apply<'_, R, SHARED, EACH> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) {
        let Self { feed, formula, values, gammas, weights } = self;
        let splat = formula.splat(cpu);
        let (mut q, mut signs) = ([R::default(); BLOCK], [R::default(); BLOCK]);
        let mut own = [R::default(); BLOCK];
        let mut start = 0;
        while start < weights.len() {
            let block = BLOCK.min(weights.len() - start);
            feed.gather::<_, SHARED>(start, values, &mut q[..block]);
            feed.signs(start, &mut signs[..block]);
            if EACH {
                own[..block].copy_from_slice(&gammas[start..][..block]);
            }
            let mut place = 0;
            while place < block {
                // The buffers have a multiple of all lanes.
                let sign = V::read(cpu, &signs[place..]);
                let gamma = if EACH { V::read(cpu, &own[place..]) } else { splat.gamma };
                let b = splat.argument(gamma, V::read(cpu, &q[place..]));
                let weight = tanh(b).mul(gamma).mul(sign);
                if place + V::COUNT <= block {
                    weight.write(&mut weights[start + place..]);
                } else {
                    weights[start + place..].copy_from_slice(&weight.lanes()[..block - place]);
                }
                place += V::COUNT;
            }
            start += block;
        }
    }
}

/// [`WeightMap::vjp`] of one task: returns its part of gamma's cotangent.
pub(super) struct Vjp<'a, R, const SHARED: bool, const EACH: bool> {
    pub(super) feed: Feed<'a>,
    pub(super) formula: Formula<R>,
    pub(super) values: &'a [R],
    pub(super) each: (&'a [R], &'a mut [R]),
    pub(super) cotangent: &'a [R],
    pub(super) pulled: View<'a, R>,
}

impl<R: Real, const SHARED: bool, const EACH: bool> Kernel<R> for Vjp<'_, R, SHARED, EACH> {
    type Output = f64;

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, cpu: Cpu<V>) -> f64 {
        let Self { feed, formula, values, each: (gammas, by_gammas), cotangent, pulled } = self;
        let (splat, limit) = (formula.splat(cpu), V::splat(cpu, R::from_f64(1e3)));
        let half = R::from_f64(0.5);
        // q becomes dL/dq in place, and s dL/dtheta becomes a summand of dL/dgamma.
        let (mut by_q, mut by_gamma) = ([R::default(); BLOCK], [R::default(); BLOCK]);
        let mut own = [R::default(); BLOCK];
        let mut sums = [0.0; SUMS];
        let mut start = 0;
        while start < cotangent.len() {
            let block = BLOCK.min(cotangent.len() - start);
            feed.gather::<_, SHARED>(start, values, &mut by_q[..block]);
            feed.signs(start, &mut by_gamma[..block]);
            for (signed, &cotangent) in by_gamma[..block].iter_mut().zip(&cotangent[start..]) {
                *signed *= cotangent;
            }
            if EACH {
                own[..block].copy_from_slice(&gammas[start..][..block]);
            }
            let mut place = 0;
            while place < block {
                // The buffers have a multiple of all lanes.
                let signed = V::read(cpu, &by_gamma[place..]);
                let gamma = if EACH { V::read(cpu, &own[place..]) } else { splat.gamma };
                let b = splat.argument(gamma, V::read(cpu, &by_q[place..]));
                // The derivative is 0 long before the limit, and 0 times infinity is no number.
                let b = limit.min(b.abs()).copysign(b);
                let (value, derivative) = tanh_with_derivative(b);
                let slope = derivative.mul(gamma).mul(gamma).mul(splat.slope);
                slope.mul(signed).write(&mut by_q[place..]);
                b.mul_add(derivative, value).mul(signed).write(&mut by_gamma[place..]);
                place += V::COUNT;
            }
            if EACH {
                by_gammas[start..][..block].copy_from_slice(&by_gamma[..block]);
            }
            for summands in by_gamma[..block].chunks(SUMS) {
                for (sum, &summand) in sums.iter_mut().zip(summands) {
                    *sum += summand.to_f64();
                }
            }
            let end = start + block;
            let bases = feed.first[start..end].iter().zip(&feed.second[start..end]);
            for (&value, (&first, &second)) in by_q.iter().zip(bases) {
                let value = match (first == second, SHARED) {
                    (true, _) => value,
                    (false, true) => share::<R>(first, second) * value,
                    (false, false) => half * value,
                };
                // No other task has these bases.
                pulled.set(first as usize, value);
                pulled.set(second as usize, value);
            }
            start = end;
        }
        sums.iter().sum()
    }
}
