//! The photographs of a store, for commands that show them.

use std::path::Path;

use relabel::inspection::report::{Photographs, exif_orientation};
use relabel::labelling::pixels::{RgbImage, decode};
use relabel::labelling::source::{self, ImageReader, LengthCheck, ListedImages, Located, Source};
use relabel::shared::error::{Error, ImageError, ImageErrorKind};
use relabel::shared::manifest::Manifest;
use relabel::shared::store::StoreReader;

use super::args::PhotoFlags;

/// Source of photographs, opened like `relabel run --in`.
pub struct PhotoSource<'a> {
    root: &'a Path,
    source: Box<dyn Source>,
    check: LengthCheck,
}

impl<'a> PhotoSource<'a> {
    /// Opens the source that `--image-root` names; `None` without the flag.
    ///
    /// # Errors
    /// Returns [`Error::Source`] if it is missing or has no images.
    pub fn open(flags: &'a PhotoFlags) -> Result<Option<Self>, Error> {
        let Some(root) = &flags.image_root else { return Ok(None) };
        let check = if flags.any_size { LengthCheck::Ignore } else { LengthCheck::MatchManifest };
        Ok(Some(Self { root, source: source::open(root)?, check }))
    }

    /// Locates the images of a store.
    ///
    /// # Errors
    /// Returns [`Error::Source`] if an archive cannot be listed.
    fn locate<'s>(
        &'s self,
        store: &'s StoreReader,
        manifest: &'s Manifest,
    ) -> Result<Box<dyn ImageReader + 's>, Error> {
        let manifest_sha256 = &store.info().manifest_sha256;
        let Located { images, .. } =
            self.source.locate(&ListedImages { manifest, manifest_sha256, index: store.source_index() })?;
        Ok(images)
    }

    /// Decodes one photograph, in the orientation that the teacher card selects.
    ///
    /// # Errors
    /// Returns [`Error::Source`] if it is missing, its size differs from the manifest, or it is not an image.
    pub fn decode_row(&self, store: &StoreReader, manifest: &Manifest, row: usize) -> Result<RgbImage, Error> {
        let images = self.locate(store, manifest)?;
        let photo = match images.read(row, self.check) {
            Ok(bytes) => decode(&bytes, exif_orientation(store.info())),
            Err(error) => Err(error.into_image_error()?),
        };
        photo.map_err(|error| self.unusable(manifest.path(row), &error))
    }

    /// Returns all photographs for a page, scaled to a longer side of `side_pixels`.
    ///
    /// # Errors
    /// Returns [`Error::Source`] if an archive cannot be listed.
    pub fn for_page<'s>(
        &'s self,
        store: &'s StoreReader,
        manifest: &'s Manifest,
        side_pixels: usize,
    ) -> Result<Photographs<'s>, Error> {
        let images = self.locate(store, manifest)?;
        let side_pixels = u32::try_from(side_pixels).unwrap_or(u32::MAX);
        let exif = exif_orientation(store.info());
        Ok(Photographs::new(self.root.to_path_buf(), images, self.check, exif, side_pixels))
    }

    fn unusable(&self, path: &str, error: &ImageError) -> Error {
        let help = match error.kind {
            ImageErrorKind::Changed => {
                "\n  help: this is not the file that was labelled; pass --any-size to show it anyway, or omit --image-root for a \
                 picture without the photograph"
            }
            ImageErrorKind::Unreadable => {
                "\n  help: pass the source that was given to `relabel run --in`, or omit --image-root for a picture without the \
                 photograph"
            }
            _ => "",
        };
        Error::Source { path: self.root.to_path_buf(), problem: format!("{path}: {error}{help}").into() }
    }
}
