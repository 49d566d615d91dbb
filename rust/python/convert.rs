//! From Python objects to checked Rust values, with errors that name the argument.

use numpy::{
    Element, PY_ARRAY_API, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn,
    PyUntypedArrayMethods, npyffi,
};
use pyo3::exceptions::{
    PyException, PyKeyboardInterrupt, PyMemoryError, PyOverflowError, PyRuntimeError, PyTypeError,
    PyValueError,
};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PySlice, PyString};

use crate::error::{Error, Gib};
use crate::generate::Gammas;
use crate::memory;
use crate::simd::Real;
use crate::state::Kept;

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Value { .. } => PyValueError::new_err(message),
            Error::Memory { .. } | Error::Refused(_) => PyMemoryError::new_err(message),
            Error::Threads(_) | Error::Forked => PyRuntimeError::new_err(message),
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

/// Whether what an argument's own methods raised is no fault of the argument, and stays what it is:
/// interrupts, exits, want of memory.
fn stays(py: Python<'_>, raised: &PyErr) -> bool {
    !raised.is_instance_of::<PyException>(py) || raised.is_instance_of::<PyMemoryError>(py)
}

/// `error`, which tells what is wrong with an argument whose own methods raised `cause`.
pub fn because(py: Python<'_>, cause: PyErr, error: PyErr) -> PyErr {
    if stays(py, &cause) {
        return cause;
    }
    error.set_cause(py, Some(cause));
    error
}

/// What an argument's own methods say, or nothing where they raise.
pub fn asked<T>(py: Python<'_>, answer: PyResult<T>) -> PyResult<Option<T>> {
    match answer {
        Err(raised) if stays(py, &raised) => Err(raised),
        answer => Ok(answer.ok()),
    }
}

/// A new array of zeros; a refusal is an error.
pub fn zeros<'py, T: Element>(
    py: Python<'py>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let too_large = || Error::Refused(Gib(u128::MAX));
    let length = |&length: &usize| npyffi::npy_intp::try_from(length).map_err(|_| too_large());
    let mut dims = shape.iter().map(length).collect::<Result<Vec<_>, _>>()?;
    let rank = dims.len() as std::ffi::c_int;
    let dtype = T::get_dtype(py).into_dtype_ptr();
    // SAFETY: as many lengths as the rank says; NumPy takes over the reference to the dtype, and
    // returns an array of it or sets an exception.
    unsafe {
        let array = PY_ARRAY_API.PyArray_Zeros(py, rank, dims.as_mut_ptr(), dtype, 0);
        Ok(Bound::from_owned_ptr_or_err(py, array)?.cast_into_unchecked())
    }
}

