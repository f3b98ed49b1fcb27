//! Photographs of a report: read from their source and shrunk.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::labelling::pixels::{Decoder, ExifOrientation};
use crate::labelling::source::{ImageReader, LengthCheck, ReadError};
use crate::shared::error::{Error, ImageError};
use crate::shared::manifest::Manifest;
use crate::shared::store::{RowState, StoreInfo, StoreReader};

/// The photographs of a report, and how many were shown so far.
pub struct Photographs<'a> {
    /// Path of the source as the user gave it, for errors.
    pub root: PathBuf,
    /// Reader of the photographs by row.
    pub images: Box<dyn ImageReader + 'a>,
    /// Whether lengths of files must match the manifest.
    pub length_check: LengthCheck,
    /// Whether photographs are rotated as EXIF states, as they were for the teacher.
    pub exif_orientation: ExifOrientation,
    /// Maximum length of the longer side on the page, in pixels.
    pub side_pixels: u32,
    decoder: Decoder,
    shown: AtomicUsize,
    failed: AtomicUsize,
}

/// A photograph on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Photograph {
    pub(super) jpeg: Vec<u8>,
    /// Size of the original photograph.
    pub(super) height_pixels: u32,
    pub(super) width_pixels: u32,
}

/// Approximate maximum of photographs that are tried before anything is written.
const MAX_TRIED: usize = 20;

const JPEG_QUALITY: u8 = 82;

impl<'a> Photographs<'a> {
    /// Creates the photographs of a source.
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

    /// Tries photographs of labelled rows, spread over `rows`, until one can be shown.
    ///
    /// # Errors
    /// Returns [`Error::Source`] if none can be shown: it is probably the wrong source.
    pub(super) fn try_some(&self, store: &StoreReader, manifest: &Manifest, rows: &[usize]) -> Result<(), Error> {
        let (mut tried, mut last) = (0, None);
        for &row in rows.iter().step_by((rows.len() / MAX_TRIED).max(1)) {
            if !matches!(store.prediction(row)?, RowState::Labelled(_)) {
                continue;
            }
            match self.read_shrunk(row) {
                Ok(_) => return Ok(()),
                Err(error) => {
                    tried += 1;
                    last = Some((manifest.path(row), error.into_image_error()?));
                }
            }
        }
        let Some((path, error)) = last else { return Ok(()) };
        Err(Error::Source {
            path: self.root.clone(),
            problem: format!(
                "cannot show any of {tried} photographs, the last one is {path} ({error})\n  help: pass the source of the \
                 store as --image-root, accept files of other sizes with --any-size, or omit --image-root to show maps only"
            ).into(),
        })
    }

    /// Reads and shrinks one photograph. The inner error is the reason it cannot be shown: it cannot be read, does not match
    /// the manifest, or cannot be decoded.
    ///
    /// # Errors
    /// Returns the I/O errors of the host, which are not the photograph's fault.
    pub(super) fn photograph(&self, row: usize) -> Result<Result<Photograph, ImageError>, Error> {
        let photograph = match self.read_shrunk(row) {
            Ok(photograph) => Ok(photograph),
            Err(error) => Err(error.into_image_error()?),
        };
        let count = if photograph.is_ok() { &self.shown } else { &self.failed };
        count.fetch_add(1, Ordering::AcqRel);
        Ok(photograph)
    }

    /// Returns how many were shown, and how many could not be.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.shown.load(Ordering::Acquire), self.failed.load(Ordering::Acquire))
    }

    fn read_shrunk(&self, row: usize) -> Result<Photograph, ReadError> {
        let bytes = self.images.read(row, self.length_check)?;
        let (shrunk, (height_pixels, width_pixels)) =
            self.decoder.decode_shrunk(&bytes, self.exif_orientation, self.side_pixels)?;
        Ok(Photograph { jpeg: shrunk.to_jpeg(JPEG_QUALITY)?, height_pixels, width_pixels })
    }
}

/// Returns how the teacher of a store treated the EXIF orientation.
#[must_use]
pub fn exif_orientation(info: &StoreInfo) -> ExifOrientation {
    let card = info.teacher.card.get("exif_orientation").cloned();
    card.and_then(|value| serde_json::from_value(value).ok()).unwrap_or(ExifOrientation::Ignore)
}
