//! The functions: shots, threads, what the core is.

use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::convert::{asked, check_probabilities, floats, size, unsigned, zeros};
use super::interrupt::run;
use crate::error::Error;
use crate::memory;
use crate::parallel;
use crate::sampling;
use crate::simd::Level;

#[pyfunction]
pub fn sample_counts<'py>(
    probabilities: &Bound<'py, PyAny>,
    shots: &Bound<'py, PyAny>,
    seed: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArrayDyn<i64>>> {
    let py = probabilities.py();
    let array = floats::<f64>(probabilities, "probabilities")?;
    let tolerance = match is_single(probabilities)? {
        true => sampling::SINGLE_TOLERANCE,
        false => sampling::SUM_TOLERANCE,
    };
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
    let out = zeros::<i64>(py, &dims)?;
    let mut borrow = out.readwrite();
    let counts = borrow.as_slice_mut()?;
    run(py, values.len() as u128 * 64, move |cancel| {
        check_probabilities(values)?;
        values.chunks(bins).try_for_each(|row| sampling::check_distribution(row, tolerance))?;
        parallel::with_team(values.len(), |team| {
            let rows = values.chunks(bins).zip(counts.chunks_mut(bins)).enumerate();
            let rows = memory::collected(rows)?;
            team.for_each(rows, |(row, (values, counts))| {
                sampling::sample_counts(values, shots, seed, row as u64, counts, cancel)
            })
        })
    })?;
    drop(borrow);
    Ok(out)
}

/// Whether an array or a tensor holds float32.
fn is_single(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let dtype = asked(object.py(), object.getattr("dtype").and_then(|dtype| dtype.str()))?;
    Ok(dtype.is_some_and(|name| name.to_string_lossy().ends_with("float32")))
}

/// A number of shots: an integer from 1 to 2^40.
pub fn shots_from(object: &Bound<'_, PyAny>) -> PyResult<u64> {
    let shots = unsigned(object, "shots")?;
    sampling::check_shots(shots)?;
    Ok(shots)
}

#[pyfunction]
pub fn set_num_threads(num_threads: &Bound<'_, PyAny>) -> PyResult<()> {
    Ok(parallel::set_num_threads(size(num_threads, "num_threads")?)?)
}

#[pyfunction]
pub fn get_num_threads() -> usize {
    parallel::num_threads()
}

/// An error if so many bytes are not free, for arrays that are made in Python.
#[pyfunction]
pub fn require_memory(num_bytes: u128, what: String) -> PyResult<()> {
    Ok(memory::require(num_bytes, || what)?)
}

#[pyfunction]
pub fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("profile", if cfg!(debug_assertions) { "debug" } else { "release" })?;
    info.set_item("target", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS))?;
    info.set_item("simd", Level::current()?.name())?;
    info.set_item("num_threads", parallel::num_threads())?;
    Ok(info)
}
