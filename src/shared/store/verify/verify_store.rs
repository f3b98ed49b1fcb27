//! Verifies a store.

use std::path::Path;

use super::verification::{Depth, Repair, Verification, VerifyProgress};
use super::{fixed_files, shards};
use crate::shared::error::Error;
use crate::shared::regular_file;
use crate::shared::store::group::GroupState;
use crate::shared::store::info::StoreInfo;
use crate::shared::store::layout;

/// Verifies everything in a store that readers rely on. Writes nothing. `on_progress` is called from several threads.
///
/// Damage is not an error but part of the result. A run may write the store concurrently
/// (test `hostile_stores::a_store_being_written_has_no_stray_files`).
///
/// # Errors
/// Returns [`Error::Store`] if it is not a store, or of a different format version or program; [`Error::File`] if it
/// cannot be read.
pub fn verify(
    store: &Path,
    depth: Depth,
    on_progress: &(dyn Fn(VerifyProgress) + Sync),
) -> Result<Verification, Error> {
    let mut found = Verification::default();
    let info = match GroupState::read(store)? {
        GroupState::Valid(info) => *info,
        GroupState::Absent if !is_folder(&store.join(layout::RECORDS))? => StoreInfo::read(store)?,
        GroupState::Absent => {
            found.add(layout::GROUP, "missing, and without it nothing else can be verified", Repair::Run);
            return Ok(found);
        }
        GroupState::Damaged(what) => {
            found.add(layout::GROUP, format!("{what}; without it nothing else can be verified"), Repair::Run);
            return Ok(found);
        }
    };
    found.files += 1;
    let manifest = fixed_files::check_fixed_files(store, &info, &mut found)?;
    if manifest.shards(&info) > 0 {
        shards::check_shards(store, &info, manifest.manifest(), depth, on_progress, &mut found)?;
    }
    fixed_files::check_notes(store, &mut found)?;
    Ok(found)
}

fn is_folder(path: &Path) -> Result<bool, Error> {
    Ok(regular_file::metadata(path)?.is_some_and(|there| there.is_dir()))
}
