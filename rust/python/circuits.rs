//! Circuits of any gates, as Pauli rotations.

use std::sync::Mutex;

use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;

use super::classes::{Angles, PyWeightMap, check_cotangent};
use super::convert::{
    Precision, batch, check_finite, check_probabilities, floats, gammas, integers, shape, size,
    unsigned, zeros,
};
use super::interrupt::run;
use crate::error::{Error, Result};
use crate::gates::run::{Evolved, for_each_set};
use crate::gates::{self, Program, Rotation};
use crate::memory;
use crate::simd::Level;

/// A circuit, lowered and planned.
#[pyclass(frozen, name = "Program", module = "qnnw._core")]
pub struct PyProgram(Program);

/// Probabilities, and the state of a single set.
type Measured<'py, R> = (Bound<'py, PyArrayDyn<R>>, Option<Evolved<R>>);

/// Lines of a tile, and by step: rotations, groups of phases, phases.
type Walk = (usize, Vec<(usize, usize, usize)>);

#[pymethods]
impl PyProgram {
    #[new]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        num_qubits: &Bound<'_, PyAny>,
        num_parameters: &Bound<'_, PyAny>,
        paulis: [Bound<'_, PyAny>; 3],
        constants: &Bound<'_, PyAny>,
        terms: [Bound<'_, PyAny>; 2],
        coefficients: &Bound<'_, PyAny>,
        rows: &Bound<'_, PyAny>,
        hadamards: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let whole = |object: &Bound<'_, PyAny>, argument: &'static str| {
            integers(object, argument, |entry| {
                u64::try_from(entry).map_err(|_| {
                    Error::value(argument, format!("has the entry {entry}"), "it must fit 64 bits")
                })
            })
        };
        let [flips, signs, quarters] = paulis;
        let (flips, signs) = (whole(&flips, "flips")?, whole(&signs, "signs")?);
        let quarters = whole(&quarters, "quarters")?;
        let [starts, places_of_terms] = terms;
        let rotations = memory::collected(flips.iter().zip(&signs).zip(&quarters).map(
            |((&flips, &signs), &quarters)| Rotation { flips, signs, quarters: quarters as u8 & 7 },
        ))?;
        let places = |object, argument| -> PyResult<Vec<usize>> {
            Ok(whole(object, argument)?.into_iter().map(|place| place as usize).collect())
        };
        let reals = |object: &Bound<'_, PyAny>, argument| -> PyResult<Vec<f64>> {
            Ok(memory::collected(floats::<f64>(object, argument)?.as_slice()?.iter().copied())?)
        };
        let angles = gates::Angles {
            constants: reals(constants, "constants")?,
            starts: places(&starts, "starts")?,
            parameters: places(&places_of_terms, "parameters")?,
            coefficients: reals(coefficients, "coefficients")?,
        };
        let (qubits, parameters) =
            (size(num_qubits, "num_qubits")?, size(num_parameters, "num_parameters")?);
        let (rows, hadamards) = (whole(rows, "rows")?, unsigned(hadamards, "hadamards")?);
        let level = Level::current()?;
        let work = || Program::new(qubits, parameters, rotations, angles, rows, hadamards, level);
        Ok(Self(py.detach(work)?))
    }

    #[getter]
    fn num_qubits(&self) -> usize {
        self.0.num_qubits
    }

    #[getter]
    fn num_parameters(&self) -> usize {
        self.0.num_parameters
    }

    /// The walks over the state, forwards or backwards, in double precision.
    fn walks(&self, back: bool) -> Vec<Walk> {
        let passes = self.0.plans[0][usize::from(back)].passes.iter();
        let lines = self.0.plans[0][usize::from(back)].lines.count();
        passes
            .map(|pass| {
                let steps = pass.steps.iter().map(|step| {
                    let entries = step.groups.iter().map(|group| group.entries.len());
                    (step.turns.len(), step.groups.len(), entries.sum())
                });
                (lines / pass.tiles(), steps.collect())
            })
            .collect()
    }

