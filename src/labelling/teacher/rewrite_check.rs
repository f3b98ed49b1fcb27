//! Verifies the rewrite numerically, on random images: cells against the pooling and head of the reference applied to that
//! cell, the mean over cells against the teacher's own scores, and the predictions for images against the teacher's own.
//!
//! The reference runs on maps that hold the vector of one cell everywhere. Any pooling of such a map returns that vector, so
//! the result is the head applied to that cell.

mod differences;
mod images;
mod reference_teacher;
mod sampled_cells;
mod cell_vectors;
mod pooling_window;
mod view_scores;
mod probabilities;
mod reference_scores;
mod compare;

pub use differences::{QuantisedCheck, RewriteCheck};
pub(crate) use images::random_images;
pub(crate) use probabilities::{ScoreRows, check_order};
pub(crate) use reference_scores::ReferenceScores;
pub(crate) use reference_teacher::ReferenceTeacher;
