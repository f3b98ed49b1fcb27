//! The compiled half of the Python package `relabel`: numbers in, numbers out. What users call, with its types and its
//! documentation, is in `python/relabel`; what is computed is in the library. Here is only what stands between them.

// PyO3 hands arguments over by value, and Python's functions have many.
#![allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]

mod options;
mod errors;
mod labels;
mod import;

use pyo3::prelude::*;

#[pymodule]
fn _relabel(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<labels::Labels>()?;
    module.add_class::<import::Import>()?;
    module.add_function(wrap_pyfunction!(import::class_list, module)?)?;
    module.add_function(wrap_pyfunction!(labels::cut_rect, module)?)?;
    errors::add_to(module)
}
