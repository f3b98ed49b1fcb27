//! The figures of an evaluation as text.

use relabel::evaluation::evaluation_file::{
    Accuracy, BoxAccuracy, ClassFigures, CropFidelity, Estimate, Evaluation, Fidelity, LocalizationFigures,
    TruthDescription, TruthFigures,
};
use relabel::shared::printable::printable;

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
    for (name, accuracy) in [("prediction", &classes.prediction), ("target, full image", &classes.pooled)] {
        text += &accuracy_row(name, accuracy);
    }
    let censored = &classes.censored;
    text += &format!(
        "  censored         no true class in {} of cells, and in no cell of {} of images; pooling uses the score {} there\n",
        percent(censored.cells),
        percent(censored.images),
        censored.floor
    );
    let mut worst: Vec<_> = classes.by_class.iter().collect();
    worst.sort_by(|a, b| a.pooled_top1.total_cmp(&b.pooled_top1).then(b.images.cmp(&a.images)));
    if worst.len() > 1 {
        let listed = worst.iter().take(LISTED).map(|class| {
            format!("{} {} of {}", printable(&class.name), percent(class.pooled_top1), thousands(class.images))
        });
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

fn fidelity_text(fidelity: &CropFidelity) -> String {
    let seed = fidelity.seed.map_or(String::new(), |seed| format!(" (--seed {seed})"));
    let mut text = format!(
        "\ncrops      {} of {}{seed}, compared with the teacher's prediction for each crop\n{:<22} {:>15} {:>17} {:>15}\n",
        thousands(fidelity.crops),
        count(fidelity.images, "image"),
        "",
        "same best class",
        "total variation",
        "KL (nats)"
    );
    let kinds = [
        ("target", Some(&fidelity.pooled)),
        ("prediction, image", Some(&fidelity.image)),
        ("folder class", fidelity.folder.as_ref()),
        ("target, swapped", Some(&fidelity.swapped)),
        ("target, fill rest", fidelity.rest.as_ref()),
    ];
    for (name, fidelity) in kinds.into_iter().filter_map(|(name, fidelity)| Some((name, fidelity?))) {
        text += &fidelity_row(name, fidelity);
    }
    text + &area_text(fidelity)
}

fn fidelity_row(name: &str, fidelity: &Fidelity) -> String {
    let kl = fidelity.kl.map_or("infinite".to_owned(), |kl| with_error(kl, fidelity.kl_standard_error, 2));
    format!(
        "  {name:<20} {:>15} {:>17} {kl:>15}\n",
        estimate(Estimate { value: fidelity.top1, standard_error: fidelity.top1_standard_error }),
        with_error(fidelity.tv, fidelity.tv_standard_error, 3)
    )
}

/// Returns the total variation of targets and predictions by the area of the crop.
fn area_text(fidelity: &CropFidelity) -> String {
    let mut text = "  total variation by area of the crop\n".to_owned();
    for (pooled, image) in fidelity.pooled.by_area.iter().zip(&fidelity.image.by_area) {
        if let (Some(pooled_tv), Some(image_tv)) = (pooled.tv, image.tv) {
            text += &format!(
                "    {:>4.0} to {:>3.0} %  {:>9} crops  target {pooled_tv:.3}  prediction of the image {image_tv:.3}\n",
                pooled.area[0] * 100.0,
                pooled.area[1] * 100.0,
                thousands(pooled.crops)
            );
        }
    }
    text
}

fn estimate(estimate: Estimate) -> String {
    let error = estimate.standard_error.map_or(String::new(), |error| format!(" ± {:.1}", error * 100.0));
    format!("{:.1}{error} %", estimate.value * 100.0)
}

fn with_error(value: f64, standard_error: Option<f64>, decimals: usize) -> String {
    let error = standard_error.map_or(String::new(), |error| format!(" ± {error:.decimals$}"));
    format!("{value:.decimals$}{error}")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn boxes(number: usize) -> String {
    format!("{} box{}", thousands(number), if number == 1 { "" } else { "es" })
}
