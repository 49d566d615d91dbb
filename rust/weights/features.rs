//! What the square-root and the Hadamard map read instead of probabilities, and its derivative.
//!
//! With D = 2^N, p_b nearly exponential of mean 1 / D (Porter-Thomas) and D p_b - 1 of mean 0 and
//! variance 1, either number has mean 0 and variance 1 (to 1 / D):
//!
//! - y_b = (sqrt(D p_b) - sqrt(pi) / 2) / sqrt(1 - pi / 4);
//! - y = H (r (D p - 1)) / sqrt(D), whose last factor is left to the map's formula.
//!
//! dy_b / dp_b of the first is D / (2 sd sqrt(D p_b)), without a bound. What it is multiplied by on
//! its way to an amplitude is 2 conj(psi_b), so the product is psi_b / |psi_b|, at most 1; where D p_b
//! is below the least normal number it falls to 0 with psi_b, and stays finite.

use std::f64::consts::PI;

use super::{Mapping, WeightMap, walsh};
use crate::error::Result;
use crate::memory;
use crate::parallel::{self, Cancel, TASK_AMPLITUDES, Team};
use crate::simd::{Cpu, Kernel, Lanes, Level, Real};

impl WeightMap {
    /// What [`WeightMap::features`] takes.
    pub fn feature_bytes<R: Real>(&self) -> u128 {
        match self.mapping {
            Mapping::Paper | Mapping::Centered => 0,
            Mapping::Sqrt | Mapping::Hadamard => (size_of::<R>() as u128) << self.num_qubits,
        }
    }

    /// The factor that the transform's variance needs; two bases have no transform, see
    /// [`super::is_walsh_row`].
    pub(super) fn transform_scale(&self) -> f64 {
        if self.num_qubits == 1 { 1.0 } else { ((1u64 << self.num_qubits) as f64).sqrt().recip() }
    }

    /// y, or none where the map reads the probabilities themselves.
    pub(super) fn features<R: Real>(
        &self,
        level: Level,
        probabilities: &[R],
        cancel: &Cancel,
    ) -> Result<Option<Vec<R>>> {
        if matches!(self.mapping, Mapping::Paper | Mapping::Centered) {
            return Ok(None);
        }
        let mut features = memory::filled(probabilities.len(), R::default())?;
        parallel::with_team(features.len(), |team| {
            let tasks = features.chunks_mut(TASK_AMPLITUDES).enumerate();
            team.for_each(memory::collected(tasks)?, |(task, features)| {
                let start = task * TASK_AMPLITUDES;
                let probabilities = &probabilities[start..][..features.len()];
                let signs = self.basis_signs.get(start..).unwrap_or_default();
                level.run(Forward { probabilities, features, signs, bases: self.bases() });
                cancel.check()
            })?;
            self.transformed(level, &mut features, team, cancel)
        })?;
        Ok(Some(features))
    }

    /// Takes a cotangent of y to one of the probabilities, in place; `least` as in `vjp`.
    pub(super) fn features_back<R: Real>(
        &self,
        level: Level,
        probabilities: &[R],
        pulled: &mut [R],
        least: f64,
        cancel: &Cancel,
    ) -> Result<()> {
        parallel::with_team(pulled.len(), |team| {
            self.transformed(level, pulled, team, cancel)?;
            let tasks = pulled.chunks_mut(TASK_AMPLITUDES).enumerate();
            team.for_each(memory::collected(tasks)?, |(task, pulled)| {
                let start = task * TASK_AMPLITUDES;
                let probabilities = &probabilities[start..][..pulled.len()];
                let signs = self.basis_signs.get(start..).unwrap_or_default();
                level.run(Backward { probabilities, pulled, signs, least, bases: self.bases() });
                cancel.check()
            })
        })
    }

    fn bases(&self) -> f64 {
        (1u64 << self.num_qubits) as f64
    }

    fn transformed<R: Real>(
        &self,
        level: Level,
        values: &mut [R],
        team: Team,
        cancel: &Cancel,
    ) -> Result<()> {
        if self.mapping == Mapping::Hadamard && self.num_qubits > 1 {
            walsh::transform(level, values, team, cancel)?;
        }
        Ok(())
    }
}

/// The square root's standard deviation.
fn spread() -> f64 {
    (1.0 - PI / 4.0).sqrt()
}

// Both kernels are element by element, of operations that round alike in vectors of any length: the
// compiler's own vectors are as good as any.

/// One task's y, before the transform; `signs` are those of its bases, or none for the square root.
struct Forward<'a, R> {
    probabilities: &'a [R],
    features: &'a mut [R],
    signs: &'a [i8],
    bases: f64,
}

impl<R: Real> Kernel<R> for Forward<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, _: Cpu<V>) {
        let Self { probabilities, features, signs, bases } = self;
        let bases = R::from_f64(bases);
        let pairs = features.iter_mut().zip(probabilities);
        if signs.is_empty() {
            let (mean, factor) = (R::from_f64(PI.sqrt() / 2.0), R::from_f64(spread().recip()));
            for (feature, &probability) in pairs {
                *feature = ((bases * probability).sqrt() - mean) * factor;
            }
        } else {
            let one = R::from_f64(1.0);
            for ((feature, &probability), &sign) in pairs.zip(signs) {
                *feature = R::from_f64(f64::from(sign)) * (bases * probability - one);
            }
        }
    }
}

/// One task's cotangents of y, after the transform, to those of the probabilities.
struct Backward<'a, R> {
    probabilities: &'a [R],
    pulled: &'a mut [R],
    signs: &'a [i8],
    least: f64,
    bases: f64,
}

impl<R: Real> Kernel<R> for Backward<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes<Real = R>>(self, _: Cpu<V>) {
        let Self { probabilities, pulled, signs, least, bases } = self;
        let pairs = pulled.iter_mut().zip(probabilities);
        if signs.is_empty() {
            let least = R::from_f64(bases * least);
            let least = if least > R::LEAST { least } else { R::LEAST };
            let (factor, bases) = (R::from_f64(bases / (2.0 * spread())), R::from_f64(bases));
            for (pulled, &probability) in pairs {
                let scaled = bases * probability;
                let scaled = if scaled > least { scaled } else { least };
                *pulled = *pulled * factor / scaled.sqrt();
            }
        } else {
            for ((pulled, _), &sign) in pairs.zip(signs) {
                *pulled *= R::from_f64(f64::from(sign) * bases);
            }
        }
    }
}
