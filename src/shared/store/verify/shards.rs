//! Records, and the files that they name.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::values::Values;
use super::{Depth, Problem, Repair, Step, Verification};
use crate::shared::digest::digest_opened;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::regular_file;
use crate::shared::store::arrays::StoreArray;
use crate::shared::store::info::StoreInfo;
use crate::shared::store::record::{FailedImage, Identified, RecordState, RecordedFile, ShardRecord};
use crate::shared::store::{names, record_file, record_path};

/// Checks every shard, and that nothing is there that belongs to none.
///
/// A run may write the store meanwhile. What belongs to a shard is then never a stranger: its files come before its record,
/// and both may come after the shard was looked at.
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
    let checked: Vec<(usize, OfShard)> = (0..info.shards())
        .into_par_iter()
        .filter_map(|shard| {
            let checked = check_shard(store, &of, manifest, values.as_ref(), shard);
            heard(Step::ShardDone);
            checked.map(|checked| Some((shard, checked?))).transpose()
        })
        .collect::<Result<_, Error>>()?;
    let there = Present::list(store, info, found)?;
    let mut unrecorded = there.files.clone();
    let mut to_do = ToDo { store, info, shards: 0..0 };
    let mut next = 0;
    for (shard, checked) in checked {
        to_do.add(next..shard, &there, found)?;
        next = shard + 1;
        found.files += checked.files;
        found.compared_bytes += checked.compared_bytes;
        found.decoded += checked.decoded;
        found.problems.extend(checked.problems);
        let present = unrecorded.remove(&shard).unwrap_or_default();
        if let Some(record) = checked.record {
            found.labelled += record.labelled;
            found.failed += record.failed.len();
            for file in present.into_iter().filter(|file| record.files.iter().all(|named| named.path != *file)) {
                // The record may be another one by now, or gone, because the shard is made again.
                if RecordState::read(store, &of, shard)?.is(&record) {
                    found.add(file, "the record of its shard does not name it", Repair::Delete);
                }
            }
        }
    }
    to_do.add(next..info.shards(), &there, found)?;
    to_do.tell(found);
    for file in there.strangers {
        found.add(file, "it belongs to no shard of this store", Repair::Delete);
    }
    Ok(())
}

/// What is in the folders of arrays and records.
struct Present {
    /// Files of arrays, by their shard.
    files: BTreeMap<usize, Vec<String>>,
    /// What no shard of this store has.
    strangers: Vec<String>,
}

impl Present {
    fn list(store: &Path, info: &StoreInfo, found: &mut Verification) -> Result<Self, Error> {
        let mut present = Self { files: BTreeMap::new(), strangers: Vec::new() };
        for array in StoreArray::of(info) {
            for name in names_in(store, array.name(), found)? {
                let file = format!("{}/{name}", array.name());
                let number = name.strip_prefix("c.").and_then(|rest| rest.split('.').next()?.parse().ok());
                match number.filter(|&shard| shard < info.shards() && array.file_of(shard) == file) {
                    Some(shard) => present.files.entry(shard).or_default().push(file),
                    None if name == names::GROUP => {}
                    None => present.strangers.push(file),
                }
            }
        }
        for name in names_in(store, names::RECORDS, found)? {
            let file = format!("{}/{name}", names::RECORDS);
            let number = name.strip_suffix(".json").and_then(|number| number.parse().ok());
            if number.is_none_or(|shard| shard >= info.shards() || record_file(shard) != file) {
                present.strangers.push(file);
            }
        }
        Ok(present)
    }
}

/// The names in a folder of the store, sorted.
fn names_in(store: &Path, folder: &'static str, found: &mut Verification) -> Result<Vec<String>, Error> {
    let path = store.join(folder);
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if regular_file::is_absence(&error) => {
            found.add(folder, "the folder is not there", Repair::Run);
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::file("list", &path)(error)),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<std::io::Result<_>>().map_err(Error::file("list", &path))?;
    names.sort();
    Ok(names)
}

/// Shards that are to do, told in ranges.
struct ToDo<'a> {
    store: &'a Path,
    info: &'a StoreInfo,
    shards: Range<usize>,
}

