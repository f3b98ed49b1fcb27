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
    pub(crate) kind: RefusalKind,
}

/// What a refused model cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    /// It cannot be used at all.
    Unusable,
    /// It has no score for each cell. It may still be a classifier.
    NoCells,
}

impl Refusal {
    pub(crate) fn new(problem: impl Into<Cause>, advice: impl Into<String>) -> Self {
        Self { problem: problem.into(), advice: advice.into(), kind: RefusalKind::Unusable }
    }

    /// Refuses a model that has no score for each cell.
    pub(crate) fn no_cells(reason: &str, advice: &str) -> Self {
        Self::new(format!("cannot compute per-cell scores: {reason}"), advice).for_lack_of_cells()
    }

    /// Returns the refusal as one of a model that has no score for each cell.
    pub(crate) fn for_lack_of_cells(self) -> Self {
        let advice = format!("{}; or label with --tiles 5, which needs predictions only", self.advice);
        Self { advice, kind: RefusalKind::NoCells, ..self }
    }

    /// Refuses a file that is incomplete or damaged.
    pub(crate) fn damaged(problem: impl Into<Cause>) -> Self {
        Self::new(
            problem,
            "check that the file is complete and is an .onnx export; `models/README.md` has export commands",
        )
    }

    /// The [`Error::Teacher`] or [`Error::NoCells`] of the file at `path`.
    pub(crate) fn into_error(self, path: &Path) -> Error {
        let Self { problem, advice, kind } = self;
        let path = path.to_path_buf();
        match kind {
            RefusalKind::Unusable => Error::Teacher { path, problem, advice },
            RefusalKind::NoCells => Error::NoCells { path, problem, advice },
        }
    }
}
