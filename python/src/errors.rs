//! The library's errors as Python's.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyKeyError, PyKeyboardInterrupt, PyOSError, PyValueError};
use pyo3::prelude::*;
use relabel::shared::error::Error;

create_exception!(_relabel, StoreError, PyException, "A store is damaged, of another version, or not a store at all.");
create_exception!(
    _relabel,
    NotLabelled,
    StoreError,
    "A row has no labels: its image failed, or its shard is not done."
);

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("StoreError", module.py().get_type::<StoreError>())?;
    module.add("NotLabelled", module.py().get_type::<NotLabelled>())
}

/// The exception for an error; made for `map_err(python)`.
pub(crate) fn python(error: Error) -> PyErr {
    let words = error.to_string();
    match error {
        Error::Usage(_) => PyValueError::new_err(words),
        Error::UnknownId { .. } | Error::AmbiguousName { .. } => PyKeyError::new_err(words),
        Error::NotLabelled { .. } => NotLabelled::new_err(words),
        Error::File { .. } | Error::Remote { .. } => PyOSError::new_err(words),
        Error::Interrupted => PyKeyboardInterrupt::new_err(words),
        _ => StoreError::new_err(words),
    }
}
