//! The batches that the stages pass on.

use std::ops::Range;

use crate::labelling::teacher::{BatchLabels, PixelBatch};
use crate::shared::error::ImageError;

/// A batch on its way to a teacher.
pub(super) struct DecodedBatch {
    pub(super) position: BatchPosition,
    pub(super) pixels: PixelBatch,
    /// Error of each slot that is black.
    pub(super) failures: Vec<Option<ImageError>>,
}

/// A batch on its way to the store.
pub(super) struct LabelledBatch {
    pub(super) position: BatchPosition,
    pub(super) labels: BatchLabels,
    pub(super) failures: Vec<Option<ImageError>>,
}

/// The position of a batch in the run.
#[derive(Clone, Debug)]
pub(super) struct BatchPosition {
    /// Position among all batches of the run.
    pub(super) sequence: usize,
    /// Position of its shard in the job.
    pub(super) work: usize,
    pub(super) rows: Range<usize>,
    /// Whether this is the last batch of its shard.
    pub(super) ends_shard: bool,
}
