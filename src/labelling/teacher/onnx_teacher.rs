//! Labels images with a rewritten ONNX classifier.

use std::sync::Arc;

use ort::session::{RunOptions, Session};
use ort::value::Tensor;

use super::batch::{BatchLabels, PixelBatch};
use super::catch_binding_panic::catch_binding_panic;
use super::device::Device;
use super::placement::Placement;
use super::rewrite::port;
use super::teacher_trait::{Teacher, TeacherShape};
use super::tensors::{FloatTensor, failed};
use super::transfer_buffers::{OutputShapes, TransferBuffers, read_output};
use crate::shared::error::Error;

/// A rewritten and verified classifier that labels every cell. Created by [`OnnxTeacher::load`].
pub struct OnnxTeacher {
    session: Session,
    buffers: TransferBuffers,
    shape: TeacherShape,
    image_ranks: usize,
    with_lse: bool,
    stop: Arc<RunOptions>,
}

impl OnnxTeacher {
    /// Wraps a session of a rewritten classifier.
    pub(super) fn new(
        session: Session,
        device: Device,
        shape: TeacherShape,
        image_ranks: usize,
        with_lse: bool,
    ) -> Result<Self, Error> {
        let buffers = TransferBuffers::new(&session, device)?;
        let stop = Arc::new(RunOptions::new().map_err(failed("prepare a run"))?);
        Ok(Self { session, buffers, shape, image_ranks, with_lse, stop })
    }

    /// Sizes of inputs and outputs.
    #[must_use]
    pub fn shape(&self) -> TeacherShape {
        self.shape
    }

    /// Ends the profile of the session, and returns where its nodes ran.
    pub(super) fn end_profile(&mut self, device: Device) -> Result<Option<Placement>, Error> {
        Placement::end_profile(&mut self.session, device)
    }

    /// Labels a batch that fits in one run, and returns the additional output `features` as well.
    pub(super) fn label_with_features(
        &mut self,
        batch: &PixelBatch,
        features: &str,
    ) -> Result<(BatchLabels, FloatTensor), Error> {
        let size = batch.size();
        let shape = [batch.images(), size.height_pixels() as usize, size.width_pixels() as usize, 3];
        let pixels = Tensor::from_array((shape, batch.data().to_vec())).map_err(failed("copy pixels"))?;
        let inputs = vec![(port::PIXELS, pixels)];
        let outputs = self.session.run(inputs).map_err(failed("run the teacher"))?;
        let labels = BatchLabels {
            k: self.shape.k,
            scores: read_output(&outputs, port::SCORES)?,
            classes: read_output(&outputs, port::CLASSES)?,
            image_ranks: self.image_ranks,
            image_probs: read_output(&outputs, port::IMAGE_PROBS)?,
            image_classes: read_output(&outputs, port::IMAGE_CLASSES)?,
            lse: if self.with_lse { Some(read_output(&outputs, port::LSE)?) } else { None },
        };
        Ok((labels, FloatTensor::from_value(features, &outputs[features])?))
    }

    /// Runs `run_images` images from `first` on and keeps the labels of the first `kept`; the rest pad a fixed batch.
    fn run(
        &mut self,
        batch: &PixelBatch,
        first: usize,
        run_images: usize,
        kept: usize,
        labels: &mut BatchLabels,
    ) -> Result<(), Error> {
        let size = batch.size();
        let image_bytes = size.rgb_bytes();
        let shape = [run_images, size.height_pixels() as usize, size.width_pixels() as usize, 3];
        let present = &batch.data()[first * image_bytes..(first + kept) * image_bytes];
        let mut padded;
        let pixels = if kept == run_images {
            present
        } else {
            padded = present.to_vec();
            padded.resize(run_images * image_bytes, 0);
            &padded
        };
        let (cells, ranks) = (self.shape.map_size.cells(), self.image_ranks);
        let (per_map, per_image) = (kept * cells * labels.k, kept * ranks);
        let outputs = OutputShapes {
            height_cells: self.shape.map_size.height_cells(),
            width_cells: self.shape.map_size.width_cells(),
            k: labels.k,
            image_ranks: ranks,
            with_lse: self.with_lse,
        };
        self.buffers.run(&mut self.session, (shape, pixels), outputs, &self.stop, |outputs| {
            labels.scores.extend_from_slice(&read_output(outputs, port::SCORES)?[..per_map]);
            labels.classes.extend_from_slice(&read_output(outputs, port::CLASSES)?[..per_map]);
            labels.image_probs.extend_from_slice(&read_output(outputs, port::IMAGE_PROBS)?[..per_image]);
            labels.image_classes.extend_from_slice(&read_output(outputs, port::IMAGE_CLASSES)?[..per_image]);
            if let Some(lse) = &mut labels.lse {
                lse.extend_from_slice(&read_output(outputs, port::LSE)?[..kept * cells]);
            }
            Ok(())
        })
    }
}

