//! How a run ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::shared::error::Error;

/// The outcome of a run, shared by its stages: the first error of any stage stops all of them.
#[derive(Default)]
pub(crate) struct RunOutcome {
    stopping: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl RunOutcome {
    /// Records the result of a stage. An error stops the run.
    pub(crate) fn record(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            self.stopping.store(true, Ordering::Release);
        }
    }

    /// True once the stages should stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Returns the first error, if any.
    pub(crate) fn into_result(self) -> Result<(), Error> {
        self.error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}
