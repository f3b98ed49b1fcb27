//! Which teacher to load.

use std::path::PathBuf;

use super::batch::Views;
use super::card::{CardFile, CardValues, TeacherCard};
use super::refusal::Refusal;
use super::rewrite::ImageInput;
use crate::shared::error::Error;

/// Which teacher to load, and how it will label.
#[derive(Clone, Debug)]
pub struct TeacherRequest {
    /// The ONNX file.
    pub path: PathBuf,
    /// Card file of the teacher.
    pub card: CardFile,
    /// Values of command-line flags, which take precedence over the card.
    pub flags: CardValues,
    /// Number of classes to keep per cell.
    pub k: usize,
    /// The views of each image whose scores are averaged.
    pub views: Views,
    /// Whether to return the log-sum-exp of all classes for each cell.
    pub with_lse: bool,
    /// Threads, shared by the sessions on the CPU.
    pub threads: usize,
    /// Files of photographs like those that will be labelled. If the structure of the graph does not determine the positions
    /// of its cells, patches of these are changed to find out. If empty, built-in photographs are used.
    pub photographs: Vec<Vec<u8>>,
    /// A folder for temporary files, which are needed to infer the shapes of tensors and to find nodes that run on a different
    /// device; `None` skips both, and the positions of cells are then verified by changing photographs only.
    pub scratch_folder: Option<PathBuf>,
}

impl TeacherRequest {
    /// Number of classes that are kept for the entire image to count top-5 agreement, even if fewer are stored.
    const AGREEMENT_RANKS: usize = 5;

    /// Returns the number of classes that are kept for the entire image.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if `k` exceeds the number of classes.
    pub(super) fn image_ranks(&self, class_count: usize) -> Result<usize, Error> {
        let k = self.k;
        if k == 0 || k > class_count {
            return Err(Error::Usage(format!(
                "--top-k {k} is out of range: the teacher has {class_count} classes\n  \
                 help: choose --top-k from 1 to {class_count}"
            )));
        }
        Ok(k.max(Self::AGREEMENT_RANKS).min(class_count))
    }
}

/// Refuses a fixed batch that is too large, or odd if each image has two views.
pub(super) fn check_batch(input: &ImageInput, card: &TeacherCard, views: Views) -> Result<(), Refusal> {
    /// Bytes of one batch as float32.
    const MAX_BYTES: usize = 1 << 33;
    let Some(batch) = input.fixed_batch else { return Ok(()) };
    if !batch.is_multiple_of(views.count()) {
        return Err(Refusal::new(
            format!(
                "the batch size is fixed at {batch}, but --flip-average needs an even one: each image is labelled together \
                 with its mirror image"
            ),
            "export it with a free batch or an even one, or omit --flip-average",
        ));
    }
    match batch.checked_mul(card.input_size.rgb_bytes() * size_of::<f32>()) {
        Some(bytes) if bytes <= MAX_BYTES => Ok(()),
        _ => Err(Refusal::new(
            format!(
                "the batch size is fixed at {batch} images of {} pixels, which exceeds the memory limit",
                card.input_size
            ),
            "export it with a free batch",
        )),
    }
}
