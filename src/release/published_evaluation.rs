//! The figures of `relabel evaluate` in a release: `evaluation.json` and charts.

use serde_json::{Map, Value, json};

use super::private_text::{Redaction, redact};
use super::release_file::ReleaseFile;
use crate::evaluation::charts::{EvaluationChart, charts, truth_name};
use crate::evaluation::evaluation_file::{
    Accuracy, CropFidelity, Estimate, Evaluation, Fidelity, LabelKind, TruthFigures,
};
use crate::inspection::picture::PictureError;
use crate::shared::tiles::Covering;

/// Name of the document.
pub(super) const EVALUATION: &str = "evaluation.json";

/// An evaluation without private text, and its charts.
pub(super) struct PublishedEvaluation {
    pub(super) evaluation: Evaluation,
    pub(super) charts: Vec<EvaluationChart>,
    /// Content of [`EVALUATION`].
    pub(super) document: ReleaseFile,
}

impl PublishedEvaluation {
    /// Removes private text, and draws the charts. Adds what was shortened to `redactions`.
    ///
    /// # Errors
    /// Returns a [`PictureError`] if a chart cannot be drawn.
    pub(super) fn new(evaluation: &Evaluation, redactions: &mut Vec<Redaction>) -> Result<Self, PictureError> {
        let evaluation = without_private_text(evaluation, redactions);
        let charts = charts(&evaluation)?;
        let document = ReleaseFile::from_bytes(EVALUATION, evaluation.to_json_bytes());
        Ok(Self { evaluation, charts, document })
    }

    /// Returns the document and the charts as files of the release.
    pub(super) fn files(&self) -> Vec<ReleaseFile> {
        let charts = self.charts.iter().map(|chart| ReleaseFile::from_bytes(&chart.file_name, chart.png.clone()));
        std::iter::once(self.document.clone()).chain(charts).collect()
    }

    /// Returns the entry of `provenance.json`: what the figures were computed from, and the most important ones.
    pub(super) fn provenance(&self) -> Value {
        let evaluation = &self.evaluation;
        let truths: Vec<Value> = evaluation.truths.iter().map(truth_summary).collect();
        json!({
            "file": EVALUATION,
            "sha256": self.document.sha256,
            "evaluation_version": evaluation.evaluation_version,
            "tool_version": evaluation.tool_version,
            "labels_sha256": evaluation.store.labels_sha256,
            "teacher_sha256": evaluation.store.teacher_sha256,
            "truths": truths,
            "crop_fidelity": evaluation.crop_fidelity.as_ref().map(fidelity_summary),
        })
    }

    /// Returns the results of the evaluation, one sentence for each truth and one for crops.
    pub(super) fn sentences(&self) -> Vec<String> {
        let percent = |value: f64| format!("{:.1} %", 100.0 * value);
        let mut sentences = Vec::new();
        for TruthFigures { truth, classes, localization } in &self.evaluation.truths {
            if let Some(classes) = classes {
                let of_label = |figure: &dyn Fn(&Accuracy) -> String| match &classes.pooled {
                    Some(pooled) => {
                        format!("{}, of the target of the full image {}", figure(&classes.prediction), figure(pooled))
                    }
                    None => figure(&classes.prediction),
                };
                sentences.push(format!(
                    "Compared with {} ({} images): top-1 accuracy of the teacher's prediction {}; expected calibration error of \
                     the prediction {}.",
                    truth_name(truth),
                    classes.images,
                    of_label(&|accuracy| percent(accuracy.top1.value)),
                    of_label(&|accuracy| format!("{:.3}", accuracy.expected_calibration_error)),
                ));
            }
            if let Some(found) = localization {
                sentences.push(format!(
                    "Compared with the boxes of {} ({} images): pointing game {} (image centre {}), MaxBoxAccV2 {} (centred \
                     box {}).",
                    truth_name(truth),
                    found.images,
                    percent(found.pointing_game),
                    percent(found.pointing_game_centre),
                    percent(found.max_box_acc_v2.mean),
                    percent(found.centre_box.mean),
                ));
            }
        }
        if let Some(fidelity) = &self.evaluation.crop_fidelity {
            let labels = fidelity
                .labels
                .iter()
                .map(|(kind, found)| format!("{}: {}, {:.3}", kind.title(), percent(found.top1), found.tv));
            sentences.push(format!(
                "Labels of {} crops of {} images compared with the teacher's own prediction for the crop, by the fraction with the \
                 same best class, and the mean total variation distance. {}.",
                fidelity.crops,
                fidelity.images,
                labels.collect::<Vec<_>>().join(". "),
            ));
        }
        sentences
    }
}

