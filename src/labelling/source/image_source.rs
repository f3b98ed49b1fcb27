//! The interface of all sources.

use crate::labelling::source::image_reader::ImageReader;
use crate::labelling::source::splits::SplitsFound;
use crate::shared::digest::Digest;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::threads::thread_pool;

/// Threads that list. More than cores: on a network file system they mostly wait.
const LISTING_THREADS: usize = 8;

/// A folder, or archives, of images.
pub trait Source: Send + Sync {
    /// Describes the kind of source: `a tar of 1,000 tars`. The description of a tar is more precise after it has been
    /// listed or located.
    fn description(&self) -> String;

    /// Name of the source without its location: that of the folder, or of an archive without `.tar`.
    fn name(&self) -> String;

    /// Lists all images. Those of folders and tars are sorted by path, byte by byte; those of `WebDataset` shards and Parquet
    /// files are in their stored order.
    ///
    /// # Errors
    /// Returns [`Error::Source`] or [`Error::File`] if the source or a part of it cannot be listed: the manifest must be
    /// complete, since it never changes afterwards.
    fn list(&self) -> Result<Manifest, Error>;

    /// Reports whether the source, whose images were just listed, seems to contain several splits of a data set, or to be
    /// one folder too high.
    fn splits(&self, list: &Manifest) -> Option<SplitsFound>;

    /// Finds the images of a manifest. A missing image is an [`ImageError`](crate::ImageError) when it is read.
    ///
    /// # Errors
    /// Returns [`Error::Source`] or [`Error::File`] if an archive cannot be listed.
    fn locate<'a>(&'a self, list: &ListedImages<'a>) -> Result<Located<'a>, Error>;
}

/// A manifest, and the locations of its images that an earlier run recorded.
#[derive(Debug)]
pub struct ListedImages<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Digest of the store's `manifest.parquet`.
    pub manifest_sha256: &'a Digest,
    /// The store's `.source-index`, if it has one. It is used only if it matches the manifest and the archives.
    pub index: Option<Vec<u8>>,
}

/// The images of a manifest, found in a source.
pub struct Located<'a> {
    /// Reads them by row.
    pub images: Box<dyn ImageReader + 'a>,
    /// A new `.source-index`, if finding the images took time and should be recorded.
    pub new_index: Option<Vec<u8>>,
}

/// Runs `work` on a thread pool that ends with it.
pub(super) fn on_listing_threads<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    Ok(thread_pool(LISTING_THREADS, "list")?.install(work))
}
