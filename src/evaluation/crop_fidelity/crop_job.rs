//! The crops to run the teacher on, and what is known about each afterwards.

use super::crop_choice::CropChoice;
use crate::labelling::pipeline::Preprocessing;
use crate::labelling::pixels::{Decoder, PixelCrop};
use crate::labelling::source::{ImageReader, LengthCheck};
use crate::shared::digest::Digest;
use crate::shared::error::{Error, ImageError};
use crate::shared::label_map::ImageLabels;
use crate::shared::manifest::Manifest;
use crate::shared::store::StoreReader;

/// The crops to run the teacher on, and how.
pub struct CropJob<'a> {
    /// The store with the labels.
    pub store: &'a StoreReader,
    /// The images of the store.
    pub manifest: &'a Manifest,
    /// Reads the images.
    pub images: &'a dyn ImageReader,
    /// Whether images must have the lengths that the manifest records.
    pub length_check: LengthCheck,
    /// Decodes images, within a memory budget.
    pub decoder: Decoder,
    /// How crops become input pixels.
    pub preprocessing: Preprocessing,
    /// Rows of the images. Their order has no effect.
    pub rows: Vec<usize>,
    /// The crops of each image.
    pub crops: CropChoice,
    /// Number of crops in each batch.
    pub batch_images: usize,
    /// Number of threads that decode.
    pub threads: usize,
    /// SHA-256 of the teacher.
    pub teacher_sha256: Digest,
}

impl CropJob<'_> {
    /// Returns the error of an action for which too few images could be read.
    pub(crate) fn unreadable(&self, action: &str, images: usize, skipped: &[SkippedImage]) -> Error {
        let first = skipped.first().map_or_else(String::new, |image| {
            format!(", the first one {} ({})", self.manifest.path(image.row), image.error)
        });
        let problem = format!(
            "cannot {action}: {images} of {} images could be read{first}\n  help: pass the source that was labelled",
            self.rows.len()
        );
        Error::Store { path: self.store.path().to_path_buf(), problem: problem.into() }
    }
}

/// A crop, the teacher's prediction for it, and the stored labels of its image.
#[derive(Clone, Copy, Debug)]
pub struct TeacherCrop<'a> {
    /// Row of the image.
    pub row: usize,
    /// Position among the crops of the image.
    pub index: usize,
    /// The pixels that the teacher saw.
    pub crop: PixelCrop,
    /// The stored labels of the image.
    pub labels: &'a ImageLabels,
    /// The teacher's probability of each class (softmax over all classes). All are finite.
    pub probs: &'a [f32],
}

/// An image that was skipped, entirely or in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedImage {
    /// Row of the image.
    pub row: usize,
    /// Why it was skipped.
    pub error: ImageError,
}
