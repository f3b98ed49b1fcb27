//! The store's own files: those that its records name, with words for people that name no place of a machine.

use super::places::{Shortened, without_places};
use super::{Content, ReleaseFile};
use crate::shared::error::Error;
use crate::shared::store::{ShardRecord, StoreReader};

/// The files of the store that are in the release, and what of their words was cut.
///
/// Shards' files have the digests of their records, which the verification before has compared.
pub(super) fn stored_files(
    store: &StoreReader,
    records: &[ShardRecord],
) -> Result<(Vec<ReleaseFile>, Vec<Shortened>), Error> {
    let (mut files, mut shortened) = (Vec::new(), Vec::new());
    let mut reworded = |file: &str, place: &str, text: &str| {
        let (text, found) = without_places(text)?;
        let place = format!("{file}: {place}");
        shortened.extend(found.into_iter().map(|(from, to)| Shortened { place: place.clone(), from, to }));
        Some(text)
    };
    for path in store.info().fixed_files() {
        let other =
            if path == GROUP { store.redacted_group(&mut |place, text| reworded(GROUP, place, text))? } else { None };
        files.push(stored_or(store, path, other)?);
    }
    for record in records {
        let path = record.path();
        let other = store.redacted_record(record.shard, &mut |place, text| reworded(&path, place, text))?;
        files.push(stored_or(store, path, other)?);
        files.extend(record.files.iter().map(|file| ReleaseFile {
            path: file.path.clone(),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            content: Content::Stored(store.path().join(&file.path)),
        }));
    }
    Ok((files, shortened))
}

const GROUP: &str = "zarr.json";

fn stored_or(store: &StoreReader, path: String, other: Option<Vec<u8>>) -> Result<ReleaseFile, Error> {
    if let Some(bytes) = other {
        return Ok(ReleaseFile::made(&path, bytes));
    }
    let at = store.path().join(&path);
    ReleaseFile::stored(path, at)
}
