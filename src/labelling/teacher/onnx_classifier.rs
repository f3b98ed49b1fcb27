//! Runs the unmodified classifier: pixels in, the probabilities of all classes out. No label maps.

use std::path::Path;
use std::sync::Arc;

use ort::session::{RunOptions, Session};

use super::batch::{PixelBatch, Views};
use super::card::{self, Normalisation, ScoreMapLayout, TeacherCard};
use super::catch_binding_panic::catch_binding_panic;
use super::device::Device;
use super::graph::element;
use super::normalised_input::normalised_input;
use super::parsed_model::ParsedModel;
use super::ports::describe_port;
use super::refusal::Refusal;
use super::rewrite::{ImageInput, model_with_outputs};
use super::rewrite_check::{ScoreRows, check_order, random_images};
use super::runtime::{Optimisation, Runtime, SessionOptions};
use super::tail::{FeatureLayout, RawScores};
use super::teacher_request::TeacherRequest;
use super::teacher_trait::{AdjustableClassifier, Classifier};
use super::tensors::{FloatTensor, failed, run_floats_until_stopped, take};
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
    /// Shape of the scores of one run.
    score_dims: Vec<usize>,
    layout: Option<ScoreMapLayout>,
    views: Views,
    stop: Arc<RunOptions>,
}

/// What was loaded.
#[derive(Clone, Debug)]
pub struct ClassifierDescription {
    /// SHA-256 of the ONNX file.
    pub sha256: Digest,
    /// Files with weights that the ONNX file refers to.
    pub weights_files: Vec<WeightsFile>,
    /// Opset version of the standard operators.
    pub opset: i64,
    /// Name, shape and element type of the input.
    pub input: String,
    /// Name, shape and element type of the output.
    pub output: String,
    /// Descriptions of the nodes between raw scores and output that are left out: a Softmax, a Log, ...
    pub left_out: Vec<String>,
    /// Number of images per run, if the graph fixes it.
    pub fixed_batch: Option<usize>,
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
    /// Returns [`Error::Teacher`] if the file is not an ONNX classifier or returns probabilities, [`Error::Card`] if it contradicts
    /// its card, [`Error::Device`] or [`Error::Inference`] if it cannot be loaded on the device.
    pub fn load(
        runtime: &Runtime,
        request: &TeacherRequest,
        device: Device,
    ) -> Result<(Self, ClassifierDescription), Error> {
        catch_binding_panic("load the teacher", || {
            let model = ParsedModel::read_scores(request)?;
            Self::from_model(runtime, request, &model, device, request.threads)
        })
    }

    /// Loads a parsed classifier on one device, with this number of threads.
    pub(super) fn from_model(
        runtime: &Runtime,
        request: &TeacherRequest,
        model: &ParsedModel<RawScores>,
        device: Device,
        threads: usize,
    ) -> Result<(Self, ClassifierDescription), Error> {
        let refused = |refusal: Refusal| refusal.into_error(&request.path);
        runtime.check_device(device)?;
        let RawScores { tensor: scores, output, left_out } = &model.recognised;
        let bytes = model_with_outputs(&model.graph, &model.input, &[scores, output]);
        let options = SessionOptions {
            weights_folder: request.path.parent().unwrap_or(Path::new(".")),
            device: device.with_pageable_transfer(),
            threads,
            profile: None,
            optimisation: Optimisation::All,
        };
        let mut classifier = Self {
            session: runtime.session(&bytes, &options)?,
            input: model.input.clone(),
            scores: scores.clone(),
            normalisation: model.card.normalisation(),
            fixed_sides: [model.facts.fixed_height_pixels, model.facts.fixed_width_pixels],
            class_count: 0,
            score_dims: Vec::new(),
            layout: model.card.layout,
            views: request.views,
            stop: Arc::new(RunOptions::new().map_err(failed("prepare a run"))?),
        };
        let named_classes = card::named_class_count(&request.flags, &request.card, &model.facts);
        classifier.measure_class_count(model.card.input_size, named_classes)?;
        classifier.check_raw_scores(&model.recognised, model.card.input_size)?.map_err(refused)?;
        let class_count = classifier.class_count;
        let card = card::resolve_classes(model.card.clone(), &request.flags, &request.card, &model.facts, class_count)?;
        let description = ClassifierDescription {
            sha256: model.sha256.clone(),
            weights_files: model.weights_files.clone(),
            opset: model.graph.opset(),
            input: model.graph.inputs().first().map(describe_port).unwrap_or_default(),
            output: describe_port(&model.output),
            left_out: left_out.clone(),
            fixed_batch: model.input.fixed_batch.map(|batch| batch / request.views.count()),
            card,
            class_count,
        };
        Ok((classifier, description))
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
        // [batch, 1, 1, class]
        if self.layout.is_none() && scores.dims.len() == 4 && scores.dims[1..3] == [1, 1] {
            self.layout = Some(ScoreMapLayout::Nhwc);
        }
        let is_nhwc = self.layout == Some(ScoreMapLayout::Nhwc) && scores.dims.len() == 4;
        self.class_count = if is_nhwc { last } else { first };
        self.score_dims = scores.dims;
        Ok(())
    }

