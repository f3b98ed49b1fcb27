//! The files of a release before they are delivered.

use std::path::PathBuf;

use crate::shared::digest::{Digest, digest_bytes, digest_file};
use crate::shared::error::Error;

/// A file of a release that is not delivered yet.
#[derive(Clone, Debug)]
pub struct ReleaseFile {
    /// Path in the release, with `/`.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Digest of the content.
    pub sha256: Digest,
    /// Content of the file.
    pub content: FileContent,
}

/// Location of the content of a [`ReleaseFile`].
#[derive(Clone, Debug)]
pub enum FileContent {
    /// Generated for the release, in memory.
    Memory(Vec<u8>),
    /// A file of the store, at this path.
    Disk(PathBuf),
}

impl ReleaseFile {
    /// A generated file.
    pub(super) fn from_bytes(path: &str, bytes: Vec<u8>) -> Self {
        let (length, sha256) = (bytes.len() as u64, digest_bytes(&bytes));
        Self { path: path.to_owned(), bytes: length, sha256, content: FileContent::Memory(bytes) }
    }

    /// A file of the store whose digest is not recorded anywhere; reads the file to compute it.
    pub(super) fn from_disk(path: String, file: PathBuf) -> Result<Self, Error> {
        let (sha256, bytes) = digest_file(&file)?;
        Ok(Self { path, bytes, sha256, content: FileContent::Disk(file) })
    }
}
