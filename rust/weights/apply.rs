//! The map's application, and its derivative: gather, scale and squash in one pass.
//!
//! Bases are scattered, so blocks of probabilities are gathered one by one into a buffer; what
//! follows is arithmetic of whole vectors. Ends of slices go through the same vectors, so a weight
//! does not depend on its place, and tasks are cut by size alone.
//!
//! With x = 2^(N-1) q (paper) or 2^N q - 1 (centred) and b = gamma x, a weight is
//! s gamma tanh(b): tanh is odd, so the sign waits until the end. The other maps do the same with
//! their features instead of probabilities, and two bases share their sum over the root of two.

use super::{Mapping, WeightMap};
use crate::error::Result;
use crate::memory;
use crate::parallel::{self, Cancel, Pointer, TASK_AMPLITUDES};
use crate::simd::math::{tanh, tanh_with_derivative};
use crate::simd::{Kernel, Lanes, Level, Real};

/// Weights between a gather and the arithmetic: a multiple of the lanes of every vector.
const BLOCK: usize = 64;
/// Running sums of the derivative by gamma, the same for vectors of every length.
const SUMS: usize = 16;

/// The numbers of the formula.
#[derive(Clone, Copy)]
struct Formula<R> {
    gamma: R,
    /// 2^(N-1) or 2^N, and for features 1 or 2^(-N/2): the derivative of x by q.
    slope: R,
    /// What x is at q = 0, as a positive number: 0 or 1.
    offset: R,
}

/// One task's weights: the bases that feed them, and their signs.
///
/// All slices of bases have the length of `signs`, and all bases are below 2^N.
#[derive(Clone, Copy)]
struct Feed<'a> {
    first: &'a [u32],
    second: &'a [u32],
    signs: &'a [i8],
}

impl WeightMap {
    /// Writes the weights of one set of probabilities.
    pub fn apply<R: Real>(
        &self,
        level: Level,
        probabilities: &[R],
        gamma: f64,
        weights: &mut [R],
        cancel: &Cancel,
    ) -> Result<()> {
        assert_eq!(probabilities.len(), 1 << self.num_qubits);
        assert_eq!(weights.len(), self.num_weights());
        match self.features(level, probabilities, cancel)? {
            Some(y) => self.squash::<R, true, false>(level, &y, gamma, &[], weights, cancel),
            None => {
                self.squash::<R, false, false>(level, probabilities, gamma, &[], weights, cancel)
            }
        }
    }

    /// [`WeightMap::apply`] with a gamma for every weight.
    pub fn apply_each<R: Real>(
        &self,
        level: Level,
        probabilities: &[R],
        gammas: &[R],
        weights: &mut [R],
        cancel: &Cancel,
    ) -> Result<()> {
        assert_eq!(probabilities.len(), 1 << self.num_qubits);
        assert_eq!(weights.len(), self.num_weights());
        assert_eq!(gammas.len(), self.num_weights());
        match self.features(level, probabilities, cancel)? {
            Some(y) => self.squash::<R, true, true>(level, &y, 1.0, gammas, weights, cancel),
            None => {
                self.squash::<R, false, true>(level, probabilities, 1.0, gammas, weights, cancel)
            }
        }
    }

    fn squash<R: Real, const SHARED: bool, const EACH: bool>(
        &self,
        level: Level,
        values: &[R],
        gamma: f64,
        gammas: &[R],
        weights: &mut [R],
        cancel: &Cancel,
    ) -> Result<()> {
        let formula = self.formula(gamma);
        parallel::with_team(weights.len(), |team| {
            let tasks = weights.chunks_mut(TASK_AMPLITUDES).zip(self.feeds());
            let tasks = memory::collected(tasks.enumerate())?;
            team.for_each(tasks, |(task, (weights, feed))| {
                let gammas = part::<R, EACH>(gammas, task, weights.len());
                level.run(Apply::<_, SHARED, EACH> { feed, formula, values, gammas, weights });
                cancel.check()
            })
        })
    }

