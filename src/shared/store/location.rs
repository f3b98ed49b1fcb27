//! Location of a store: a folder, or files behind the trait [`Files`].

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::layout::{MANIFEST, SMALL_FILE_BYTES};
use super::recorded_file::RecordedFile;
use super::verified_files::VerifiedFiles;
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::manifest::{Manifest, read_known_manifest, read_known_manifest_bytes};
use crate::shared::regular_file;

/// Read-only access to files by name. Names are relative and use `/`. Threads share it, and it survives `fork`.
pub trait Files: Send + Sync {
    /// Folder or address for messages, without credentials.
    fn name(&self) -> &str;

    /// Reads a small file; `None` if it is missing.
    ///
    /// # Errors
    /// See [`Files::read_up_to`].
    fn read(&self, inside: &str) -> Result<Option<Vec<u8>>, Error> {
        self.read_up_to(inside, SMALL_FILE_BYTES)
    }

    /// Reads a file of at most `max_bytes`; `None` if it is missing.
    ///
    /// # Errors
    /// Returns [`Error::Remote`] if the server cannot be reached or refuses, or if the file is longer.
    fn read_up_to(&self, inside: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, Error>;

    /// Reads a range of a file.
    ///
    /// # Errors
    /// Returns [`Error::Remote`] if the server cannot be reached or refuses, or if the file is missing or shorter.
    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error>;

    /// Returns the length of a file; `None` if it is missing.
    ///
    /// # Errors
    /// Returns [`Error::Remote`] if the server cannot be reached or refuses.
    fn file_bytes(&self, inside: &str) -> Result<Option<u64>, Error>;

    /// Lists every file with its length, sorted by name; `None` if files cannot be listed, as on ordinary web servers.
    ///
    /// # Errors
    /// Returns [`Error::Remote`] if the server cannot be reached or refuses.
    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error>;

    /// Lists the entries that are neither files nor folders, such as links to folders: name, and description.
    ///
    /// # Errors
    /// See [`Files::list`].
    fn irregular_entries(&self) -> Result<Vec<(String, String)>, Error> {
        Ok(Vec::new())
    }

    /// Reads a file of at most `max_bytes` whose digest is known. A cached copy may be returned.
    ///
    /// # Errors
    /// Returns [`Error::Remote`] if the server cannot be reached or refuses, or if the file is missing, longer or has
    /// a different digest.
    fn read_verified(&self, inside: &str, sha256: &Digest, max_bytes: u64) -> Result<Vec<u8>, Error> {
        let problem =
            |problem: String| Error::Remote { location: format!("{}/{inside}", self.name()), problem: problem.into() };
        let bytes = self.read_up_to(inside, max_bytes)?.ok_or_else(|| problem("missing".to_owned()))?;
        match digest_bytes(&bytes) {
            found if found == *sha256 => Ok(bytes),
            found => Err(problem(format!(
                "sha256 {found}, expected {sha256}\n  help: the file is damaged or was replaced; ask the publisher to restore it"
            ))),
        }
    }

    /// Reads a range of a file that a record lists. It may be read from a cached copy, or create one.
    ///
    /// # Errors
    /// See [`Files::read_range`]. Also fails if the entire file is read and its digest differs.
    fn read_recorded_range(&self, file: &RecordedFile, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.read_range(&file.path, range)
    }
}

/// Location of a store that is read.
pub(super) enum StoreLocation {
    /// A local folder, and its files that were verified before.
    Folder { path: PathBuf, verified: VerifiedFiles },
    /// Any other location.
    Files { files: Arc<dyn Files> },
}

impl StoreLocation {
    pub(super) fn folder(path: PathBuf) -> Self {
        let verified = VerifiedFiles::read(&path);
        Self::Folder { path, verified }
    }

    /// Reads a small file of the store; `None` if it is missing.
    pub(super) fn read(&self, inside: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = match self {
            Self::Folder { path, .. } => path.join(inside),
            Self::Files { files } => return files.read(inside),
        };
        regular_file::read(&path, SMALL_FILE_BYTES)?.or_none("read", &path)
    }

    /// Reads the manifest, which must have this digest and this many images.
    pub(super) fn read_manifest(&self, sha256: &Digest, max_bytes: u64, images: usize) -> Result<Manifest, Error> {
        match self {
            Self::Folder { path, .. } => read_known_manifest(&path.join(MANIFEST), sha256, max_bytes, images),
            Self::Files { files } => {
                let bytes = files.read_verified(MANIFEST, sha256, max_bytes)?;
                let location = format!("{}/{MANIFEST}", files.name());
                read_known_manifest_bytes(bytes, images)
                    .map_err(|problem| Error::Remote { location, problem: problem.into() })
            }
        }
    }
}
