//! The store: the folder that holds the label maps of a data set, as `docs/format.md` lays it out.
//! The only room that knows zarrs.
//!
//! Everything in a store but `runs/` and what has a dot before its name is a pure function of manifest, teacher, card and settings: an interrupted run
//! that was resumed leaves the bytes of an unbroken one (test `kill::a_killed_run_resumes_to_the_same_bytes`).

mod imported;
mod info;
mod arrays;
mod files;
mod index;
mod encode;
mod seal;
mod record;
mod part;
mod lock;
mod commit;
mod seen;
mod in_flight;
mod writer;
mod decode;
mod place;
mod reader;
mod contents;
mod status;
mod notes;
mod verify;
mod merge;

pub use commit::{Faults, PlaceBy};
pub use contents::Reword;
pub use decode::DecodeScratch;
pub use encode::{ShardLabels, encode_shard};
pub(crate) use files::CHECKSUMS_BYTES;
pub use files::{Files, FolderFiles};
pub use imported::{ImportedFormat, ImportedInfo, ImportedNumbers, ImportedPrediction, Orientation, RankAxis};
pub(crate) use in_flight::BEAT;
pub use in_flight::InFlight;
pub use info::{ClassesInfo, FORMAT_VERSION, ScoreKind, StoreInfo, TeacherInfo, ZSTD_LEVEL};
pub use merge::{Merge, MergePart, Merged};
pub use notes::{RunNote, run_notes};
pub use part::Part;
pub use reader::{RowState, StoreReader};
pub use record::{Agreement, FailedImage, RecordedFile, ShardRecord};
pub use status::StoreStatus;
pub use verify::{Depth, Description, Problem, Repair, Step, Verification, check_labels, describe, verify};
pub use writer::{PartState, StoreWriter, WriteAs};

use std::ops::Range;
use std::path::{Path, PathBuf};

/// Rows of shard number `shard`.
fn shard_rows(shard: usize, shard_images: usize, images: usize) -> Range<usize> {
    let first = shard * shard_images;
    first..images.min(first + shard_images)
}

/// Names inside a store.
pub(crate) mod names {
    pub(crate) const GROUP: &str = "zarr.json";
    pub(crate) const MANIFEST: &str = "manifest.parquet";
    pub(crate) const RECORDS: &str = "records";
    pub(crate) const RUNS: &str = "runs";
    /// Files on their way into the store. Nothing in here counts.
    pub(crate) const STAGING: &str = ".staging";
    /// Who writes which part.
    pub(crate) const LOCKS: &str = ".locks";
    /// Which images are being decoded.
    pub(crate) const IN_FLIGHT: &str = ".in-flight";
    /// Which files were compared with their digests.
    pub(crate) const SEEN: &str = ".seen";
    /// Where the images lie in the source's archives. Nothing depends on it.
    pub(crate) const SOURCE_INDEX: &str = ".source-index";
    /// Everything in a store but its arrays.
    pub(crate) const OWN: [&str; 9] = [GROUP, MANIFEST, RECORDS, RUNS, STAGING, LOCKS, IN_FLIGHT, SEEN, SOURCE_INDEX];
}

/// Path of a shard's record inside the store.
fn record_file(shard: usize) -> String {
    format!("{}/{shard:06}.json", names::RECORDS)
}

fn record_path(store: &Path, shard: usize) -> PathBuf {
    store.join(record_file(shard))
}
