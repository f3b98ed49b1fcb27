//! The photographs of a page: read from their source, made small, counted.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::labelling::pixels::{Decoder, ExifOrientation};
use crate::labelling::source::{ImageReader, LengthCheck, ReadError};
use crate::shared::error::{Error, ImageError};
use crate::shared::manifest::Manifest;
use crate::shared::store::{RowState, StoreInfo, StoreReader};

/// Where a page's photographs come from, and how many were shown so far.
pub struct Photographs<'a> {
    /// What the user called the source, for errors.
    pub root: PathBuf,
    /// Reads them by row.
    pub images: Box<dyn ImageReader + 'a>,
    /// Whether they must have the listed lengths.
    pub length_check: LengthCheck,
    /// Whether they are turned, as they were for the teacher.
    pub exif_orientation: ExifOrientation,
    /// Longer side on the page, in pixels.
    pub side_pixels: u32,
    decoder: Decoder,
    shown: AtomicUsize,
    failed: AtomicUsize,
}

/// A photograph for the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Photograph {
    pub(super) jpeg: Vec<u8>,
    /// Of the photograph itself, before it was made small.
    pub(super) height_pixels: u32,
    pub(super) width_pixels: u32,
}

/// Photographs that are tried before anything is written, at most about so many.
const TRIED: usize = 20;

const JPEG_QUALITY: u8 = 82;

impl<'a> Photographs<'a> {
    /// Photographs of a source called `root`.
    #[must_use]
    pub fn new(
        root: PathBuf,
        images: Box<dyn ImageReader + 'a>,
        length_check: LengthCheck,
        exif_orientation: ExifOrientation,
        side_pixels: u32,
    ) -> Self {
        Self {
            root,
            images,
            length_check,
            exif_orientation,
            side_pixels,
            decoder: Decoder::default(),
            shown: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
        }
    }

    /// Tries photographs here and there among the labelled ones of `rows` until one can be shown.
    ///
    /// # Errors
    /// When none of so many can be: the source is taken for a wrong one.
    pub(super) fn try_some(&self, store: &StoreReader, manifest: &Manifest, rows: &[usize]) -> Result<(), Error> {
        let (mut tried, mut last) = (0, None);
        for &row in rows.iter().step_by((rows.len() / TRIED).max(1)) {
            if !matches!(store.prediction(row)?, RowState::Labelled(_)) {
                continue;
            }
            match self.small(row) {
                Ok(_) => return Ok(()),
                Err(error) => {
                    tried += 1;
                    last = Some((manifest.path(row), error.of_image()?));
                }
            }
        }
        let Some((path, error)) = last else { return Ok(()) };
        Err(Error::Source {
            path: self.root.clone(),
            problem: format!(
                "none of {tried} photographs that were tried can be shown, the last one {path} ({error}). See that \
                 --image-root is what the store was made from; --any-size takes photographs of other lengths, and without \
                 --image-root the page shows maps alone"
            ).into(),
        })
    }

    /// One photograph, or why it cannot be shown: it cannot be read, is not what was listed, or cannot be decoded.
    ///
    /// # Errors
    /// Returns the error of the machine that tells nothing of the photograph.
    pub(super) fn take(&self, row: usize) -> Result<Result<Photograph, ImageError>, Error> {
        let taken = match self.small(row) {
            Ok(photograph) => Ok(photograph),
            Err(error) => Err(error.of_image()?),
        };
        let count = if taken.is_ok() { &self.shown } else { &self.failed };
        count.fetch_add(1, Ordering::AcqRel);
        Ok(taken)
    }

    /// How many were shown, and how many could not be.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.shown.load(Ordering::Acquire), self.failed.load(Ordering::Acquire))
    }

    fn small(&self, row: usize) -> Result<Photograph, ReadError> {
        let bytes = self.images.read(row, self.length_check)?;
        let (small, (height_pixels, width_pixels)) =
            self.decoder.decode_shrunk(&bytes, self.exif_orientation, self.side_pixels)?;
        Ok(Photograph { jpeg: small.to_jpeg(JPEG_QUALITY)?, height_pixels, width_pixels })
    }
}

/// Whether the teacher of a store saw its images turned as EXIF says.
#[must_use]
pub fn exif_orientation(info: &StoreInfo) -> ExifOrientation {
    let card = info.teacher.card.get("exif_orientation").cloned();
    card.and_then(|value| serde_json::from_value(value).ok()).unwrap_or(ExifOrientation::Ignore)
}