    /// Pulls a cotangent of the weights back: writes that of the probabilities, returns gamma's.
    ///
    /// Where the derivative has no bound (the square root's at 0) a probability counts as `least`, or
    /// as the least normal number: a share of a count where they are measured, else 0.
    #[allow(clippy::too_many_arguments)]
    pub fn vjp<R: Real>(
        &self,
        level: Level,
        probabilities: &[R],
        gamma: f64,
        cotangent: &[R],
        probabilities_cotangent: &mut [R],
        least: f64,
        cancel: &Cancel,
    ) -> Result<f64> {
        assert_eq!(probabilities.len(), 1 << self.num_qubits);
        assert_eq!(probabilities_cotangent.len(), probabilities.len());
        assert_eq!(cotangent.len(), self.num_weights());
        let (pulled, none) = (probabilities_cotangent, (&[][..], &mut [][..]));
        match self.features(level, probabilities, cancel)? {
            Some(features) => {
                let by_gamma = self.unsquash::<R, true, false>(
                    level, &features, gamma, none, cotangent, pulled, cancel,
                )?;
                self.features_back(level, probabilities, pulled, least, cancel)?;
                Ok(by_gamma)
            }
            None => self.unsquash::<R, false, false>(
                level,
                probabilities,
                gamma,
                none,
                cotangent,
                pulled,
                cancel,
            ),
        }
    }

    /// [`WeightMap::vjp`] with a gamma for every weight, whose cotangents are written.
    #[allow(clippy::too_many_arguments)]
    pub fn vjp_each<R: Real>(
        &self,
        level: Level,
        probabilities: &[R],
        gammas: &[R],
        cotangent: &[R],
        probabilities_cotangent: &mut [R],
        gammas_cotangent: &mut [R],
        least: f64,
        cancel: &Cancel,
    ) -> Result<()> {
        assert_eq!(probabilities.len(), 1 << self.num_qubits);
        assert_eq!(probabilities_cotangent.len(), probabilities.len());
        for length in [cotangent.len(), gammas.len(), gammas_cotangent.len()] {
            assert_eq!(length, self.num_weights());
        }
        let (pulled, each) = (probabilities_cotangent, (gammas, gammas_cotangent));
        match self.features(level, probabilities, cancel)? {
            Some(features) => {
                self.unsquash::<R, true, true>(
                    level, &features, 1.0, each, cotangent, pulled, cancel,
                )?;
                self.features_back(level, probabilities, pulled, least, cancel)
            }
            None => {
                self.unsquash::<R, false, true>(
                    level,
                    probabilities,
                    1.0,
                    each,
                    cotangent,
                    pulled,
                    cancel,
                )?;
                Ok(())
            }
        }
    }

    /// `each` are gammas and what takes their cotangents, both empty where one gamma serves all.
    #[allow(clippy::too_many_arguments)]
    fn unsquash<R: Real, const SHARED: bool, const EACH: bool>(
        &self,
        level: Level,
        values: &[R],
        gamma: f64,
        (gammas, by_gammas): (&[R], &mut [R]),
        cotangent: &[R],
        pulled: &mut [R],
        cancel: &Cancel,
    ) -> Result<f64> {
        let formula = self.formula(gamma);
        // The tasks write every entry but the one that feeds no weight, where one is alone.
        if self.num_weights() == 1 {
            pulled.fill(R::default());
        }
        // No basis feeds two weights, so no two tasks write the same entry.
        let pulled = Pointer::new(pulled.as_mut_ptr());
        let each = Pointer::new(by_gammas.as_mut_ptr());
        // One sum per task, added in order: the total does not depend on the number of threads.
        let mut sums = memory::filled(cotangent.len().div_ceil(TASK_AMPLITUDES), 0.0)?;
        parallel::with_team(cotangent.len(), |team| {
            let tasks = cotangent.chunks(TASK_AMPLITUDES).zip(self.feeds()).zip(&mut sums);
            let tasks = memory::collected(tasks.enumerate())?;
            team.for_each(tasks, |(task, ((cotangent, feed), sum))| {
                let gammas = part::<R, EACH>(gammas, task, cotangent.len());
                let by_gammas = if EACH {
                    // SAFETY: it has an entry for every weight, and every task has weights of its own.
                    unsafe {
                        let start = each.get().add(task * TASK_AMPLITUDES);
                        std::slice::from_raw_parts_mut(start, cotangent.len())
                    }
                } else {
                    &mut []
                };
                let each = (gammas, by_gammas);
                *sum = level.run(Vjp::<_, SHARED, EACH> {
                    feed,
                    formula,
                    values,
                    each,
                    cotangent,
                    pulled,
                });
                cancel.check()
            })
        })?;
        Ok(sums.iter().sum())
    }

