//! Runs the stages of labelling concurrently: read, decode and resize | teacher | encode and commit.
//!
//! The stages pass batches through queues of fixed length, so memory does not grow with the number of images
//! (`docs/performance.md`). The contents of a batch depend only on manifest and shard: an image that fails leaves its slot
//! black, and no other image moves.

mod job;
mod run_outcome;
mod batch;
mod run_checks;
mod decode_stage;
mod commit_stage;
mod stages;
mod recompute;

pub(crate) use decode_stage::read_catching_panics;
pub use job::{Destination, FailureLimit, ImagesToDo, Job, Preprocessing, ShardWork};
pub use recompute::{Recomputed, Tolerance, WrongImage, recompute};
pub(crate) use run_outcome::RunOutcome;
pub(crate) use stages::start_stage;
pub use stages::{label, run};
