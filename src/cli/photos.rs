//! The photographs behind a store, for commands that show them.

use std::path::Path;

use relabel::error::{Error, ImageError, ImageErrorKind};
use relabel::manifest::Manifest;
use relabel::pixels::{ExifOrientation, RgbImage, decode};
use relabel::source::{self, ImageReader, LengthCheck, ListedImages, Located, Source};
use relabel::store::{StoreInfo, StoreReader};
use serde_json::Value;

use super::args::PhotoFlags;

/// Where the photographs are, understood as `relabel run --in` is.
pub struct Photos<'a> {
    root: &'a Path,
    source: Box<dyn Source>,
    pub check: LengthCheck,
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

    /// Does something with the images of a store, once they are found.
    ///
    /// # Errors
    /// When an archive cannot be listed, and those of `work`.
    pub fn with_reader<T>(
        &self,
        store: &StoreReader,
        manifest: &Manifest,
        work: impl FnOnce(&dyn ImageReader) -> T,
    ) -> Result<T, Error> {
        let manifest_sha256 = &store.info().manifest_sha256;
        let list = ListedImages { manifest, manifest_sha256, index: store.source_index() };
        let Located { images, .. } = self.source.locate(&list)?;
        Ok(work(&*images))
    }

    /// What to say of the one photograph that was wanted.
    pub fn unusable(&self, path: &str, error: &ImageError) -> Error {
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
        Error::Source { path: self.root.to_path_buf(), problem: format!("{path}: {error}{advice}") }
    }
}

/// One photograph as the teacher's card has it turned.
///
/// # Errors
/// When it is gone, has another length than was listed, or is no image.
pub fn decoded(
    images: &dyn ImageReader,
    row: usize,
    photos: &Photos<'_>,
    info: &StoreInfo,
) -> Result<RgbImage, ImageError> {
    decode(&images.read(row, photos.check)?, exif_orientation(info))
}

/// What the card in force says of EXIF orientation.
pub fn exif_orientation(info: &StoreInfo) -> ExifOrientation {
    match info.teacher.card.get("exif_orientation") {
        Some(Value::String(said)) if said == "apply" => ExifOrientation::Apply,
        _ => ExifOrientation::Ignore,
    }
}
