//! Conversion of the library's errors to Python exceptions.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyKeyError, PyKeyboardInterrupt, PyOSError, PyValueError};
use pyo3::prelude::*;
use relabel::shared::error::Error;

// Their module is the package, which exports them: pickling stores a class as its module and name, and workers of a data loader
// report errors by pickling them.
create_exception!(
    relabel,
    StoreError,
    PyException,
    "A store is damaged, has an unknown format version, or is not a store."
);
create_exception!(relabel, NotLabelled, StoreError, "An image has no labels: it failed, or its shard is not done yet.");

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("StoreError", module.py().get_type::<StoreError>())?;
    module.add("NotLabelled", module.py().get_type::<NotLabelled>())
}

/// Returns the exception for an error, for use with `map_err`.
pub(crate) fn python(error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Usage(_) | Error::NoLabelMaps { .. } => PyValueError::new_err(message),
        Error::UnknownId { .. } | Error::AmbiguousName { .. } => PyKeyError::new_err(message),
        Error::NotLabelled { .. } => NotLabelled::new_err(message),
        Error::File { .. } | Error::Remote { .. } => PyOSError::new_err(message),
        Error::Interrupted => PyKeyboardInterrupt::new_err(message),
        _ => StoreError::new_err(message),
    }
}
