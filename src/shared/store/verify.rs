//! Proves that a store is whole and right, or says everything that is not.

mod fixed;
mod shards;
mod values;
mod described;

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::info::{GroupState, StoreInfo};
use super::names;
use crate::shared::error::Error;
use crate::shared::regular_file;

pub use described::{Description, describe};
pub(super) use fixed::check as check_fixed;
pub(super) use shards::check_shard;
pub use values::check_labels;

/// How deep a verification looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Every file against the length and digest in its record; every record and description by itself.
    Files,
    /// And every chunk is decoded, and its values are held against what `docs/format.md` promises.
    Values,
}

/// What a verification found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Everything that is wrong, in the order of the layout.
    pub problems: Vec<Problem>,
    /// Files that were looked at.
    pub files: usize,
    /// Bytes of shards' files that were compared with their digests.
    pub compared_bytes: u64,
    /// Images with labels, by the records that hold.
    pub labelled: usize,
    /// Images that could not be labelled, by the records that hold. They are no problem of the store.
    pub failed: usize,
    /// Images whose values were decoded and checked.
    pub decoded: usize,
}

/// One thing that is wrong with a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file or folder, relative to the store.
    pub file: String,
    /// What is wrong with it.
    pub problem: String,
    /// What makes it right again.
    pub repair: Repair,
}

/// What makes a problem go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repair {
    /// The run command that made the store makes it again.
    Run,
    /// The same, if the source still gives the same list; else the original has to be put back.
    RunOrRestore,
    /// Nothing is wrong but that the shard is not done: the run command that made the store goes on with it.
    GoOn,
    /// Nothing depends on it: it may be deleted.
    Delete,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run | Self::GoOn => "`relabel run` makes it again",
            Self::RunOrRestore => "`relabel run` makes it again if the source still gives the same list",
            Self::Delete => "nothing depends on it; it may be deleted",
        })
    }
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There are so many shards to look at.
    Shards(usize),
    /// One of them is done.
    ShardDone,
}

/// Looks at everything in a store that a reader may rely on. Writes nothing. `heard` hears how far it is.
///
/// # Errors
/// When there is no store, it is of another format version or program, or the system fails to read it. Damage is no
/// error: it is what is looked for. A run may write the store meanwhile
/// (test `hostile_stores::a_store_being_written_has_no_stray_files`).
pub fn verify(store: &Path, depth: Depth, heard: &(dyn Fn(Step) + Sync)) -> Result<Verification, Error> {
    let mut found = Verification::default();
    let info = match GroupState::read(store)? {
        GroupState::Whole(info) => *info,
        GroupState::Absent if !is_folder(&store.join(names::RECORDS))? => StoreInfo::read(store)?,
        GroupState::Absent => {
            found.add(names::GROUP, "it is not there, and without it nothing else can be checked", Repair::Run);
            return Ok(found);
        }
        GroupState::Damaged(what) => {
            found.add(names::GROUP, format!("{what}; without it nothing else can be checked"), Repair::Run);
            return Ok(found);
        }
    };
    found.files += 1;
    let list = fixed::check(store, &info, &mut found)?;
    if list.shards(&info) > 0 {
        shards::check(store, &info, list.manifest(), depth, heard, &mut found)?;
    }
    fixed::check_notes(store, &mut found)?;
    Ok(found)
}

fn is_folder(path: &Path) -> Result<bool, Error> {
    Ok(regular_file::metadata(path)?.is_some_and(|there| there.is_dir()))
}

impl Verification {
    fn add(&mut self, file: impl Into<String>, problem: impl Into<String>, repair: Repair) {
        self.problems.push(Problem { file: file.into(), problem: problem.into(), repair });
    }
}
