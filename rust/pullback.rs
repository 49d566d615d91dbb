//! A forward evolution that waits for its cotangents.

use std::sync::{Mutex, OnceLock};

use crate::circuit::Circuit;
use crate::error::Result;
use crate::evolve::{self, Run, state_bytes};
use crate::generate::record;
use crate::gradient::{Tape, states_needed};
use crate::memory;
use crate::parallel::{self, Cancel, TEAM_AMPLITUDES, Team};
use crate::simd::Level;
use crate::state::Kept;

/// The tapes of a batch of angles.
#[derive(Debug)]
pub struct Pullback<R> {
    angles: Vec<f64>,
    /// None while a call uses them, and once they are used up: whoever comes then records others, and
    /// never waits. The owner may be waiting for the one that came: in a signal handler, or for a
    /// thread that calls; or it may be on the other side of a fork.
    tapes: Mutex<Option<Vec<Tape<R>>>>,
}

impl<R: Kept> Pullback<R> {
    /// Evolves a batch of angles and writes the probabilities, one row per set.
    pub fn record(
        circuit: &Circuit,
        angles: Vec<f64>,
        probabilities: &mut [R],
        cancel: &Cancel,
    ) -> Result<Self> {
        let tapes = tapes(circuit, &angles, probabilities, cancel)?;
        Ok(Self { angles, tapes: Mutex::new(Some(tapes)) })
    }

    /// An error if the tapes of a batch do not fit in memory, `set_bytes` more per set and
    /// `work_bytes` more per set at work included.
    pub fn require_memory(
        circuit: &Circuit,
        sets: usize,
        set_bytes: u128,
        work_bytes: u128,
    ) -> Result<()> {
        let state = state_bytes::<R>(circuit);
        let [kept, beside] = states_needed::<R>(circuit, Level::current()?)?;
        let (set, work) = (set_bytes + kept * state, work_bytes + beside * state);
        evolve::require_memory(circuit, sets, set, work)
    }

    /// Runs `back(set, tape, gradient, run)` for every set, one row of `gradients` each.
    pub fn apply(
        &self,
        circuit: &Circuit,
        gradients: &mut [R],
        cancel: &Cancel,
        back: impl Fn(usize, &mut Tape<R>, &mut [R], Run<'_>) -> Result<()> + Sync,
    ) -> Result<()> {
        let sets = self.angles.len() / circuit.num_parameters();
        if sets == 0 {
            return Ok(());
        }
        let waiting = self.tapes.try_lock().ok().and_then(|mut waiting| waiting.take());
        let mut tapes = match waiting {
            Some(tapes) => tapes,
            None => {
                let row_bytes = state_bytes::<R>(circuit) / 2;
                Self::require_memory(circuit, sets, row_bytes, 0)?;
                let mut probabilities = memory::filled(circuit.dimension() * sets, R::default())?;
                tapes(circuit, &self.angles, &mut probabilities, cancel)?
            }
        };
        let row = gradients.len() / sets;
        let level = Level::current()?;
        let (dimension, large) = (circuit.dimension(), circuit.dimension() >= TEAM_AMPLITUDES);
        let amplitudes = if sets == 1 { dimension } else { dimension.saturating_mul(sets) };
        let rows = tapes.iter_mut().zip(gradients.chunks_exact_mut(row)).enumerate();
        let done = parallel::with_team(amplitudes, |team| {
            let one = |set: usize, tape: &mut Tape<R>, gradient: &mut [R], team: Team| {
                cancel.check()?;
                back(set, tape, gradient, Run { level, team, cancel })
            };
            if large || sets == 1 {
                let mut rows = rows;
                return rows.try_for_each(|(set, (tape, gradient))| one(set, tape, gradient, team));
            }
            let rows = memory::collected(rows)?;
            team.for_each(rows, |(set, (tape, gradient))| one(set, tape, gradient, Team::Solo))
        });
        if tapes.iter().all(Tape::reusable)
            && let Ok(mut waiting) = self.tapes.try_lock()
        {
            *waiting = Some(tapes);
        }
        done
    }
}

/// Evolves a batch of angles, and writes the probabilities.
fn tapes<R: Kept>(
    circuit: &Circuit,
    angles: &[f64],
    probabilities: &mut [R],
    cancel: &Cancel,
) -> Result<Vec<Tape<R>>> {
    let sets = angles.len() / circuit.num_parameters();
    let tapes = memory::collected((0..sets).map(|_| OnceLock::new()))?;
    evolve::for_each_set(
        circuit,
        angles,
        probabilities,
        cancel,
        |set, space, angles, out, run| {
            let tape = record(circuit, angles, space, out, run)?;
            // Every set is recorded once.
            let _ = tapes[set].set(tape);
            Ok(())
        },
    )?;
    let tapes = tapes.into_iter().filter_map(OnceLock::into_inner);
    let mut found = Vec::new();
    memory::reserve(&mut found, sets)?;
    found.extend(tapes);
    Ok(found)
}
