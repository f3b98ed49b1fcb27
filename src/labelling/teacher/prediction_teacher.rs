//! Labels images with predictions alone. Any classifier can, also one that has no score for each cell.

use super::batch::{BatchLabels, PixelBatch};
use super::card::ScoreMapLayout;
use super::catch_binding_panic::catch_binding_panic;
use super::device::Device;
use super::graph::element;
use super::locality::layout_by_sizes;
use super::onnx_classifier::{ClassifierDescription, OnnxClassifier};
use super::parsed_model::{ParsedModel, reason_without_cells};
use super::quantisation::is_quantised;
use super::refusal::Refusal;
use super::rewrite_check::{RewriteCheck, random_images};
use super::runtime::Runtime;
use super::tail::{FeatureLayout, RawScores, check_plain_classifier, end_in_layer_with_weights};
use super::teacher_request::TeacherRequest;
use super::teacher_trait::{Classifier, Teacher};
use crate::shared::error::Error;
use crate::shared::geometry::InputSize;

/// A classifier that labels images with predictions, without label maps. Created by [`PredictionTeacher::load`].
pub struct PredictionTeacher {
    classifier: OnnxClassifier,
    /// Number of classes kept for each image.
    ranks: usize,
}

/// A loaded [`PredictionTeacher`].
#[derive(Clone, Debug)]
pub struct PredictionDescription {
    /// The classifier.
    pub classifier: ClassifierDescription,
    /// Why it has no score for each cell; `None` if it may have.
    pub no_cells: Option<String>,
    /// Largest difference between scores that a different device or batch size may cause.
    pub tolerance: f32,
}

impl PredictionTeacher {
    /// Loads a classifier, with one session per device, and checks its scores. `with_lse`, `photographs` and `scratch_folder` of
    /// the request are not used. `stop_requested` is polled between the steps.
    ///
    /// # Errors
    /// Returns [`Error::Teacher`] if the file is not an ONNX classifier, or its scores are not those of single images,
    /// [`Error::Card`] if it contradicts its card, [`Error::Device`] or [`Error::Inference`] if it cannot be loaded on a device,
    /// and [`Error::Interrupted`] if a stop was requested.
    pub fn load(
        runtime: &Runtime,
        request: &TeacherRequest,
        devices: &[Device],
        stop_requested: &dyn Fn() -> bool,
    ) -> Result<(Vec<Self>, PredictionDescription), Error> {
        catch_binding_panic("load the teacher", || Self::load_on(runtime, request, devices, stop_requested))
    }

    fn load_on(
        runtime: &Runtime,
        request: &TeacherRequest,
        devices: &[Device],
        stop_requested: &dyn Fn() -> bool,
    ) -> Result<(Vec<Self>, PredictionDescription), Error> {
        let refused = |refusal: Refusal| refusal.into_error(&request.path);
        let no_cells = reason_without_cells(request)?;
        let model = ParsedModel::read_scores(request)?;
        check_plain_classifier(&model.graph, &model.input.name, &model.recognised).map_err(refused)?;
        let on_cpu = devices.iter().filter(|&&device| device == Device::Cpu).count();
        let threads = request.threads.div_ceil(on_cpu.max(1));
        let load = |device: Device| {
            if stop_requested() {
                return Err(Error::Interrupted);
            }
            OnnxClassifier::from_model(runtime, request, &model, device, threads)
        };
        let Some((&first, others)) = devices.split_first() else {
            return Err(Error::Usage("no device was given".to_owned()));
        };
        let (mut classifier, description) = load(first)?;
        let ranks = request.image_ranks(description.class_count)?;
        check_output(&classifier, &model, &description).map_err(refused)?;
        let relative = relative_tolerance(&model);
        let largest = check_scores(&mut classifier, description.card.input_size, relative)?.map_err(refused)?;
        let mut teachers = vec![Self { classifier, ranks }];
        for &device in others {
            teachers.push(Self { classifier: load(device)?.0, ranks });
        }
        let description =
            PredictionDescription { classifier: description, no_cells, tolerance: relative * largest.max(1.0) };
        Ok((teachers, description))
    }
}

impl Teacher for PredictionTeacher {
    fn label(&mut self, batch: &PixelBatch) -> Result<BatchLabels, Error> {
        let (classes, ranks) = (self.classifier.class_count(), self.ranks);
        let probs = self.classifier.classify(batch)?;
        let mut labels = BatchLabels { image_ranks: ranks, ..BatchLabels::default() };
        for probs in probs.chunks_exact(classes) {
            for (prob, class) in best_classes(probs, ranks) {
                labels.image_probs.push(prob);
                labels.image_classes.push(class);
            }
        }
        Ok(labels)
    }

    fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        self.classifier.stopper()
    }
}