    fn formula<R: Real>(&self, gamma: f64) -> Formula<R> {
        let bases = (1u64 << self.num_qubits) as f64;
        let (slope, offset) = match self.mapping {
            Mapping::Paper => (0.5 * bases, 0.0),
            Mapping::Centered => (bases, 1.0),
            Mapping::Sqrt => (1.0, 0.0),
            Mapping::Hadamard => (self.transform_scale(), 0.0),
        };
        Formula {
            gamma: R::from_f64(gamma),
            slope: R::from_f64(slope),
            offset: R::from_f64(offset),
        }
    }

    /// The map, cut into tasks.
    fn feeds(&self) -> impl Iterator<Item = Feed<'_>> {
        let bases = self.first.chunks(TASK_AMPLITUDES).zip(self.second.chunks(TASK_AMPLITUDES));
        let signs = self.signs.chunks(TASK_AMPLITUDES);
        bases.zip(signs).map(|((first, second), signs)| Feed { first, second, signs })
    }
}

/// One task's part of what every weight has.
fn part<R, const EACH: bool>(each: &[R], task: usize, length: usize) -> &[R] {
    if EACH { &each[task * TASK_AMPLITUDES..][..length] } else { &[] }
}

/// The formula in every lane.
struct Splat<V> {
    gamma: V,
    slope: V,
    offset: V,
}

