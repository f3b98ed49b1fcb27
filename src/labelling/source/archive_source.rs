//! A source of archives, generic over their format: listing, locating and reading are the same for tars and Parquet files.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::labelling::source::archives::Archives;
use crate::labelling::source::image_location::{ArchivedImage, ImageLocation, manifest_of};
use crate::labelling::source::image_reader::{ImageReader, LengthCheck, ReadError, unreadable};
use crate::labelling::source::image_source::{ListedImages, Located, Source, on_listing_threads};
use crate::labelling::source::source_index;
use crate::labelling::source::splits::{self, SplitsFound};
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;

/// A format of archives.
pub(super) trait ArchiveFormat: Default + Send + Sync {
    /// Reads images of archives that stay open.
    type Reader<'a>: LocatedImages + 'a;

    /// Describes the archives; more precisely after they have been listed.
    fn description(&self, archives: &Archives) -> String;

    /// Lists the images of all archives in the order of the manifest. It runs on a thread pool for listing.
    ///
    /// # Errors
    /// Returns [`Error::Source`] or [`Error::File`] if an archive cannot be listed completely, or has no images.
    fn list(&self, archives: &Archives) -> Result<Vec<ArchivedImage>, Error>;

    /// Reports several splits that the archives themselves record, once they have been listed.
    fn recorded_splits(&self) -> Option<SplitsFound> {
        None
    }

    /// Returns a reader of the images.
    fn reader<'a>(&self, archives: &'a Archives) -> Self::Reader<'a>;
}

/// Reads images whose locations are known, from any number of threads.
pub(super) trait LocatedImages: Send + Sync {
    /// Reads the bytes of an image. `listed_bytes` is its length in the manifest, 0 if that is not known.
    ///
    /// # Errors
    /// See [`ImageReader::read`].
    fn read(&self, location: ImageLocation, listed_bytes: u64, check: LengthCheck) -> Result<Vec<u8>, ReadError>;

    /// Length of an image, if it is known without reading the image.
    fn known_bytes(&self, location: ImageLocation) -> Option<u64>;
}

/// Images in one archive or several of the same format.
pub(super) struct ArchiveSource<F> {
    archives: Archives,
    format: F,
    /// The images that were listed, until they are located.
    listed: Mutex<Option<Vec<ArchivedImage>>>,
}

impl<F: ArchiveFormat> ArchiveSource<F> {
    pub(super) fn new(archives: Archives) -> Self {
        Self { archives, format: F::default(), listed: Mutex::default() }
    }

    fn list_archives(&self) -> Result<Vec<ArchivedImage>, Error> {
        on_listing_threads(|| self.format.list(&self.archives))?
    }
}

impl<F: ArchiveFormat> Source for ArchiveSource<F> {
    fn description(&self) -> String {
        self.format.description(&self.archives)
    }

    fn name(&self) -> String {
        self.archives.name.clone()
    }

    fn list(&self) -> Result<Manifest, Error> {
        let images = self.list_archives()?;
        let list = manifest_of(&images).map_err(|problem| self.archives.source_error(problem))?;
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(images);
        Ok(list)
    }

    fn splits(&self, list: &Manifest) -> Option<SplitsFound> {
        let given: &Path = &self.archives.given;
        splits::of_archives(given, self.archives.paths())
            .or_else(|| self.format.recorded_splits())
            .or_else(|| splits::of_paths(list, given, false))
    }

    /// Finds the images of a manifest by its index, or else by listing the archives.
    fn locate<'a>(&'a self, list: &ListedImages<'a>) -> Result<Located<'a>, Error> {
        let listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let key = source_index::key(&self.archives, list.manifest_sha256);
        let (rows, archives) = (list.manifest.len(), self.archives.count());
        let indexed = list.index.as_deref().and_then(|bytes| source_index::decode(bytes, &key, rows, archives));
        let (locations, new_index) = if let Some(locations) = indexed {
            (locations, None)
        } else {
            let images = listed.map_or_else(|| self.list_archives(), Ok)?;
            let locations = locations_by_row(list.manifest, &images);
            let new_index = source_index::encode(&key, &locations);
            (locations, Some(new_index))
        };
        let images = ArchiveImages {
            archives: &self.archives,
            manifest: list.manifest,
            locations,
            reader: self.format.reader(&self.archives),
        };
        Ok(Located { images: Box::new(images), new_index })
    }
}

/// The images of a manifest in archives, by row.
struct ArchiveImages<'a, R> {
    archives: &'a Archives,
    manifest: &'a Manifest,
    locations: Vec<Option<ImageLocation>>,
    reader: R,
}

impl<R: LocatedImages> ImageReader for ArchiveImages<'_, R> {
    fn read(&self, row: usize, check: LengthCheck) -> Result<Vec<u8>, ReadError> {
        let location = self.locations[row].ok_or_else(|| unreadable(format!("not in {}", self.archives.name)))?;
        self.reader.read(location, self.manifest.bytes(row), check)
    }

    fn looks_as_listed(&self, row: usize) -> Result<bool, Error> {
        let listed_bytes = self.manifest.bytes(row);
        let has_listed_length = |location: ImageLocation| {
            listed_bytes == 0 || self.reader.known_bytes(location).is_none_or(|bytes| bytes == listed_bytes)
        };
        Ok(self.locations[row].is_some_and(has_listed_length))
    }
}

/// Finds each row of a manifest among the images of the archives.
fn locations_by_row(manifest: &Manifest, images: &[ArchivedImage]) -> Vec<Option<ImageLocation>> {
    let mut by_path: Option<HashMap<&str, ImageLocation>> = None;
    let mut next = 0;
    let mut location_of = |row: usize| {
        let path = manifest.path(row);
        // A manifest of this source has its order.
        if let Some(image) = images.get(next).filter(|image| image.path == path) {
            next += 1;
            return Some(image.location);
        }
        let by_path =
            by_path.get_or_insert_with(|| images.iter().map(|image| (image.path.as_str(), image.location)).collect());
        by_path.get(path).copied()
    };
    (0..manifest.len()).map(&mut location_of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::image_location::FolderClass;
    use super::*;
    use crate::shared::manifest::ManifestEntry;

    #[test]
    fn images_are_found_in_any_order() {
        let image = |(path, offset): (&str, u64)| ArchivedImage {
            path: path.to_owned(),
            folder_class: FolderClass::FromPath,
            location: ImageLocation { archive: 0, offset, bytes: 1, check: 0 },
        };
        let images = [("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)].map(image);
        let entry = |path: &str| ManifestEntry { path: path.to_owned(), ..ManifestEntry::default() };
        let manifest = Manifest::from_entries(["a.jpg", "c.jpg", "gone.jpg", "b.jpg"].map(entry).to_vec()).unwrap();
        let offsets: Vec<_> = locations_by_row(&manifest, &images)
            .into_iter()
            .map(|found| found.map(|location| location.offset))
            .collect();
        assert_eq!(offsets, [Some(1), Some(3), None, Some(2)]);
    }
}
