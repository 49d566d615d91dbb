//! From Python objects to checked Rust values, with errors that name the argument.

use numpy::{Element, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::{
    PyKeyboardInterrupt, PyMemoryError, PyOverflowError, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::error::Error;
use crate::simd::Real;
use crate::state::Kept;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Value { .. } => PyValueError::new_err(message),
            Error::Memory { .. } => PyMemoryError::new_err(message),
            Error::Interrupted => PyKeyboardInterrupt::new_err(message),
        }
    }
}

/// A `TypeError` that names the argument, what came and what is needed.
pub fn type_error(argument: &str, object: &Bound<'_, PyAny>, need: &str) -> PyErr {
    let kind =
        object.get_type().name().map_or_else(|_| "unknown".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("`{argument}` is of type {kind}; {need}"))
}

/// An unsigned integer (anything with `__index__`, but no bool).
pub fn unsigned(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<u64> {
    let need = "it must be an integer";
    if object.is_instance_of::<pyo3::types::PyBool>() {
        return Err(type_error(argument, object, need));
    }
    let index = object.call_method0("__index__").map_err(|_| type_error(argument, object, need))?;
    index.extract::<u64>().map_err(|error| {
        if error.is_instance_of::<PyOverflowError>(object.py()) {
            let got = format!("is {index}");
            Error::value(argument, got, "it must be from 0 to 2**64 - 1").into()
        } else {
            error
        }
    })
}

/// An unsigned integer that fits a size.
pub fn size(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<usize> {
    Ok(usize::try_from(unsigned(object, argument)?).unwrap_or(usize::MAX))
}

/// A string.
pub fn string(object: &Bound<'_, PyAny>, argument: &str) -> PyResult<String> {
    match object.cast::<PyString>() {
        Ok(string) => string.extract(),
        Err(_) => Err(type_error(argument, object, "it must be a string")),
    }
}

/// A precision that arrays come and go in.
pub trait Precision: Kept + Element {
    /// NumPy's name of it.
    const DTYPE: &'static str;
}

impl Precision for f32 {
    const DTYPE: &'static str = "float32";
}

impl Precision for f64 {
    const DTYPE: &'static str = "float64";
}

/// An array of this precision, aligned and in C order: the object itself where it is one, else a
/// conversion.
///
/// Integers and other floats are converted; booleans, complex numbers, strings, objects and arrays
/// with masked entries are refused.
pub fn floats<'py, R: Precision>(
    object: &Bound<'py, PyAny>,
    argument: &'static str,
) -> PyResult<PyReadonlyArrayDyn<'py, R>> {
    if let Some(array) = as_it_is::<R>(object) {
        return Ok(array.try_readonly()?);
    }
    let array = converted(object, argument, "iuf", "real numbers")?;
    if let Some(array) = as_it_is::<R>(&array) {
        return Ok(array.try_readonly()?);
    }
    let py = object.py();
    let numpy = py.import("numpy")?;
    let options = [("dtype", R::DTYPE), ("order", "C")];
    let kwargs = pyo3::types::IntoPyDict::into_py_dict(options, py)?;
    // What this precision cannot hold becomes infinite, and is refused by name where it is used.
    let quiet = pyo3::types::IntoPyDict::into_py_dict([("over", "ignore")], py)?;
    let quiet = numpy.call_method("errstate", (), Some(&quiet))?;
    quiet.call_method0("__enter__")?;
    let array = numpy.call_method("array", (array,), Some(&kwargs));
    quiet.call_method1("__exit__", (py.None(), py.None(), py.None()))?;
    Ok(array?.cast::<PyArrayDyn<R>>()?.try_readonly()?)
}

/// The object itself, where it is NumPy's own array of this precision, aligned and in C order.
fn as_it_is<'a, 'py, R: Precision>(
    object: &'a Bound<'py, PyAny>,
) -> Option<&'a Bound<'py, PyArrayDyn<R>>> {
    // Subclasses may mean something else by their entries: `converted` asks.
    let plain = object.py().get_type::<PyArrayDyn<R>>();
    let array = object.cast::<PyArrayDyn<R>>().ok()?;
    let whole = array.is_c_contiguous() && array.data().is_aligned();
    (whole && object.get_type().is(&plain)).then_some(array)
}

