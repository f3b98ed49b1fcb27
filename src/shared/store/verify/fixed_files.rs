//! Verifies the files that a store has once: `zarr.json` of the arrays, manifest, run notes.

use std::path::Path;

use bytes::Bytes;

use super::verification::{Repair, Verification, without_help};
use crate::shared::digest::digest_bytes;
use crate::shared::error::Error;
use crate::shared::manifest::{Manifest, read_manifest_of, rows_in_manifest};
use crate::shared::regular_file::{self, Lookup};
use crate::shared::store::calibration::Calibration;
use crate::shared::store::info::StoreInfo;
use crate::shared::store::layout::{self, SMALL_FILE_BYTES, StoreArray};
use crate::shared::store::run_notes::{NoteState, all_notes};

/// Verifies the arrays' `zarr.json` and the manifest.
///
/// # Errors
/// Returns [`Error::File`] if one cannot be read.
pub(in crate::shared::store) fn check_fixed_files(
    store: &Path,
    info: &StoreInfo,
    found: &mut Verification,
) -> Result<ManifestState, Error> {
    for array in StoreArray::stored_in(info) {
        let file = array.metadata_file();
        found.files += 1;
        match regular_file::read(&store.join(&file), SMALL_FILE_BYTES)?.usable() {
            Ok(bytes) if bytes == array.metadata_json(info) => {}
            Ok(_) => found.add(file, WRONG_ARRAY_METADATA, Repair::Run),
            Err(problem) => found.add(file, problem.to_string(), Repair::Run),
        }
    }
    match regular_file::read(&store.join(layout::CALIBRATION), SMALL_FILE_BYTES)? {
        Lookup::Absent => {}
        Lookup::Unusable(problem) => found.add(layout::CALIBRATION, problem.to_string(), Repair::Calibrate),
        Lookup::Found(text) => {
            found.files += 1;
            if let Err(problem) = Calibration::from_json(&text, info) {
                found.add(layout::CALIBRATION, problem.to_string(), Repair::Calibrate);
            }
        }
    }
    let bytes = regular_file::read(&store.join(layout::MANIFEST), info.max_manifest_bytes())?;
    let manifest = bytes
        .usable()
        .map_or_else(|problem| ManifestState::Damaged(problem.to_string()), |bytes| ManifestState::read(bytes, info));
    match &manifest {
        ManifestState::Valid(_) => found.files += 1,
        ManifestState::Damaged(problem) | ManifestState::OtherLength(problem) => {
            found.add(layout::MANIFEST, problem, Repair::RunOrRestore);
        }
    }
    Ok(manifest)
}

/// Problem of an array's `zarr.json`.
pub(super) const WRONG_ARRAY_METADATA: &str = "does not match the store's zarr.json";

/// State of the manifest.
pub(in crate::shared::store) enum ManifestState {
    /// The manifest that the store was created with.
    Valid(Manifest),
    /// Not that manifest, with the reason.
    Damaged(String),
    /// That manifest, but with a number of rows that differs from the store's images, with a message. The number of
    /// shards is then unknown.
    OtherLength(String),
}

impl ManifestState {
    pub(super) fn read(bytes: Vec<u8>, info: &StoreInfo) -> Self {
        let digest = digest_bytes(&bytes);
        if digest != info.manifest_sha256 {
            return Self::Damaged(format!("sha256 {digest}, expected {}", info.manifest_sha256));
        }
        let bytes = Bytes::from(bytes);
        match rows_in_manifest(&bytes) {
            Some(rows) if rows != info.images => {
                Self::OtherLength(format!("{rows} rows, but the arrays have {}: no shard was verified", info.images))
            }
            _ => read_manifest_of(bytes, info.images)
                .map_or_else(|problem| Self::Damaged(without_help(&problem)), Self::Valid),
        }
    }

    pub(in crate::shared::store) fn manifest(&self) -> Option<&Manifest> {
        if let Self::Valid(manifest) = self { Some(manifest) } else { None }
    }

    /// Number of shards to verify.
    pub(in crate::shared::store) fn shards(&self, info: &StoreInfo) -> usize {
        if matches!(self, Self::OtherLength(_)) { 0 } else { info.shards() }
    }
}

/// Verifies the run notes.
pub(super) fn check_notes(store: &Path, found: &mut Verification) -> Result<(), Error> {
    for (name, state) in all_notes(store)? {
        found.files += 1;
        if let NoteState::Damaged(problem) = state {
            found.add(format!("{}/{name}", layout::RUNS), problem, Repair::Delete);
        }
    }
    Ok(())
}
