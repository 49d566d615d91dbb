//! Weights: the map, the whole chain, and the way back.

use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;

use super::classes::{Angles, PyEfficientSu2, PyWeightMap, check_cotangent};
use super::convert::{
    OwnGammas, Precision, batch, check_finite, check_probabilities, floats, gammas, shape,
    unsigned, zeros,
};
use super::functions::shots_from;
use super::interrupt::run;
use crate::error::{Error, Result};
use crate::evolve::{self, state_bytes};
use crate::generate::{self, Shots, check_qubits};
use crate::gradient::states_needed;
use crate::memory;
use crate::parallel::{self, Team};
use crate::simd::Level;
use crate::weights::walsh;

#[pyfunction]
pub fn probs_to_weights<'py>(
    probabilities: &Bound<'py, PyAny>,
    weight_map: &Bound<'py, PyWeightMap>,
    gamma: &Bound<'py, PyAny>,
    single: bool,
) -> PyResult<Bound<'py, PyAny>> {
    if single {
        return Ok(mapped::<f32>(probabilities, weight_map, gamma)?.into_any());
    }
    Ok(mapped::<f64>(probabilities, weight_map, gamma)?.into_any())
}

fn mapped<'py, R: Precision>(
    probabilities: &Bound<'py, PyAny>,
    weight_map: &Bound<'py, PyWeightMap>,
    gamma: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArrayDyn<R>>> {
    let py = probabilities.py();
    let map = &weight_map.get().0;
    let array = floats::<R>(probabilities, "probabilities")?;
    let bases = 1usize << map.num_qubits();
    let batch = batch(array.shape(), bases, "probabilities", || {
        let (weights, qubits) = (map.num_weights(), map.num_qubits());
        format!("a map of {weights} weights needs 2**{qubits} = {bases}")
    })?;
    let weights = map.num_weights();
    let gammas = gammas::<R>(gamma, batch, weights)?;
    let gammas = gammas.as_gammas();
    let values = array.as_slice()?;
    let total = weights as u128 * batch.unwrap_or(1) as u128;
    let bytes = total * size_of::<R>() as u128 + map.feature_bytes::<R>();
    memory::require(bytes, || format!("the result of {total} weights"))?;
    let level = Level::current()?;
    let out = zeros::<R>(py, &shape(batch, weights))?;
    let mut borrow = out.readwrite();
    let slice = borrow.as_slice_mut()?;
    run(py, total * 8, move |cancel| {
        check_probabilities(values)?;
        parallel::with_team(slice.len(), |team| {
            let rows = values.chunks(bases).zip(slice.chunks_mut(weights)).enumerate();
            let row = |(set, (values, weights)): (usize, (&[R], &mut [R]))| -> Result<()> {
                gammas.apply(map, set, level, values, weights, cancel)
            };
            match team {
                Team::Solo => rows.into_iter().try_for_each(row),
                Team::Pool => team.for_each(memory::collected(rows)?, row),
            }
        })
    })?;
    drop(borrow);
    Ok(out)
}

/// The transform of the Hadamard map, of one vector of float64.
#[pyfunction]
pub fn walsh_hadamard<'py>(values: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = values.py();
    let array = floats::<f64>(values, "values")?;
    let length = array.shape().iter().product::<usize>();
    if array.shape().len() != 1 || !length.is_power_of_two() {
        let need = "it must be one vector, its length a power of two";
        return Err(Error::value("values", format!("has shape {:?}", array.shape()), need).into());
    }
    let level = Level::current()?;
    let out = zeros::<f64>(py, &[length])?;
    let mut borrow = out.readwrite();
    let slice = borrow.as_slice_mut()?;
    slice.copy_from_slice(array.as_slice()?);
    run(py, length as u128 * 8, move |cancel| {
        parallel::with_team(length, |team| walsh::transform(level, slice, team, cancel))
    })?;
    drop(borrow);
    Ok(out.into_any())
}

