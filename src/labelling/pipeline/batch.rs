//! The batches that the stages pass on.

use std::ops::Range;

use crate::labelling::teacher::{BatchLabels, PixelBatch};
use crate::shared::error::ImageError;

/// A batch on its way to a teacher.
pub(super) struct DecodedBatch {
    pub(super) position: BatchPosition,
    /// The entire images.
    pub(super) pixels: PixelBatch,
    /// Each tile of all images, in the order of the store.
    pub(super) tiles: Vec<PixelBatch>,
    /// Error of each slot that is black.
    pub(super) failures: Vec<Option<ImageError>>,
}

/// A batch on its way to the store.
pub(super) struct LabelledBatch {
    pub(super) position: BatchPosition,
    pub(super) labels: BatchLabels,
    /// Labels of each tile of all images.
    pub(super) tiles: Vec<BatchLabels>,
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
