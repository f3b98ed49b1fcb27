//! The files of a store that does not lie in a folder of this machine.

use std::ops::Range;

use crate::error::Error;

/// A place that holds files by name, read-only. Names are relative and use `/`. Threads share it, and it survives `fork`.
pub trait Files: Send + Sync {
    /// What messages call the place; without credentials.
    fn name(&self) -> &str;

    /// All bytes of a file; `None` where there is no such file.
    ///
    /// # Errors
    /// [`Error::Remote`] when the place cannot be reached or refuses.
    fn read(&self, inside: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Bytes of a part of a file.
    ///
    /// # Errors
    /// [`Error::Remote`] when the place cannot be reached or refuses, the file is not there, or is shorter.
    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error>;

    /// Length of a file; `None` where there is no such file.
    ///
    /// # Errors
    /// [`Error::Remote`] when the place cannot be reached or refuses.
    fn bytes_of(&self, inside: &str) -> Result<Option<u64>, Error>;

    /// Every file with its length, sorted by name; `None` where the place cannot say, as ordinary web servers cannot.
    ///
    /// # Errors
    /// [`Error::Remote`] when the place cannot be reached or refuses.
    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error>;
}