#[pyfunction]
#[pyo3(signature = (ansatz, angles, weight_map, gamma, shots, seed, single))]
pub fn generate_weights<'py>(
    ansatz: &Bound<'py, PyEfficientSu2>,
    angles: &Bound<'py, PyAny>,
    weight_map: &Bound<'py, PyWeightMap>,
    gamma: &Bound<'py, PyAny>,
    shots: Option<&Bound<'py, PyAny>>,
    seed: Option<&Bound<'py, PyAny>>,
    single: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let shots = shots_or_exact(shots, seed)?;
    if single {
        return Ok(generated::<f32>(ansatz, angles, weight_map, gamma, shots)?.into_any());
    }
    Ok(generated::<f64>(ansatz, angles, weight_map, gamma, shots)?.into_any())
}

/// Shots and their seed, or none.
pub fn shots_or_exact(
    shots: Option<&Bound<'_, PyAny>>,
    seed: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<Shots>> {
    match (shots, seed) {
        (None, _) => Ok(None),
        (Some(shots), Some(seed)) => {
            Ok(Some(Shots { shots: shots_from(shots)?, seed: unsigned(seed, "seed")? }))
        }
        (Some(_), None) => {
            let need = "with `shots` the outcomes are drawn from a seed: an integer is needed";
            Err(Error::value("seed", "is missing", need).into())
        }
    }
}

/// What the chain from angles to weights starts from.
pub struct Inputs {
    pub angles: Vec<f64>,
    pub batch: Option<usize>,
    pub gammas: OwnGammas,
}

impl Inputs {
    /// Checks that circuit, map, angles and gamma fit.
    pub fn new<R: Precision>(
        ansatz: &PyEfficientSu2,
        angles: &Bound<'_, PyAny>,
        weight_map: &PyWeightMap,
        gamma: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        check_qubits(&ansatz.0, &weight_map.0)?;
        let Angles { values: angles, batch } = ansatz.angles(angles)?;
        let gammas = gammas::<R>(gamma, batch, weight_map.0.num_weights())?;
        Ok(Self { angles, batch, gammas })
    }

    /// Sets of angles.
    pub fn sets(&self) -> usize {
        self.batch.unwrap_or(1)
    }
}

fn generated<'py, R: Precision>(
    ansatz: &Bound<'py, PyEfficientSu2>,
    angles: &Bound<'py, PyAny>,
    weight_map: &Bound<'py, PyWeightMap>,
    gamma: &Bound<'py, PyAny>,
    shots: Option<Shots>,
) -> PyResult<Bound<'py, PyArrayDyn<R>>> {
    let py = angles.py();
    let (circuit, map) = (&ansatz.get().0, &weight_map.get().0);
    let inputs = Inputs::new::<R>(ansatz.get(), angles, weight_map.get(), gamma)?;
    let (sets, batch) = (inputs.sets(), inputs.batch);
    let result_bytes = map.num_weights() as u128 * size_of::<R>() as u128;
    // A state's half for its probabilities, which otherwise lie in the second state.
    let states = evolve::work_bytes::<R>(circuit)?.max(3 * state_bytes::<R>(circuit) / 2);
    let work_bytes = states + counts_bytes(circuit, shots) + map.feature_bytes::<R>();
    evolve::require_memory(circuit, sets, result_bytes, work_bytes)?;
    let out = zeros::<R>(py, &shape(batch, map.num_weights()))?;
    let mut borrow = out.readwrite();
    let slice = borrow.as_slice_mut()?;
    let drawn = if shots.is_some() { 64 } else { 0 };
    let steps =
        ansatz.get().steps(batch) + (8 + drawn) * circuit.dimension() as u128 * sets as u128;
    run(py, steps, move |cancel| {
        let Inputs { angles, gammas, .. } = &inputs;
        let gammas = gammas.as_gammas();
        generate::generate_weights(circuit, angles, map, gammas, shots, slice, cancel)
    })?;
    drop(borrow);
    Ok(out)
}

