//! Reading without doing it twice: what was read whole has its digest noted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::shared::digest::{Digest, DigestOf, digest_bytes};
use crate::shared::error::Error;
use crate::shared::store::Files;

/// A place whose files' digests are noted while they are read.
pub(super) struct Noted<'a> {
    files: &'a dyn Files,
    digests: Mutex<BTreeMap<String, (Digest, u64)>>,
}

impl<'a> Noted<'a> {
    pub(super) fn new(files: &'a dyn Files) -> Self {
        Self { files, digests: Mutex::default() }
    }

    /// Digest and length of each file that was read whole.
    pub(super) fn digests(&self) -> BTreeMap<String, (Digest, u64)> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Files for Noted<'_> {
    fn name(&self) -> &str {
        self.files.name()
    }

    fn read_up_to(&self, inside: &str, most_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let bytes = self.files.read_up_to(inside, most_bytes)?;
        if let Some(bytes) = &bytes {
            let noted = (digest_bytes(bytes), bytes.len() as u64);
            self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(inside.to_owned(), noted);
        }
        Ok(bytes)
    }

    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.files.read_range(inside, range)
    }

    fn file_bytes(&self, inside: &str) -> Result<Option<u64>, Error> {
        self.files.file_bytes(inside)
    }

    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error> {
        self.files.list()
    }
}

/// The digest of a file, read in pieces, so that memory does not grow with it.
pub(in crate::release) fn digest_of(files: &dyn Files, inside: &str, bytes: u64) -> Result<Digest, Error> {
    const PIECE: u64 = 8 << 20;
    let mut digest = DigestOf::default();
    for first in (0..bytes).step_by(PIECE as usize) {
        digest.add(&files.read_range(inside, first..bytes.min(first + PIECE))?);
    }
    Ok(digest.finish())
}
