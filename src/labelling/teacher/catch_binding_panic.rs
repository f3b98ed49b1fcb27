//! Converts panics of ONNX Runtime's binding, which a file can cause, to errors.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::shared::error::Error;

/// Runs code that calls the binding. A negative dimension in a shape that ONNX Runtime inferred, for example, makes it panic
/// (test `hostile_models::graphs_that_crash_onnx_runtime_are_refused`).
pub(super) fn catch_binding_panic<T>(action: &'static str, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message = format!("its Rust binding panicked on this graph: {}", panic_message(panic.as_ref()));
        Err(Error::Inference { action, message })
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        let error = catch_binding_panic::<()>("load the teacher", || panic!("side {}", -3)).unwrap_err().to_string();
        assert!(error.contains("load the teacher") && error.contains("side -3"), "{error}");
        assert_eq!(catch_binding_panic("load the teacher", || Ok(5)).unwrap(), 5);
    }
}