/// What drawing shots takes while one set is drawn: its probabilities in double precision, and counts.
pub fn counts_bytes(circuit: &crate::Circuit, shots: Option<Shots>) -> u128 {
    if shots.is_some() { circuit.dimension() as u128 * 16 } else { 0 }
}

/// Gradients by angles and by gamma, as arrays with and without a batch axis.
pub type Gradients<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

#[pyfunction]
pub fn generate_weights_vjp<'py>(
    ansatz: &Bound<'py, PyEfficientSu2>,
    angles: &Bound<'py, PyAny>,
    weight_map: &Bound<'py, PyWeightMap>,
    gamma: &Bound<'py, PyAny>,
    cotangent: &Bound<'py, PyAny>,
    single: bool,
) -> PyResult<Gradients<'py>> {
    if single {
        return vjp::<f32>(ansatz, angles, weight_map, gamma, cotangent);
    }
    vjp::<f64>(ansatz, angles, weight_map, gamma, cotangent)
}

fn vjp<'py, R: Precision>(
    ansatz: &Bound<'py, PyEfficientSu2>,
    angles: &Bound<'py, PyAny>,
    weight_map: &Bound<'py, PyWeightMap>,
    gamma: &Bound<'py, PyAny>,
    cotangent: &Bound<'py, PyAny>,
) -> PyResult<Gradients<'py>> {
    let py = angles.py();
    let (circuit, map) = (&ansatz.get().0, &weight_map.get().0);
    let inputs = Inputs::new::<R>(ansatz.get(), angles, weight_map.get(), gamma)?;
    let (sets, batch) = (inputs.sets(), inputs.batch);
    let cotangent = floats::<R>(cotangent, "cotangent")?;
    check_cotangent(cotangent.shape(), &shape(batch, map.num_weights()))?;
    let cotangents = cotangent.as_slice()?;
    check_finite(cotangents, "cotangent")?;
    // Probabilities and their cotangent take as much as one more state.
    let [kept, beside] = states_needed::<R>(circuit, Level::current()?)?;
    let work_bytes = (kept + beside + 1) * state_bytes::<R>(circuit) + map.feature_bytes::<R>();
    let columns = circuit.num_parameters() + inputs.gammas.as_gammas().per_set();
    // As rows, and once more as the two arrays.
    let row_bytes = (2 * columns * size_of::<R>()) as u128;
    evolve::require_memory(circuit, sets, row_bytes, work_bytes)?;
    let mut rows = memory::filled(sets * columns, R::default())?;
    let (out, given) = (&mut rows, &inputs);
    run(py, 3 * ansatz.get().steps(batch), move |cancel| {
        let Inputs { angles, gammas, .. } = given;
        let gammas = gammas.as_gammas();
        generate::generate_weights_vjp(circuit, angles, map, gammas, cotangents, out, cancel)
    })?;
    split_gradients(py, &rows, batch, circuit.num_parameters(), &inputs.gammas)
}

/// Rows of a gradient by angles and gamma as two arrays.
pub fn split_gradients<'py, R: Precision>(
    py: Python<'py>,
    rows: &[R],
    batch: Option<usize>,
    parameters: usize,
    gammas: &OwnGammas,
) -> PyResult<Gradients<'py>> {
    let by_angles = zeros::<R>(py, &shape(batch, parameters))?;
    let by_gamma = zeros::<R>(py, &gammas.shape(batch))?;
    let scales = gammas.as_gammas().per_set();
    {
        let (mut by_angles, mut by_gamma) = (by_angles.readwrite(), by_gamma.readwrite());
        let (by_angles, by_gamma) = (by_angles.as_slice_mut()?, by_gamma.as_slice_mut()?);
        for (set, row) in rows.chunks_exact(parameters + scales).enumerate() {
            by_angles[set * parameters..][..parameters].copy_from_slice(&row[..parameters]);
            by_gamma[set * scales..][..scales].copy_from_slice(&row[parameters..]);
        }
    }
    Ok((by_angles.into_any(), by_gamma.into_any()))
}
