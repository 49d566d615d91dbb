//! A forward call that keeps what the way back needs.

use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;

use super::classes::{Angles, PyEfficientSu2, PyWeightMap, check_cotangent};
use super::convert::{OwnGammas, Precision, check_finite, floats, shape, zeros};
use super::interrupt::run;
use super::weights::{Inputs, counts_bytes, shots_or_exact, split_gradients};
use crate::evolve::state_bytes;
use crate::generate::{Shots, measure_frequencies, weights_back};
use crate::memory;
use crate::parallel;
use crate::pullback::Pullback;
use crate::simd::Level;

/// The map at the end of a chain, and what it was given.
struct MapEnd<R> {
    map: Py<PyWeightMap>,
    gammas: OwnGammas,
    /// With shots, the measured frequencies.
    probabilities: Vec<R>,
    /// The least that one counts as on the way back: a single outcome's, with shots.
    least: f64,
}

struct Recorded<R> {
    circuit: Py<PyEfficientSu2>,
    batch: Option<usize>,
    pullback: Pullback<R>,
    map: Option<MapEnd<R>>,
}

enum Inner {
    Single(Recorded<f32>),
    Double(Recorded<f64>),
}

/// Takes cotangents of a forward call's result to gradients, several at a time where they come so.
#[pyclass(frozen, name = "Pullback", module = "qnnw._core")]
pub struct PyPullback(Inner);

#[pymethods]
impl PyPullback {
    /// The gradient by the angles; after `record_weights` also that by gamma.
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        cotangent: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &self.0 {
            Inner::Single(recorded) => recorded.back(py, cotangent),
            Inner::Double(recorded) => recorded.back(py, cotangent),
        }
    }
}

impl<R: Precision> Recorded<R> {
    fn back<'py>(
        &self,
        py: Python<'py>,
        cotangent: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let ansatz = self.circuit.get();
        let circuit = &ansatz.0;
        let (bases, parameters) = (circuit.dimension(), circuit.num_parameters());
        let values = self.map.as_ref().map_or(bases, |end| end.map.get().0.num_weights());
        let cotangent = floats::<R>(cotangent, "cotangent")?;
        check_cotangent(cotangent.shape(), &shape(self.batch, values))?;
        let cotangents = cotangent.as_slice()?;
        check_finite(cotangents, "cotangent")?;
        let sets = self.batch.unwrap_or(1);
        let scales = self.map.as_ref().map_or(0, |end| end.gammas.as_gammas().per_set());
        let columns = parameters + scales;
        let mut rows = memory::filled(sets * columns, R::default())?;
        let (out, pullback, map) = (&mut rows, &self.pullback, &self.map);
        run(py, 2 * ansatz.steps(self.batch), move |cancel| {
            pullback.apply(circuit, out, cancel, |set, tape, gradient, run| {
                let cotangent = &cotangents[set * values..][..values];
                let Some(MapEnd { map, gammas, probabilities, least }) = map else {
                    return tape.backward(circuit, cotangent, gradient, run);
                };
                let scales = (gammas.as_gammas(), set);
                let probabilities = &probabilities[set * bases..][..bases];
                let (map, least) = (&map.get().0, *least);
                weights_back(
                    circuit,
                    map,
                    scales,
                    tape,
                    probabilities,
                    least,
                    cotangent,
                    gradient,
                    run,
                )
            })
        })?;
        if let Some(end) = &self.map {
            let pair = split_gradients(py, &rows, self.batch, parameters, &end.gammas)?;
            return Ok(pair.into_pyobject(py)?.into_any());
        }
        let out = zeros::<R>(py, &shape(self.batch, parameters))?;
        out.readwrite().as_slice_mut()?.copy_from_slice(&rows);
        Ok(out.into_any())
    }
}

/// An array and its pullback.
type WithPullback<'py> = (Bound<'py, PyAny>, PyPullback);

#[pyfunction]
pub fn record_probabilities<'py>(
    ansatz: &Bound<'py, PyEfficientSu2>,
    angles: &Bound<'py, PyAny>,
    single: bool,
) -> PyResult<WithPullback<'py>> {
    if single {
        let (out, recorded) = probabilities::<f32>(ansatz, angles)?;
        return Ok((out.into_any(), PyPullback(Inner::Single(recorded))));
    }
    let (out, recorded) = probabilities::<f64>(ansatz, angles)?;
    Ok((out.into_any(), PyPullback(Inner::Double(recorded))))
}

