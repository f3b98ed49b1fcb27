//! Merges stores whose parts were labelled in separate folders.
//!
//! First every file of every finished shard is verified. Nothing is written unless the stores fit together and are
//! undamaged: a merge without the damaged shards would look like an unfinished store.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::iter::{IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};

use super::examined_store::{self, ExaminedStore};
use super::merged_calibration::MergedCalibration;
use crate::shared::error::Error;
use crate::shared::manifest::read_known_manifest_bytes;
use crate::shared::store::committer::CopyMode;
use crate::shared::store::group::GroupState;
use crate::shared::store::info::StoreInfo;
use crate::shared::store::layout;
use crate::shared::store::record::{IdentifiedStore, RecordState, ShardRecord, StoreIdentity};
use crate::shared::store::verify::VerifyProgress;
use crate::shared::store::writer::{StoreWriter, WriterOptions};

/// Plan of a merge: stores that fit together, and the shards that each contributes.
#[derive(Debug)]
pub struct Merge {
    out: PathBuf,
    info: StoreInfo,
    manifest: Vec<u8>,
    parts: Vec<MergePart>,
    /// By number; `None` if no store has it.
    shards: Vec<Option<FoundShard>>,
    /// Number of shards with a record in the merged store.
    shards_there: usize,
    calibration: Option<MergedCalibration>,
}

/// A finished shard.
#[derive(Clone, Debug)]
struct FoundShard {
    record: ShardRecord,
    /// The first part that has it; `None` if only the merged store does.
    from: Option<usize>,
}

/// One of the stores to merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergePart {
    /// Folder of the store.
    pub store: PathBuf,
    /// Number of finished shards.
    pub shards_done: usize,
    /// Number of shards that are taken from it: those that neither the merged store nor an earlier part has.
    pub shards_taken: usize,
    /// Total length of their files.
    pub bytes_taken: u64,
    /// Number of their files.
    pub files_taken: usize,
}

/// Result of a merge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Number of shards taken from each part.
    pub shards_from: Vec<usize>,
    /// Number of shards of which at least one file was copied.
    pub shards_copied: usize,
    /// Number of run notes that were copied.
    pub notes: usize,
}

impl Merge {
    /// Verifies all parts and the shards that `out` already has, and decides which shards to take from which part. Writes
    /// nothing. `on_progress` is called from several threads, and may end the planning with an error.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if a part is passed twice or is `out`; [`Error::Store`] if a part is not a store or `out`
    /// contains other files; [`Error::Merge`] if a part is damaged or has settings that differ from the first, or if
    /// two stores have different versions of a shard, or different calibrations; [`Error::File`] if a file cannot be read; and the errors of
    /// `on_progress`.
    pub fn plan(
        parts: &[PathBuf],
        out: &Path,
        on_progress: &(dyn Fn(VerifyProgress) -> Result<(), Error> + Sync),
    ) -> Result<Self, Error> {
        refuse_repeated(parts, out)?;
        let infos = parts.iter().map(|part| StoreInfo::read(part)).collect::<Result<Vec<_>, _>>()?;
        let Some(info) = infos.first().cloned() else {
            return Err(Error::Usage("no stores to merge\n  help: pass the stores to merge".to_owned()));
        };
        let there_info = match GroupState::read(out)? {
            GroupState::Valid(there) => Some(*there),
            GroupState::Absent | GroupState::Damaged(_) => {
                StoreWriter::check_free(out)?;
                None
            }
        };
        let others = parts.iter().map(PathBuf::as_path).zip(&infos).skip(1);
        let others = others.chain(there_info.iter().map(|there| (out, there)));
        let problems: Vec<String> =
            others.flat_map(|other| examined_store::differences((&parts[0], &info), other)).collect();
        refuse(problems, "merge only stores with the same manifest, teacher and flags")?;

        on_progress(VerifyProgress::Shards(info.shards() * parts.len()))?;
        let examined = parts
            .iter()
            .map(|part| ExaminedStore::new(part, &info, on_progress))
            .collect::<Result<Vec<ExaminedStore>, Error>>()?;
        let problems = examined.iter().flat_map(ExaminedStore::problems).collect();
        refuse(problems, "repair the part with the run command that created it, or leave it out")?;
        let there = records(out, &info)?;
        let mut holders: Vec<(&Path, &[ShardRecord])> = vec![(out, &there)];
        holders
            .extend(parts.iter().zip(&examined).map(|(part, examined)| (part.as_path(), examined.records.as_slice())));
        refuse(
            differing_shards(&holders, &info),
            "decide for each shard which store is right, and delete the shard's record in the other one (in records/)",
        )?;
        let stores = std::iter::once(out).chain(parts.iter().map(PathBuf::as_path));
        let (calibration, differing) = MergedCalibration::find(stores, &info)?;
        refuse(
            differing,
            "delete pooling.json in all stores but one; `relabel calibrate` can fit the merged store again",
        )?;
        Ok(Self { calibration, ..Self::new(parts, out, info, examined, there) })
    }

