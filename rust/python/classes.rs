//! The two classes: the circuit's shape and the weight map.

use numpy::{Element, PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::convert::{
    Precision, batch, because, check_finite, floats, integers, shape, size, string, type_error,
    unsigned, zeros,
};
use super::interrupt::run;
use crate::ansatz::{EfficientSu2, Entanglement};
use crate::circuit::Circuit;
use crate::error::{Error, Result};
use crate::evolve::{self, state_bytes};
use crate::generate;
use crate::gradient::states_needed;
use crate::memory;
use crate::parallel::Cancel;
use crate::simd::Level;
use crate::weights::{Mapping, Signs, WeightMap};
use crate::words;

/// The circuit's shape.
#[pyclass(frozen, name = "EfficientSU2", module = "qnnw._core")]
pub struct PyEfficientSu2(pub Circuit);

/// Angles as they came from Python: checked and copied.
pub struct Angles {
    pub values: Vec<f64>,
    pub batch: Option<usize>,
}

impl PyEfficientSu2 {
    pub fn angles(&self, object: &Bound<'_, PyAny>) -> PyResult<Angles> {
        let array = floats::<f64>(object, "angles")?;
        let batch = batch(array.shape(), self.0.num_parameters(), "angles", || {
            let (qubits, reps) = (self.0.num_qubits(), self.0.reps());
            let count = self.0.num_parameters();
            format!(
                "EfficientSU2(num_qubits={qubits}, reps={reps}) needs {count} = \
                 2*num_qubits*(reps+1)"
            )
        })?;
        let values = memory::collected(array.as_slice()?.iter().copied())?;
        check_finite(&values, "angles")?;
        Ok(Angles { values, batch })
    }

    /// Elementary steps of one call, for [`run`].
    pub fn steps(&self, sets: Option<usize>) -> u128 {
        let work = self.0.dimension() as u128 * (self.0.reps() as u128 + 1);
        work * self.0.num_qubits() as u128 * sets.unwrap_or(1) as u128
    }

    /// Evolves into a new array with one row per set of angles.
    fn evolved<'py, R: Precision, T: Element + Send>(
        &self,
        angles: &Bound<'py, PyAny>,
        work: impl Fn(&Circuit, &[f64], &mut [T], &Cancel) -> Result<()> + Send,
    ) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
        let py = angles.py();
        let Angles { values, batch } = self.angles(angles)?;
        let result_bytes = self.0.dimension() as u128 * size_of::<T>() as u128;
        let states = evolve::work_bytes::<R>(&self.0)?;
        evolve::require_memory(&self.0, batch.unwrap_or(1), result_bytes, states)?;
        let out = zeros::<T>(py, &shape(batch, self.0.dimension()))?;
        let mut borrow = out.readwrite();
        let slice = borrow.as_slice_mut()?;
        run(py, self.steps(batch), move |cancel| work(&self.0, &values, slice, cancel))?;
        drop(borrow);
        Ok(out)
    }

    fn vjp<'py, R: Precision>(
        &self,
        angles: &Bound<'py, PyAny>,
        cotangent: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArrayDyn<R>>> {
        let py = angles.py();
        let Angles { values, batch } = self.angles(angles)?;
        let bases = self.0.dimension();
        let cotangent = floats::<R>(cotangent, "cotangent")?;
        check_cotangent(cotangent.shape(), &shape(batch, bases))?;
        let cotangents = cotangent.as_slice()?;
        check_finite(cotangents, "cotangent")?;
        let [kept, beside] = states_needed::<R>(&self.0, Level::current()?)?;
        let states = (kept + beside) * state_bytes::<R>(&self.0);
        let row_bytes = (self.0.num_parameters() * size_of::<R>()) as u128;
        evolve::require_memory(&self.0, batch.unwrap_or(1), row_bytes, states)?;
        let out = zeros::<R>(py, &shape(batch, self.0.num_parameters()))?;
        let mut borrow = out.readwrite();
        let slice = borrow.as_slice_mut()?;
        run(py, 3 * self.steps(batch), move |cancel| {
            generate::probabilities_vjp(&self.0, &values, cotangents, slice, cancel)
        })?;
        drop(borrow);
        Ok(out)
    }
}

#[pymethods]
impl PyEfficientSu2 {
    #[new]
    fn new(
        num_qubits: &Bound<'_, PyAny>,
        reps: &Bound<'_, PyAny>,
        entanglement: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let (num_qubits, reps) = (size(num_qubits, "num_qubits")?, size(reps, "reps")?);
        let entanglement = if entanglement.is_instance_of::<PyString>() {
            Entanglement::from_name(&string(entanglement, "entanglement")?)?
        } else {
            Entanglement::Pairs(entanglement.extract().map_err(|cause| {
                let need = "it must be a name or a list of (control, target) pairs";
                let error = type_error("entanglement", entanglement, need);
                because(entanglement.py(), cause, error)
            })?)
        };
        Ok(Self(EfficientSu2::new(num_qubits, reps, entanglement)?.into()))
    }

    #[getter]
    fn num_qubits(&self) -> usize {
        self.0.num_qubits()
    }

    #[getter]
    fn num_parameters(&self) -> usize {
        self.0.num_parameters()
    }

