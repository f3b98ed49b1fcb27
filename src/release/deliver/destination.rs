//! Destinations of a release: what a delivery requires of a folder or an object store.

use std::collections::BTreeMap;

use crate::release::checksums::CHECKSUMS;
use crate::release::release_file::ReleaseFile;
use crate::shared::digest::Digest;
use crate::shared::error::Error;
use crate::shared::numbers::{bytes, thousands};

/// A location that a release can be delivered to.
pub trait ReleaseDestination: Sync {
    /// Name of the location, for messages.
    fn name(&self) -> String;

    /// Lists every file at the location, with its length.
    ///
    /// # Errors
    /// Returns an error if the location cannot be listed.
    fn list(&self) -> Result<BTreeMap<String, u64>, Error>;

    /// Checks that there is enough space, as far as this is known.
    ///
    /// # Errors
    /// Returns [`Error::Release`] if there is not enough space.
    fn check_space(&self, bytes: u64) -> Result<(), Error>;

    /// Reads a small file. Returns `None` if it does not exist.
    ///
    /// # Errors
    /// Returns an error if it cannot be read.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Returns whether an existing file of the right length has this digest. May return `false` if that is expensive to
    /// find out, which only costs sending the file again.
    ///
    /// # Errors
    /// Returns an error if the location cannot be accessed.
    fn has(&self, path: &str, sha256: &Digest) -> Result<bool, Error>;

    /// Writes a file atomically, replacing an older one.
    ///
    /// # Errors
    /// Returns an error if it cannot be written.
    fn put(&self, file: &ReleaseFile) -> Result<(), Error>;

    /// Reads a file back and returns its digest.
    ///
    /// # Errors
    /// Returns an error if it cannot be read.
    fn digest_of(&self, file: &ReleaseFile) -> Result<Digest, Error>;

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// Returns an error if it cannot be removed.
    fn remove(&self, path: &str) -> Result<(), Error>;
}

/// Reason a release cannot be delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeliveryError {
    #[error("{CHECKSUMS} is missing")]
    NoChecksums,
    #[error("`{path}` does not belong to any release\n  help: publish to a new or empty location")]
    UnknownFile { path: String },
    #[error(
        "{} already at this location ({} files, the first is `{first}`)\n  help: choose another --to, or replace the \
         content with --replace",
        if *is_release { "a different release is" } else { "files are" },
        thousands(*files)
    )]
    Occupied { is_release: bool, files: usize, first: String },
    #[error(
        "{path} was read back with SHA-256 {found}, expected {expected}: the file was changed during or after the transfer, or \
         the store was changed in the meantime\n  help: verify the store, and publish again with --replace"
    )]
    ReadBack { path: String, found: Digest, expected: Digest },
    #[error(
        "not enough disk space: {} needed, {} available\n  help: free disk space, choose another --to, or pass --link if \
         the store is on the same file system",
        bytes(*needed),
        bytes(*available)
    )]
    NoSpace { needed: u64, available: u64 },
}

impl DeliveryError {
    /// Adds the location.
    pub(super) fn at(self, destination: &dyn ReleaseDestination) -> Error {
        Error::Release { location: destination.name(), problem: self.into() }
    }
}
