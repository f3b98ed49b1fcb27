//! A file of a shard as its record lists it.

use serde::{Deserialize, Serialize};

use crate::shared::digest::{Digest, digest_bytes};

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
}
