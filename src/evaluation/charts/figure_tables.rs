//! Tables of the figures, for dataset cards and report pages.

use super::charted_label::{ChartedLabel, closest_labels, compared_coverings, compared_kinds, texts};
use super::figure_text::{counted, images, number, percent, percent_with_error};
use crate::evaluation::evaluation_file::{Accuracy, BoxAccuracy, CropFidelity, Estimate, Evaluation, TruthFigures};
use crate::shared::numbers::thousands;

/// A table of figures. The first column names the row; the others are numbers. Texts are untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FigureTable {
    /// Title.
    pub title: String,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// Rows; each has as many cells as there are columns.
    pub rows: Vec<Vec<String>>,
    /// Definitions of the figures.
    pub notes: Vec<String>,
}

/// Returns the tables of an evaluation: truths, accuracy, calibration, what the top k hides, localization, fidelity of crops.
/// Tables without rows are omitted.
#[must_use]
pub fn figure_tables(evaluation: &Evaluation) -> Vec<FigureTable> {
    let truths = &evaluation.truths;
    let mut tables =
        vec![truth_table(truths), accuracy(truths), calibration(truths), censored(truths), localization(truths)];
    tables.extend(evaluation.crop_fidelity.iter().flat_map(|fidelity| [crop_fidelity(fidelity), coverings(fidelity)]));
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>, notes: &[&str]) -> FigureTable {
    FigureTable {
        title: title.to_owned(),
        columns: columns.iter().map(|&column| column.to_owned()).collect(),
        rows,
        notes: notes.iter().map(|&note| note.to_owned()).collect(),
    }
}

fn truth_table(truths: &[TruthFigures]) -> FigureTable {
    let row = |TruthFigures { truth, .. }: &TruthFigures| {
        let format = if truth.format == truth.name { String::new() } else { format!(" ({})", truth.format) };
        vec![
            truth.name.clone() + &format,
            thousands(truth.images),
            thousands(truth.images_without_truth),
            thousands(truth.truth_without_image),
            thousands(truth.empty),
        ]
    };
    table(
        "Truths",
        &["truth (format)", "images with truth", "images without truth", "truth without image", "empty lists"],
        truths.iter().map(row).collect(),
        &["Images without truth, truth without an image, and images whose truth is an empty list are not compared."],
    )
}

/// Returns a row for the prediction and one for the target of each truth with classes.
fn rows_by_label(truths: &[TruthFigures], cells: impl Fn(&Accuracy) -> Vec<String>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for truth in truths {
        let Some(classes) = &truth.classes else { continue };
        let labels = [("prediction", Some(&classes.prediction)), ("target", classes.pooled.as_ref())];
        for (label, accuracy) in labels.into_iter().filter_map(|(label, accuracy)| Some((label, accuracy?))) {
            rows.push([vec![format!("{label}, {}", truth.truth.name)], cells(accuracy)].concat());
        }
    }
    rows
}

fn accuracy(truths: &[TruthFigures]) -> FigureTable {
    let cells = |accuracy: &Accuracy| {
        let top = |estimate: &Estimate| percent_with_error(estimate.value, estimate.standard_error);
        vec![
            top(&accuracy.top1),
            top(&accuracy.top5),
            percent(accuracy.mean_average_precision_by_image),
            percent(accuracy.mean_average_precision_by_class),
        ]
    };
    table(
        "Accuracy",
        &["label and truth", "top-1", "top-5", "mAP by image", "mAP by class"],
        rows_by_label(truths, cells),
        &[
            "Prediction: the teacher's prediction for the full image. Target: its label map, pooled over the full image.",
            "Top-1 and top-5: fraction of images with a true class as the best, or among the best five, ± one standard error.",
            "mAP: mean average precision of the classes of an image, or of the images of a class.",
        ],
    )
}

fn calibration(truths: &[TruthFigures]) -> FigureTable {
    let cells = |accuracy: &Accuracy| vec![number(accuracy.expected_calibration_error), number(accuracy.entropy_nats)];
    table(
        "Calibration",
        &["label and truth", "expected calibration error", "mean entropy, nats"],
        rows_by_label(truths, cells),
        &[
            "Expected calibration error: mean difference of confidence and accuracy, over bins of equal width of the confidence.",
        ],
    )
}

fn censored(truths: &[TruthFigures]) -> FigureTable {
    let row = |truth: &TruthFigures| {
        let hidden = truth.classes.as_ref()?.censored?;
        let name = truth.truth.name.clone();
        Some(vec![name, percent(hidden.images), percent(hidden.cells), number(hidden.floor)])
    };
    table(
        "True classes outside of the top k",
        &["truth", "images", "cells", "score used instead"],
        truths.iter().filter_map(row).collect(),
        &["Fraction of images without a true class in any cell, and of cells without a true class."],
    )
}

fn localization(truths: &[TruthFigures]) -> FigureTable {
    let boxes = |accuracy: &BoxAccuracy| {
        let at = accuracy.at_iou.map(|value| format!("{:.1}", 100.0 * value)).join(" / ");
        format!("{} ({at})", percent(accuracy.mean))
    };
    let row = |truth: &TruthFigures| {
        let found = truth.localization.as_ref()?;
        Some(vec![
            truth.truth.name.clone(),
            thousands(found.images),
            thousands(found.boxes),
            percent(found.pointing_game),
            percent(found.pointing_game_centre),
            boxes(&found.max_box_acc_v2),
            boxes(&found.centre_box),
            percent(found.censored_images),
        ])
    };
    table(
        "Localization",
        &[
            "truth",
            "images",
            "boxes",
            "pointing game",
            "pointing game, image centre",
            "MaxBoxAccV2",
            "MaxBoxAccV2, centred box",
            "images without the class in any cell",
        ],
        truths.iter().filter_map(row).collect(),
        &[
            "Pointing game: fraction of images whose strongest cell is within 15 pixels of a true box, mean over classes.",
            "MaxBoxAccV2: fraction of images whose box matches a true box, mean over IoU thresholds (0.3 / 0.5 / 0.7).",
        ],
    )
}

fn crop_fidelity(fidelity: &CropFidelity) -> FigureTable {
    let labels = compared_kinds(fidelity);
    let seed = fidelity.seed.map_or("crops from a file".to_owned(), |seed| format!("seed {seed}"));
    let compared = format!(
        "{} of {} ({seed}): the label compared with the teacher's own prediction for the crop, ± one standard error.",
        counted(fidelity.crops, "crop", "crops"),
        images(fidelity.images)
    );
    let mut found = table(
        "Crop fidelity",
        &["label", "same best class", "total variation", "KL divergence, nats"],
        rows_of_labels(&labels),
        &[],
    );
    found.notes = [Some(compared), closest_labels(&labels)].into_iter().flatten().collect();
    found
}

/// Fidelity by the number of tiles.
fn coverings(fidelity: &CropFidelity) -> FigureTable {
    let labels = compared_coverings(fidelity);
    table(
        "Crop fidelity of coverings",
        &[
            "predictions, weighted by overlap with the crop",
            "same best class",
            "total variation",
            "KL divergence, nats",
        ],
        rows_of_labels(&labels),
        &["The same crops. The teacher runs once for the image and once for each tile."],
    )
}

fn rows_of_labels(labels: &[ChartedLabel<'_>]) -> Vec<Vec<String>> {
    let row = |label: &ChartedLabel<'_>| [vec![label.name.clone()], texts(label.fidelity).to_vec()].concat();
    labels.iter().map(row).collect()
}
