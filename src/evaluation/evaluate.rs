//! Figures of a store against truths: one walk over its labels, whatever the number of truths.

mod truth_tally;
mod evaluate_truths;

pub use evaluate_truths::evaluate_truths;
