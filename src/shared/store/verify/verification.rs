//! Depth, progress and result of a verification.

use std::fmt;

use serde::Serialize;

/// Depth of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Compare every file with the length and digest in its record, and check every record and description.
    Files,
    /// Also decode every chunk and check its values against `docs/format.md`.
    Values,
}

/// Result of a verification.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// The problems, in the order of the layout.
    pub problems: Vec<Problem>,
    /// Files that were read.
    pub files: usize,
    /// Bytes of shard files that were compared with their digests.
    pub compared_bytes: u64,
    /// Images with labels, according to the valid records.
    pub labelled: usize,
    /// Images that could not be labelled, according to the valid records. They are not problems of the store.
    pub failed: usize,
    /// Images whose values were decoded and checked.
    pub decoded: usize,
}

/// A problem of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// File or folder, relative to the store.
    pub file: String,
    /// Description of the problem.
    pub problem: String,
    /// How to repair it.
    pub repair: Repair,
}

/// How a problem is repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repair {
    /// Repeat the run command that created the store.
    Run,
    /// The same if the source still has the same list of images; otherwise restore the original.
    RunOrRestore,
    /// The shard is only unfinished: repeat the run command that created the store to resume it.
    #[serde(rename = "go-on")]
    Resume,
    /// Nothing depends on it: it may be deleted.
    Delete,
    /// Delete it, or repeat `relabel calibrate`.
    Calibrate,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run | Self::Resume => "`relabel run` repairs it",
            Self::RunOrRestore => "`relabel run` repairs it if the source still has the same images",
            Self::Delete => "nothing depends on it; it may be deleted",
            Self::Calibrate => "`relabel calibrate` writes it again; it may be deleted",
        })
    }
}

/// Progress of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyProgress {
    /// Number of shards that will be verified.
    Shards(usize),
    /// A shard was verified.
    ShardDone,
}

impl Verification {
    pub(super) fn add(&mut self, file: impl Into<String>, problem: impl Into<String>, repair: Repair) {
        self.problems.push(Problem { file: file.into(), problem: problem.into(), repair });
    }
}

/// Returns the message of an error without its advice, which depends on the command.
pub(super) fn without_help(problem: &dyn fmt::Display) -> String {
    let text = problem.to_string();
    text.split("\n  help: ").next().unwrap_or_default().to_owned()
}
