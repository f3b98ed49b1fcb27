//! The files that a store has once: descriptions of arrays, manifest, notes of runs.

use std::path::Path;

use super::{Repair, Verification};
use crate::digest::digest_bytes;
use crate::manifest::{Manifest, read_manifest_parquet};
use crate::store::arrays::StoreArray;
use crate::store::info::StoreInfo;
use crate::store::names;
use crate::store::seal::unsealed;

/// Checks the arrays' descriptions and the manifest, and gives the manifest if it is whole.
pub(in crate::store) fn check(store: &Path, info: &StoreInfo, found: &mut Verification) -> Option<Manifest> {
    for &array in StoreArray::of(info) {
        let file = array.metadata_file();
        found.files += 1;
        match std::fs::read(store.join(&file)) {
            Ok(bytes) if bytes == array.metadata_json(info) => {}
            Ok(_) => found.add(file, "it does not describe the array that zarr.json of the store names", Repair::Run),
            Err(error) => found.add(file, error.to_string(), Repair::Run),
        }
    }
    manifest(store, info).map_err(|problem| found.add(names::MANIFEST, problem, Repair::RunOrRestore)).ok().inspect(
        |_| {
            found.files += 1;
        },
    )
}

fn manifest(store: &Path, info: &StoreInfo) -> Result<Manifest, String> {
    let path = store.join(names::MANIFEST);
    let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
    let digest = digest_bytes(&bytes);
    if digest != info.manifest_sha256 {
        return Err(format!("its sha256 is {digest}, {} when it was made", info.manifest_sha256));
    }
    let manifest = read_manifest_parquet(&path).map_err(|error| error.to_string())?;
    if manifest.len() != info.images {
        return Err(format!("it has {} rows, the arrays have {}", manifest.len(), info.images));
    }
    Ok(manifest)
}

/// Checks the notes of runs, which are for people and for accounting.
pub(super) fn check_notes(store: &Path, found: &mut Verification) {
    let Ok(entries) = std::fs::read_dir(store.join(names::RUNS)) else { return };
    let mut notes: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    notes.sort();
    for note in notes {
        found.files += 1;
        let checked = std::fs::read(&note).map_err(|error| error.to_string()).and_then(|text| {
            let object = serde_json::from_slice(&text).map_err(|error| format!("it is no JSON object: {error}"))?;
            unsealed(object)
        });
        if let Err(problem) = checked {
            let name = note.file_name().unwrap_or_default().to_string_lossy();
            found.add(format!("{}/{name}", names::RUNS), problem, Repair::Delete);
        }
    }
}
