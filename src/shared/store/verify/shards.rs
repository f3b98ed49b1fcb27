//! Verifies records and the files that they list.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::label_values::ValueChecker;
use super::verification::{Depth, Problem, Repair, Verification, VerifyProgress};
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::regular_file;
use crate::shared::store::info::StoreInfo;
use crate::shared::store::layout::{self, StoreArray, record_file, record_path};
use crate::shared::store::record::{FailedImage, IdentifiedStore, RecordState, ShardRecord, StoreIdentity};

/// Verifies every shard, and that the folders contain no files of other stores.
///
/// A run may write the store concurrently. Files of an unfinished shard are therefore never foreign: they are written before
/// its record, and both may be written after the shard was verified.
pub(super) fn check_shards(
    store: &Path,
    info: &StoreInfo,
    manifest: Option<&Manifest>,
    depth: Depth,
    on_progress: &(dyn Fn(VerifyProgress) + Sync),
    found: &mut Verification,
) -> Result<(), Error> {
    on_progress(VerifyProgress::Shards(info.shards()));
    let of = IdentifiedStore { info, identity: &StoreIdentity::new(info) };
    let values = match depth {
        Depth::Files => None,
        Depth::Values => Some(ValueChecker::open(store, info)?),
    };
    let checked: Vec<(usize, CheckedShard)> = (0..info.shards())
        .into_par_iter()
        .filter_map(|shard| {
            let checked = check_shard(store, &of, manifest, values.as_ref(), shard);
            on_progress(VerifyProgress::ShardDone);
            checked.map(|checked| Some((shard, checked?))).transpose()
        })
        .collect::<Result<_, Error>>()?;
    let present_files = PresentFiles::list(store, info, found)?;
    let mut unrecorded = present_files.files.clone();
    let mut to_do = UnfinishedShards { store, info, shards: 0..0 };
    let mut next = 0;
    for (shard, checked) in checked {
        to_do.add(next..shard, &present_files, found)?;
        next = shard + 1;
        found.files += checked.files;
        found.compared_bytes += checked.compared_bytes;
        found.decoded += checked.decoded;
        found.problems.extend(checked.problems);
        let present = unrecorded.remove(&shard).unwrap_or_default();
        if let Some(record) = checked.record {
            found.labelled += record.labelled;
            found.failed += record.failed.len();
            for file in present.into_iter().filter(|file| record.all_files().all(|named| named.path != *file)) {
                // A shard that is labelled again may have a new record by now, or none.
                if RecordState::read(store, &of, shard)?.is(&record) {
                    found.add(file, "the record of its shard does not list it", Repair::Delete);
                }
            }
        }
    }
    to_do.add(next..info.shards(), &present_files, found)?;
    to_do.report(found);
    for file in present_files.foreign {
        found.add(file, "belongs to no shard of this store", Repair::Delete);
    }
    Ok(())
}

/// Files in the folders of arrays and records.
struct PresentFiles {
    /// Files of arrays, by shard.
    files: BTreeMap<usize, Vec<String>>,
    /// Files that belong to no shard of this store.
    foreign: Vec<String>,
}

impl PresentFiles {
    fn list(store: &Path, info: &StoreInfo, found: &mut Verification) -> Result<Self, Error> {
        let mut present = Self { files: BTreeMap::new(), foreign: Vec::new() };
        for array in StoreArray::stored_in(info) {
            for name in names_in(store, array.name(), found)? {
                let file = format!("{}/{name}", array.name());
                let number = name.strip_prefix("c.").and_then(|rest| rest.split('.').next()?.parse().ok());
                match number.filter(|&shard| shard < info.shards() && array.shard_file(shard) == file) {
                    Some(shard) => present.files.entry(shard).or_default().push(file),
                    None if name == layout::GROUP => {}
                    None => present.foreign.push(file),
                }
            }
        }
        for name in names_in(store, layout::RECORDS, found)? {
            let file = format!("{}/{name}", layout::RECORDS);
            let number = name.strip_suffix(".json").and_then(|number| number.parse().ok());
            if number.is_none_or(|shard| shard >= info.shards() || record_file(shard) != file) {
                present.foreign.push(file);
            }
        }
        Ok(present)
    }
}

/// Returns the names in a folder of the store, sorted.
fn names_in(store: &Path, folder: &'static str, found: &mut Verification) -> Result<Vec<String>, Error> {
    let path = store.join(folder);
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if regular_file::is_absence(&error) => {
            found.add(folder, "the folder is missing", Repair::Run);
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::file("list", &path)(error)),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<std::io::Result<_>>().map_err(Error::file("list", &path))?;
    names.sort();
    Ok(names)
}

/// Unfinished shards, reported in ranges.
struct UnfinishedShards<'a> {
    store: &'a Path,
    info: &'a StoreInfo,
    shards: Range<usize>,
}

