//! The binding: the only folder that knows PyO3. Check, borrow, release the GIL, convert.

mod classes;
mod convert;
mod functions;
mod interrupt;

use pyo3::prelude::*;

/// The compiled core of qnnw.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::classes::PyEfficientSu2;
    #[pymodule_export]
    use super::classes::PyWeightMap;
    #[pymodule_export]
    use super::functions::{
        build_info, generate_weights, get_num_threads, probs_to_weights, sample_counts,
        set_num_threads,
    };
}