    /// The parameters as an array of our own, checked as everywhere.
    fn checked_angles<'py>(
        &self,
        angles: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let Angles { values, batch } = self.angles(angles)?;
        let copy = zeros::<f64>(angles.py(), &shape(batch, self.0.num_parameters))?;
        copy.readwrite().as_slice_mut()?.copy_from_slice(&values);
        Ok(copy)
    }

    fn probabilities<'py>(
        &self,
        angles: &Bound<'py, PyAny>,
        single: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        Ok(match single {
            true => self.measured::<f32>(&self.angles(angles)?, angles.py())?.0.into_any(),
            false => self.measured::<f64>(&self.angles(angles)?, angles.py())?.0.into_any(),
        })
    }

    fn probabilities_vjp<'py>(
        &self,
        angles: &Bound<'py, PyAny>,
        cotangent: &Bound<'py, PyAny>,
        single: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let angles = self.angles(angles)?;
        match single {
            true => self.back::<f32>(&angles, cotangent, None),
            false => self.back::<f64>(&angles, cotangent, None),
        }
    }

    /// The probabilities, and their way back, which may be gone once or again.
    #[staticmethod]
    fn record<'py>(
        program: Bound<'py, Self>,
        angles: &Bound<'py, PyAny>,
        single: bool,
    ) -> PyResult<(Bound<'py, PyAny>, PyGatesPullback)> {
        let py = angles.py();
        let angles = program.get().angles(angles)?;
        let (made, kept) = match single {
            true => {
                let (made, state) = program.get().measured::<f32>(&angles, py)?;
                (made.into_any(), Kept::Single(Mutex::new(state)))
            }
            false => {
                let (made, state) = program.get().measured::<f64>(&angles, py)?;
                (made.into_any(), Kept::Double(Mutex::new(state)))
            }
        };
        Ok((made, PyGatesPullback { program: program.unbind(), angles, kept }))
    }
}

impl PyProgram {
    fn angles(&self, object: &Bound<'_, PyAny>) -> PyResult<Angles> {
        let array = floats::<f64>(object, "angles")?;
        let count = self.0.num_parameters;
        let meaning = || format!("the circuit has {count} parameters");
        let batch = batch(array.shape(), count, "angles", meaning)?;
        let values = memory::collected(array.as_slice()?.iter().copied())?;
        check_finite(&values, "angles")?;
        Ok(Angles { values, batch })
    }

    /// Elementary steps of one call, for [`run`].
    fn steps(&self, batch: Option<usize>) -> u128 {
        let work = self.0.dimension() as u128 * (1 + self.0.rotations.len() as u128);
        work * batch.unwrap_or(1) as u128 / 2
    }

    fn require<R: Precision>(&self, batch: Option<usize>, row: usize, states: u128) -> Result<()> {
        let sets = batch.unwrap_or(1);
        let bytes = sets as u128 * (row * size_of::<R>()) as u128;
        // As many sets at once as there are threads.
        let at_once = sets.clamp(1, crate::parallel::num_threads()) as u128;
        let bytes = bytes + at_once * states * self.0.state_bytes(size_of::<R>());
        memory::require(bytes, || format!("a circuit of {} qubits", self.0.num_qubits))
    }

