//! Reads images by row, and distinguishes failures of an image from I/O errors of the host.

use std::io;
use std::path::Path;

use crate::shared::error::{Error, ImageError, ImageErrorKind};
use crate::shared::numbers::exact_bytes;
use crate::shared::regular_file::concerns_file;

/// Length of the longest image that is read, so a stray disk image does not fill the memory.
pub(super) const MAX_IMAGE_BYTES: u64 = 256 << 20;

/// Reads images by their row in the manifest, from any number of threads.
pub trait ImageReader: Send + Sync {
    /// Reads the bytes of one image.
    ///
    /// # Errors
    /// Returns [`ReadError::Image`] if the image is missing, has changed, or cannot be read, and [`ReadError::Machine`] for
    /// an I/O error of the host.
    fn read(&self, row: usize, check: LengthCheck) -> Result<Vec<u8>, ReadError>;

    /// Returns whether an image seems to be the one that was listed: it exists and has its length, as far as lengths are known
    /// without reading it.
    ///
    /// # Errors
    /// Returns [`Error::File`] for an I/O error of the host.
    fn looks_as_listed(&self, row: usize) -> Result<bool, Error>;
}

/// Reason an image was not read.
#[derive(Debug)]
pub enum ReadError {
    /// Error of the image: it is recorded, and the run continues without it.
    Image(ImageError),
    /// I/O error of the host (`EIO`, `ESTALE`, too many open files), and the image may be intact: the run stops, and reads it
    /// again when it is resumed.
    Machine(Error),
}

impl From<ImageError> for ReadError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl ReadError {
    /// Classifies an error of the operating system that occurred while an image's own file was read.
    pub(super) fn from_file_error(file: &Path, error: io::Error) -> Self {
        if concerns_file(&error) {
            Self::Image(unreadable(error.to_string()))
        } else {
            Self::Machine(Error::file("read", file)(error))
        }
    }

    /// Classifies an error as [`Self::from_file_error`] does, and adds the name of the archive that the image is in.
    pub(super) fn from_archive_error(archive: &Path, error: io::Error) -> Self {
        match Self::from_file_error(archive, error) {
            Self::Image(ImageError { kind, reason }) => {
                let name = archive.file_name().unwrap_or_default().to_string_lossy();
                Self::Image(ImageError { kind, reason: format!("{name}: {reason}") })
            }
            machine @ Self::Machine(_) => machine,
        }
    }

    /// Returns the image's own error.
    ///
    /// # Errors
    /// Returns the I/O error of the host, which stops the caller.
    pub fn into_image_error(self) -> Result<ImageError, Error> {
        match self {
            Self::Image(error) => Ok(error),
            Self::Machine(error) => Err(error),
        }
    }
}

/// Whether an image must have the length that the manifest records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthCheck {
    /// Require the recorded length, if the manifest has one: labels are for the images that were listed.
    MatchManifest,
    /// Read the current image whatever its length.
    Ignore,
}

impl LengthCheck {
    /// Checks the length of an image.
    ///
    /// # Errors
    /// Returns an error if the image has changed, or is too long to read.
    pub(super) fn check(self, listed_bytes: u64, bytes: u64) -> Result<(), ImageError> {
        if self == Self::MatchManifest && listed_bytes != 0 && bytes != listed_bytes {
            return Err(ImageError {
                kind: ImageErrorKind::Changed,
                reason: format!("{} now, {} when it was listed", exact_bytes(bytes), exact_bytes(listed_bytes)),
            });
        }
        if bytes > MAX_IMAGE_BYTES {
            let limit = exact_bytes(MAX_IMAGE_BYTES);
            return Err(unreadable(format!("{}; at most {limit} are read", exact_bytes(bytes))));
        }
        Ok(())
    }
}

pub(super) fn unreadable(reason: String) -> ImageError {
    ImageError { kind: ImageErrorKind::Unreadable, reason }
}