impl Teacher for OnnxTeacher {
    fn label(&mut self, batch: &PixelBatch) -> Result<BatchLabels, Error> {
        let images = batch.images();
        let run_images = self.shape.fixed_batch.unwrap_or(images);
        let mut labels = BatchLabels {
            k: self.shape.k,
            image_ranks: self.image_ranks,
            lse: self.with_lse.then(Vec::new),
            ..BatchLabels::default()
        };
        for first in (0..images).step_by(run_images.max(1)) {
            let kept = run_images.min(images - first);
            catch_binding_panic("run the teacher", || self.run(batch, first, run_images, kept, &mut labels))?;
        }
        Ok(labels)
    }

    fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        let stop = Arc::clone(&self.stop);
        Box::new(move || {
            if let Err(error) = stop.terminate() {
                tracing::warn!("cannot stop ONNX Runtime: {error}");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ort::memory::Allocator;

    use super::*;
    use crate::labelling::teacher::batch::Views;
    use crate::labelling::teacher::card::{CardFile, CardValues};
    use crate::labelling::teacher::runtime::Runtime;
    use crate::labelling::teacher::runtime_search::RuntimeSearch;
    use crate::labelling::teacher::teacher_request::TeacherRequest;
    use crate::labelling::teacher::transfer_buffers::DeviceAllocators;
    use crate::shared::geometry::InputSize;

    /// On the CPU all buffers are in the host's memory, but the copies between them are the same as on a GPU.
    #[test]
    fn labels_do_not_depend_on_the_transfer_of_pixels() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let search = RuntimeSearch { python_environments: vec![here.join(".venv")], ..RuntimeSearch::default() };
        let runtime = Runtime::load(&search.find().unwrap()).unwrap();
        let path = here.join("models/efficientnet-lite0.onnx");
        let request = TeacherRequest {
            card: CardFile::find(&path, None).unwrap(),
            path,
            flags: CardValues { input_size: Some(InputSize::new(64, 96).unwrap()), ..CardValues::default() },
            k: 3,
            views: Views::Image,
            with_lse: true,
            threads: 1,
            photographs: Vec::new(),
            scratch_folder: Some(std::env::temp_dir()),
        };
        let (mut teachers, _) = OnnxTeacher::load(&runtime, &request, &[Device::Cpu], &|| false).unwrap();
        let teacher = &mut teachers[0];
        let size = teacher.shape.input_size;
        let batch = |images: usize, seed: usize| {
            let pixels = (0..images * size.rgb_bytes()).map(|at| (at.wrapping_mul(2_654_435_761 + seed) >> 13) as u8);
            PixelBatch::new(images, size, pixels.collect())
        };
        // Another number of images in between, and the first again with other pixels.
        let batches = [batch(3, 0), batch(2, 1), batch(3, 2)];
        let plain: Vec<_> = batches.iter().map(|batch| teacher.label(batch).unwrap()).collect();
        assert_ne!(plain[0].scores, plain[2].scores);
        let both = || DeviceAllocators { page_locked: Allocator::default(), device: Allocator::default() };
        for buffers in [
            TransferBuffers::pinned(Allocator::default()),
            TransferBuffers::bound(both(), false),
            TransferBuffers::bound(both(), true),
        ] {
            teacher.buffers = buffers;
            for (batch, plain) in batches.iter().zip(&plain) {
                let labels = teacher.label(batch).unwrap();
                assert_eq!(labels.scores, plain.scores);
                assert_eq!(labels.classes, plain.classes);
                assert_eq!(labels.image_probs, plain.image_probs);
                assert_eq!(labels.image_classes, plain.image_classes);
                assert_eq!(labels.lse, plain.lse);
                assert_eq!(labels.lse.as_ref().map(Vec::len), Some(batch.images() * teacher.shape.map_size.cells()));
            }
            assert_eq!(kept_batches(&teacher.buffers), 2, "one for each number of images");
            // If a batch does not fit into the memory of the device, its buffers are freed for smaller batches.
            let (map_size, full) =
                (teacher.shape.map_size, || Error::DeviceMemory { action: "run", message: String::new() });
            let outputs = OutputShapes {
                height_cells: map_size.height_cells(),
                width_cells: map_size.width_cells(),
                k: 3,
                image_ranks: 5,
                with_lse: true,
            };
            let pixels = ([3, 64, 96, 3], batches[0].data());
            let result =
                teacher.buffers.run(&mut teacher.session, pixels, outputs, &teacher.stop, |_| Err::<(), _>(full()));
            assert!(matches!(result, Err(Error::DeviceMemory { .. })));
            assert_eq!(kept_batches(&teacher.buffers), 0);
        }
    }

    fn kept_batches(buffers: &TransferBuffers) -> usize {
        match buffers {
            TransferBuffers::Pageable => 0,
            TransferBuffers::Pinned { by_images, .. } => by_images.len(),
            TransferBuffers::Bound { by_images, .. } => by_images.len(),
        }
    }
}
