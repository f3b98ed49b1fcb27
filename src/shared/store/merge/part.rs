//! One of the stores that become one, looked at.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::{Identified, ShardRecord, Step, StoreInfo, Verification, check_fixed, check_shard, names};
use crate::shared::error::Error;
use crate::shared::regular_file;

/// What is in a store: its finished shards, and everything that is wrong with what it has.
#[derive(Debug)]
pub(super) struct LookedAt {
    store: PathBuf,
    pub(super) records: Vec<ShardRecord>,
    /// Bytes of its `manifest.parquet`.
    pub(super) manifest: Vec<u8>,
    found: Verification,
}

impl LookedAt {
    /// Reads every file of a store. That shards are to do is nothing wrong with it, nor that an interrupted run left files
    /// of one.
    pub(super) fn new(
        store: &Path,
        info: &StoreInfo,
        heard: &(dyn Fn(Step) -> Result<(), Error> + Sync),
    ) -> Result<Self, Error> {
        let mut found = Verification::default();
        let list = check_fixed(store, info, &mut found)?;
        let of = Identified { info, identity: &info.identity() };
        let shards = (0..list.shards(info)).into_par_iter().filter_map(|shard| {
            let checked = check_shard(store, &of, list.manifest(), None, shard);
            checked.and_then(|checked| heard(Step::ShardDone).map(|()| checked)).transpose()
        });
        let mut records = Vec::new();
        for checked in shards.collect::<Result<Vec<_>, Error>>()? {
            found.problems.extend(checked.problems);
            records.extend(checked.record);
        }
        // Where something else is in its place, that is among the problems.
        let path = store.join(names::MANIFEST);
        let manifest = regular_file::read(&path, info.most_manifest_bytes())?.or_problem().unwrap_or_default();
        Ok(Self { store: store.to_path_buf(), records, manifest, found })
    }

    /// A line for each thing that is wrong.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        self.found.problems.iter().map(|found| format!("{}, {}: {}", self.store.display(), found.file, found.problem))
    }
}

/// A line for each thing in which another store was made otherwise than the first.
pub(super) fn differences((first, made): (&Path, &StoreInfo), (other, there): (&Path, &StoreInfo)) -> Vec<String> {
    let (first, other) = (first.display(), other.display());
    let differences = made.compared_to_new(there);
    if differences.is_empty() && made.identity() != there.identity() {
        return vec![format!(
            "what they were made with: {} in {first}, {} in {other}",
            made.identity(),
            there.identity()
        )];
    }
    let line = |what: &str, here: &str, there: &str| format!("{what}: {here} in {first}, {there} in {other}");
    differences.iter().map(|differs| line(&differs.what, &differs.there, &differs.here)).collect()
}

/// Whether files of one could be linked into the other, as far as that can be told without trying.
pub(super) fn share_a_file_system(store: &Path, out: &Path) -> bool {
    let device = |path: &Path| {
        let absolute = std::path::absolute(path).ok()?;
        let there = absolute.ancestors().find_map(|folder| std::fs::metadata(folder).ok())?;
        Some(there.dev())
    };
    device(store) == device(out)
}
