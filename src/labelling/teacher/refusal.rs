//! The reason why a model cannot serve as a teacher.

/// Why a model cannot serve as a teacher, and what the user can do about it.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub(crate) struct Refusal {
    /// What is wrong, naming the node or tensor.
    pub(crate) problem: String,
    pub(crate) advice: String,
}

impl Refusal {
    pub(crate) fn new(problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { problem: problem.into(), advice: advice.into() }
    }
}
