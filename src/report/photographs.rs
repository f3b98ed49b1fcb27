//! The photographs of a page: read from their source, made small, counted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ImageError, ImageErrorKind};
use crate::pixels::{ExifOrientation, decode};
use crate::source::{ImageReader, LengthCheck};
use crate::store::StoreInfo;

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
    tally: Tally,
}

/// A photograph for the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Photograph {
    pub(super) jpeg: Vec<u8>,
    /// Of the photograph itself, before it was made small.
    pub(super) height_pixels: u32,
    pub(super) width_pixels: u32,
}

#[derive(Debug, Default)]
struct Tally {
    shown: AtomicUsize,
    failed: AtomicUsize,
    last: Mutex<Option<(String, ImageError)>>,
}

/// When so many fail and none was shown, the source is taken for a wrong one.
const FAILED_AT_FIRST: usize = 20;

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
        Self { root, images, length_check, exif_orientation, side_pixels, tally: Tally::default() }
    }

    /// One photograph, or why it cannot be shown.
    ///
    /// # Errors
    /// When the first ones all fail.
    pub(super) fn take(&self, row: usize, path: &str) -> Result<Result<Photograph, ImageError>, Error> {
        let taken = self.small(row);
        match &taken {
            Ok(_) => {
                self.tally.shown.fetch_add(1, Ordering::AcqRel);
            }
            Err(error) => {
                let failed = self.tally.failed.fetch_add(1, Ordering::AcqRel) + 1;
                *self.tally.last.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((path.to_owned(), error.clone()));
                if failed >= FAILED_AT_FIRST && self.tally.shown.load(Ordering::Acquire) == 0 {
                    return Err(self.none_can_be_shown(failed));
                }
            }
        }
        Ok(taken)
    }

    /// How many were shown, and how many could not be.
    ///
    /// # Errors
    /// When there were some, and none could be shown.
    pub(super) fn counts(&self) -> Result<(usize, usize), Error> {
        let of = |count: &AtomicUsize| count.load(Ordering::Acquire);
        match (of(&self.tally.shown), of(&self.tally.failed)) {
            (0, failed) if failed > 0 => Err(self.none_can_be_shown(failed)),
            counts => Ok(counts),
        }
    }

    /// A decoder that panics fails its photograph and nothing else.
    fn small(&self, row: usize) -> Result<Photograph, ImageError> {
        let bytes = self.images.read(row, self.length_check)?;
        let make = || {
            let whole = decode(&bytes, self.exif_orientation)?;
            let (height_pixels, width_pixels) = (whole.height_pixels(), whole.width_pixels());
            let jpeg = whole.shrunk(self.side_pixels)?.to_jpeg(JPEG_QUALITY)?;
            Ok(Photograph { jpeg, height_pixels, width_pixels })
        };
        catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| {
            let reason = "the decoder gave up on it in an unexpected way".to_owned();
            Err(ImageError { kind: ImageErrorKind::Broken, reason })
        })
    }

    fn none_can_be_shown(&self, failed: usize) -> Error {
        let last = self.tally.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let last = last.map(|(path, error)| format!(", the last one {path} ({error})")).unwrap_or_default();
        Error::Source {
            path: self.root.clone(),
            problem: format!(
                "none of the first {failed} photographs can be shown{last}. See that --image-root is what the store was \
                 made from; --any-size takes photographs of other lengths, and without --image-root the page shows maps alone"
            ),
        }
    }
}

/// Whether the teacher of a store saw its images turned as EXIF says.
#[must_use]
pub fn exif_orientation(info: &StoreInfo) -> ExifOrientation {
    let card = info.teacher.card.get("exif_orientation").cloned();
    card.and_then(|value| serde_json::from_value(value).ok()).unwrap_or(ExifOrientation::Ignore)
}
