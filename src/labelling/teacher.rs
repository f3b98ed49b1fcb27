//! The teacher: pixels in, label maps out. The only room that knows ONNX Runtime.
//!
//! An ordinary classifier is rewritten in memory so that its head runs on every cell, and the rewrite is proved
//! before anything is labelled. See `docs/teacher-endings.md` for the endings that are recognised.

pub mod card;
mod wire;
mod integrity;
mod graph;
mod ports;
mod weights;
mod quantisation;
mod tail;
mod rewrite;
mod tensors;
mod proof;
mod locality;
pub mod cuda;
pub mod device;
mod cuda_libraries;
mod trial;
pub mod runtime;
mod placement;
mod feed;
mod guard;
mod onnx;
mod halving;

pub use card::{CardFile, CardValues, TeacherCard};
pub use cuda::CudaTuning;
pub use device::{Device, DeviceChoice};
pub use halving::Halving;
pub use locality::{Locality, ProbeResult};
pub use onnx::{Description, OnnxTeacher, TeacherRequest, check_onnx};
pub use placement::{Elsewhere, Placement};
pub use proof::{Proof, QuantisedProof};
pub use runtime::{Runtime, RuntimeSearch};
pub use tail::Linearity;
pub use weights::{WeightsFile, weights_bytes};

use crate::shared::error::Error;
use crate::shared::geometry::{InputSize, MapSize};

/// Something that labels images: [`OnnxTeacher`], or a test's.
pub trait Teacher: Send {
    /// Labels a batch.
    ///
    /// # Errors
    /// When inference fails or was stopped ([`Error::Interrupted`]).
    fn label(&mut self, batch: &PixelBatch) -> Result<BatchLabels, Error>;

    /// What makes a running [`Teacher::label`] return soon, callable from another thread.
    fn stopper(&self) -> Box<dyn Fn() + Send + Sync>;
}

/// Images as a teacher wants them: u8 `[image, y, x, channel]`, RGB.
#[derive(Clone, Debug)]
pub struct PixelBatch {
    images: usize,
    size: InputSize,
    data: Vec<u8>,
}

impl PixelBatch {
    /// From `images` images of `size`, one after the other.
    ///
    /// # Panics
    /// When `data` is not `images * size.rgb_bytes()` long: a fault of the caller.
    #[must_use]
    pub fn new(images: usize, size: InputSize, data: Vec<u8>) -> Self {
        assert_eq!(data.len(), images * size.rgb_bytes(), "{images} images of {size} pixels");
        Self { images, size, data }
    }

    /// Number of images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images
    }

    /// Size of each.
    #[must_use]
    pub fn size(&self) -> InputSize {
        self.size
    }

    /// All bytes.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// So many images from `first` on, as a batch of their own.
    fn slice(&self, first: usize, images: usize) -> Self {
        let bytes = self.size.rgb_bytes();
        Self::new(images, self.size, self.data[first * bytes..(first + images) * bytes].to_vec())
    }

    /// The bytes of one image, `[y, x, channel]`.
    ///
    /// # Panics
    /// When there is no such image.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        &self.data[index * self.size.rgb_bytes()..][..self.size.rgb_bytes()]
    }
}

/// What a teacher says of a batch, in its own order of axes.
#[derive(Clone, Debug, Default)]
pub struct BatchLabels {
    /// Classes kept in each cell.
    pub k: usize,
    /// Scores, `[image, y, x, k]`, each cell from high to low.
    pub scores: Vec<f32>,
    /// Class ids beside them.
    pub classes: Vec<i32>,
    /// Classes kept for the whole image.
    pub image_ranks: usize,
    /// Probabilities for the whole image, `[image, image_ranks]`, from high to low.
    pub image_probs: Vec<f32>,
    /// Class ids beside them.
    pub image_classes: Vec<i32>,
    /// Log-sum-exp over all classes, `[image, y, x]`, where it was asked for.
    pub lse: Option<Vec<f32>>,
}

/// What of each image is shown to a teacher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Views {
    /// The image.
    #[default]
    Image,
    /// The image and its mirror image, whose scores are mirrored back; what counts is the mean of both. It takes twice
    /// the time and memory.
    ImageAndMirror,
}

impl Views {
    /// How many there are of each image.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::Image => 1,
            Self::ImageAndMirror => 2,
        }
    }
}

impl BatchLabels {
    /// Adds the labels of more images.
    fn append(&mut self, more: Self) {
        self.scores.extend(more.scores);
        self.classes.extend(more.classes);
        self.image_probs.extend(more.image_probs);
        self.image_classes.extend(more.image_classes);
        if let (Some(lse), Some(more)) = (&mut self.lse, more.lse) {
            lse.extend(more);
        }
    }
}

/// What the rest of the program has to know of a teacher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TeacherShape {
    /// Size of the input.
    pub input_size: InputSize,
    /// Size of the label map.
    pub map_size: MapSize,
    /// Number of classes.
    pub class_count: usize,
    /// Classes kept in each cell.
    pub k: usize,
    /// Images in each run, where the graph fixes it.
    pub fixed_batch: Option<usize>,
}