/// An unsigned integer (anything with `__index__`, but no bool).
pub fn unsigned(object: &Bound<'_, PyAny>, argument: &'static str) -> PyResult<u64> {
    let need = "it must be an integer";
    if object.is_instance_of::<pyo3::types::PyBool>() {
        return Err(type_error(argument, object, need));
    }
    let py = object.py();
    // SAFETY: the call returns a new reference or sets an exception.
    let index = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyNumber_Index(object.as_ptr())) };
    let index = index.map_err(|cause| because(py, cause, type_error(argument, object, need)))?;
    index.extract::<u64>().map_err(|error| {
        if error.is_instance_of::<PyOverflowError>(py) {
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
        // What is no text is no name that is known either.
        Ok(string) => Ok(string.to_string_lossy().into_owned()),
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
    // What this precision cannot hold becomes infinite, and is refused by name where it is used.
    let quiet = pyo3::types::IntoPyDict::into_py_dict([("over", "ignore")], py)?;
    let quiet = numpy.call_method("errstate", (), Some(&quiet))?;
    quiet.call_method0("__enter__")?;
    let array = copied(&array, R::DTYPE);
    quiet.call_method1("__exit__", (py.None(), py.None(), py.None()))?;
    array
}

/// A copy of an array in another type, aligned and in C order.
fn copied<'py, T: Element>(
    array: &Bound<'py, PyAny>,
    dtype: &str,
) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    let py = array.py();
    let options = pyo3::types::IntoPyDict::into_py_dict([("dtype", dtype), ("order", "C")], py)?;
    let copy = py.import("numpy")?.call_method("array", (array,), Some(&options))?;
    Ok(copy.cast::<PyArrayDyn<T>>()?.try_readonly()?)
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

/// Entries that are converted at a time, without a Python object each: other threads go on between.
const PIECE: usize = 1 << 18;

/// A one-dimensional array of integers, each as `narrow` takes it.
pub fn integers<T>(
    object: &Bound<'_, PyAny>,
    argument: &'static str,
    narrow: impl Fn(i128) -> Result<T, Error>,
) -> PyResult<Vec<T>> {
    let py = object.py();
    let array = converted(object, argument, "iu", "integers")?;
    let rank: usize = array.getattr("ndim")?.extract()?;
    if rank != 1 {
        let got = format!("has {rank} dimensions");
        return Err(Error::value(argument, got, "it must have one").into());
    }
    let length = array.len()?;
    let bytes = length as u128 * size_of::<T>() as u128;
    memory::require(bytes, || format!("a copy of `{argument}`"))?;
    let mut entries = Vec::new();
    memory::reserve(&mut entries, length)?;
    let mut push = |entry: i128| -> Result<(), Error> {
        entries.push(narrow(entry)?);
        Ok(())
    };
    let unsigned = array.getattr("dtype")?.getattr("kind")?.eq("u")?;
    for start in (0..length).step_by(PIECE) {
        // `PySlice::new` would keep its numbers for ever.
        let slice = py.get_type::<PySlice>().call1((start, start + PIECE))?;
        let piece = array.get_item(slice)?;
        if unsigned {
            let piece = copied::<u64>(&piece, "uint64")?;
            piece.as_slice()?.iter().try_for_each(|&entry| push(entry.into()))?;
        } else {
            let piece = copied::<i64>(&piece, "int64")?;
            piece.as_slice()?.iter().try_for_each(|&entry| push(entry.into()))?;
        }
        py.check_signals()?;
        py.detach(std::thread::yield_now);
    }
    Ok(entries)
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
    let masked = masked.call1((object,)).and_then(|masked| masked.is_truthy());
    if asked(py, masked)?.unwrap_or(false) {
        let need = format!("{need}; fill in what is masked, or leave it out");
        return Err(type_error(argument, object, &need));
    }
    let array = match numpy.call_method1("asarray", (object,)) {
        Ok(array) => array,
        Err(cause) => {
            let grad = object.getattr("requires_grad").and_then(|grad| grad.is_truthy());
            let grad = asked(py, grad)?.unwrap_or(false);
            let remedy = if grad { "; take its `.detach()`" } else { "" };
            let error = type_error(argument, object, &format!("{need}{remedy}"));
            return Err(because(py, cause, error));
        }
    };
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

/// Scales as they came from Python: checked and copied.
pub struct OwnGammas {
    values: Vec<f64>,
    /// Whether every weight of the only set has one.
    each: bool,
}

impl OwnGammas {
    /// For the core.
    pub fn as_gammas(&self) -> Gammas<'_> {
        Gammas::new(&self.values, self.each)
    }

    /// The shape of a gradient by them.
    pub fn shape(&self, batch: Option<usize>) -> Vec<usize> {
        if self.each { vec![self.values.len()] } else { batch.into_iter().collect() }
    }
}

/// gamma: a positive number; with a batch axis also one per set, without one also one per weight.
pub fn gammas<R: Precision>(
    object: &Bound<'_, PyAny>,
    batch: Option<usize>,
    weights: usize,
) -> PyResult<OwnGammas> {
    let array = floats::<f64>(object, "gamma")?;
    let fits = match (array.shape(), batch) {
        ([], _) => true,
        (&[given], Some(sets)) => given == sets,
        (&[given], None) => given == weights,
        _ => false,
    };
    let each = batch.is_none() && array.shape().len() == 1;
    if !fits {
        let need = match batch {
            Some(sets) => format!("it must be a number or have shape [{sets}], one per set"),
            None => format!("it must be a number or have shape [{weights}], one per weight"),
        };
        return Err(Error::value("gamma", format!("has shape {:?}", array.shape()), need).into());
    }
    let gammas = memory::collected(array.as_slice()?.iter().copied())?;
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
    Ok(OwnGammas { values: gammas, each })
}
