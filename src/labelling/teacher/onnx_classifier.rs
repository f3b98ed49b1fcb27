//! Runs the unmodified classifier: pixels in, the probabilities of all classes out. No label maps.

use std::path::Path;

use ort::session::Session;

use super::batch::{PixelBatch, Views};
use super::card::{self, Normalisation, ScoreMapLayout, TeacherCard};
use super::catch_binding_panic::catch_binding_panic;
use super::device::Device;
use super::graph::element;
use super::normalised_input::normalised_input;
use super::parsed_model::ParsedModel;
use super::rewrite::{ImageInput, model_with_outputs};
use super::rewrite_check::{ScoreRows, random_images};
use super::runtime::{Optimisation, Runtime, SessionOptions};
use super::teacher_request::TeacherRequest;
use super::teacher_trait::{AdjustableClassifier, Classifier};
use super::tensors::{FloatTensor, run_floats, take};
use super::weights::WeightsFile;
use crate::shared::digest::Digest;
use crate::shared::error::Error;
use crate::shared::geometry::InputSize;

/// An unmodified classifier. Created by [`OnnxClassifier::load`].
pub struct OnnxClassifier {
    session: Session,
    input: ImageInput,
    scores: String,
    normalisation: Normalisation,
    fixed_sides: [Option<usize>; 2],
    class_count: usize,
    layout: Option<ScoreMapLayout>,
    views: Views,
}

/// What was loaded.
#[derive(Clone, Debug)]
pub struct ClassifierDescription {
    /// SHA-256 of the ONNX file.
    pub sha256: Digest,
    /// Files with weights that the ONNX file refers to.
    pub weights_files: Vec<WeightsFile>,
    /// The card in force, with its class list.
    pub card: TeacherCard,
    /// Number of classes.
    pub class_count: usize,
}

impl OnnxClassifier {
    /// Loads a classifier on one device. `k`, `with_lse`, `photographs` and `scratch_folder` of the request are not used.
    /// The positions of cells are not needed, so they are not verified.
    ///
    /// # Errors
    /// Returns [`Error::Teacher`] if the file is not an ONNX classifier or returns probabilities, [`Error::Card`] if it contradicts its card,
    /// [`Error::Device`] or [`Error::Inference`] if it cannot be loaded on the device.
    pub fn load(
        runtime: &Runtime,
        request: &TeacherRequest,
        device: Device,
    ) -> Result<(Self, ClassifierDescription), Error> {
        catch_binding_panic("load the teacher", || {
            let model = ParsedModel::read(request)?;
            runtime.check_device(device)?;
            let scores = model.tail.logits.clone();
            let bytes = model_with_outputs(&model.graph, &model.input, &[&scores]);
            let options = SessionOptions {
                weights_folder: request.path.parent().unwrap_or(Path::new(".")),
                device: device.with_pageable_transfer(),
                threads: request.threads,
                profile: None,
                optimisation: Optimisation::All,
            };
            let mut classifier = Self {
                session: runtime.session(&bytes, &options)?,
                input: model.input,
                scores,
                normalisation: model.card.normalisation(),
                fixed_sides: [model.facts.fixed_height_pixels, model.facts.fixed_width_pixels],
                class_count: 0,
                layout: model.card.layout,
                views: request.views,
            };
            let named_classes = card::named_class_count(&request.flags, &request.card, &model.facts);
            classifier.measure_class_count(model.card.input_size, named_classes)?;
            let values = classifier.scores_of_random_images(model.card.input_size)?;
            let half = classifier.input.element == element::FLOAT16;
            let rows = ScoreRows { unit: "image", values: &values, classes: classifier.class_count, half };
            rows.refuse_probabilities(&model.tail).map_err(|refusal| refusal.into_error(&request.path))?;
            let class_count = classifier.class_count;
            let card = card::resolve_classes(model.card, &request.flags, &request.card, &model.facts, class_count)?;
            let description =
                ClassifierDescription { sha256: model.sha256, weights_files: model.weights_files, card, class_count };
            Ok((classifier, description))
        })
    }