impl<R: Real> Formula<R> {
    /// # Safety
    /// The processor has the instructions of `V`.
    #[inline(always)]
    unsafe fn splat<V: Lanes<Real = R>>(self) -> Splat<V> {
        // SAFETY: the caller's promise.
        unsafe {
            Splat {
                gamma: V::splat(self.gamma),
                slope: V::splat(self.slope),
                offset: V::splat(self.offset),
            }
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
    ///
    /// # Safety
    /// `values` has an entry for every basis of the map.
    #[inline(always)]
    unsafe fn gather<R: Real, const SHARED: bool>(
        &self,
        start: usize,
        values: &[R],
        buffer: &mut [R],
    ) {
        let half = R::from_f64(0.5);
        let end = start + buffer.len();
        let bases = self.first[start..end].iter().zip(&self.second[start..end]);
        for (q, (&first, &second)) in buffer.iter_mut().zip(bases) {
            // SAFETY: the caller's promise.
            let sum = unsafe {
                *values.get_unchecked(first as usize) + *values.get_unchecked(second as usize)
            };
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
fn share<R: Real>(first: u32, second: u32) -> R {
    R::from_f64(if first == second { 0.5 } else { std::f64::consts::FRAC_1_SQRT_2 })
}

/// [`WeightMap::apply`] of one task.
struct Apply<'a, R, const SHARED: bool, const EACH: bool> {
    feed: Feed<'a>,
    formula: Formula<R>,
    values: &'a [R],
    gammas: &'a [R],
    weights: &'a mut [R],
}

impl<R: Real, const SHARED: bool, const EACH: bool> Kernel<R> for Apply<'_, R, SHARED, EACH> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Lanes<Real = R>>(self) {
        let Self { feed, formula, values, gammas, weights } = self;
        // SAFETY: the caller's promise.
        let splat = unsafe { formula.splat::<V>() };
        let (mut q, mut signs) = ([R::default(); BLOCK], [R::default(); BLOCK]);
        let mut own = [R::default(); BLOCK];
        let mut start = 0;
        while start < weights.len() {
            let block = BLOCK.min(weights.len() - start);
            // SAFETY: `apply` holds the number of probabilities against the map.
            unsafe { feed.gather::<_, SHARED>(start, values, &mut q[..block]) };
            feed.signs(start, &mut signs[..block]);
            if EACH {
                own[..block].copy_from_slice(&gammas[start..][..block]);
            }
            let mut place = 0;
            while place < block {
                // SAFETY: the caller's promise; the buffers have a multiple of all lanes.
                let weight = unsafe {
                    let sign = V::load(signs.as_ptr().add(place));
                    let gamma = if EACH { V::load(own.as_ptr().add(place)) } else { splat.gamma };
                    let b = splat.argument(gamma, V::load(q.as_ptr().add(place)));
                    tanh(b).mul(gamma).mul(sign)
                };
                if place + V::COUNT <= block {
                    // SAFETY: `weights` has all lanes.
                    unsafe { weight.store(weights.as_mut_ptr().add(start + place)) };
                } else {
                    let mut lanes = [R::default(); 16];
                    // SAFETY: no vector has more than 16 lanes.
                    unsafe { weight.store(lanes.as_mut_ptr()) };
                    weights[start + place..].copy_from_slice(&lanes[..block - place]);
                }
                place += V::COUNT;
            }
            start += block;
        }
    }
}

/// [`WeightMap::vjp`] of one task: returns its part of gamma's cotangent.
struct Vjp<'a, R, const SHARED: bool, const EACH: bool> {
    feed: Feed<'a>,
    formula: Formula<R>,
    values: &'a [R],
    each: (&'a [R], &'a mut [R]),
    cotangent: &'a [R],
    pulled: Pointer<R>,
}

impl<R: Real, const SHARED: bool, const EACH: bool> Kernel<R> for Vjp<'_, R, SHARED, EACH> {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<V: Lanes<Real = R>>(self) -> f64 {
        let Self { feed, formula, values, each: (gammas, by_gammas), cotangent, pulled } = self;
        // SAFETY: the caller's promise.
        let (splat, limit) = unsafe { (formula.splat::<V>(), V::splat(R::from_f64(1e3))) };
        let half = R::from_f64(0.5);
        // q becomes dL/dq in place, and s dL/dtheta becomes a summand of dL/dgamma.
        let (mut by_q, mut by_gamma) = ([R::default(); BLOCK], [R::default(); BLOCK]);
        let mut own = [R::default(); BLOCK];
        let mut sums = [0.0; SUMS];
        let mut start = 0;
        while start < cotangent.len() {
            let block = BLOCK.min(cotangent.len() - start);
            // SAFETY: `vjp` holds the number of probabilities against the map.
            unsafe { feed.gather::<_, SHARED>(start, values, &mut by_q[..block]) };
            feed.signs(start, &mut by_gamma[..block]);
            for (signed, &cotangent) in by_gamma[..block].iter_mut().zip(&cotangent[start..]) {
                *signed *= cotangent;
            }
            if EACH {
                own[..block].copy_from_slice(&gammas[start..][..block]);
            }
            let mut place = 0;
            while place < block {
                // SAFETY: the caller's promise; the buffers have a multiple of all lanes.
                unsafe {
                    let signed = V::load(by_gamma.as_ptr().add(place));
                    let gamma = if EACH { V::load(own.as_ptr().add(place)) } else { splat.gamma };
                    let b = splat.argument(gamma, V::load(by_q.as_ptr().add(place)));
                    // The derivative is 0 long before the limit, and 0 times infinity is no number.
                    let b = limit.min(b.abs()).copysign(b);
                    let (value, derivative) = tanh_with_derivative(b);
                    let slope = derivative.mul(gamma).mul(gamma).mul(splat.slope);
                    slope.mul(signed).store(by_q.as_mut_ptr().add(place));
                    let summand = b.mul_add(derivative, value).mul(signed);
                    summand.store(by_gamma.as_mut_ptr().add(place));
                }
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
                // SAFETY: `vjp` holds the length against the map; no other task has these bases.
                unsafe {
                    *pulled.get().add(first as usize) = value;
                    *pulled.get().add(second as usize) = value;
                }
            }
            start = end;
        }
        sums.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{PI, SQRT_2};

    use proptest::prelude::*;

    use super::*;
    use crate::weights::Signs;

    const SIZES: [u64; 13] = [1, 2, 3, 4, 5, 7, 8, 9, 131, 6690, 8191, 8192, 8193];
    const MAPPINGS: [Mapping; 4] =
        [Mapping::Paper, Mapping::Centered, Mapping::Sqrt, Mapping::Hadamard];

    fn map(weights: u64, mapping: Mapping) -> WeightMap {
        WeightMap::new(weights, 7, Signs::Random, mapping, &Cancel::default()).unwrap()
    }

    /// Probabilities like those of a random circuit: exponential with mean 1 / 2^N.
    fn probabilities<R: Real>(map: &WeightMap) -> Vec<R> {
        let bases = 1 << map.num_qubits;
        let spread = (0..bases).map(|basis| (0.5 + f64::from(basis) * 0.618_033_988_7) % 1.0);
        spread.map(|part| R::from_f64(-(part + 1e-9).ln() / f64::from(bases))).collect()
    }

