//! The photographs behind a store, for commands that show them.

use std::path::Path;

use relabel::inspection::report::{Photographs, exif_orientation};
use relabel::labelling::pixels::{RgbImage, decode};
use relabel::labelling::source::{self, ImageReader, LengthCheck, ListedImages, Located, Source};
use relabel::shared::error::{Error, ImageError, ImageErrorKind};
use relabel::shared::manifest::Manifest;
use relabel::shared::store::StoreReader;

use super::args::PhotoFlags;

/// Where the photographs are, understood as `relabel run --in` is.
pub struct Photos<'a> {
    root: &'a Path,
    source: Box<dyn Source>,
    check: LengthCheck,
}

impl<'a> Photos<'a> {
    /// What the flags say; `None` where they say nothing.
    ///
    /// # Errors
    /// When there is nothing, or nothing that holds images.
    pub fn of(flags: &'a PhotoFlags) -> Result<Option<Self>, Error> {
        let Some(root) = &flags.image_root else { return Ok(None) };
        let check = if flags.any_size { LengthCheck::AsItIs } else { LengthCheck::AsListed };
        Ok(Some(Self { root, source: source::open(root)?, check }))
    }

    /// Finds the images of a store.
    ///
    /// # Errors
    /// When an archive cannot be listed.
    fn located<'s>(
        &'s self,
        store: &'s StoreReader,
        manifest: &'s Manifest,
    ) -> Result<Box<dyn ImageReader + 's>, Error> {
        let manifest_sha256 = &store.info().manifest_sha256;
        let Located { images, .. } =
            self.source.locate(&ListedImages { manifest, manifest_sha256, index: store.source_index() })?;
        Ok(images)
    }

    /// One photograph as the teacher's card has it turned.
    ///
    /// # Errors
    /// When it is gone, has another length than was listed, or is no image.
    pub fn decoded(&self, store: &StoreReader, manifest: &Manifest, row: usize) -> Result<RgbImage, Error> {
        let images = self.located(store, manifest)?;
        let photo = match images.read(row, self.check) {
            Ok(bytes) => decode(&bytes, exif_orientation(store.info())),
            Err(error) => Err(error.of_image()?),
        };
        photo.map_err(|error| self.unusable(manifest.path(row), &error))
    }

    /// All photographs, for a page, with a longer side of so many pixels.
    ///
    /// # Errors
    /// When an archive cannot be listed.
    pub fn for_page<'s>(
        &'s self,
        store: &'s StoreReader,
        manifest: &'s Manifest,
        side_pixels: usize,
    ) -> Result<Photographs<'s>, Error> {
        let images = self.located(store, manifest)?;
        let side_pixels = u32::try_from(side_pixels).unwrap_or(u32::MAX);
        let exif = exif_orientation(store.info());
        Ok(Photographs::new(self.root.to_path_buf(), images, self.check, exif, side_pixels))
    }

    /// What to say of the one photograph that was wanted.
    fn unusable(&self, path: &str, error: &ImageError) -> Error {
        let advice = match error.kind {
            ImageErrorKind::Changed => {
                ": this is not the picture that was labelled. With --any-size it is shown all the same; without \
                 --image-root there is a picture without it"
            }
            ImageErrorKind::Unreadable => {
                ". Is this the folder or archive that was given to `relabel run --in`? Without --image-root there is a \
                 picture without the photograph"
            }
            _ => "",
        };
        Error::Source { path: self.root.to_path_buf(), problem: format!("{path}: {error}{advice}").into() }
    }
}