    fn new(
        parts: &[PathBuf],
        out: &Path,
        info: StoreInfo,
        examined: Vec<ExaminedStore>,
        there: Vec<ShardRecord>,
    ) -> Self {
        let mut shards: Vec<Option<FoundShard>> = vec![None; info.shards()];
        let shards_there = there.len();
        for record in there {
            let shard = record.shard;
            shards[shard] = Some(FoundShard { record, from: None });
        }
        let mut manifest = Vec::new();
        let mut merge_parts = Vec::new();
        for (at, (store, examined)) in parts.iter().zip(examined).enumerate() {
            let mut part = MergePart {
                store: store.clone(),
                shards_done: examined.records.len(),
                shards_taken: 0,
                bytes_taken: 0,
                files_taken: 0,
            };
            for record in examined.records {
                let slot = &mut shards[record.shard];
                if let Some(found) = slot {
                    // Its files are taken from here if those of the merged store are damaged.
                    found.from = found.from.or(Some(at));
                } else {
                    part.shards_taken += 1;
                    part.bytes_taken += record.file_bytes();
                    part.files_taken += record.all_files().count();
                    *slot = Some(FoundShard { record, from: Some(at) });
                }
            }
            merge_parts.push(part);
            manifest = examined.manifest;
        }
        Self { out: out.to_path_buf(), info, manifest, parts: merge_parts, shards, shards_there, calibration: None }
    }

    /// Description of the merged store. Names and free keys are those of the first part.
    #[must_use]
    pub fn info(&self) -> &StoreInfo {
        &self.info
    }

    /// The parts, in the order of the arguments.
    #[must_use]
    pub fn parts(&self) -> &[MergePart] {
        &self.parts
    }

    /// Number of shards that the merged store already has.
    #[must_use]
    pub fn shards_there(&self) -> usize {
        self.shards_there
    }

    /// The store whose `pooling.json` the merged store has; `None` if no store has one.
    #[must_use]
    pub fn calibrated_by(&self) -> Option<&Path> {
        self.calibration.as_ref().map(|calibration| calibration.store.as_path())
    }

    /// Records of all shards that the merged store will have, in order.
    pub fn records(&self) -> impl Iterator<Item = &ShardRecord> {
        self.shards.iter().flatten().map(|found| &found.record)
    }

    /// Numbers of the shards that neither a part nor the merged store has.
    pub fn shards_to_do(&self) -> impl Iterator<Item = usize> {
        self.shards.iter().enumerate().filter(|(_, shard)| shard.is_none()).map(|(shard, _)| shard)
    }

    /// Returns the number of bytes to copy: those of the missing shards' files, except files that can be linked.
    #[must_use]
    pub fn bytes_to_copy(&self, mode: CopyMode) -> u64 {
        self.parts.iter().filter(|part| self.is_copied(part, mode)).map(|part| part.bytes_taken).sum()
    }