    /// Checks on random images that the raw scores are not probabilities, and that they rank classes as the teacher's own output.
    fn check_raw_scores(&mut self, raw: &RawScores, size: InputSize) -> Result<Result<(), Refusal>, Error> {
        let batch = random_images(self.input.fixed_batch.unwrap_or(2), size);
        let values: Vec<f32> = self.image_scores(&batch)?.into_iter().map(|score| score as f32).collect();
        let half = self.input.element == element::FLOAT16;
        let rows = ScoreRows { unit: "image", values: &values, classes: self.class_count, half };
        if let Err(refusal) = rows.refuse_probabilities(&raw.output) {
            return Ok(Err(refusal));
        }
        if raw.left_out.is_empty() {
            return Ok(Ok(()));
        }
        let [scores, own] = take(self.run_outputs(&batch, &[&raw.tensor, &raw.output])?);
        let map = (scores.dims.len() == 4).then(|| self.layout.map_or(FeatureLayout::Nchw, FeatureLayout::from));
        Ok(check_order(&raw.left_out, map, &own, &scores))
    }

    fn run(&mut self, batch: &PixelBatch) -> Result<FloatTensor, Error> {
        let scores = self.scores.clone();
        let [scores] = take(self.run_outputs(batch, &[&scores])?);
        Ok(scores)
    }

    fn run_outputs(&mut self, batch: &PixelBatch, outputs: &[&str]) -> Result<Vec<FloatTensor>, Error> {
        let image = normalised_input(batch, &self.normalisation, &self.input);
        run_floats_until_stopped(&mut self.session, &[(&self.input.name, &image)], outputs, &self.stop)
    }

    /// Returns a function that makes a running [`Classifier::classify`] return soon.
    pub(super) fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        let stop = Arc::clone(&self.stop);
        Box::new(move || {
            if let Err(error) = stop.terminate() {
                tracing::warn!("cannot stop ONNX Runtime: {error}");
            }
        })
    }

    /// Shape of the scores of one run.
    pub(super) fn score_dims(&self) -> &[usize] {
        &self.score_dims
    }

    /// Number of images in each run; `None` if it is free.
    pub(super) fn run_images(&self) -> Option<usize> {
        self.input.fixed_batch
    }

    /// The layout of a score map; `None` if it is `[batch, class, y, x]` or the scores are not a map.
    pub(super) fn layout(&self) -> Option<ScoreMapLayout> {
        self.layout
    }

    /// Returns the scores of the images of one run, `[image, class]`: of a score map, the mean over its cells.
    pub(super) fn image_scores(&mut self, batch: &PixelBatch) -> Result<Vec<f64>, Error> {
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
