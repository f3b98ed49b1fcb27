//! Verifies the stores of a merge.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use crate::shared::error::Error;
use crate::shared::regular_file;
use crate::shared::store::info::StoreInfo;
use crate::shared::store::layout;
use crate::shared::store::record::{IdentifiedStore, ShardRecord, StoreIdentity};
use crate::shared::store::verify::{Repair, Verification, VerifyProgress, check_fixed_files, check_shard};

/// Finished shards and problems of a store.
#[derive(Debug)]
pub(super) struct ExaminedStore {
    store: PathBuf,
    pub(super) records: Vec<ShardRecord>,
    /// Bytes of its `manifest.parquet`.
    pub(super) manifest: Vec<u8>,
    found: Verification,
}

impl ExaminedStore {
    /// Reads every file of a store. Unfinished shards and their files are not problems.
    pub(super) fn new(
        store: &Path,
        info: &StoreInfo,
        on_progress: &(dyn Fn(VerifyProgress) -> Result<(), Error> + Sync),
    ) -> Result<Self, Error> {
        let mut found = Verification::default();
        let manifest_state = check_fixed_files(store, info, &mut found)?;
        let of = IdentifiedStore { info, identity: &StoreIdentity::new(info) };
        let shards = (0..manifest_state.shards(info)).into_par_iter().filter_map(|shard| {
            let checked = check_shard(store, &of, manifest_state.manifest(), None, shard);
            checked.and_then(|checked| on_progress(VerifyProgress::ShardDone).map(|()| checked)).transpose()
        });
        let mut records = Vec::new();
        for checked in shards.collect::<Result<Vec<_>, Error>>()? {
            found.problems.extend(checked.problems);
            records.extend(checked.record);
        }
        // A missing or unreadable manifest is already among the problems.
        let path = store.join(layout::MANIFEST);
        let manifest = regular_file::read(&path, info.max_manifest_bytes())?.usable().unwrap_or_default();
        Ok(Self { store: store.to_path_buf(), records, manifest, found })
    }

    /// Returns a line for each problem.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        self.found.problems.iter().map(|found| {
            // The run command of the part does not repair it.
            let repair = match found.repair {
                Repair::Calibrate => format!(" ({})", found.repair),
                _ => String::new(),
            };
            format!("{}, {}: {}{repair}", self.store.display(), found.file, found.problem)
        })
    }
}

/// Returns a line for each setting in which another store differs from the first.
pub(super) fn differences((first, made): (&Path, &StoreInfo), (other, there): (&Path, &StoreInfo)) -> Vec<String> {
    let (first, other) = (first.display(), other.display());
    let differences = made.compared_to_new(there);
    if differences.is_empty() && made.identity() != there.identity() {
        return vec![format!("identity: {} in {first}, {} in {other}", made.identity(), there.identity())];
    }
    let line = |what: &str, here: &str, there: &str| format!("{what}: {here} in {first}, {there} in {other}");
    differences.iter().map(|differs| line(&differs.what, &differs.there, &differs.here)).collect()
}

/// Whether files of `store` can probably be linked into `out`: both are on one file system.
pub(super) fn share_a_file_system(store: &Path, out: &Path) -> bool {
    let device = |path: &Path| {
        let absolute = std::path::absolute(path).ok()?;
        let there = absolute.ancestors().find_map(|folder| std::fs::metadata(folder).ok())?;
        Some(there.dev())
    };
    device(store) == device(out)
}