    /// Returns the disk space needed: the bytes to copy, a block for each file and record, and the manifest.
    #[must_use]
    pub fn space_needed(&self, mode: CopyMode) -> u64 {
        const BLOCK: usize = 4096;
        let of_part = |part: &MergePart| {
            let copied_files = if self.is_copied(part, mode) { part.files_taken } else { 0 };
            (BLOCK * (copied_files + part.shards_taken)) as u64
        };
        self.bytes_to_copy(mode) + self.manifest.len() as u64 + self.parts.iter().map(of_part).sum::<u64>()
    }

    fn is_copied(&self, part: &MergePart, mode: CopyMode) -> bool {
        mode == CopyMode::Copy || !examined_store::share_a_file_system(&part.store, &self.out)
    }

    /// Creates or resumes the merged store, and verifies all of it. Its valid shards are not touched. `on_progress` is called
    /// from several threads, and may end the merge with an error; finished shards are kept, and the same merge resumes
    /// (test `merge::a_failure_at_any_step_of_a_merge_loses_nothing`).
    ///
    /// # Errors
    /// Returns [`Error::File`] if a file cannot be written; [`Error::Store`] if a part changes in the meantime, another
    /// process writes the merged store, or that store is damaged afterwards; and the errors of `on_progress`.
    pub fn run(
        &self,
        mode: CopyMode,
        options: WriterOptions,
        on_progress: &(dyn Fn(VerifyProgress) -> Result<(), Error> + Sync),
    ) -> Result<Merged, Error> {
        let path = self.out.join(layout::MANIFEST);
        let store = if StoreWriter::exists(&self.out)? {
            let manifest = || {
                let bytes = self.manifest.clone();
                read_known_manifest_bytes(bytes, self.info.images)
                    .map_err(|problem| Error::Manifest { path: path.clone(), problem: problem.into() })
            };
            StoreWriter::resume(&self.out, options, &mut || manifest())?.0
        } else {
            StoreWriter::create_with(&self.out, self.info.clone(), &self.manifest, options)?
        };
        let to_do = store.part_state(&|_| ())?.to_do;
        let to_take: Vec<(&ShardRecord, usize)> = to_do
            .iter()
            .filter_map(|&shard| self.shards[shard].as_ref())
            .filter_map(|found| Some((&found.record, found.from?)))
            .collect();
        on_progress(VerifyProgress::Shards(to_take.len() + self.info.shards()))?;
        let merged = Mutex::new(Merged { shards_from: vec![0; self.parts.len()], ..Merged::default() });
        to_take.par_iter().try_for_each(|&(record, from)| {
            let done = store.copy_shard_from(&self.parts[from].store, record, mode)?;
            let mut merged = merged.lock().unwrap_or_else(PoisonError::into_inner);
            merged.shards_from[from] += 1;
            merged.shards_copied += usize::from(done == CopyMode::Copy);
            drop(merged);
            on_progress(VerifyProgress::ShardDone)
        })?;
        let mut merged = merged.into_inner().unwrap_or_else(PoisonError::into_inner);
        for part in &self.parts {
            merged.notes += store.copy_run_notes_from(&part.store)?;
        }
        if let Some(calibration) = self.calibration.as_ref().filter(|calibration| calibration.store != self.out) {
            store.write_calibration(&calibration.text)?;
        }
        self.verify(on_progress)?;
        Ok(merged)
    }

    /// Reads every file of the merged store.
    fn verify(&self, on_progress: &(dyn Fn(VerifyProgress) -> Result<(), Error> + Sync)) -> Result<(), Error> {
        let examined = ExaminedStore::new(&self.out, &self.info, on_progress)?;
        match examined.problems().next() {
            None => Ok(()),
            Some(problem) => Err(Error::Store {
                path: self.out.clone(),
                problem: format!(
                    "damaged: {problem}\n  help: merge a part that has this shard again, or resume the run command that \
                     created the store"
                )
                .into(),
            }),
        }
    }
}