/// Returns the `ranks` largest probabilities and their classes; of equal ones, the lower class first.
fn best_classes(probs: &[f32], ranks: usize) -> Vec<(f32, i32)> {
    let mut ranked: Vec<(f32, i32)> = probs.iter().copied().zip(0..).collect();
    let order = |a: &(f32, i32), b: &(f32, i32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    if ranks < ranked.len() && ranks > 0 {
        ranked.select_nth_unstable_by(ranks - 1, order);
    }
    ranked.truncate(ranks);
    ranked.sort_unstable_by(order);
    ranked
}

/// Refuses outputs that are not one score for each class, and features that nobody declared to be classes.
fn check_output(
    classifier: &OnnxClassifier,
    model: &ParsedModel<RawScores>,
    description: &ClassifierDescription,
) -> Result<(), Refusal> {
    let dims = classifier.score_dims();
    let classes = &description.card.classes;
    match dims {
        [_, sides @ ..] if sides.len() != 3 && sides.iter().filter(|&&side| side > 1).count() > 1 => {
            return Err(Refusal::new(
                format!("the scores have shape {dims:?}, not [batch, class]"),
                "export a classifier that returns one score for each class",
            ));
        }
        // The card has no layout, and the sides do not tell which one is that of the classes.
        &[_, a, b, c] if model.card.layout.is_none() && b * c > 1 && a * b > 1 => {
            let named = Some(description.class_count).filter(|_| !classes.is_unnamed());
            let used = classifier.layout().map_or(FeatureLayout::Nchw, FeatureLayout::from);
            if layout_by_sizes([a, b, c], model.card.input_size, named)? != used {
                let layout = match used {
                    FeatureLayout::Nhwc => ScoreMapLayout::Nchw,
                    _ => ScoreMapLayout::Nhwc,
                };
                return Err(Refusal::new(
                    format!("the scores have shape {dims:?}, whose axes are probably {}", FeatureLayout::from(layout)),
                    "set `layout = \"nchw\"` or `layout = \"nhwc\"` in the card",
                ));
            }
        }
        _ => {}
    }
    if classes.is_unnamed() && !end_in_layer_with_weights(&model.graph, &model.input.name, &model.recognised) {
        return Err(Refusal::new(
            format!(
                "the output does not come from a layer with weights: the {} values are features, not scores of classes",
                description.class_count
            ),
            "export it with its classifier; if these are classes, list them: `classes = \"my_classes.txt\"` in the card, one class \
             per line",
        ));
    }
    Ok(())
}

/// The difference of scores, relative to the largest, that a different order of sums may cause.
fn relative_tolerance(model: &ParsedModel<RawScores>) -> f32 {
    if is_quantised(&model.graph, &model.recognised.tensor) {
        RewriteCheck::RELATIVE_TOLERANCE_QUANTISED
    } else if model.input.element == element::FLOAT16 || model.output.element == element::FLOAT16 {
        RewriteCheck::RELATIVE_TOLERANCE_HALF
    } else {
        RewriteCheck::RELATIVE_TOLERANCE
    }
}

/// Checks on random images that scores are finite, and do not depend on the other images of a batch. Returns the largest
/// absolute score.
fn check_scores(
    classifier: &mut OnnxClassifier,
    size: InputSize,
    relative_tolerance: f32,
) -> Result<Result<f32, Refusal>, Error> {
    /// Kernels may differ with the number of images, so more is accepted than between runs of one batch.
    const FACTOR: f64 = 10.0;
    let run_images = classifier.run_images();
    let batch = random_images(run_images.unwrap_or(2), size);
    let together = classifier.image_scores(&batch)?;
    let largest = together
        .iter()
        .fold(0.0_f64, |largest, score| if score.is_nan() { f64::NAN } else { largest.max(score.abs()) });
    if !largest.is_finite() {
        return Ok(Err(Refusal::new(
            "its scores of random images are not finite",
            "check `mean` and `std` in the card; a float16 network may overflow: export it in float32",
        )));
    }
    let classes = classifier.class_count();
    let accepted = FACTOR * f64::from(relative_tolerance) * largest.max(1.0);
    for image in 0..batch.images().min(2) {
        let alone = classifier.image_scores(&batch.padded_slice(image, 1, run_images.unwrap_or(1)))?;
        let there = &together[image * classes..][..classes];
        let difference = there.iter().zip(&alone).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        if difference > accepted {
            return Ok(Err(Refusal::new(
                format!(
                    "the scores of an image depend on the other images of its batch: they differ by up to {difference:.1e}, above \
                     the tolerance of {accepted:.1e}"
                ),
                "export it in evaluation mode (model.eval())",
            )));
        }
    }
    Ok(Ok(largest as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_classes_come_first_and_ties_in_order_of_classes() {
        let probs = [0.1, 0.3, 0.05, 0.3, 0.1, 0.15];
        assert_eq!(best_classes(&probs, 4), [(0.3, 1), (0.3, 3), (0.15, 5), (0.1, 0)]);
        assert_eq!(best_classes(&probs, 6).len(), 6);
        assert_eq!(best_classes(&[0.5; 3], 2), [(0.5, 0), (0.5, 1)]);
    }
}
