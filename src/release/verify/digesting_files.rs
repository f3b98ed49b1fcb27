//! Computes the digests of files while others read them, so no file is read twice.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::store::Files;

/// Wraps [`Files`] and remembers the digest of every file that is read completely.
pub(super) struct DigestingFiles<'a> {
    files: &'a dyn Files,
    digests: Mutex<BTreeMap<String, (Digest, u64)>>,
}

impl<'a> DigestingFiles<'a> {
    pub(super) fn new(files: &'a dyn Files) -> Self {
        Self { files, digests: Mutex::default() }
    }

    /// Digest and length of each file that was read completely.
    pub(super) fn digests(&self) -> BTreeMap<String, (Digest, u64)> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Files for DigestingFiles<'_> {
    fn name(&self) -> &str {
        self.files.name()
    }

    fn read_up_to(&self, path: &str, most_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let bytes = self.files.read_up_to(path, most_bytes)?;
        if let Some(bytes) = &bytes {
            let digest = (digest_bytes(bytes), bytes.len() as u64);
            self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), digest);
        }
        Ok(bytes)
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.files.read_range(path, range)
    }

    fn file_bytes(&self, path: &str) -> Result<Option<u64>, Error> {
        self.files.file_bytes(path)
    }

    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error> {
        self.files.list()
    }
}