/// Refuses a part that is passed twice or is the merged store.
fn refuse_repeated(parts: &[PathBuf], out: &Path) -> Result<(), Error> {
    let real = |path: &Path| path.canonicalize().ok();
    for (at, part) in parts.iter().enumerate() {
        let Some(real_part) = real(part) else { continue };
        if parts[..at].iter().any(|other| real(other).as_ref() == Some(&real_part)) {
            return Err(Error::Usage(format!("{} is passed twice\n  help: pass each store once", part.display())));
        }
        if real(out).as_ref() == Some(&real_part) {
            return Err(Error::Usage(format!(
                "{} is both an input and the output\n  help: to add the other stores to it, pass only them; to keep it \
                 unchanged, choose another --out",
                part.display()
            )));
        }
    }
    Ok(())
}

fn refuse(mut problems: Vec<String>, advice: &'static str) -> Result<(), Error> {
    const MAX_LINES: usize = 24;
    if problems.is_empty() {
        return Ok(());
    }
    let more = problems.len().saturating_sub(MAX_LINES);
    if more > 0 {
        problems.truncate(MAX_LINES);
        problems.push(format!("and {more} more"));
    }
    Err(Error::Merge { problems, advice })
}

/// Reads the valid records of a store; none if the store does not exist.
fn records(store: &Path, info: &StoreInfo) -> Result<Vec<ShardRecord>, Error> {
    let of = IdentifiedStore { info, identity: &StoreIdentity::new(info) };
    let states = (0..info.shards()).into_par_iter().map(|shard| RecordState::read(store, &of, shard));
    let states: Vec<RecordState> = states.collect::<Result<_, Error>>()?;
    let valid = |state| if let RecordState::Valid(record) = state { Some(record) } else { None };
    Ok(states.into_iter().filter_map(valid).collect())
}

/// Returns a line for each shard that differs between two stores: rows, stores and differences.
pub(super) fn differing_shards(holders: &[(&Path, &[ShardRecord])], info: &StoreInfo) -> Vec<String> {
    let mut first_of: Vec<Option<(&Path, &ShardRecord)>> = vec![None; info.shards()];
    let mut lines = Vec::new();
    for &(store, records) in holders {
        for record in records {
            let Some((first, known)) = first_of[record.shard] else {
                first_of[record.shard] = Some((store, record));
                continue;
            };
            if known != record {
                let rows = info.shard_rows(record.shard);
                lines.push(format!(
                    "shard {} (rows {} to {}) differs between {} and {}: {}",
                    record.shard,
                    rows.start,
                    rows.end - 1,
                    first.display(),
                    store.display(),
                    differences(known, record)
                ));
            }
        }
    }
    lines
}

fn differences(a: &ShardRecord, b: &ShardRecord) -> String {
    let mut what = Vec::new();
    let failed = |record: &ShardRecord| record.failed.iter().map(|failed| failed.row).collect::<Vec<_>>();
    if failed(a) != failed(b) {
        what.push(format!("failed rows ({:?} and {:?})", failed(a), failed(b)));
    } else if a.failed != b.failed {
        what.push("reasons of failed rows".to_owned());
    }
    let of_b = |path: &str| b.all_files().find(|file| file.path == path);
    let in_a = a.all_files().filter(|file| of_b(&file.path) != Some(file)).map(|file| file.path.as_str());
    let only_b = b.all_files().filter(|file| !a.all_files().any(|other| other.path == file.path));
    what.extend(in_a.chain(only_b.map(|file| file.path.as_str())).map(str::to_owned));
    if what.is_empty() {
        what.push("counts".to_owned());
    }
    what.join(", ")
}
