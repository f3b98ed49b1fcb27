//! Records, and the files that they name.

use std::collections::BTreeSet;
use std::path::Path;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::values::Values;
use super::{Depth, Problem, Repair, Step, Verification};
use crate::digest::digest_file;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::store::arrays::StoreArray;
use crate::store::info::StoreInfo;
use crate::store::record::{FailedImage, Identified, RecordState, RecordedFile, ShardRecord};
use crate::store::{names, record_file};

/// Checks every shard, and that nothing lies about that no record names.
pub(super) fn check(
    store: &Path,
    info: &StoreInfo,
    manifest: Option<&Manifest>,
    depth: Depth,
    heard: &(dyn Fn(Step) + Sync),
    found: &mut Verification,
) -> Result<(), Error> {
    heard(Step::Shards(info.shards()));
    let of = Identified { info, identity: &info.identity() };
    let values = match depth {
        Depth::Files => None,
        Depth::Values => Some(Values::open(store, info)?),
    };
    let shards: Vec<OfShard> = (0..info.shards())
        .into_par_iter()
        .map(|shard| {
            let checked = check_shard(store, &of, manifest, values.as_ref(), shard);
            heard(Step::ShardDone);
            checked
        })
        .collect();
    // Files whose shard is known, and who need no further word.
    let mut explained = BTreeSet::new();
    let mut to_do = Vec::new();
    for (shard, checked) in shards.into_iter().enumerate() {
        found.files += checked.files;
        found.compared_bytes += checked.compared_bytes;
        found.decoded += checked.decoded;
        found.problems.extend(checked.problems);
        if let Some(record) = checked.record {
            found.labelled += record.labelled;
            found.failed += record.failed.len();
            explained.insert(record_file(shard));
            explained.extend(record.files.into_iter().map(|file| file.path));
            continue;
        }
        let files: Vec<String> = StoreArray::of(info).iter().map(|array| array.file_of(shard)).collect();
        if !checked.is_to_do {
            explained.insert(record_file(shard));
        } else if files.iter().any(|file| store.join(file).exists()) {
            let what = "it is not there, but files of its shard are: it was deleted, or a run was interrupted";
            found.add(record_file(shard), what, Repair::GoOn);
        } else {
            to_do.push(shard);
        }
        // One problem is enough for a shard whose record is damaged or gone.
        explained.extend(files);
    }
    for shards in to_do.chunk_by(|a, b| a + 1 == *b) {
        let (first, last) = (shards[0], shards[shards.len() - 1]);
        let images = info.rows_of(last).end - info.rows_of(first).start;
        let which = if first == last { format!("shard {first} is") } else { format!("shards {first} to {last} are") };
        found.add(names::RECORDS, format!("{which} to do ({images} images)"), Repair::GoOn);
    }
    strays(store, info, &explained, found);
    Ok(())
}

/// What was found in one shard.
#[derive(Default)]
pub(in crate::store) struct OfShard {
    /// The record, if it holds.
    pub(in crate::store) record: Option<ShardRecord>,
    is_to_do: bool,
    pub(in crate::store) problems: Vec<Problem>,
    files: usize,
    compared_bytes: u64,
    decoded: usize,
}

impl OfShard {
    fn add(&mut self, file: String, problem: String) {
        self.problems.push(Problem { file, problem, repair: Repair::Run });
    }
}

/// Holds a shard's record against store and manifest, and its files against the record.
pub(in crate::store) fn check_shard(
    store: &Path,
    of: &Identified<'_>,
    manifest: Option<&Manifest>,
    values: Option<&Values>,
    shard: usize,
) -> OfShard {
    let mut checked = OfShard::default();
    let record = match RecordState::read(store, of, shard) {
        Ok(RecordState::Valid(record)) => record,
        Ok(RecordState::Absent) => return OfShard { is_to_do: true, ..checked },
        Ok(RecordState::Damaged(what)) => {
            checked.add(record_file(shard), what);
            return checked;
        }
        Err(error) => {
            checked.add(record_file(shard), error.to_string());
            return checked;
        }
    };
    checked.files += 1;
    if let Some(problem) = manifest.and_then(|manifest| names_others(&record, manifest)) {
        checked.add(record_file(shard), problem);
    }
    let mut files_hold = true;
    for file in &record.files {
        checked.files += 1;
        match compare(store, file) {
            Ok(()) => checked.compared_bytes += file.bytes,
            Err(problem) => {
                files_hold = false;
                checked.add(file.path.clone(), problem);
            }
        }
    }
    if let Some(values) = values.filter(|_| files_hold) {
        match values.check(&record) {
            Ok(decoded) => checked.decoded += decoded,
            Err((file, problem)) => checked.add(file, problem),
        }
    }
    checked.record = Some(record);
    checked
}

/// That a record calls a failed image otherwise than the manifest does, in words.
pub(super) fn names_others(record: &ShardRecord, manifest: &Manifest) -> Option<String> {
    let other =
        |failed: &&FailedImage| manifest.path(failed.row) != failed.path || manifest.id(failed.row) != failed.id;
    let stranger = record.failed.iter().find(other)?;
    let FailedImage { row, path, .. } = stranger;
    Some(format!("it says that row {row}, which failed, is `{path}`; the manifest says otherwise"))
}

fn compare(store: &Path, file: &RecordedFile) -> Result<(), String> {
    let path = store.join(&file.path);
    let bytes = std::fs::metadata(&path).map_err(|error| error.to_string())?.len();
    if bytes != file.bytes {
        return Err(format!("it has {bytes} bytes, {} when it was written", file.bytes));
    }
    let (digest, _) = digest_file(&path).map_err(|error| error.to_string())?;
    if digest == file.sha256 {
        Ok(())
    } else {
        Err(format!("its sha256 is {digest}, {} when it was written", file.sha256))
    }
}

/// Files that belong to no shard.
fn strays(store: &Path, info: &StoreInfo, explained: &BTreeSet<String>, found: &mut Verification) {
    for folder in StoreArray::of(info).iter().map(|array| array.name()).chain([names::RECORDS]) {
        let Ok(entries) = std::fs::read_dir(store.join(folder)) else {
            found.add(folder, "the folder cannot be read", Repair::Run);
            continue;
        };
        let mut files: Vec<String> = entries
            .filter_map(|entry| Some(format!("{folder}/{}", entry.ok()?.file_name().to_string_lossy())))
            .filter(|file| !file.ends_with(names::GROUP) && !explained.contains(file))
            .collect();
        files.sort();
        for file in files {
            found.add(file, "it belongs to no shard of this store", Repair::Delete);
        }
    }
}