/// A one-dimensional array of integers.
pub fn integers(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<Vec<i64>> {
    let array = converted(object, argument, "iu", "integers")?;
    let rank: usize = array.getattr("ndim")?.extract()?;
    if rank != 1 {
        let got = format!("has {rank} dimensions");
        return Err(Error::value(argument, got, "it must have one").into());
    }
    array.call_method0("tolist")?.extract().map_err(|_| {
        Error::value(argument, "has an entry beyond 64 bits", "smaller integers are needed").into()
    })
}

fn converted<'py>(
    object: &Bound<'py, PyAny>,
    argument: &str,
    kinds: &str,
    wanted: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let numpy = py.import("numpy")?;
    let need = format!("an array of {wanted} is needed");
    let masked = numpy.getattr("ma")?.getattr("is_masked")?;
    if masked.call1((object,)).is_ok_and(|masked| masked.is_truthy().unwrap_or(false)) {
        let need = format!("{need}; fill in what is masked, or leave it out");
        return Err(type_error(argument, object, &need));
    }
    let array = numpy.call_method1("asarray", (object,)).map_err(|cause| {
        let grad = object.getattr("requires_grad").and_then(|grad| grad.is_truthy());
        let remedy = if grad.unwrap_or(false) { "; take its `.detach()`" } else { "" };
        let error = type_error(argument, object, &format!("{need}{remedy}"));
        error.set_cause(py, Some(cause));
        error
    })?;
    let dtype = array.getattr("dtype")?;
    let kind: String = dtype.getattr("kind")?.extract()?;
    let size: usize = array.getattr("size")?.extract()?;
    // An empty list has no type of its own; its shape is what gets refused.
    if !kinds.contains(&kind) && size > 0 {
        return Err(PyTypeError::new_err(format!("`{argument}` has dtype {dtype}; {need}")));
    }
    Ok(array)
}

/// Refuses NaN and infinity, naming the first one's place.
pub fn check_finite<R: Real>(values: &[R], argument: &'static str) -> Result<(), Error> {
    // Sums find them all: NaN and infinity times 0 stay in them. Eight, so that none waits for
    // another.
    let zero = R::default();
    let mut sums = [zero; 8];
    let chunks = values.chunks_exact(8);
    for &value in chunks.remainder() {
        sums[0] += value * zero;
    }
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += value * zero;
        }
    }
    if sums.iter().all(|&sum| sum == zero) {
        return Ok(());
    }
    let place = values.iter().position(|value| !value.to_f64().is_finite()).unwrap_or(0);
    let got = format!("has {} at flat index {place}", values[place].to_f64());
    Err(Error::value(argument, got, "every entry must be finite"))
}

/// Refuses negative probabilities, NaN and infinity.
pub fn check_probabilities<R: Real>(values: &[R]) -> Result<(), Error> {
    check_finite(values, "probabilities")?;
    match values.iter().position(|&value| value < R::default()) {
        None => Ok(()),
        Some(place) => Err(Error::value(
            "probabilities",
            format!("has {} at flat index {place}", values[place].to_f64()),
            "no entry may be negative",
        )),
    }
}

/// The batch axis of an array whose last axis has `length` entries: `None`, or its size.
pub fn batch(
    shape: &[usize],
    length: usize,
    argument: &'static str,
    meaning: impl Fn() -> String,
) -> Result<Option<usize>, Error> {
    match *shape {
        [last] if last == length => Ok(None),
        [sets, last] if last == length => Ok(Some(sets)),
        [last] => Err(Error::value(argument, format!("has length {last}"), meaning())),
        _ => Err(Error::value(
            argument,
            format!("has shape {shape:?}"),
            format!("{}, or one batch axis before them", meaning()),
        )),
    }
}

/// Shape of a result: the batch axis, if there is one, then `length`.
pub fn shape(batch: Option<usize>, length: usize) -> Vec<usize> {
    batch.into_iter().chain([length]).collect()
}

/// gamma: a positive number, or with a batch axis one per set.
pub fn gammas<R: Precision>(object: &Bound<'_, PyAny>, batch: Option<usize>) -> PyResult<Vec<f64>> {
    let array = floats::<f64>(object, "gamma")?;
    let fits = match (array.shape(), batch) {
        ([], _) => true,
        (&[given], Some(sets)) => given == sets,
        _ => false,
    };
    if !fits {
        let need = match batch {
            Some(sets) => format!("it must be a number or have shape [{sets}], one per set"),
            None => "it must be a number".to_owned(),
        };
        return Err(Error::value("gamma", format!("has shape {:?}", array.shape()), need).into());
    }
    let gammas = array.as_slice()?.to_vec();
    check_finite(&gammas, "gamma")?;
    if let Some(gamma) = gammas.iter().find(|&&gamma| gamma <= 0.0) {
        return Err(Error::value("gamma", format!("is {gamma}"), "it must be positive").into());
    }
    let fits = |gamma: f64| {
        let gamma = R::from_f64(gamma).to_f64();
        gamma > 0.0 && gamma.is_finite()
    };
    if let Some(gamma) = gammas.iter().find(|&&gamma| !fits(gamma)) {
        let need = format!("it must be within the range of {}", R::DTYPE);
        return Err(Error::value("gamma", format!("is {gamma}"), need).into());
    }
    Ok(gammas)
}
