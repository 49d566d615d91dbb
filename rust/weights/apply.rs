//! The map's application, and its derivative: gather, scale and squash in one pass.
//!
//! Bases are scattered, so blocks of probabilities are gathered one by one into a buffer; what
//! follows is arithmetic of whole vectors. Ends of slices go through the same vectors, so a weight
//! does not depend on its place, and tasks are cut by size alone.
//!
//! With x = 2^(N-1) q (paper) or 2^N q - 1 (centred) and b = gamma x, a weight is
//! s gamma tanh(b): tanh is odd, so the sign waits until the end. The other maps do the same with
//! their features instead of probabilities, and two bases share their sum over the root of two.

use super::task::{Apply, Feed, Formula, Vjp};
use super::{Mapping, WeightMap};
use crate::error::Result;
use crate::memory;
use crate::parallel::{self, Cancel, TASK_AMPLITUDES};
use crate::simd::{Level, Real};
use crate::view::View;

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
        let pulled = View::of(pulled);
        let mut each = by_gammas.chunks_mut(TASK_AMPLITUDES);
        // One sum per task, added in order: the total does not depend on the number of threads.
        let mut sums = memory::filled(cotangent.len().div_ceil(TASK_AMPLITUDES), 0.0)?;
        parallel::with_team(cotangent.len(), |team| {
            let tasks = cotangent.chunks(TASK_AMPLITUDES).zip(self.feeds()).zip(&mut sums);
            let tasks = tasks.map(|task| (task, each.next().unwrap_or_default()));
            let tasks = memory::collected(tasks.enumerate())?;
            team.for_each(tasks, |(task, (((cotangent, feed), sum), by_gammas))| {
                let gammas = part::<R, EACH>(gammas, task, cotangent.len());
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

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
