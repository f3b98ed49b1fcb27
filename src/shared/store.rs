//! The store: the folder that holds the label maps of a data set, in the format of `docs/format.md`.
//! The only module that uses zarrs.
//!
//! Every file of a store is a pure function of manifest, teacher, card and settings, except `runs/` and entries whose name
//! begins with a dot. An interrupted run that was resumed therefore leaves the same bytes as an uninterrupted one
//! (test `kill::a_killed_run_resumes_to_the_same_bytes`).

mod store_error;
mod layout;
mod json_digest;
mod part;
mod recorded_file;
mod imported;
mod committer;
mod verified_files;
mod location;
mod folder_files;
mod info;
mod group;
mod array_metadata;
mod record;
mod calibration;
mod shard_index;
mod shard_encoder;
mod chunk_decoder;
mod run_notes;
mod part_lock;
// Only labelling decodes images; other writers open the notes and leave them.
#[cfg_attr(not(feature = "label"), allow(dead_code))]
mod in_flight;
mod source_index;
mod writer;
mod reader;
mod redaction;
mod status;
mod verify;
mod merge;

pub use calibration::{Calibration, CalibrationFigures, CalibrationSample};
pub use chunk_decoder::DecodeScratch;
pub use committer::CopyMode;
pub use folder_files::FolderFiles;
pub use imported::{CellOrder, ImportedDtype, ImportedFormat, ImportedInfo, ImportedPrediction, RankAxis};
#[cfg(feature = "label")]
pub(crate) use in_flight::HEARTBEAT_INTERVAL;
pub use in_flight::InFlight;
pub use info::{ClassesInfo, FORMAT_VERSION, MAPLESS_FORMAT_VERSION, ScoreKind, StoreInfo, TeacherInfo, ZSTD_LEVEL};
pub(crate) use layout::{CALIBRATION, CHECKSUMS_BYTES};
pub use location::Files;
pub use merge::{Merge, MergePart, Merged};
pub use part::Part;
pub use reader::{LabelParts, RowState, StoreReader};
pub use record::{Agreement, FailedImage, ShardRecord, TileFiles};
pub use recorded_file::RecordedFile;
pub use redaction::Redact;
pub use run_notes::{RunNote, run_notes};
pub use shard_encoder::{ShardLabels, encode_shard};
pub use status::StoreStatus;
pub use store_error::StoreError;
pub use verify::{
    Depth, Problem, Repair, StoreDescription, Verification, VerifyProgress, check_labels, read_description, verify,
};
pub use writer::{PartState, StoreWriter, WriterOptions};

/// Hooks for tests.
#[doc(hidden)]
pub mod testing {
    pub use crate::shared::store::committer::FaultInjection;
}
