//! The native module of the Python package `relabel`. It converts between arrays and the types of the library. The public
//! functions, their types and their documentation are in `python/relabel`.

// PyO3 passes arguments by value, and the functions have many.
#![allow(clippy::needless_pass_by_value, clippy::too_many_arguments)]

mod errors;
mod options;
mod masks;
mod labels;
mod import;

use pyo3::prelude::*;
use relabel::training::pool::OutputSize;

#[pymodule]
fn _relabel(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<labels::Labels>()?;
    module.add_class::<import::Import>()?;
    module.add_function(wrap_pyfunction!(import::class_list, module)?)?;
    module.add_function(wrap_pyfunction!(labels::cut_rect, module)?)?;
    module.add_function(wrap_pyfunction!(labels::is_url, module)?)?;
    module.add("MAX_OUTPUT_SIDE", OutputSize::MAX_SIDE)?;
    errors::add_to(module)
}
