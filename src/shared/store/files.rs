//! The files of a store that does not lie in a folder of this machine.

mod folder;

pub use folder::FolderFiles;

use std::ops::Range;

use super::record::RecordedFile;
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;

/// Most bytes that a description, a record or a text of a store or release may have.
pub(crate) const SMALL_FILE_BYTES: u64 = 32 << 20;

/// Most bytes that `SHA256SUMS` may have.
pub(crate) const CHECKSUMS_BYTES: u64 = 1 << 28;

/// A place that holds files by name, read-only. Names are relative and use `/`. Threads share it, and it survives `fork`.
pub trait Files: Send + Sync {
    /// What messages call the place; without credentials.
    fn name(&self) -> &str;

    /// All bytes of a small file; `None` where the file is missing.
    ///
    /// # Errors
    /// As for [`Files::read_up_to`].
    fn read(&self, inside: &str) -> Result<Option<Vec<u8>>, Error> {
        self.read_up_to(inside, SMALL_FILE_BYTES)
    }

    /// All bytes of a file that has at most `most_bytes`; `None` where the file is missing.
    ///
    /// # Errors
    /// [`Error::Remote`] if the place cannot be reached or refuses; if the file has more bytes.
    fn read_up_to(&self, inside: &str, most_bytes: u64) -> Result<Option<Vec<u8>>, Error>;

    /// Bytes of a part of a file.
    ///
    /// # Errors
    /// [`Error::Remote`] when the place cannot be reached or refuses, the file is not there, or is shorter.
    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error>;

    /// Length of a file; `None` where the file is missing.
    ///
    /// # Errors
    /// [`Error::Remote`] when the place cannot be reached or refuses.
    fn bytes_of(&self, inside: &str) -> Result<Option<u64>, Error>;

    /// Every file with its length, sorted by name; `None` where the place cannot say, as ordinary web servers cannot.
    ///
    /// # Errors
    /// [`Error::Remote`] when the place cannot be reached or refuses.
    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error>;

    /// What of the place is neither a file nor a folder of it, such as a link to another folder: names, and what is there.
    ///
    /// # Errors
    /// As for [`Files::list`].
    fn strangers(&self) -> Result<Vec<(String, String)>, Error> {
        Ok(Vec::new())
    }

    /// All bytes of a file whose digest is known, and which has at most `most_bytes`. A place that keeps copies may give
    /// its copy.
    ///
    /// # Errors
    /// As for [`Files::read_up_to`]; when the file is not there or is another one.
    fn read_known(&self, inside: &str, sha256: &Digest, most_bytes: u64) -> Result<Vec<u8>, Error> {
        let problem =
            |problem: String| Error::Remote { place: format!("{}/{inside}", self.name()), problem: problem.into() };
        let bytes = self.read_up_to(inside, most_bytes)?.ok_or_else(|| problem("it is not there".to_owned()))?;
        match digest_bytes(&bytes) {
            found if found == *sha256 => Ok(bytes),
            found => Err(problem(format!("it is another file: its sha256 is {found}, and {sha256} was expected"))),
        }
    }

    /// Bytes of a part of a file that a record names. A place that keeps copies may give them from its copy, or make one.
    ///
    /// # Errors
    /// As for [`Files::read_range`]; when the file is read whole and is another one.
    fn read_known_range(&self, file: &RecordedFile, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.read_range(&file.path, range)
    }
}
