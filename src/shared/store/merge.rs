//! Stores that were made in parts, in folders of their own, become one.
//!
//! All of them are looked at first, every file of every finished shard, and nothing is written unless all fit together
//! and are whole as far as they go: a merge that left shards out would look like a store that was never finished.

mod overlaps;
mod part;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::iter::{IntoParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _};

use super::commit::PlaceBy;
use super::info::{GroupState, StoreInfo};
use super::names;
use super::record::{Identified, RecordState, ShardRecord};
use super::verify::{Step, Verification, check_fixed, check_shard};
use super::writer::{StoreWriter, WriteAs};
use crate::shared::error::Error;
use crate::shared::manifest::read_known_manifest_bytes;

use part::LookedAt;

/// Stores that fit together, and what will come from which.
#[derive(Debug)]
pub struct Merge {
    out: PathBuf,
    info: StoreInfo,
    manifest: Vec<u8>,
    parts: Vec<MergePart>,
    /// By number; `None` where nobody has it.
    shards: Vec<Option<FoundShard>>,
    /// How many of them have a record in the store already.
    shards_there: usize,
}

/// A finished shard.
#[derive(Clone, Debug)]
struct FoundShard {
    record: ShardRecord,
    /// The first part that has it; `None` where only the store itself does.
    from: Option<usize>,
}

/// One of the stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergePart {
    /// Where it lies.
    pub store: PathBuf,
    /// Finished shards that it has.
    pub shards_done: usize,
    /// Those of them that are taken from it: neither in the new store yet, nor in a part before it.
    pub shards_taken: usize,
    /// Bytes of their files.
    pub bytes_taken: u64,
    /// How many files these are.
    pub files_taken: usize,
}

/// What came of a merge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Shards that came, from each of the parts.
    pub shards_from: Vec<usize>,
    /// Of these, those of which at least one file was copied.
    pub shards_copied: usize,
    /// Notes of runs that came.
    pub notes: usize,
}

impl Merge {
    /// Looks at all parts, and at what `out` has already, and settles what will come from where. Writes nothing.
    /// `heard` hears how far it is, and may end it with an error.
    ///
    /// # Errors
    /// When a part is no store, is damaged, or was made with something else than the first; where two have a shard and
    /// it is not the same; when `out` is one of the parts, is something else, or holds something else; and what `heard`
    /// gives.
    pub fn plan(
        parts: &[PathBuf],
        out: &Path,
        heard: &(dyn Fn(Step) -> Result<(), Error> + Sync),
    ) -> Result<Self, Error> {
        refuse_twice(parts, out)?;
        let infos = parts.iter().map(|part| StoreInfo::read(part)).collect::<Result<Vec<_>, _>>()?;
        let Some(info) = infos.first().cloned() else {
            return Err(Error::Usage("name the stores that are to become one".to_owned()));
        };
        let there_info = match GroupState::read(out)? {
            GroupState::Whole(there) => Some(*there),
            GroupState::Absent | GroupState::Damaged(_) => {
                StoreWriter::check_free(out)?;
                None
            }
        };
        let others = parts.iter().map(PathBuf::as_path).zip(&infos).skip(1);
        let others = others.chain(there_info.iter().map(|there| (out, there)));
        let problems: Vec<String> = others.flat_map(|other| part::differences((&parts[0], &info), other)).collect();
        refuse(problems, "merge only what was made of one list, by one teacher and with the same flags")?;

        heard(Step::Shards(info.shards() * parts.len()))?;
        let looked_at =
            parts.iter().map(|part| LookedAt::new(part, &info, heard)).collect::<Result<Vec<LookedAt>, Error>>()?;
        let problems = looked_at.iter().flat_map(LookedAt::problems).collect();
        refuse(problems, "make the part whole again with the run command that made it, or leave it out")?;
        let there = records(out, &info)?;
        let mut holders: Vec<(&Path, &[ShardRecord])> = vec![(out, &there)];
        holders.extend(parts.iter().zip(&looked_at).map(|(part, looked)| (part.as_path(), looked.records.as_slice())));
        refuse(
            overlaps::that_differ(&holders, &info),
            "keep for each shard the store that is right, and take the shard's record out of the other one (in records/)",
        )?;
        Ok(Self::settle(parts, out, info, looked_at, there))
    }

