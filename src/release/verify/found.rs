//! What a check of a release found.

use std::fmt;

use serde::Serialize;

use crate::release::signature::SignedBy;
use crate::shared::store::{ShardRecord, StoreDescription, StoreInfo};

/// What a check of a release found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Checked {
    /// Everything that is wrong, by file; one problem a file, the first that was found.
    pub problems: Vec<ReleaseProblem>,
    /// Files that `SHA256SUMS` lists.
    pub files: usize,
    /// Of these, those that were read and have the digest that is listed.
    pub compared: usize,
    /// Their bytes.
    pub compared_bytes: u64,
    /// Of these, those that were only found to have the right length.
    pub by_length: usize,
    /// Who signed `SHA256SUMS`; `None` where nobody did, or the signature does not hold.
    pub signed: Option<SignedBy>,
    /// Images in the manifest.
    pub images: usize,
    /// Images with labels, by the records that hold.
    pub labelled: usize,
    /// Images that could not be labelled.
    pub failed: usize,
    /// Images in shards without a record.
    pub to_do: usize,
    /// Whether the release says that it is partial; then that shards are to do is no problem.
    pub partial: bool,
    /// Images whose values were decoded and checked.
    pub decoded: usize,
    /// What the store in it is, where that could be read.
    #[serde(skip)]
    pub info: Option<StoreInfo>,
    #[serde(skip)]
    pub(super) records: Vec<ShardRecord>,
}

/// One thing that is wrong with a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleaseProblem {
    /// The file, relative to the release.
    pub file: String,
    /// What is wrong with it.
    pub problem: String,
    /// What its reader can do.
    pub remedy: Remedy,
}

/// What the reader of a release can do about a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// It did not arrive as it was published.
    DownloadAgain,
    /// It was published so.
    AskPublisher,
    /// It is no part of the release.
    Delete,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DownloadAgain => "download this file again; if that does not help, ask the publisher",
            Self::AskPublisher => "ask the publisher",
            Self::Delete => "do not rely on it; it may be deleted",
        })
    }
}

impl Checked {
    pub(super) fn add(&mut self, file: impl Into<String>, problem: impl Into<String>, remedy: Remedy) {
        let file = file.into();
        // A file that arrived damaged would also contradict others: what was found first says why.
        if self.problems.iter().all(|known| known.file != file) {
            self.problems.push(ReleaseProblem { file, problem: problem.into(), remedy });
        }
    }

    /// Counts what the store says of itself.
    pub(super) fn settle(&mut self, description: StoreDescription) {
        self.labelled = description.records.iter().map(|record| record.labelled).sum();
        self.failed = description.records.iter().map(|record| record.failed.len()).sum();
        if let Some(info) = &description.info {
            self.images = info.images;
            self.to_do = description.shards_to_do.iter().map(|&shard| info.shard_rows(shard).len()).sum();
        }
        self.info = description.info;
        self.records = description.records;
    }
}
