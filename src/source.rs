//! Where images come from. The only reader of image storage.

mod folder;

pub use folder::FolderSource;

use crate::error::{Error, ImageError};
use crate::manifest::Entry;

/// A place that holds images.
pub trait Source: Send + Sync {
    /// All images, sorted by path byte by byte.
    ///
    /// # Errors
    /// When the place or a part of it cannot be listed: a list with holes would be frozen.
    fn list(&self) -> Result<Vec<Entry>, Error>;

    /// The bytes of one image.
    ///
    /// # Errors
    /// When the image is gone or cannot be read; the run goes on without it.
    fn read(&self, path: &str) -> Result<Vec<u8>, ImageError>;

    /// Length of one image's file now; `None` when it is not there.
    fn length(&self, path: &str) -> Option<u64>;

    /// What the source is called, without the place where it lies: the folder's own name.
    fn name(&self) -> String;
}