/// With shots, the map and its derivative are taken at the measured frequencies, and the way back
/// through the circuit is the exact one: a straight-through estimator of the gradient.
#[pyfunction]
#[pyo3(signature = (ansatz, angles, weight_map, gamma, shots, seed, single))]
pub fn record_weights<'py>(
    ansatz: &Bound<'py, PyEfficientSu2>,
    angles: &Bound<'py, PyAny>,
    weight_map: &Bound<'py, PyWeightMap>,
    gamma: &Bound<'py, PyAny>,
    shots: Option<&Bound<'py, PyAny>>,
    seed: Option<&Bound<'py, PyAny>>,
    single: bool,
) -> PyResult<WithPullback<'py>> {
    let shots = shots_or_exact(shots, seed)?;
    if single {
        let (out, recorded) = weights::<f32>(ansatz, angles, weight_map, gamma, shots)?;
        return Ok((out.into_any(), PyPullback(Inner::Single(recorded))));
    }
    let (out, recorded) = weights::<f64>(ansatz, angles, weight_map, gamma, shots)?;
    Ok((out.into_any(), PyPullback(Inner::Double(recorded))))
}

type Outcome<'py, R> = (Bound<'py, PyArrayDyn<R>>, Recorded<R>);

fn probabilities<'py, R: Precision>(
    ansatz: &Bound<'py, PyEfficientSu2>,
    angles: &Bound<'py, PyAny>,
) -> PyResult<Outcome<'py, R>> {
    let py = angles.py();
    let circuit = &ansatz.get().0;
    let Angles { values, batch } = ansatz.get().angles(angles)?;
    let row_bytes = state_bytes::<R>(circuit) / 2;
    Pullback::<R>::require_memory(circuit, batch.unwrap_or(1), row_bytes, 0)?;
    let out = zeros::<R>(py, &shape(batch, circuit.dimension()))?;
    let mut borrow = out.readwrite();
    let slice = borrow.as_slice_mut()?;
    let pullback = run(py, ansatz.get().steps(batch), move |cancel| {
        Pullback::record(circuit, values, slice, cancel)
    })?;
    drop(borrow);
    let circuit = ansatz.clone().unbind();
    Ok((out, Recorded { circuit, batch, pullback, map: None }))
}

fn weights<'py, R: Precision>(
    ansatz: &Bound<'py, PyEfficientSu2>,
    angles: &Bound<'py, PyAny>,
    weight_map: &Bound<'py, PyWeightMap>,
    gamma: &Bound<'py, PyAny>,
    shots: Option<Shots>,
) -> PyResult<Outcome<'py, R>> {
    let py = angles.py();
    let (circuit, map) = (&ansatz.get().0, &weight_map.get().0);
    let inputs = Inputs::new::<R>(ansatz.get(), angles, weight_map.get(), gamma)?;
    let (sets, batch) = (inputs.sets(), inputs.batch);
    let row_bytes =
        state_bytes::<R>(circuit) / 2 + map.num_weights() as u128 * size_of::<R>() as u128;
    let work_bytes = counts_bytes(circuit, shots) + map.feature_bytes::<R>();
    Pullback::<R>::require_memory(circuit, sets, row_bytes, work_bytes)?;
    let mut probabilities = memory::filled(sets * circuit.dimension(), R::default())?;
    let level = Level::current()?;
    let out = zeros::<R>(py, &shape(batch, map.num_weights()))?;
    let mut borrow = out.readwrite();
    let slice = borrow.as_slice_mut()?;
    let Inputs { angles, gammas, .. } = inputs;
    let (scales, bases) = (gammas.as_gammas(), &mut probabilities);
    let pullback = run(py, ansatz.get().steps(batch), move |cancel| {
        let pullback = Pullback::record(circuit, angles, bases, cancel)?;
        let amplitudes = bases.len();
        let rows = bases.chunks_mut(circuit.dimension()).zip(slice.chunks_mut(map.num_weights()));
        parallel::with_team(amplitudes, |team| {
            let rows = memory::collected(rows.enumerate())?;
            team.for_each(rows, |(set, (probabilities, weights))| {
                if let Some(shots) = shots {
                    measure_frequencies(probabilities, shots, set as u64, cancel)?;
                }
                scales.apply(map, set, level, probabilities, weights, cancel)
            })
        })?;
        Ok(pullback)
    })?;
    drop(borrow);
    let least = shots.map_or(0.0, |shots| 1.0 / shots.shots as f64);
    let map = MapEnd { map: weight_map.clone().unbind(), gammas, probabilities, least };
    let circuit = ansatz.clone().unbind();
    Ok((out, Recorded { circuit, batch, pullback, map: Some(map) }))
}
