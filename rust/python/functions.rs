//! The functions: shots, weights, threads.

use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::classes::{Angles, PyEfficientSu2, PyWeightMap};
use super::convert::{batch, check_probabilities, floats, gammas, shape, size, unsigned};
use super::interrupt::run;
use crate::error::{Error, Result};
use crate::evolve;
use crate::generate::{self, Shots, check_qubits};
use crate::memory;
use crate::parallel::{self, Team};
use crate::sampling;
use crate::simd;

#[pyfunction]
pub fn sample_counts<'py>(
    probabilities: &Bound<'py, PyAny>,
    shots: &Bound<'py, PyAny>,
    seed: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArrayDyn<i64>>> {
    let py = probabilities.py();
    let array = floats(probabilities, "probabilities")?;
    let dims = array.shape().to_vec();
    let bins = dims.last().copied().unwrap_or(0);
    if bins == 0 || dims.len() > 2 {
        let need = "one axis of bins, or one batch axis before it, is needed";
        return Err(Error::value("probabilities", format!("has shape {dims:?}"), need).into());
    }
    let shots = shots_from(shots)?;
    let seed = unsigned(seed, "seed")?;
    let values = array.as_slice()?;
    memory::require(values.len() as u128 * 8, || format!("the counts of {} bins", values.len()))?;
    let out = PyArrayDyn::<i64>::zeros(py, dims, false);
    let mut borrow = out.readwrite();
    let counts = borrow.as_slice_mut()?;
    run(py, values.len() as u128 * 64, move |cancel| {
        check_probabilities(values)?;
        values.chunks(bins).try_for_each(sampling::check_distribution)?;
        parallel::with_team(values.len(), |team| {
            let rows = values.chunks(bins).zip(counts.chunks_mut(bins)).enumerate();
            let rows: Vec<_> = rows.collect();
            team.for_each(rows, |(row, (values, counts))| {
                sampling::sample_counts(values, shots, seed, row as u64, counts, cancel)
            })
        })
    })?;
    drop(borrow);
    Ok(out)
}

/// A number of shots: an integer from 1 to 2^40.
fn shots_from(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    let shots = unsigned(object, "shots")?;
    sampling::check_shots(shots)?;
    Ok(shots)
}

#[pyfunction]
pub fn probs_to_weights<'py>(
    probabilities: &Bound<'py, PyAny>,
    weight_map: &Bound<'py, PyWeightMap>,
    gamma: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let py = probabilities.py();
    let map = &weight_map.get().0;
    let array = floats(probabilities, "probabilities")?;
    let bases = 1usize << map.num_qubits();
    let batch = batch(array.shape(), bases, "probabilities", || {
        let (weights, qubits) = (map.num_weights(), map.num_qubits());
        format!("a map of {weights} weights needs 2**{qubits} = {bases}")
    })?;
    let gammas = gammas(gamma, batch)?;
    let values = array.as_slice()?;
    let weights = map.num_weights();
    let total = weights as u128 * batch.unwrap_or(1) as u128;
    memory::require(total * 8, || format!("the result of {total} weights"))?;
    let out = PyArrayDyn::<f64>::zeros(py, shape(batch, weights), false);
    let mut borrow = out.readwrite();
    let slice = borrow.as_slice_mut()?;
    run(py, total * 32, move |cancel| {
        check_probabilities(values)?;
        parallel::with_team(slice.len(), |team| {
            let rows = values.chunks(bases).zip(slice.chunks_mut(weights)).enumerate();
            let row = |(set, (values, weights)): (usize, (&[f64], &mut [f64]))| -> Result<()> {
                map.apply(values, gammas[set % gammas.len()], weights, cancel)
            };
            match team {
                Team::Solo => rows.into_iter().try_for_each(row),
                Team::Pool => team.for_each(rows.collect::<Vec<_>>(), row),
            }
        })
    })?;
    drop(borrow);
    Ok(out)
}

#[pyfunction]
#[pyo3(signature = (ansatz, angles, weight_map, gamma, shots=None, seed=None))]
pub fn generate_weights<'py>(
    ansatz: &Bound<'py, PyEfficientSu2>,
    angles: &Bound<'py, PyAny>,
    weight_map: &Bound<'py, PyWeightMap>,
    gamma: &Bound<'py, PyAny>,
    shots: Option<&Bound<'py, PyAny>>,
    seed: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let py = angles.py();
    let (circuit, map) = (&ansatz.get().0, &weight_map.get().0);
    check_qubits(circuit, map)?;
    let Angles { values, batch } = ansatz.get().angles(angles)?;
    let gammas = gammas(gamma, batch)?;
    let shots = match (shots, seed) {
        (None, _) => None,
        (Some(shots), Some(seed)) => {
            Some(Shots { shots: shots_from(shots)?, seed: unsigned(seed, "seed")? })
        }
        (Some(_), None) => {
            let need = "with `shots` the outcomes are drawn from a seed: an integer is needed";
            return Err(Error::value("seed", "is missing", need).into());
        }
    };
    let sets = batch.unwrap_or(1);
    let counts_bytes = if shots.is_some() { circuit.dimension() as u128 * 8 } else { 0 };
    evolve::require_memory(circuit, sets, map.num_weights() as u128 * 8 + counts_bytes)?;
    let out = PyArrayDyn::<f64>::zeros(py, shape(batch, map.num_weights()), false);
    let mut borrow = out.readwrite();
    let slice = borrow.as_slice_mut()?;
    let drawn = if shots.is_some() { 64 } else { 0 };
    let steps =
        ansatz.get().steps(batch) + (32 + drawn) * circuit.dimension() as u128 * sets as u128;
    run(py, steps, move |cancel| {
        generate::generate_weights(circuit, &values, map, &gammas, shots, slice, cancel)
    })?;
    drop(borrow);
    Ok(out)
}

#[pyfunction]
pub fn set_num_threads(num_threads: &Bound<'_, PyAny>) -> PyResult<()> {
    Ok(parallel::set_num_threads(size(num_threads, "num_threads")?)?)
}

#[pyfunction]
pub fn get_num_threads() -> usize {
    parallel::num_threads()
}

#[pyfunction]
pub fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
    info.set_item("target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS))?;
    info.set_item("simd", simd::level().name())?;
    info.set_item("num_threads", parallel::num_threads())?;
    Ok(info)
}
