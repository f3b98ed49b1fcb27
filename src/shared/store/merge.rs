//! Merges stores whose parts were labelled in separate folders.

mod examined_store;
mod merged_calibration;
mod merge_plan;

pub use merge_plan::{Merge, MergePart, Merged};
