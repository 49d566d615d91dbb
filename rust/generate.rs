//! Angles → weights in one go: evolve, draw shots, map, set by set.

use crate::circuit::Circuit;
use crate::error::{Error, Result};
use crate::evolve;
use crate::parallel::Cancel;
use crate::sampling;
use crate::weights::WeightMap;

/// Number of shots and the seed that they are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Shots {
    /// How often the state is measured.
    pub shots: u64,
    /// Seed of the outcomes.
    pub seed: u64,
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

/// The weights of a batch of angles; `gammas` has one entry per set, or one for all.
pub fn generate_weights(
    circuit: &Circuit,
    angles: &[f64],
    map: &WeightMap,
    gammas: &[f64],
    shots: Option<Shots>,
    weights: &mut [f64],
    cancel: &Cancel,
) -> Result<()> {
    check_qubits(circuit, map)?;
    evolve::for_each_set(circuit, angles, weights, cancel, |set, workspace, angles, weights, run| {
        let gamma = gammas[set % gammas.len()];
        evolve::with_probabilities(circuit, angles, workspace, run, |probabilities| {
            if let Some(Shots { shots, seed }) = shots {
                measure_frequencies(probabilities, shots, seed, set as u64, cancel)?;
            }
            map.apply(run.level, probabilities, gamma, weights, cancel)
        })
    })
}

/// Replaces probabilities by counts / shots.
fn measure_frequencies(
    probabilities: &mut [f64],
    shots: u64,
    seed: u64,
    row: u64,
    cancel: &Cancel,
) -> Result<()> {
    let mut counts = vec![0; probabilities.len()];
    sampling::sample_counts(probabilities, shots, seed, row, &mut counts, cancel)?;
    for (probability, &count) in probabilities.iter_mut().zip(&counts) {
        *probability = count as f64 / shots as f64;
    }
    Ok(())
}