    fn cotangent<R: Real>(map: &WeightMap) -> Vec<R> {
        (0..map.num_weights()).map(|weight| R::from_f64((weight as f64).sin())).collect()
    }

    fn doubles<R: Real>(numbers: &[R]) -> Vec<f64> {
        numbers.iter().map(|number| number.to_f64()).collect()
    }

    fn applied<R: Real>(map: &WeightMap, level: Level, probabilities: &[R], gamma: f64) -> Vec<R> {
        let mut weights = vec![R::default(); map.num_weights()];
        map.apply(level, probabilities, gamma, &mut weights, &Cancel::default()).unwrap();
        weights
    }

    fn pulled<R: Real>(
        map: &WeightMap,
        level: Level,
        probabilities: &[R],
        gamma: f64,
        cotangent: &[R],
    ) -> (Vec<R>, f64) {
        // Entries that nothing writes would show.
        let mut pulled = vec![R::from_f64(f64::NAN); probabilities.len()];
        let cancel = Cancel::default();
        let by_gamma =
            map.vjp(level, probabilities, gamma, cotangent, &mut pulled, 0.0, &cancel).unwrap();
        (pulled, by_gamma)
    }

    /// y_basis, and its derivative by every probability.
    fn feature(map: &WeightMap, probabilities: &[f64], basis: usize) -> (f64, Vec<f64>) {
        let bases = probabilities.len() as f64;
        let mut slopes = vec![0.0; probabilities.len()];
        if map.mapping == Mapping::Sqrt {
            let root = (bases * probabilities[basis]).sqrt();
            let (mean, spread) = (PI.sqrt() / 2.0, (1.0 - PI / 4.0).sqrt());
            slopes[basis] = 0.5 * bases / root / spread;
            return ((root - mean) / spread, slopes);
        }
        for (other, slope) in slopes.iter_mut().enumerate() {
            let shared = f64::from((basis & other).count_ones() % 2);
            let sign = f64::from(map.basis_signs[other]);
            *slope = match map.num_qubits {
                1 if other == basis => bases * sign,
                1 => 0.0,
                _ => (1.0 - 2.0 * shared) * sign * bases.sqrt(),
            };
        }
        let pairs = slopes.iter().zip(probabilities);
        (pairs.map(|(slope, p)| slope * (p - 1.0 / bases)).sum(), slopes)
    }

    /// The formula's argument a and its derivative by every probability, weight by weight.
    fn arguments(map: &WeightMap, probabilities: &[f64], gamma: f64) -> Vec<(f64, Vec<f64>)> {
        let bases = probabilities.len() as f64;
        let fed = map.first.iter().zip(&map.second).zip(&map.signs);
        fed.map(|((&first, &second), &sign)| {
            let (first, second) = (first as usize, second as usize);
            let q = 0.5 * (probabilities[first] + probabilities[second]);
            let mean = |x: f64, slope: f64| {
                let mut slopes = vec![0.0; probabilities.len()];
                slopes[first] += 0.5 * slope;
                slopes[second] += 0.5 * slope;
                (x, slopes)
            };
            let (x, slopes) = match map.mapping {
                Mapping::Paper => mean(0.5 * bases * q, 0.5 * bases),
                Mapping::Centered => mean(bases * q - 1.0, bases),
                _ if first == second => feature(map, probabilities, first),
                _ => {
                    let both = [first, second].map(|basis| feature(map, probabilities, basis));
                    let [(x, slopes), (y, others)] = both;
                    let sums =
                        slopes.iter().zip(&others).map(|(one, other)| (one + other) / SQRT_2);
                    ((x + y) / SQRT_2, sums.collect())
                }
            };
            let signed_gamma = f64::from(sign) * gamma;
            (signed_gamma * x, slopes.iter().map(|slope| signed_gamma * slope).collect())
        })
        .collect()
    }

    fn plain(arguments: &[(f64, Vec<f64>)], gamma: f64) -> Vec<f64> {
        arguments.iter().map(|(a, _)| gamma * libm::tanh(*a)).collect()
    }

    fn plain_vjp(arguments: &[(f64, Vec<f64>)], gamma: f64, cotangent: &[f64]) -> (Vec<f64>, f64) {
        let (mut pulled, mut by_gamma) = (vec![0.0; arguments[0].1.len()], 0.0);
        for ((a, slopes), cotangent) in arguments.iter().zip(cotangent) {
            let derivative = libm::cosh(*a).powi(-2);
            by_gamma += cotangent * (libm::tanh(*a) + a * derivative);
            for (one, slope) in pulled.iter_mut().zip(slopes) {
                *one += cotangent * gamma * derivative * slope;
            }
        }
        (pulled, by_gamma)
    }