impl UnfinishedShards<'_> {
    /// Adds shards without a record. A shard that has files already is reported separately, unless it was
    /// finished in the meantime.
    fn add(&mut self, shards: Range<usize>, present: &PresentFiles, found: &mut Verification) -> Result<(), Error> {
        let mut first = shards.start;
        for (&shard, _) in present.files.range(shards.clone()) {
            self.join(first..shard, found);
            first = shard + 1;
            if regular_file::metadata(&record_path(self.store, shard))?.is_some() {
                continue;
            }
            let what = "missing, but files of its shard exist: it was deleted, or a run was interrupted or is running";
            found.add(record_file(shard), what, Repair::Resume);
        }
        self.join(first..shards.end, found);
        Ok(())
    }

    fn join(&mut self, shards: Range<usize>, found: &mut Verification) {
        if shards.is_empty() {
            return;
        }
        if self.shards.end == shards.start {
            self.shards.end = shards.end;
        } else {
            self.report(found);
            self.shards = shards;
        }
    }

    fn report(&mut self, found: &mut Verification) {
        let Range { start: first, end } = std::mem::take(&mut self.shards);
        if first == end {
            return;
        }
        let images = self.info.shard_rows(end - 1).end - self.info.shard_rows(first).start;
        let last = end - 1;
        let which = if first == last { format!("shard {first} is") } else { format!("shards {first} to {last} are") };
        found.add(layout::RECORDS, format!("{which} to do ({images} images)"), Repair::Resume);
    }
}

/// Result of verifying one shard.
#[derive(Default)]
pub(in crate::shared::store) struct CheckedShard {
    /// The record, if it is valid.
    pub(in crate::shared::store) record: Option<ShardRecord>,
    pub(in crate::shared::store) problems: Vec<Problem>,
    files: usize,
    compared_bytes: u64,
    decoded: usize,
}

impl CheckedShard {
    fn add(&mut self, file: String, problem: String) {
        self.problems.push(Problem { file, problem, repair: Repair::Run });
    }
}

/// Verifies a shard's record against store and manifest, and its files against the record; `None` if it has no record.
///
/// # Errors
/// Returns [`Error::File`] if a file cannot be read.
pub(in crate::shared::store) fn check_shard(
    store: &Path,
    of: &IdentifiedStore<'_>,
    manifest: Option<&Manifest>,
    values: Option<&ValueChecker>,
    shard: usize,
) -> Result<Option<CheckedShard>, Error> {
    loop {
        let (checked, record) = match RecordState::read(store, of, shard)? {
            RecordState::Absent => return Ok(None),
            RecordState::Damaged(what) => {
                let mut checked = CheckedShard::default();
                checked.add(record_file(shard), what);
                return Ok(Some(checked));
            }
            RecordState::Valid(record) => (check_recorded(store, &record, manifest, values)?, record),
        };
        // The record of a shard that is labelled again is removed before its files.
        if checked.problems.is_empty() || RecordState::read(store, of, shard)?.is(&record) {
            return Ok(Some(CheckedShard { record: Some(record), ..checked }));
        }
    }
}

fn check_recorded(
    store: &Path,
    record: &ShardRecord,
    manifest: Option<&Manifest>,
    values: Option<&ValueChecker>,
) -> Result<CheckedShard, Error> {
    let mut checked = CheckedShard { files: 1 + record.all_files().count(), ..CheckedShard::default() };
    if let Some(problem) = manifest.and_then(|manifest| contradicts_manifest(record, manifest)) {
        checked.add(record_file(record.shard), problem);
    }
    let mut files_match = true;
    for file in record.all_files() {
        match file.open_matching(store, |_| false)?.err() {
            None => checked.compared_bytes += file.bytes,
            Some(problem) => {
                files_match = false;
                checked.add(file.path.clone(), problem.to_string());
            }
        }
    }
    if let Some(values) = values.filter(|_| files_match) {
        match values.check(record)? {
            Ok(decoded) => checked.decoded += decoded,
            Err((file, problem)) => checked.add(file, problem),
        }
    }
    Ok(checked)
}

/// Returns the problem if a record differs from the manifest in the id or path of a failed image.
pub(super) fn contradicts_manifest(record: &ShardRecord, manifest: &Manifest) -> Option<String> {
    let differs =
        |failed: &&FailedImage| manifest.path(failed.row) != failed.path || manifest.id(failed.row) != failed.id;
    let FailedImage { row, id, path, .. } = record.failed.iter().find(differs)?;
    let (manifest_id, manifest_path) = (manifest.id(*row), manifest.path(*row));
    Some(format!(
        "failed row {row} is `{path}` (id `{id}`) in it, but `{manifest_path}` (id `{manifest_id}`) in the manifest"
    ))
}
