//! The files that a store has once: descriptions of arrays, manifest, notes of runs.

use std::path::Path;

use bytes::Bytes;

use super::{Repair, Verification};
use crate::shared::digest::digest_bytes;
use crate::shared::error::Error;
use crate::shared::manifest::{Manifest, read_manifest_of, rows_in_manifest};
use crate::shared::regular_file;
use crate::shared::store::arrays::StoreArray;
use crate::shared::store::files::SMALL_FILE_BYTES;
use crate::shared::store::info::StoreInfo;
use crate::shared::store::names;
use crate::shared::store::notes::{NoteState, all_notes};

/// Checks the arrays' descriptions and the manifest, and gives the manifest if it is whole.
///
/// # Errors
/// Returns [`Error::File`] if the system fails to read one.
pub(in crate::shared::store) fn check(store: &Path, info: &StoreInfo, found: &mut Verification) -> Result<List, Error> {
    for &array in StoreArray::of(info) {
        let file = array.metadata_file();
        found.files += 1;
        match regular_file::read(&store.join(&file), SMALL_FILE_BYTES)?.or_problem() {
            Ok(bytes) if bytes == array.metadata_json(info) => {}
            Ok(_) => found.add(file, "it does not describe the array that zarr.json of the store names", Repair::Run),
            Err(problem) => found.add(file, problem, Repair::Run),
        }
    }
    let bytes = regular_file::read(&store.join(names::MANIFEST), info.most_manifest_bytes())?;
    let list = bytes.or_problem().map_or_else(List::Damaged, |bytes| List::read(bytes, info));
    match &list {
        List::Whole(_) => found.files += 1,
        List::Damaged(problem) | List::OfOtherImages(problem) => {
            found.add(names::MANIFEST, problem, Repair::RunOrRestore);
        }
    }
    Ok(list)
}

/// What is in the place of the list of images.
pub(in crate::shared::store) enum List {
    /// The one that the store vouches for.
    Whole(Manifest),
    /// Something else, with the reason.
    Damaged(String),
    /// The one that the store vouches for, which is not of as many images as the store: there may be as few shards.
    OfOtherImages(String),
}

impl List {
    pub(super) fn read(bytes: Vec<u8>, info: &StoreInfo) -> Self {
        let digest = digest_bytes(&bytes);
        if digest != info.manifest_sha256 {
            return Self::Damaged(format!("its sha256 is {digest}, {} when it was made", info.manifest_sha256));
        }
        let bytes = Bytes::from(bytes);
        match rows_in_manifest(&bytes) {
            Some(rows) if rows != info.images => Self::OfOtherImages(format!(
                "it has {rows} rows, the arrays have {}: no shard was looked at",
                info.images
            )),
            _ => read_manifest_of(bytes, info.images).map_or_else(Self::Damaged, Self::Whole),
        }
    }

    pub(in crate::shared::store) fn manifest(&self) -> Option<&Manifest> {
        if let Self::Whole(manifest) = self { Some(manifest) } else { None }
    }

    /// Number of shards that are worth a look.
    pub(in crate::shared::store) fn shards(&self, info: &StoreInfo) -> usize {
        if matches!(self, Self::OfOtherImages(_)) { 0 } else { info.shards() }
    }
}

/// Checks the notes of runs, which are for people and for accounting.
pub(super) fn check_notes(store: &Path, found: &mut Verification) -> Result<(), Error> {
    for (name, state) in all_notes(store)? {
        found.files += 1;
        if let NoteState::Damaged(problem) = state {
            found.add(format!("{}/{name}", names::RUNS), problem, Repair::Delete);
        }
    }
    Ok(())
}