    /// Runs the classifier once to learn its number of classes.
    fn measure_class_count(&mut self, size: InputSize, named_classes: Option<usize>) -> Result<(), Error> {
        let images = self.input.fixed_batch.unwrap_or(1);
        let batch = PixelBatch::new(images, size, vec![0; images * size.rgb_bytes()]);
        let scores = self.run(&batch)?;
        let [first, last] = match scores.dims[..] {
            [_, first, _, last] => [first, last],
            ref dims => [dims.iter().skip(1).product(), 0],
        };
        if self.layout.is_none() && named_classes == Some(last) && first != last {
            self.layout = Some(ScoreMapLayout::Nhwc);
        }
        let is_nhwc = self.layout == Some(ScoreMapLayout::Nhwc) && scores.dims.len() == 4;
        self.class_count = if is_nhwc { last } else { first };
        Ok(())
    }

    /// Returns the scores of random images, `[image, class]`, to check that they are not probabilities.
    fn scores_of_random_images(&mut self, size: InputSize) -> Result<Vec<f32>, Error> {
        let batch = random_images(self.input.fixed_batch.unwrap_or(2), size);
        Ok(self.image_scores(&batch)?.into_iter().map(|score| score as f32).collect())
    }

    fn run(&mut self, batch: &PixelBatch) -> Result<FloatTensor, Error> {
        let image = normalised_input(batch, &self.normalisation, &self.input);
        let [scores] = take(run_floats(&mut self.session, &[(&self.input.name, &image)], &[&self.scores])?);
        Ok(scores)
    }

    /// Returns the scores of the images of one run, `[image, class]`: of a score map, the mean over its cells.
    fn image_scores(&mut self, batch: &PixelBatch) -> Result<Vec<f64>, Error> {
        let scores = self.run(batch)?;
        let (images, classes) = (batch.images(), self.class_count);
        let cells = scores.values.len() / (images * classes).max(1);
        if cells == 0 || scores.values.len() != images * classes * cells {
            let message = format!("{images} images have scores of shape {:?}, not of {classes} classes", scores.dims);
            return Err(Error::Inference { action: "run the teacher", message });
        }
        let at = |image: usize, class: usize, cell: usize| match self.layout {
            Some(ScoreMapLayout::Nhwc) => (image * cells + cell) * classes + class,
            _ => (image * classes + class) * cells + cell,
        };
        let mut means = Vec::with_capacity(images * classes);
        for image in 0..images {
            for class in 0..classes {
                let sum: f64 = (0..cells).map(|cell| f64::from(scores.values[at(image, class, cell)])).sum();
                means.push(sum / cells as f64);
            }
        }
        Ok(means)
    }

    /// Classifies the images of one run.
    fn classify_run(&mut self, batch: &PixelBatch) -> Result<Vec<f32>, Error> {
        let images = batch.images();
        let views = self.views.count();
        let scores = match self.views {
            Views::Image => self.image_scores(batch)?,
            Views::ImageAndMirror => self.image_scores(&batch.with_mirrors())?,
        };
        let mut probs = Vec::with_capacity(images * self.class_count);
        for image in 0..images {
            let score = |class: usize| {
                let of_view = |view: usize| scores[(view * images + image) * self.class_count + class];
                (0..views).map(of_view).sum::<f64>() / views as f64
            };
            let scores: Vec<f64> = (0..self.class_count).map(score).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
            probs.extend(scores.iter().map(|score| ((score - largest).exp() / sum) as f32));
        }
        Ok(probs)
    }
}

impl Classifier for OnnxClassifier {
    fn class_count(&self) -> usize {
        self.class_count
    }

    fn classify(&mut self, batch: &PixelBatch) -> Result<Vec<f32>, Error> {
        let images = batch.images();
        let per_run = self.input.fixed_batch.map_or(images, |fixed| fixed / self.views.count()).max(1);
        let mut probs = Vec::with_capacity(images * self.class_count);
        for first in (0..images).step_by(per_run) {
            let kept = per_run.min(images - first);
            let run = batch.padded_slice(first, kept, if self.input.fixed_batch.is_some() { per_run } else { kept });
            let of_run = catch_binding_panic("run the teacher", || self.classify_run(&run))?;
            probs.extend_from_slice(&of_run[..kept * self.class_count]);
        }
        Ok(probs)
    }
}

impl AdjustableClassifier for OnnxClassifier {
    fn accepts_size(&self, size: InputSize) -> bool {
        let sides = [size.height_pixels() as usize, size.width_pixels() as usize];
        self.fixed_sides.iter().zip(sides).all(|(fixed, side)| fixed.is_none_or(|fixed| fixed == side))
    }

    fn set_normalisation(&mut self, normalisation: Normalisation) {
        self.normalisation = normalisation;
    }
}
