//! Angles → weights in one go: evolve, draw shots, map, set by set; and the way back.

use crate::circuit::Circuit;
use crate::error::{Error, Result};
use crate::evolve::{self, Run};
use crate::gradient::Tape;
use crate::memory;
use crate::parallel::Cancel;
use crate::sampling;
use crate::simd::{Level, Real};
use crate::state::{Kept, Workspace};
use crate::weights::WeightMap;

/// Number of shots and the seed that they are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Shots {
    /// How often the state is measured.
    pub shots: u64,
    /// Seed of the outcomes.
    pub seed: u64,
}

/// The scales of a batch: one per set, one for all, or one for every weight of the only set.
#[derive(Debug, Clone, Copy)]
pub struct Gammas<'a> {
    values: &'a [f64],
    each: bool,
}

impl<'a> From<&'a [f64]> for Gammas<'a> {
    /// One per set, or one for all.
    fn from(values: &'a [f64]) -> Self {
        Self { values, each: false }
    }
}

impl<'a> Gammas<'a> {
    /// As above; or, with `each`, one for every weight.
    pub fn new(values: &'a [f64], each: bool) -> Self {
        Self { values, each }
    }

    /// How many a set has.
    pub fn per_set(self) -> usize {
        if self.each { self.values.len() } else { 1 }
    }

    /// Writes one set's weights.
    pub fn apply<R: Real>(
        self,
        map: &WeightMap,
        set: usize,
        level: Level,
        probabilities: &[R],
        weights: &mut [R],
        cancel: &Cancel,
    ) -> Result<()> {
        if self.each {
            let gammas = memory::collected(self.values.iter().map(|&gamma| R::from_f64(gamma)))?;
            return map.apply_each(level, probabilities, &gammas, weights, cancel);
        }
        let gamma = self.values[set % self.values.len()];
        map.apply(level, probabilities, gamma, weights, cancel)
    }
}

/// The map must read as many qubits as the circuit has.
pub fn check_qubits(circuit: &Circuit, map: &WeightMap) -> Result<()> {
    if circuit.num_qubits() == map.num_qubits() {
        return Ok(());
    }
    Err(Error::value(
        "weight_map",
        format!("has {} weights and reads {} qubits", map.num_weights(), map.num_qubits()),
        format!("it must read the ansatz's {} qubits", circuit.num_qubits()),
    ))
}

/// The weights of a batch of angles.
pub fn generate_weights<'a, R: Kept>(
    circuit: &Circuit,
    angles: &[f64],
    map: &WeightMap,
    gammas: impl Into<Gammas<'a>>,
    shots: Option<Shots>,
    weights: &mut [R],
    cancel: &Cancel,
) -> Result<()> {
    check_qubits(circuit, map)?;
    let gammas = gammas.into();
    evolve::for_each_set(
        circuit,
        angles,
        weights,
        cancel,
        |set, workspace, angles, weights, run| {
            evolve::with_probabilities(circuit, angles, workspace, run, |probabilities| {
                if let Some(shots) = shots {
                    measure_frequencies(probabilities, shots, set as u64, cancel)?;
                }
                gammas.apply(map, set, run.level, probabilities, weights, cancel)
            })
        },
    )
}

/// Replaces probabilities by counts / shots.
pub fn measure_frequencies<R: Real>(
    probabilities: &mut [R],
    Shots { shots, seed }: Shots,
    row: u64,
    cancel: &Cancel,
) -> Result<()> {
    let exact = memory::collected(probabilities.iter().map(|p| p.to_f64()))?;
    let mut counts = memory::filled(probabilities.len(), 0)?;
    sampling::sample_counts(&exact, shots, seed, row, &mut counts, cancel)?;
    for (probability, &count) in probabilities.iter_mut().zip(&counts) {
        *probability = R::from_f64(count as f64 / shots as f64);
    }
    Ok(())
}

/// Evolves one set of angles for the way back, and writes its probabilities.
pub fn record<R: Real>(
    circuit: &Circuit,
    angles: &[f64],
    workspace: &mut Workspace<R>,
    probabilities: &mut [R],
    run: Run<'_>,
) -> Result<Tape<R>> {
    let tape = Tape::record(circuit, angles, workspace, run)?;
    tape.measure(circuit, probabilities, run)?;
    Ok(tape)
}

/// dL/dangles for L = sum(cotangent * probabilities), for a batch of angles and cotangents.
pub fn probabilities_vjp<R: Kept>(
    circuit: &Circuit,
    angles: &[f64],
    cotangents: &[R],
    gradients: &mut [R],
    cancel: &Cancel,
) -> Result<()> {
    let bases = circuit.dimension();
    evolve::for_each_set(circuit, angles, gradients, cancel, |set, space, angles, gradient, run| {
        let mut tape = Tape::record(circuit, angles, space, run)?;
        tape.backward(circuit, &cotangents[set * bases..][..bases], gradient, run)
    })
}

/// dL/dangles, and after them dL/dgamma, for L = sum(cotangent * weights), one row per set.
pub fn generate_weights_vjp<'a, R: Kept>(
    circuit: &Circuit,
    angles: &[f64],
    map: &WeightMap,
    gammas: impl Into<Gammas<'a>>,
    cotangents: &[R],
    gradients: &mut [R],
    cancel: &Cancel,
) -> Result<()> {
    check_qubits(circuit, map)?;
    let (weights, gammas) = (map.num_weights(), gammas.into());
    evolve::for_each_set(circuit, angles, gradients, cancel, |set, space, angles, gradient, run| {
        let mut probabilities = memory::filled(circuit.dimension(), R::default())?;
        let mut tape = record(circuit, angles, space, &mut probabilities, run)?;
        let cotangent = &cotangents[set * weights..][..weights];
        let scales = (gammas, set);
        let (least, tape) = (0.0, &mut tape);
        weights_back(circuit, map, scales, tape, &probabilities, least, cotangent, gradient, run)
    })
}

/// The way back through the map and the circuit: dL/dangles, and after them dL/dgamma.
///
/// For `least` see [`WeightMap::vjp`].
#[allow(clippy::too_many_arguments)]
pub fn weights_back<R: Real>(
    circuit: &Circuit,
    map: &WeightMap,
    (gammas, set): (Gammas<'_>, usize),
    tape: &mut Tape<R>,
    probabilities: &[R],
    least: f64,
    cotangent: &[R],
    gradient: &mut [R],
    run: Run<'_>,
) -> Result<()> {
    let (angles, gamma_gradient) = gradient.split_at_mut(circuit.num_parameters());
    let mut back = memory::filled(probabilities.len(), R::default())?;
    let Run { level, cancel, .. } = run;
    if gammas.each {
        let scales = memory::collected(gammas.values.iter().map(|&gamma| R::from_f64(gamma)))?;
        let (p, out) = (probabilities, gamma_gradient);
        map.vjp_each(level, p, &scales, cotangent, &mut back, out, least, cancel)?;
    } else {
        let gamma = gammas.values[set % gammas.values.len()];
        let by_gamma = map.vjp(level, probabilities, gamma, cotangent, &mut back, least, cancel)?;
        gamma_gradient[0] = R::from_f64(by_gamma);
    }
    tape.backward(circuit, &back, angles, run)
}
