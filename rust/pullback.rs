//! A forward evolution that waits for its cotangents.

use std::sync::OnceLock;

use crate::circuit::Circuit;
use crate::error::Result;
use crate::evolve::{self, Run};
use crate::generate::record;
use crate::gradient::Tape;
use crate::parallel::{self, Cancel, TEAM_AMPLITUDES, Team};
use crate::simd::Level;
use crate::state::Kept;

/// The tapes of a batch of angles.
#[derive(Debug)]
pub struct Pullback<R> {
    angles: Vec<f64>,
    tapes: Vec<Tape<R>>,
    /// Whether the tapes were used up and must be recorded again.
    spent: bool,
}

impl<R: Kept> Pullback<R> {
    /// Evolves a batch of angles and writes the probabilities, one row per set.
    pub fn record(
        circuit: &Circuit,
        angles: &[f64],
        probabilities: &mut [R],
        cancel: &Cancel,
    ) -> Result<Self> {
        let sets = angles.len() / circuit.num_parameters();
        let tapes: Vec<OnceLock<Tape<R>>> = (0..sets).map(|_| OnceLock::new()).collect();
        evolve::for_each_set(
            circuit,
            angles,
            probabilities,
            cancel,
            |set, space, set_angles, out, run| {
                let tape = record(circuit, set_angles, space, out, run)?;
                // Every set is recorded once.
                let _ = tapes[set].set(tape);
                Ok(())
            },
        )?;
        let tapes = tapes.into_iter().filter_map(OnceLock::into_inner).collect();
        Ok(Self { angles: angles.to_vec(), tapes, spent: false })
    }

    /// Runs `back(set, tape, gradient, run)` for every set, one row of `gradients` each.
    pub fn apply(
        &mut self,
        circuit: &Circuit,
        gradients: &mut [R],
        cancel: &Cancel,
        back: impl Fn(usize, &mut Tape<R>, &mut [R], Run<'_>) -> Result<()> + Sync,
    ) -> Result<()> {
        if self.spent {
            let mut probabilities = vec![R::default(); circuit.dimension() * self.tapes.len()];
            *self = Self::record(circuit, &self.angles, &mut probabilities, cancel)?;
        }
        let sets = self.tapes.len();
        if sets == 0 {
            return Ok(());
        }
        self.spent = self.tapes.iter().any(|tape| !tape.reusable());
        let row = gradients.len() / sets;
        let level = Level::current()?;
        let (dimension, large) = (circuit.dimension(), circuit.dimension() >= TEAM_AMPLITUDES);
        let amplitudes = if sets == 1 { dimension } else { dimension.saturating_mul(sets) };
        let rows = self.tapes.iter_mut().zip(gradients.chunks_exact_mut(row)).enumerate();
        parallel::with_team(amplitudes, |team| {
            let one = |set: usize, tape: &mut Tape<R>, gradient: &mut [R], team: Team| {
                cancel.check()?;
                back(set, tape, gradient, Run { level, team, cancel })
            };
            if large || sets == 1 {
                let mut rows = rows;
                return rows.try_for_each(|(set, (tape, gradient))| one(set, tape, gradient, team));
            }
            let rows: Vec<_> = rows.collect();
            team.for_each(rows, |(set, (tape, gradient))| one(set, tape, gradient, Team::Solo))
        })
    }
}