    /// Probabilities, and the state where there is one set.
    fn measured<'py, R: Precision>(
        &self,
        angles: &Angles,
        py: Python<'py>,
    ) -> PyResult<Measured<'py, R>> {
        let (program, sets) = (&self.0, angles.batch.unwrap_or(1));
        self.require::<R>(angles.batch, program.dimension(), 1)?;
        let out = zeros::<R>(py, &shape(angles.batch, program.dimension()))?;
        let mut borrow = out.readwrite();
        let slice = borrow.as_slice_mut()?;
        let kept = Mutex::new(None);
        let state = &kept;
        run(py, self.steps(angles.batch), move |cancel| {
            for_each_set(program, &angles.values, slice, sets, cancel, |_, set, row, team| {
                let evolved = program.evolve::<R>(set, team, cancel)?;
                program.measure(&evolved, row, team)?;
                if sets == 1
                    && let Ok(mut slot) = state.try_lock()
                {
                    *slot = Some(evolved);
                }
                Ok(())
            })
        })?;
        drop(borrow);
        Ok((out, kept.into_inner().unwrap_or_default()))
    }

    fn back<'py, R: Precision>(
        &self,
        angles: &Angles,
        cotangent: &Bound<'py, PyAny>,
        kept: Option<Evolved<R>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cotangent.py();
        let (program, sets) = (&self.0, angles.batch.unwrap_or(1));
        let bases = program.dimension();
        let cotangent = floats::<R>(cotangent, "cotangent")?;
        check_cotangent(cotangent.shape(), &shape(angles.batch, bases))?;
        let cotangents = cotangent.as_slice()?;
        check_finite(cotangents, "cotangent")?;
        self.require::<R>(angles.batch, program.num_parameters, 2)?;
        let out = zeros::<R>(py, &shape(angles.batch, program.num_parameters))?;
        let mut borrow = out.readwrite();
        let slice = borrow.as_slice_mut()?;
        let kept = Mutex::new(kept);
        run(py, 4 * self.steps(angles.batch), move |cancel| {
            for_each_set(program, &angles.values, slice, sets, cancel, |set, values, row, team| {
                let state = kept.try_lock().ok().and_then(|mut kept| kept.take());
                let state = match state {
                    Some(state) => state,
                    None => program.evolve::<R>(values, team, cancel)?,
                };
                program.backward(state, &cotangents[set * bases..][..bases], row, team, cancel)
            })
        })?;
        drop(borrow);
        Ok(out.into_any())
    }
}

enum Kept {
    Single(Mutex<Option<Evolved<f32>>>),
    Double(Mutex<Option<Evolved<f64>>>),
}

/// The way back from a circuit's probabilities; whoever comes after the first evolves again.
#[pyclass(frozen, name = "GatesPullback", module = "qnnw._core")]
pub struct PyGatesPullback {
    program: Py<PyProgram>,
    angles: Angles,
    kept: Kept,
}

#[pymethods]
impl PyGatesPullback {
    fn __call__<'py>(&self, cotangent: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let program = self.program.get();
        match &self.kept {
            Kept::Single(kept) => program.back(&self.angles, cotangent, taken(kept)),
            Kept::Double(kept) => program.back(&self.angles, cotangent, taken(kept)),
        }
    }
}

/// What is kept, for the first that asks; nobody waits.
fn taken<T>(kept: &Mutex<Option<T>>) -> Option<T> {
    kept.try_lock().ok().and_then(|mut kept| kept.take())
}

/// The way back through a map, at probabilities of any origin: dL/dprobabilities and dL/dgamma, as
/// for `generate_weights_vjp`. A probability counts as `least` at least.
#[pyfunction]
pub fn weights_vjp<'py>(
    probabilities: &Bound<'py, PyAny>,
    weight_map: &Bound<'py, PyWeightMap>,
    gamma: &Bound<'py, PyAny>,
    cotangent: &Bound<'py, PyAny>,
    least: f64,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let py = probabilities.py();
    let map = &weight_map.get().0;
    let array = floats::<f64>(probabilities, "probabilities")?;
    let bases = 1usize << map.num_qubits();
    check_cotangent(array.shape(), &[bases])?;
    let cotangent = floats::<f64>(cotangent, "cotangent")?;
    check_cotangent(cotangent.shape(), &[map.num_weights()])?;
    let (values, cotangents) = (array.as_slice()?, cotangent.as_slice()?);
    check_probabilities(values)?;
    check_finite(cotangents, "cotangent")?;
    let scales = floats::<f64>(gamma, "gamma")?;
    let checked = gammas::<f64>(gamma, None, map.num_weights())?;
    let level = Level::current()?;
    let (by, by_gamma) = (zeros::<f64>(py, &[bases])?, zeros::<f64>(py, &checked.shape(None))?);
    let (mut to, mut to_gamma) = (by.readwrite(), by_gamma.readwrite());
    let (back, out) = (to.as_slice_mut()?, to_gamma.as_slice_mut()?);
    let (each, scales) = (scales.shape().len() == 1, scales.as_slice()?);
    run(py, 16 * map.num_weights() as u128, move |cancel| {
        if each {
            return map.vjp_each(level, values, scales, cotangents, back, out, least, cancel);
        }
        out[0] = map.vjp(level, values, scales[0], cotangents, back, least, cancel)?;
        Ok(())
    })?;
    drop((to, to_gamma));
    Ok((by.into_any(), by_gamma.into_any()))
}
