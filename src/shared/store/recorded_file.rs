//! A file of a shard as its record lists it.

use std::fs::{File, Metadata};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::store_error::StoreError;
use crate::shared::digest::{Digest, digest_bytes, digest_opened};
use crate::shared::error::Error;
use crate::shared::regular_file::{self, UnusableFile};

/// Path, length and digest of a file of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFile {
    /// Path inside the store.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

impl RecordedFile {
    pub(super) fn from_bytes(path: &str, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), bytes: bytes.len() as u64, sha256: digest_bytes(bytes) }
    }

    /// Opens the file and compares it with its record. Its digest is not computed if `is_known` accepts its metadata.
    ///
    /// # Errors
    /// Returns [`Error::File`] if it cannot be read.
    pub(super) fn open_matching(
        &self,
        store: &Path,
        is_known: impl FnOnce(&Metadata) -> bool,
    ) -> Result<Result<(File, Metadata), FileMismatch>, Error> {
        let path = store.join(&self.path);
        let (mut file, metadata) = match regular_file::open(&path)?.usable() {
            Ok(opened) => opened,
            Err(problem) => return Ok(Err(problem.into())),
        };
        if metadata.len() != self.bytes {
            return Ok(Err(FileMismatch::Length { found: metadata.len(), recorded: self.bytes }));
        }
        if !is_known(&metadata) {
            let (found, _) = digest_opened(&mut file, &path)?;
            if found != self.sha256 {
                return Ok(Err(FileMismatch::Digest { found, recorded: self.sha256.clone() }));
            }
        }
        Ok(Ok((file, metadata)))
    }
}

/// Reason that a file of a shard differs from its record. The caller prints the file before the message.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileMismatch {
    /// Missing, or not a regular file.
    #[error(transparent)]
    Unusable(#[from] UnusableFile),
    /// The length differs.
    #[error("{found} bytes, its record lists {recorded}")]
    Length { found: u64, recorded: u64 },
    /// The content was changed.
    #[error("sha256 {found}, its record lists {recorded}")]
    Digest { found: Digest, recorded: Digest },
    /// The file became shorter while it was read.
    #[error("shorter than expected")]
    Truncated,
    /// The index of its inner chunks is damaged.
    #[error(transparent)]
    Index(#[from] StoreError),
}
