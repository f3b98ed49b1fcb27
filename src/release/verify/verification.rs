//! Scope, progress and result of verifying a release.

use std::fmt;

use serde::Serialize;

use crate::release::signature::SignedBy;
use crate::shared::store::{ShardRecord, StoreDescription, StoreInfo};

/// Files of a release to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyScope {
    /// All files; each is compared with its digest.
    Everything,
    /// All files except those of label maps, which are most of the release; of these the lengths are checked.
    SmallFiles,
}

/// Progress of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseVerifyProgress {
    /// Number of further files or rows that will be checked.
    More(usize),
    /// One file or row was checked.
    Done,
}

/// The result of verifying a release.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReleaseVerification {
    /// All problems, at most one per file: the first that was found.
    pub problems: Vec<ReleaseProblem>,
    /// Number of files that `SHA256SUMS` lists.
    pub files: usize,
    /// Number of listed files that were read and match their digest.
    pub compared: usize,
    /// Total size of these files in bytes.
    pub compared_bytes: u64,
    /// Number of listed files whose length was checked, but not their content.
    pub by_length: usize,
    /// The key that signed `SHA256SUMS`; `None` without a valid signature.
    pub signed: Option<SignedBy>,
    /// Number of images in the manifest.
    pub images: usize,
    /// Number of images with labels, from the valid records.
    pub labelled: usize,
    /// Number of images that could not be labelled.
    pub failed: usize,
    /// Number of images in shards without a record.
    pub to_do: usize,
    /// Whether the release declares itself partial; shards that are still to do are then no problem.
    pub partial: bool,
    /// Number of images whose values were decoded and checked.
    pub decoded: usize,
    /// Description of the store in the release, if it could be read.
    #[serde(skip)]
    pub info: Option<StoreInfo>,
    #[serde(skip)]
    pub(super) records: Vec<ShardRecord>,
}

/// A problem of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleaseProblem {
    /// Path of the file, relative to the release.
    pub file: String,
    /// Description of the problem.
    pub problem: String,
    /// Advice for the consumer.
    pub remedy: ReleaseRemedy,
}

/// Advice for the consumer of a release about a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseRemedy {
    /// The file was damaged or lost after publication.
    DownloadAgain,
    /// The release was published with this problem.
    AskPublisher,
    /// The release was signed by an untrusted key.
    CheckSigner,
    /// The signature is of a type that only `ssh-keygen` can check.
    UseSshKeygen,
    /// The file does not belong to the release.
    Delete,
}

const SSH_KEYGEN_ADVICE: &str =
    "check it with: ssh-keygen -Y verify -n file -f ALLOWED_SIGNERS -I NAME -s SHA256SUMS.sig < SHA256SUMS";

impl fmt::Display for ReleaseRemedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DownloadAgain => "download the file again; if the problem remains, ask the publisher",
            Self::AskPublisher => "ask the publisher",
            Self::CheckSigner => "ask the publisher which key is right, or pass another --signer",
            Self::UseSshKeygen => SSH_KEYGEN_ADVICE,
            Self::Delete => "do not rely on this file; it can be deleted",
        })
    }
}

impl ReleaseVerification {
    /// Adds a problem, unless the file already has one.
    pub(super) fn add(&mut self, file: impl Into<String>, problem: impl Into<String>, remedy: ReleaseRemedy) {
        let file = file.into();
        // Later problems of a damaged file are consequences of the first.
        if self.problems.iter().all(|known| known.file != file) {
            self.problems.push(ReleaseProblem { file, problem: problem.into(), remedy });
        }
    }

    /// Sets the counts from the description of the store.
    pub(super) fn set_counts(&mut self, description: StoreDescription) {
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
