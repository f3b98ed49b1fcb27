//! Refusal of a model as a teacher.

use std::path::Path;

use crate::shared::error::{Cause, Error};

/// Reason a model was refused, and advice to its owner.
#[derive(Debug, thiserror::Error)]
#[error("{problem}\n  help: {advice}")]
pub(crate) struct Refusal {
    #[source]
    pub(crate) problem: Cause,
    pub(crate) advice: String,
}

impl Refusal {
    pub(crate) fn new(problem: impl Into<Cause>, advice: impl Into<String>) -> Self {
        Self { problem: problem.into(), advice: advice.into() }
    }

    /// Refuses a file that is incomplete or damaged.
    pub(crate) fn damaged(problem: impl Into<Cause>) -> Self {
        Self::new(
            problem,
            "check that the file is complete and is an .onnx export; `models/README.md` has export commands",
        )
    }

    /// The [`Error::Teacher`] of the file at `path`.
    pub(crate) fn into_error(self, path: &Path) -> Error {
        Error::Teacher { path: path.to_path_buf(), problem: self.problem, advice: self.advice }
    }
}
