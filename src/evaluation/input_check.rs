//! Checks, before a long run, that a teacher gets its input as it was trained, and that its cells look where they are.
//!
//! A card that is wrong (swapped channels, the mean of another network) does not fail: every label is only a little worse.
//! [`check_input`] prepares labelled images in all plausible ways and compares how much of the probability the folder class
//! gets. [`check_positions`] mirrors images and hides their halves, and looks at which cells change.

mod preparation;
mod normalisations;
mod probe_images;
mod statistics;
mod trial;
mod trials;
mod class_order;
mod search;
mod input_figures;
mod position_figures;
mod positions;

pub use class_order::{ClassOrderExample, ClassOrderFinding, OutputOrder};
pub use input_figures::{AlternativeFigures, AlternativeVerdict, BetterCard, Evidence, InputCheck, PreparedInput};
pub use position_figures::{MirrorFigures, PositionCheck, PositionVerdict};
pub use positions::check_positions;
pub use preparation::{Framing, InputPreparation, Resampling};
pub use probe_images::{ProbeImages, ProbeSample};
pub use search::{SearchRound, check_input};
