//! Where images come from. The only reader of image storage.
//!
//! A source is understood from what `--in` names ([`open`]), lists its images once, and finds the images of a list
//! again ([`Source::locate`]); then they are read by row, from many threads.

mod understand;
mod pattern;
mod folder;
mod walk;
mod archives;
mod tar;
mod parquet;
mod places;
mod index;
mod splits;

use std::io;
use std::path::Path;

use crate::shared::digest::Digest;
use crate::shared::error::{Error, ImageError, ImageErrorKind};
use crate::shared::manifest::Manifest;
use crate::shared::regular_file::concerns_file;
use crate::shared::threads::thread_pool;

pub use folder::FolderSource;
pub use parquet::{ParquetSource, list_parquet_bytes};
pub use splits::{SplitsFound, splits_of_column};
pub use tar::{Damage, TarSource, list_tar_bytes};
pub use understand::open;

/// Endings that are taken for images, in any case: torchvision's `IMG_EXTENSIONS`, and GIF.
const IMAGE_EXTENSIONS: [&str; 10] = ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif"];

/// Longest image that is read, so that a stray disk image does not fill the memory.
const MAX_IMAGE_BYTES: u64 = 256 << 20;

/// Threads that list. More than cores: on a network file system they wait most of the time.
const LISTING_THREADS: usize = 8;

/// A place that holds images.
pub trait Source: Send + Sync {
    /// What `--in` was understood to be, in words: `a tar of 1,000 tars`. Of a tar, only its list tells; before it is
    /// listed or located, the words say less.
    fn what(&self) -> String;

    /// What the source is called, without the place where it lies: the folder's own name, an archive's without `.tar`.
    fn name(&self) -> String;

    /// All images. Folders and tars give them sorted by path, byte by byte; `WebDataset` shards and Parquet files in the
    /// order in which they stand.
    ///
    /// # Errors
    /// When the place or a part of it cannot be listed: a list with holes would be frozen.
    fn list(&self) -> Result<Manifest, Error>;

    /// Whether the source, whose images were just listed, seems to hold several splits of a data set, or to be one folder
    /// too high.
    fn splits(&self, list: &Manifest) -> Option<SplitsFound>;

    /// Finds where the images of a list lie. An image that is not there is an [`ImageError`] when it is read.
    ///
    /// # Errors
    /// When an archive cannot be listed.
    fn locate<'a>(&'a self, list: &ListedImages<'a>) -> Result<Located<'a>, Error>;
}

/// A frozen list, and what an earlier run noted of where its images lie.
#[derive(Debug)]
pub struct ListedImages<'a> {
    /// The list.
    pub manifest: &'a Manifest,
    /// Digest of the store's `manifest.parquet`.
    pub manifest_sha256: &'a Digest,
    /// The store's `.source-index`, if it has one. It is only believed when it fits list and archives.
    pub index: Option<Vec<u8>>,
}

/// The images of a list, found.
pub struct Located<'a> {
    /// Reads them by row.
    pub images: Box<dyn ImageReader + 'a>,
    /// A new `.source-index`, where finding took time and should be noted.
    pub new_index: Option<Vec<u8>>,
}

/// Reads images by their row in the list, from any number of threads.
pub trait ImageReader: Send + Sync {
    /// The bytes of one image.
    ///
    /// # Errors
    /// Returns [`ReadError::Image`] if the image is gone, has changed, or cannot be read, and [`ReadError::Machine`] if the
    /// machine failed.
    fn read(&self, row: usize, check: LengthCheck) -> Result<Vec<u8>, ReadError>;

    /// Whether an image seems to be the one that was listed: it is there, and has its length where both lengths can be
    /// known without reading it.
    ///
    /// # Errors
    /// Returns [`Error::File`] if that cannot be told.
    fn looks_as_listed(&self, row: usize) -> Result<bool, Error>;
}

/// Why an image was not read.
#[derive(Debug)]
pub enum ReadError {
    /// Something is wrong with the image: it is recorded, and the run continues without it.
    Image(ImageError),
    /// The machine failed (`EIO`, `ESTALE`, too many open files), which tells nothing of the image: the run stops, and
    /// reads it again when it is resumed.
    Machine(Error),
}

impl From<ImageError> for ReadError {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl ReadError {
    /// What an error of the operating system means, that came up while an image's own file was read.
    fn of_file(file: &Path, error: io::Error) -> Self {
        if concerns_file(&error) {
            Self::Image(unreadable(error.to_string()))
        } else {
            Self::Machine(Error::file("read", file)(error))
        }
    }

    /// As [`Self::of_file`], of an archive: images are named otherwise.
    fn of_archive(archive: &Path, error: io::Error) -> Self {
        match Self::of_file(archive, error) {
            Self::Image(ImageError { kind, reason }) => {
                let name = archive.file_name().unwrap_or_default().to_string_lossy();
                Self::Image(ImageError { kind, reason: format!("{name}: {reason}") })
            }
            machine @ Self::Machine(_) => machine,
        }
    }

    /// The image's own error, where another failure stops.
    ///
    /// # Errors
    /// Returns the error of the machine.
    pub fn of_image(self) -> Result<ImageError, Error> {
        match self {
            Self::Image(error) => Ok(error),
            Self::Machine(error) => Err(error),
        }
    }
}

/// Whether an image must have the length that the list says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthCheck {
    /// It must, where the list knows it: labels are for what was listed.
    AsListed,
    /// Whatever is there now is taken.
    AsItIs,
}

impl LengthCheck {
    /// # Errors
    /// When the image has another length than it may.
    fn check(self, listed_bytes: u64, bytes: u64) -> Result<(), ImageError> {
        if self == Self::AsListed && listed_bytes != 0 && bytes != listed_bytes {
            return Err(ImageError {
                kind: ImageErrorKind::Changed,
                reason: format!("it has {bytes} bytes now, {listed_bytes} when it was listed"),
            });
        }
        if bytes > MAX_IMAGE_BYTES {
            return Err(unreadable(format!("it has {bytes} bytes; at most {MAX_IMAGE_BYTES} are read")));
        }
        Ok(())
    }
}

fn unreadable(reason: String) -> ImageError {
    ImageError { kind: ImageErrorKind::Unreadable, reason }
}

/// True for names that end as images do.
fn is_image_name(name: &[u8]) -> bool {
    let file = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    let Some(dot) = file.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > 0) else { return false };
    IMAGE_EXTENSIONS.iter().any(|known| file[dot + 1..].eq_ignore_ascii_case(known.as_bytes()))
}

/// Runs `work` on threads of its own, which end with it.
fn on_listing_threads<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    Ok(thread_pool(LISTING_THREADS, "list")?.install(work))
}
