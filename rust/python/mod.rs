//! The binding: the only folder that knows PyO3. Check, borrow, release the GIL, convert.

mod circuits;
mod classes;
mod convert;
mod functions;
mod interrupt;
mod pullback;
mod weights;

use pyo3::prelude::*;

/// The compiled core of qnnw.
#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        crate::parallel::read_environment()?;
        // What is made once is made now: later a fork could cut it, or a handler come into it.
        crate::parallel::watch_forks()?;
        py.detach(|| Python::attach(|_| ()));
        numpy::PyArrayMethods::try_readonly(&super::convert::zeros::<f64>(py, &[0])?)?;
        Ok(())
    }

    #[pymodule_export]
    use super::circuits::{PyGatesPullback, PyProgram, weights_vjp};
    #[pymodule_export]
    use super::classes::PyEfficientSu2;
    #[pymodule_export]
    use super::classes::PyWeightMap;
    #[pymodule_export]
    use super::functions::{
        build_info, get_num_threads, require_memory, sample_counts, set_num_threads,
    };
    #[pymodule_export]
    use super::pullback::{PyPullback, record_probabilities, record_weights};
    #[pymodule_export]
    use super::weights::{
        generate_weights, generate_weights_vjp, probs_to_weights, walsh_hadamard,
    };
}