    /// Holds both functions, in one precision, against the plain formulas.
    fn check<R: Real>(map: &WeightMap, gamma: f64, tolerance: f64) {
        let probabilities = probabilities::<R>(map);
        let cotangent = cotangent::<R>(map);
        let exact = doubles(&probabilities);
        let arguments = arguments(map, &exact, gamma);
        let right = plain(&arguments, gamma);
        let (right_pulled, right_by_gamma) = plain_vjp(&arguments, gamma, &doubles(&cotangent));
        // A sum of many terms is right to the size of the largest.
        let summed = matches!(map.mapping, Mapping::Sqrt | Mapping::Hadamard);
        let largest = right_pulled.iter().fold(0.0f64, |most, one| most.max(one.abs()));
        let bases = exact.len() as f64;
        for level in Level::available() {
            let weights = doubles(&applied(map, level, &probabilities, gamma));
            for (weight, right) in weights.iter().zip(&right) {
                let close = size_of::<R>() == 8 && !summed;
                let scale = if close { right.abs() } else { gamma.max(gamma * gamma) };
                assert!((weight - right).abs() <= tolerance * scale, "{level:?}: {weight} {right}");
            }
            let (pulled, by_gamma) = pulled(map, level, &probabilities, gamma, &cotangent);
            let scale = (gamma * gamma * bases).max(largest);
            for (one, right) in doubles(&pulled).iter().zip(&right_pulled) {
                assert!((one - right).abs() <= tolerance * scale, "{level:?}: {one} {right}");
            }
            assert!((by_gamma - right_by_gamma).abs() <= tolerance * (1.0 + bases.sqrt()));
        }
    }

    #[test]
    fn vectors_agree_with_the_plain_formulas() {
        for (weights, mapping) in SIZES.into_iter().flat_map(|m| MAPPINGS.map(|rule| (m, rule))) {
            if weights > 1000 && mapping == Mapping::Hadamard {
                continue; // the plain formula takes the square of them
            }
            let map = map(weights, mapping);
            for gamma in [0.03, 0.5, 4.0] {
                check::<f64>(&map, gamma, 1e-13);
                check::<f32>(&map, gamma, 1e-5);
            }
        }
    }

    #[test]
    fn gammas_of_their_own_are_one_where_all_are() {
        for (weights, mapping) in SIZES.into_iter().flat_map(|m| MAPPINGS.map(|rule| (m, rule))) {
            let map = map(weights, mapping);
            let (probabilities, cotangent) = (probabilities::<f64>(&map), cotangent::<f64>(&map));
            let cancel = Cancel::default();
            let several: Vec<f64> =
                (0..weights).map(|at| [0.3, 1.7, 0.9][at as usize % 3]).collect();
            for level in Level::available() {
                let mut weights = vec![0.0; several.len()];
                map.apply_each(level, &probabilities, &several, &mut weights, &cancel).unwrap();
                let mut by_p = vec![f64::NAN; probabilities.len()];
                let mut by_gammas = vec![f64::NAN; several.len()];
                let out = (&mut by_p, &mut by_gammas);
                map.vjp_each(
                    level,
                    &probabilities,
                    &several,
                    &cotangent,
                    out.0,
                    out.1,
                    0.0,
                    &cancel,
                )
                .unwrap();
                let mut summed = vec![0.0; probabilities.len()];
                for (turn, gamma) in [0.3, 1.7, 0.9].into_iter().enumerate() {
                    let expected = applied(&map, level, &probabilities, gamma);
                    let own = |at: &usize| at % 3 == turn;
                    assert!((0..several.len()).filter(own).all(|at| weights[at] == expected[at]));
                    let mut some = cotangent.clone();
                    let others = some.iter_mut().enumerate().filter(|(at, _)| !own(at));
                    others.for_each(|(_, entry)| *entry = 0.0);
                    let (part, by_gamma) = pulled(&map, level, &probabilities, gamma, &some);
                    summed.iter_mut().zip(part).for_each(|(sum, one)| *sum += one);
                    let found: f64 = (0..several.len()).filter(own).map(|at| by_gammas[at]).sum();
                    assert!((found - by_gamma).abs() <= 1e-10 * (1.0 + by_gamma.abs()));
                }
                let largest = summed.iter().fold(1.0f64, |most, one| most.max(one.abs()));
                let pairs = by_p.iter().zip(&summed);
                assert!(pairs.into_iter().all(|(one, sum)| (one - sum).abs() <= 1e-12 * largest));
            }
        }
    }

