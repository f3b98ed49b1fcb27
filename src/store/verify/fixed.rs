//! The files that a store has once: descriptions of arrays, manifest, notes of runs.

use std::path::Path;

use super::{Repair, Verification};
use crate::digest::digest_bytes;
use crate::error::Error;
use crate::manifest::{Manifest, read_manifest_of};
use crate::regular_file;
use crate::store::arrays::StoreArray;
use crate::store::files::SMALL_FILE_BYTES;
use crate::store::info::StoreInfo;
use crate::store::names;
use crate::store::notes::{NoteState, all_notes};

/// Checks the arrays' descriptions and the manifest, and gives the manifest if it is whole.
///
/// # Errors
/// Returns [`Error::File`] if the system fails to read one.
pub(in crate::store) fn check(
    store: &Path,
    info: &StoreInfo,
    found: &mut Verification,
) -> Result<Option<Manifest>, Error> {
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
    match bytes.or_problem().and_then(|bytes| manifest(bytes, info)) {
        Ok(manifest) => {
            found.files += 1;
            Ok(Some(manifest))
        }
        Err(problem) => {
            found.add(names::MANIFEST, problem, Repair::RunOrRestore);
            Ok(None)
        }
    }
}

/// Reads the manifest that a store vouches for.
pub(super) fn manifest(bytes: Vec<u8>, info: &StoreInfo) -> Result<Manifest, String> {
    let digest = digest_bytes(&bytes);
    if digest != info.manifest_sha256 {
        return Err(format!("its sha256 is {digest}, {} when it was made", info.manifest_sha256));
    }
    read_manifest_of(bytes, info.images)
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
