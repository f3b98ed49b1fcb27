//! The interfaces of teachers and of plain classifiers.

use super::batch::{BatchLabels, PixelBatch};
use super::card::Normalisation;
use crate::shared::error::Error;
use crate::shared::geometry::{InputSize, MapSize};

/// Labels images: [`OnnxTeacher`](super::OnnxTeacher), or a test double.
pub trait Teacher: Send {
    /// Labels a batch.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] if it was stopped, a different error if inference fails.
    fn label(&mut self, batch: &PixelBatch) -> Result<BatchLabels, Error>;

    /// Returns a function that makes a running [`Teacher::label`] return soon, for use on a different thread.
    fn stopper(&self) -> Box<dyn Fn() + Send + Sync>;
}

/// Classifies images without label maps: [`OnnxClassifier`](super::OnnxClassifier), or a test double.
pub trait Classifier: Send {
    /// Number of classes.
    fn class_count(&self) -> usize;

    /// Returns the probabilities of all classes (softmax over all classes), `[image, class]`.
    ///
    /// # Errors
    /// Returns an error if inference fails.
    fn classify(&mut self, batch: &PixelBatch) -> Result<Vec<f32>, Error>;
}

/// A classifier whose input can be prepared in different ways.
pub trait AdjustableClassifier: Classifier {
    /// Returns whether it takes images of this size.
    fn accepts_size(&self, size: InputSize) -> bool;

    /// Replaces the normalisation of the card.
    fn set_normalisation(&mut self, normalisation: Normalisation);
}

/// Sizes of a teacher's inputs and outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TeacherShape {
    /// Size of the input.
    pub input_size: InputSize,
    /// Size of the label map.
    pub map_size: MapSize,
    /// Number of classes.
    pub class_count: usize,
    /// Number of classes kept per cell.
    pub k: usize,
    /// Number of images per run, if the graph fixes it.
    pub fixed_batch: Option<usize>,
}
