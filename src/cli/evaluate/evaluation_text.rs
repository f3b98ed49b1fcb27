//! The figures of an evaluation as text.

use relabel::evaluation::evaluation_file::{
    Accuracy, BoxAccuracy, ClassAccuracy, ClassFigures, Evaluation, LocalizationFigures, TruthDescription, TruthFigures,
};
use relabel::shared::printable::printable;

use super::fidelity_text::fidelity_text;
use super::value_text::{estimate, percent};
use crate::cli::output::{count, thousands};

/// Number of classes that are listed.
const LISTED: usize = 5;

pub fn evaluation_text(evaluation: &Evaluation) -> String {
    let store = &evaluation.store;
    let mut text = format!(
        "evaluated  {} ({} failed, {} to do), labelled by {}\n",
        count(store.labelled, "image"),
        thousands(store.failed),
        thousands(store.to_do),
        printable(&store.teacher)
    );
    for figures in &evaluation.truths {
        text += &truth_text(figures);
    }
    if let Some(fidelity) = &evaluation.crop_fidelity {
        text += &fidelity_text(fidelity);
    }
    text
}

fn truth_text(figures: &TruthFigures) -> String {
    let mut text = format!("\n{}\n", truth_line(&figures.truth));
    if let Some(classes) = &figures.classes {
        text += &classes_text(classes);
    }
    if let Some(localization) = &figures.localization {
        text += &localization_text(localization);
    }
    text
}

fn truth_line(truth: &TruthDescription) -> String {
    let name = if truth.sha256.is_none() {
        "folder classes".to_owned()
    } else {
        format!("{} ({})", printable(&truth.name), truth.format)
    };
    let mut line = format!("truth      {name}: {} compared", count(truth.images, "image"));
    if truth.images_without_truth > 0 {
        line += &format!(", {} without truth", thousands(truth.images_without_truth));
    }
    if truth.empty > 0 {
        line += &format!(", {} skipped", count(truth.empty, "empty list"));
    }
    if truth.truth_not_labelled > 0 {
        line += &format!(", {} not labelled", thousands(truth.truth_not_labelled));
    }
    if truth.truth_without_image > 0 {
        line += &format!(", {} of the truth not in the store", thousands(truth.truth_without_image));
        if let Some(example) = &truth.truth_without_image_example {
            line += &format!(" (such as {})", printable(example));
        }
    }
    if truth.boxes_clipped > 0 {
        line += &format!(", {} clipped to the image", boxes(truth.boxes_clipped));
    }
    if truth.boxes_without_class > 0 {
        line += &format!(", {} without class skipped", boxes(truth.boxes_without_class));
    }
    line
}

fn classes_text(classes: &ClassFigures) -> String {
    let mut text = format!(
        "{:<20} {:>15} {:>15} {:>9} {:>9} {:>7} {:>8}\n",
        "", "top-1", "top-5", "mAP image", "mAP class", "ECE", "entropy"
    );
    text += &accuracy_row("prediction", &classes.prediction);
    match &classes.pooled {
        Some(pooled) => text += &accuracy_row("target, full image", pooled),
        None => text += "  target, full image  not evaluated: the store has no label maps\n",
    }
    if let Some(censored) = &classes.censored {
        text += &format!(
            "  censored         no true class in {} of cells, and in no cell of {} of images; pooling uses the score {} there\n",
            percent(censored.cells),
            percent(censored.images),
            censored.floor
        );
    }
    let top1 = |class: &ClassAccuracy| class.pooled_top1.unwrap_or(class.prediction_top1);
    let mut worst: Vec<_> = classes.by_class.iter().collect();
    worst.sort_by(|a, b| top1(a).total_cmp(&top1(b)).then(b.images.cmp(&a.images)));
    if worst.len() > 1 {
        let listed = worst
            .iter()
            .take(LISTED)
            .map(|class| format!("{} {} of {}", printable(&class.name), percent(top1(class)), thousands(class.images)));
        text += &format!("  lowest top-1     {}\n", listed.collect::<Vec<_>>().join("; "));
    }
    text
}

fn accuracy_row(name: &str, accuracy: &Accuracy) -> String {
    format!(
        "  {name:<18} {:>15} {:>15} {:>9} {:>9} {:>7.3} {:>8.2}\n",
        estimate(accuracy.top1),
        estimate(accuracy.top5),
        percent(accuracy.mean_average_precision_by_image),
        percent(accuracy.mean_average_precision_by_class),
        accuracy.expected_calibration_error,
        accuracy.entropy_nats
    )
}

fn localization_text(localization: &LocalizationFigures) -> String {
    let box_accuracy = |accuracy: BoxAccuracy| {
        let [low, middle, high] = accuracy.at_iou.map(percent);
        format!("{} (IoU 0.3: {low}, 0.5: {middle}, 0.7: {high})", percent(accuracy.mean))
    };
    format!(
        "  MaxBoxAccV2      {}, {} in {}\n  centre box       {}\n  pointing game    {}, centre {}\n  censored         the \
         class of the boxes is missing in {} of cells, and in all cells of {} of images\n",
        box_accuracy(localization.max_box_acc_v2),
        boxes(localization.boxes),
        count(localization.images, "image"),
        box_accuracy(localization.centre_box),
        percent(localization.pointing_game),
        percent(localization.pointing_game_centre),
        percent(localization.censored_cells),
        percent(localization.censored_images)
    )
}

fn boxes(number: usize) -> String {
    format!("{} box{}", thousands(number), if number == 1 { "" } else { "es" })
}