    /// The angles as an array of our own, checked as everywhere.
    fn checked_angles<'py>(
        &self,
        angles: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let Angles { values, batch } = self.angles(angles)?;
        let copy = zeros::<f64>(angles.py(), &shape(batch, self.0.num_parameters()))?;
        copy.readwrite().as_slice_mut()?.copy_from_slice(&values);
        Ok(copy)
    }

    fn entangler_pairs(&self, block: usize) -> Vec<(u32, u32)> {
        self.0.entanglement().pairs(self.0.num_qubits(), block)
    }

    fn random_angles<'py>(&self, seed: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = seed.py();
        let seed = unsigned(seed, "seed")?;
        let angles = py.detach(|| self.0.random_angles(seed))?;
        filled(py, &angles, |&angle| angle)
    }

    /// What the core does at the level at hand, in words.
    fn plan(&self, single: bool) -> PyResult<String> {
        let level = Level::current()?;
        Ok(match single {
            true => words::plan::<f32>(&self.0, level)?,
            false => words::plan::<f64>(&self.0, level)?,
        })
    }

    fn statevector<'py>(
        &self,
        angles: &Bound<'py, PyAny>,
        single: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        if single {
            let work = evolve::statevectors::<f32>;
            return Ok(self.evolved::<f32, _>(angles, work)?.into_any());
        }
        Ok(self.evolved::<f64, _>(angles, evolve::statevectors::<f64>)?.into_any())
    }

    fn probabilities<'py>(
        &self,
        angles: &Bound<'py, PyAny>,
        single: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        if single {
            let work = evolve::probabilities::<f32>;
            return Ok(self.evolved::<f32, _>(angles, work)?.into_any());
        }
        Ok(self.evolved::<f64, _>(angles, evolve::probabilities::<f64>)?.into_any())
    }

    fn probabilities_vjp<'py>(
        &self,
        angles: &Bound<'py, PyAny>,
        cotangent: &Bound<'py, PyAny>,
        single: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        if single {
            return Ok(self.vjp::<f32>(angles, cotangent)?.into_any());
        }
        Ok(self.vjp::<f64>(angles, cotangent)?.into_any())
    }
}

/// A new array with an entry for each of `values`.
fn filled<'py, T: Sync, U: Element + Send>(
    py: Python<'py>,
    values: &[T],
    entry: impl Fn(&T) -> U + Sync,
) -> PyResult<Bound<'py, PyAny>> {
    let array = zeros::<U>(py, &[values.len()])?;
    let mut borrow = array.readwrite();
    let entries = borrow.as_slice_mut()?;
    py.detach(|| entries.iter_mut().zip(values).for_each(|(slot, value)| *slot = entry(value)));
    drop(borrow);
    Ok(array.into_any())
}

/// A cotangent has the shape of what it is a derivative by.
pub fn check_cotangent(found: &[usize], needed: &[usize]) -> Result<()> {
    if found == needed {
        return Ok(());
    }
    let need = format!("shape {needed:?} is needed, that of the result");
    Err(Error::value("cotangent", format!("has shape {found:?}"), need))
}

/// Which bases feed which weight.
#[pyclass(frozen, weakref, name = "WeightMap", module = "qnnw._core")]
pub struct PyWeightMap(pub WeightMap);

#[pymethods]
impl PyWeightMap {
    #[new]
    fn new(
        py: Python<'_>,
        num_weights: &Bound<'_, PyAny>,
        seed: &Bound<'_, PyAny>,
        signs: &Bound<'_, PyAny>,
        mapping: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let num_weights = unsigned(num_weights, "num_weights")?;
        let seed = unsigned(seed, "seed")?;
        let signs = Signs::from_name(&string(signs, "signs")?)?;
        let mapping = Mapping::from_name(&string(mapping, "mapping")?)?;
        run(py, u128::from(num_weights) * 16, move |cancel| {
            WeightMap::new(num_weights, seed, signs, mapping, cancel)
        })
        .map(Self)
    }

    #[staticmethod]
    #[pyo3(signature = (first, second, signs, mapping, basis_signs))]
    fn from_arrays(
        first: &Bound<'_, PyAny>,
        second: &Bound<'_, PyAny>,
        signs: &Bound<'_, PyAny>,
        mapping: &Bound<'_, PyAny>,
        basis_signs: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = first.py();
        let bases = |object, argument| {
            integers(object, argument, |entry| {
                u32::try_from(entry).map_err(|_| {
                    Error::value(argument, format!("has the entry {entry}"), "it must be a basis")
                })
            })
        };
        let (first, second) = (bases(first, "first")?, bases(second, "second")?);
        // What is no sign becomes 0 and is refused as such.
        let sign = |sign| Ok(i8::try_from(sign).unwrap_or(0));
        let signs = integers(signs, "signs", sign)?;
        let basis_signs =
            basis_signs.map(|array| integers(array, "basis_signs", sign)).transpose()?;
        let mapping = Mapping::from_name(&string(mapping, "mapping")?)?;
        run(py, first.len() as u128 * 16, move |cancel| {
            WeightMap::from_arrays(first, second, signs, basis_signs, mapping, cancel)
        })
        .map(Self)
    }

    #[getter]
    fn num_weights(&self) -> usize {
        self.0.num_weights()
    }

    #[getter]
    fn num_qubits(&self) -> usize {
        self.0.num_qubits()
    }

    #[getter]
    fn first<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        filled(py, self.0.first(), |&basis| i64::from(basis))
    }

    #[getter]
    fn second<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        filled(py, self.0.second(), |&basis| i64::from(basis))
    }

    #[getter]
    fn signs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        filled(py, self.0.signs(), |&sign| sign)
    }

    /// None but for the Hadamard map.
    #[getter]
    fn basis_signs<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let signs = self.0.basis_signs();
        (!signs.is_empty()).then(|| filled(py, signs, |&sign| sign)).transpose()
    }

    #[getter]
    fn mapping(&self) -> &'static str {
        self.0.mapping().name()
    }

    fn equals(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