fn without_private_text(evaluation: &Evaluation, redactions: &mut Vec<Redaction>) -> Evaluation {
    let mut evaluation = evaluation.clone();
    let mut clean = |key: String, text: &mut String| {
        let Some((public, found)) = redact(text) else { return };
        let location = format!("{EVALUATION}: {key}");
        redactions.extend(found.into_iter().map(|(from, to)| Redaction { location: location.clone(), from, to }));
        *text = public;
    };
    clean("tool_version".to_owned(), &mut evaluation.tool_version);
    clean("store.teacher".to_owned(), &mut evaluation.store.teacher);
    if let Some(fidelity) = &mut evaluation.crop_fidelity {
        fidelity.coverings.retain(|name, _| name.parse::<Covering>().is_ok());
    }
    for (at, figures) in evaluation.truths.iter_mut().enumerate() {
        let key = format!("truths[{at}]");
        clean(format!("{key}.truth.name"), &mut figures.truth.name);
        clean(format!("{key}.truth.format"), &mut figures.truth.format);
        if let Some(example) = &mut figures.truth.truth_without_image_example {
            clean(format!("{key}.truth.truth_without_image_example"), example);
        }
        for class in figures.classes.iter_mut().flat_map(|classes| &mut classes.by_class) {
            clean(format!("{key}.classes.by_class, class {}", class.class), &mut class.name);
        }
    }
    evaluation
}

fn truth_summary(figures: &TruthFigures) -> Value {
    let estimate = |estimate: &Estimate| json!({ "value": estimate.value, "standard_error": estimate.standard_error });
    let accuracy = |accuracy: &Accuracy| {
        json!({
            "top1": estimate(&accuracy.top1),
            "top5": estimate(&accuracy.top5),
            "expected_calibration_error": accuracy.expected_calibration_error,
            "entropy_nats": accuracy.entropy_nats,
        })
    };
    let classes = figures.classes.as_ref().map(|classes| {
        json!({
            "images": classes.images,
            "prediction": accuracy(&classes.prediction),
            "pooled": classes.pooled.as_ref().map(accuracy),
            "censored": classes.censored,
        })
    });
    json!({ "truth": figures.truth, "classes": classes, "localization": figures.localization })
}

fn fidelity_summary(fidelity: &CropFidelity) -> Value {
    let summary = |found: &Fidelity| {
        json!({
            "top1": found.top1,
            "top1_standard_error": found.top1_standard_error,
            "kl": found.kl,
            "kl_standard_error": found.kl_standard_error,
            "tv": found.tv,
            "tv_standard_error": found.tv_standard_error,
        })
    };
    let mut found = json!({
        "images": fidelity.images,
        "crops": fidelity.crops,
        "seed": fidelity.seed,
        "boxes_sha256": fidelity.boxes_sha256,
        "teacher_sha256": fidelity.teacher_sha256,
        "pooling_sha256": fidelity.pooling_sha256,
        "tile_count": fidelity.tile_count,
        "coverings": fidelity.coverings.iter().map(|(name, found)| (name.clone(), summary(found))).collect::<Map<_, _>>(),
    });
    for kind in LabelKind::ALL {
        found[kind.name()] = json!(fidelity.labels.get(kind).map(summary));
    }
    found
}