impl ToDo<'_> {
    /// Adds shards without a record. One that has files already is told by itself, unless it was finished meanwhile.
    fn add(&mut self, shards: Range<usize>, there: &Present, found: &mut Verification) -> Result<(), Error> {
        let mut first = shards.start;
        for (&shard, _) in there.files.range(shards.clone()) {
            self.join(first..shard, found);
            first = shard + 1;
            if regular_file::look_at(&record_path(self.store, shard))?.is_some() {
                continue;
            }
            let what =
                "it is not there, but files of its shard are: it was deleted, or a run was interrupted or is at work";
            found.add(record_file(shard), what, Repair::GoOn);
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
            self.tell(found);
            self.shards = shards;
        }
    }

    fn tell(&mut self, found: &mut Verification) {
        let Range { start: first, end } = std::mem::take(&mut self.shards);
        if first == end {
            return;
        }
        let images = self.info.rows_of(end - 1).end - self.info.rows_of(first).start;
        let last = end - 1;
        let which = if first == last { format!("shard {first} is") } else { format!("shards {first} to {last} are") };
        found.add(names::RECORDS, format!("{which} to do ({images} images)"), Repair::GoOn);
    }
}

/// What was found in one shard.
#[derive(Default)]
pub(in crate::shared::store) struct OfShard {
    /// The record, if it holds.
    pub(in crate::shared::store) record: Option<ShardRecord>,
    pub(in crate::shared::store) problems: Vec<Problem>,
    files: usize,
    compared_bytes: u64,
    decoded: usize,
}

impl OfShard {
    fn add(&mut self, file: String, problem: String) {
        self.problems.push(Problem { file, problem, repair: Repair::Run });
    }
}

/// Compares a shard's record with store and manifest, and its files with the record; `None` where the record is missing.
///
/// # Errors
/// Returns [`Error::File`] if the system fails to read a file.
pub(in crate::shared::store) fn check_shard(
    store: &Path,
    of: &Identified<'_>,
    manifest: Option<&Manifest>,
    values: Option<&Values>,
    shard: usize,
) -> Result<Option<OfShard>, Error> {
    loop {
        let (checked, record) = match RecordState::read(store, of, shard)? {
            RecordState::Absent => return Ok(None),
            RecordState::Damaged(what) => {
                let mut checked = OfShard::default();
                checked.add(record_file(shard), what);
                return Ok(Some(checked));
            }
            RecordState::Valid(record) => (check_recorded(store, &record, manifest, values)?, record),
        };
        // A shard that is made again loses its record first, and then its files.
        if checked.problems.is_empty() || RecordState::read(store, of, shard)?.is(&record) {
            return Ok(Some(OfShard { record: Some(record), ..checked }));
        }
    }
}

fn check_recorded(
    store: &Path,
    record: &ShardRecord,
    manifest: Option<&Manifest>,
    values: Option<&Values>,
) -> Result<OfShard, Error> {
    let mut checked = OfShard { files: 1 + record.files.len(), ..OfShard::default() };
    if let Some(problem) = manifest.and_then(|manifest| names_others(record, manifest)) {
        checked.add(record_file(record.shard), problem);
    }
    let mut files_hold = true;
    for file in &record.files {
        match compare(store, file)? {
            None => checked.compared_bytes += file.bytes,
            Some(problem) => {
                files_hold = false;
                checked.add(file.path.clone(), problem);
            }
        }
    }
    if let Some(values) = values.filter(|_| files_hold) {
        match values.check(record)? {
            Ok(decoded) => checked.decoded += decoded,
            Err((file, problem)) => checked.add(file, problem),
        }
    }
    Ok(checked)
}

/// That a record calls a failed image otherwise than the manifest does, in words.
pub(super) fn names_others(record: &ShardRecord, manifest: &Manifest) -> Option<String> {
    let other =
        |failed: &&FailedImage| manifest.path(failed.row) != failed.path || manifest.id(failed.row) != failed.id;
    let stranger = record.failed.iter().find(other)?;
    let FailedImage { row, path, .. } = stranger;
    Some(format!("it says that row {row}, which failed, is `{path}`; the manifest says otherwise"))
}

/// What is wrong with a file.
fn compare(store: &Path, file: &RecordedFile) -> Result<Option<String>, Error> {
    let path = store.join(&file.path);
    let (mut opened, metadata) = match regular_file::open(&path)?.or_problem() {
        Ok(there) => there,
        Err(problem) => return Ok(Some(problem)),
    };
    let bytes = metadata.len();
    if bytes != file.bytes {
        return Ok(Some(format!("it has {bytes} bytes, {} when it was written", file.bytes)));
    }
    let (digest, _) = digest_opened(&mut opened, &path)?;
    Ok((digest != file.sha256).then(|| format!("its sha256 is {digest}, {} when it was written", file.sha256)))
}