    #[test]
    fn huge_gammas_saturate() {
        for mapping in MAPPINGS {
            let map = map(5, mapping);
            for level in Level::available() {
                let probabilities = [1.0, 0.0, 0.5, 0.25, 0.5, 0.75, 1.0, 0.6f32];
                let weights = applied(&map, level, &probabilities, 1e38);
                assert!(weights.iter().all(|weight| weight.abs() == 1e38 || *weight == 0.0));
                let (pulled, by_gamma) = pulled(&map, level, &probabilities, 1e38, &[1.0; 5]);
                // The transform takes infinities from each other.
                let sound = mapping == Mapping::Hadamard || pulled.iter().all(|one| !one.is_nan());
                assert!(sound && by_gamma.is_finite());
            }
        }
    }

    #[test]
    fn derivative_agrees_with_differences() {
        for (weights, mapping) in [1, 5, 131].into_iter().flat_map(|m| MAPPINGS.map(|r| (m, r))) {
            let map = map(weights, mapping);
            let (mut probabilities, gamma) = (probabilities::<f64>(&map), 0.7);
            let cotangent = cotangent::<f64>(&map);
            let level = Level::current().unwrap();
            let loss = |probabilities: &[f64], gamma| -> f64 {
                let weights = applied(&map, level, probabilities, gamma);
                weights.iter().zip(&cotangent).map(|(weight, factor)| weight * factor).sum()
            };
            let (pulled, by_gamma) = pulled(&map, level, &probabilities, gamma, &cotangent);
            let slope =
                (loss(&probabilities, gamma + 1e-5) - loss(&probabilities, gamma - 1e-5)) / 2e-5;
            assert!((by_gamma - slope).abs() < 1e-7);
            for basis in 0..probabilities.len() {
                if mapping == Mapping::Sqrt && probabilities[basis] < 0.3 / pulled.len() as f64 {
                    continue; // too curved for differences of this step
                }
                let (here, step) = (probabilities[basis], 1e-5 / pulled.len() as f64);
                probabilities[basis] = here + step;
                let above = loss(&probabilities, gamma);
                probabilities[basis] = here - step;
                let slope = (above - loss(&probabilities, gamma)) / (2.0 * step);
                probabilities[basis] = here;
                assert!((pulled[basis] - slope).abs() < 1e-7 * pulled.len() as f64);
            }
        }
    }

    #[test]
    fn weights_do_not_depend_on_their_place() {
        let map = map(6690, Mapping::Centered);
        let probabilities = probabilities::<f64>(&map);
        for level in Level::available() {
            let mut weights = applied(&map, level, &probabilities, 0.5);
            let mut turned = map.clone();
            turned.first.rotate_left(1237);
            turned.second.rotate_left(1237);
            turned.signs.rotate_left(1237);
            weights.rotate_left(1237);
            assert_eq!(applied(&turned, level, &probabilities, 0.5), weights);
        }
    }

    #[test]
    fn results_do_not_depend_on_threads() {
        let before = parallel::num_threads();
        let map = map(40_001, Mapping::Paper);
        let (probabilities, cotangent) = (probabilities::<f64>(&map), cotangent::<f64>(&map));
        for level in Level::available() {
            let mut results = [1, 2, 3, 8].map(|threads| {
                parallel::set_num_threads(threads).unwrap();
                let weights = applied(&map, level, &probabilities, 0.5);
                (weights, pulled(&map, level, &probabilities, 0.5, &cotangent))
            });
            let (first, others) = results.split_first_mut().unwrap();
            assert!(others.iter().all(|other| other == first));
        }
        parallel::set_num_threads(before).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_size_and_gamma_is_right(
            weights in 1u64..700,
            gamma in 1e-3..20.0f64,
            rule in 0..MAPPINGS.len(),
        ) {
            let map = map(weights, MAPPINGS[rule]);
            check::<f64>(&map, gamma, 1e-13);
            check::<f32>(&map, gamma, 1e-5);
        }
    }
}