    fn settle(
        parts: &[PathBuf],
        out: &Path,
        info: StoreInfo,
        looked_at: Vec<LookedAt>,
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
        for (at, (store, looked)) in parts.iter().zip(looked_at).enumerate() {
            let mut part = MergePart {
                store: store.clone(),
                shards_done: looked.records.len(),
                shards_taken: 0,
                bytes_taken: 0,
                files_taken: 0,
            };
            for record in looked.records {
                let place = &mut shards[record.shard];
                if let Some(found) = place {
                    // Should the store's own files of it be damaged, this is where they come from.
                    found.from = found.from.or(Some(at));
                } else {
                    part.shards_taken += 1;
                    part.bytes_taken += record.file_bytes();
                    part.files_taken += record.files.len();
                    *place = Some(FoundShard { record, from: Some(at) });
                }
            }
            merge_parts.push(part);
            manifest = looked.manifest;
        }
        Self { out: out.to_path_buf(), info, manifest, parts: merge_parts, shards, shards_there }
    }

    /// What the stores are. Where they differ in what is only said for people, this is the first one's.
    #[must_use]
    pub fn info(&self) -> &StoreInfo {
        &self.info
    }

    /// The parts, in the order in which they were named.
    #[must_use]
    pub fn parts(&self) -> &[MergePart] {
        &self.parts
    }

    /// Shards that the store has already.
    #[must_use]
    pub fn shards_there(&self) -> usize {
        self.shards_there
    }

    /// Records of all shards that will be in the store, in order.
    pub fn records(&self) -> impl Iterator<Item = &ShardRecord> {
        self.shards.iter().flatten().map(|found| &found.record)
    }

    /// Numbers of the shards that no part has, nor the store.
    pub fn shards_to_do(&self) -> impl Iterator<Item = usize> {
        self.shards.iter().enumerate().filter(|(_, shard)| shard.is_none()).map(|(shard, _)| shard)
    }

    /// Bytes that will be copied: those of the labels' files that are not there yet, without those that can be linked.
    #[must_use]
    pub fn bytes_to_copy(&self, by: PlaceBy) -> u64 {
        self.parts.iter().filter(|part| self.is_copied(part, by)).map(|part| part.bytes_taken).sum()
    }

    /// Space that will be taken: the same, a block more for each file and record, and the manifest.
    #[must_use]
    pub fn space_needed(&self, by: PlaceBy) -> u64 {
        const BLOCK: usize = 4096;
        let of_part = |part: &MergePart| {
            let copied_files = if self.is_copied(part, by) { part.files_taken } else { 0 };
            (BLOCK * (copied_files + part.shards_taken)) as u64
        };
        self.bytes_to_copy(by) + self.manifest.len() as u64 + self.parts.iter().map(of_part).sum::<u64>()
    }

    fn is_copied(&self, part: &MergePart, by: PlaceBy) -> bool {
        by == PlaceBy::Copy || !part::share_a_file_system(&part.store, &self.out)
    }

