//! The images that a run labels, and the destination of the labels.

use std::collections::HashMap;

use crate::labelling::pixels::{Decoder, ExifOrientation, Filter};
use crate::labelling::source::{ImageReader, LengthCheck};
use crate::shared::geometry::InputSize;
use crate::shared::label_map::ScoreRounding;
use crate::shared::manifest::Manifest;
use crate::shared::store::{StoreInfo, StoreWriter};

/// The images to label, and how.
pub struct Job<'a> {
    /// Reads the images.
    pub images: &'a dyn ImageReader,
    /// Whether images must have the lengths that the manifest records.
    pub length_check: LengthCheck,
    /// The images of the store.
    pub manifest: &'a Manifest,
    /// Description of the store.
    pub info: &'a StoreInfo,
    /// The shards to label, in order.
    pub shards: Vec<ShardWork>,
    /// How images become input pixels.
    pub preprocessing: Preprocessing,
    /// Decodes images, within a memory budget.
    pub decoder: Decoder,
    /// Rounding of scores.
    pub rounding: ScoreRounding,
    /// Number of threads that decode and encode.
    pub threads: usize,
}

/// A shard to label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardWork {
    /// Number of the shard.
    pub shard: usize,
    /// Which of its images.
    pub images: ImagesToDo,
}

/// Which images of a shard to label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImagesToDo {
    /// All.
    All,
    /// Those of these rows; the others keep their labels. Batches that contain one of them are run completely, so an
    /// image gets the same labels as when all are labelled
    /// (test `faults::retried_failures_give_the_bytes_of_a_run_without_failures`).
    These(Vec<usize>),
}

impl ImagesToDo {
    pub(super) fn include(&self, row: usize) -> bool {
        match self {
            Self::All => true,
            Self::These(rows) => rows.contains(&row),
        }
    }
}

/// Where the labels are stored, and what they are checked against.
pub struct Destination<'a> {
    /// The store.
    pub store: &'a StoreWriter,
    /// Classes by folder class.
    pub classes: HashMap<String, u32>,
    /// Number of failures that stops the run.
    pub failure_limit: FailureLimit,
}

/// How many failures stop a run. Shards that were committed before are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureLimit {
    /// No number of failures stops the run.
    Never,
    /// This many consecutive images: the source is probably gone.
    InARow(usize),
    /// More than this many in total.
    InAll(usize),
}

/// How images become input pixels.
#[derive(Clone, Copy, Debug)]
pub struct Preprocessing {
    /// Size of the teacher's input.
    pub input_size: InputSize,
    /// Filter of the resize.
    pub filter: Filter,
    /// Whether EXIF orientation is applied.
    pub exif_orientation: ExifOrientation,
}