    /// Writes the store, or goes on with it, and looks at all of it once more. Shards that are there and whole are not
    /// touched. `heard` hears how far it is, and may end it with an error; what has come by then stays, and the same
    /// merge goes on (test `merge::a_failure_at_any_step_of_a_merge_loses_nothing`).
    ///
    /// # Errors
    /// When something cannot be written, a part changes meanwhile, the store is being written by another process or is
    /// not what was written into it; and what `heard` gives.
    pub fn run(
        &self,
        by: PlaceBy,
        write_as: WriteAs,
        heard: &(dyn Fn(Step) -> Result<(), Error> + Sync),
    ) -> Result<Merged, Error> {
        let path = self.out.join(names::MANIFEST);
        let store = if StoreWriter::exists(&self.out)? {
            let manifest = || {
                let bytes = self.manifest.clone();
                read_known_manifest_bytes(bytes, self.info.images)
                    .map_err(|problem| Error::Manifest { path: path.clone(), problem: problem.into() })
            };
            StoreWriter::resume(&self.out, write_as, &mut || manifest())?.0
        } else {
            StoreWriter::create_with(&self.out, self.info.clone(), &self.manifest, write_as)?
        };
        let to_do = store.part_state(&|_| ())?.to_do;
        let to_take: Vec<(&ShardRecord, usize)> = to_do
            .iter()
            .filter_map(|&shard| self.shards[shard].as_ref())
            .filter_map(|found| Some((&found.record, found.from?)))
            .collect();
        heard(Step::Shards(to_take.len() + self.info.shards()))?;
        let merged = Mutex::new(Merged { shards_from: vec![0; self.parts.len()], ..Merged::default() });
        to_take.par_iter().try_for_each(|&(record, from)| {
            let done = store.take_over(&self.parts[from].store, record, by)?;
            let mut merged = merged.lock().unwrap_or_else(PoisonError::into_inner);
            merged.shards_from[from] += 1;
            merged.shards_copied += usize::from(done == PlaceBy::Copy);
            drop(merged);
            heard(Step::ShardDone)
        })?;
        let mut merged = merged.into_inner().unwrap_or_else(PoisonError::into_inner);
        for part in &self.parts {
            merged.notes += store.take_over_notes(&part.store)?;
        }
        self.check(heard)?;
        Ok(merged)
    }

    /// Every file of the store, read once more.
    fn check(&self, heard: &(dyn Fn(Step) -> Result<(), Error> + Sync)) -> Result<(), Error> {
        let looked = LookedAt::new(&self.out, &self.info, heard)?;
        match looked.problems().next() {
            None => Ok(()),
            Some(problem) => Err(Error::Store {
                path: self.out.clone(),
                problem: format!(
                    "not everything in it is whole: {problem}. Merge a part that has this again, or go on with the run \
                     command that made it"
                )
                .into(),
            }),
        }
    }
}

/// A part that is named twice, or is the store itself, has nothing to give.
fn refuse_twice(parts: &[PathBuf], out: &Path) -> Result<(), Error> {
    let real = |path: &Path| path.canonicalize().ok();
    for (at, part) in parts.iter().enumerate() {
        let Some(place) = real(part) else { continue };
        if parts[..at].iter().any(|other| real(other).as_ref() == Some(&place)) {
            return Err(Error::Usage(format!("{} is named twice", part.display())));
        }
        if real(out).as_ref() == Some(&place) {
            return Err(Error::Usage(format!(
                "{} is to be read and to be written. To add the others to it, name only them; to leave it as it is, name \
                 another --out",
                part.display()
            )));
        }
    }
    Ok(())
}

fn refuse(mut problems: Vec<String>, advice: &'static str) -> Result<(), Error> {
    const SAID: usize = 24;
    if problems.is_empty() {
        return Ok(());
    }
    let more = problems.len().saturating_sub(SAID);
    if more > 0 {
        problems.truncate(SAID);
        problems.push(format!("and {more} more"));
    }
    Err(Error::Merge { problems, advice })
}

/// The records of a store that hold by themselves; none where there is no store.
fn records(store: &Path, info: &StoreInfo) -> Result<Vec<ShardRecord>, Error> {
    let of = Identified { info, identity: &info.identity() };
    let states = (0..info.shards()).into_par_iter().map(|shard| RecordState::read(store, &of, shard));
    let states: Vec<RecordState> = states.collect::<Result<_, Error>>()?;
    let valid = |state| if let RecordState::Valid(record) = state { Some(record) } else { None };
    Ok(states.into_iter().filter_map(valid).collect())
}
