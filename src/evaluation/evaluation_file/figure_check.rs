//! Checks that the figures of a document are possible: it may have been changed by hand.

use super::{
    Accuracy, AreaFidelity, BoxAccuracy, ClassFigures, CropFidelity, Evaluation, Fidelity, LocalizationFigures,
    TruthFigures,
};
use crate::shared::tiles::Tiles;

/// A figure that is impossible, or a list that is too long.
#[derive(Debug, thiserror::Error)]
pub(super) enum FigureError {
    /// The figure is not a number in its range.
    #[error("{key} is {value}, expected a number from {} to {}", range[0], range[1])]
    OutOfRange { key: String, value: f64, range: [f64; 2] },
    /// A list or a text is too long.
    #[error("{key} has a length of {length}, expected at most {max}")]
    TooLong { key: String, length: usize, max: usize },
}

type Checked = Result<(), FigureError>;

const MAX_TRUTHS: usize = 64;
const MAX_COVERINGS: usize = 64;
const MAX_BINS: usize = 1000;
const MAX_CLASSES: usize = 10_000_000;
const MAX_NAME_BYTES: usize = 4096;
/// No divergence, entropy or score is larger.
const LARGEST: f64 = 1e6;
/// Divergences of equal distributions can be slightly negative.
const ROUNDING: f64 = -1e-6;

/// Checks all figures.
pub(super) fn check(evaluation: &Evaluation) -> Checked {
    length("truths", evaluation.truths.len(), MAX_TRUTHS)?;
    length("store.teacher", evaluation.store.teacher.len(), MAX_NAME_BYTES)?;
    length("tool_version", evaluation.tool_version.len(), MAX_NAME_BYTES)?;
    for (at, figures) in evaluation.truths.iter().enumerate() {
        truth(&format!("truths[{at}]"), figures)?;
    }
    evaluation.crop_fidelity.as_ref().map_or(Ok(()), crop_fidelity)
}

fn length(key: &str, length: usize, max: usize) -> Checked {
    if length <= max { Ok(()) } else { Err(FigureError::TooLong { key: key.to_owned(), length, max }) }
}

fn within(key: &str, value: f64, range: [f64; 2]) -> Checked {
    if value >= range[0] && value <= range[1] {
        return Ok(());
    }
    Err(FigureError::OutOfRange { key: key.to_owned(), value, range })
}

fn share(key: &str, value: f64) -> Checked {
    within(key, value, [0.0, 1.0])
}

fn shares(key: &str, values: &[(&str, f64)]) -> Checked {
    values.iter().try_for_each(|(name, value)| share(&format!("{key}.{name}"), *value))
}

fn not_negative(key: &str, value: f64) -> Checked {
    within(key, value, [ROUNDING, LARGEST])
}

fn truth(key: &str, figures: &TruthFigures) -> Checked {
    let TruthFigures { truth, classes: by_class, localization: by_box } = figures;
    length(&format!("{key}.truth.name"), truth.name.len(), MAX_NAME_BYTES)?;
    length(&format!("{key}.truth.format"), truth.format.len(), MAX_NAME_BYTES)?;
    let example = truth.truth_without_image_example.as_ref().map_or(0, String::len);
    length(&format!("{key}.truth.truth_without_image_example"), example, MAX_NAME_BYTES)?;
    if let Some(figures) = by_class {
        classes(&format!("{key}.classes"), figures)?;
    }
    by_box.as_ref().map_or(Ok(()), |figures| localization(&format!("{key}.localization"), figures))
}

fn classes(key: &str, figures: &ClassFigures) -> Checked {
    accuracy(&format!("{key}.prediction"), &figures.prediction)?;
    if let Some(pooled) = &figures.pooled {
        accuracy(&format!("{key}.pooled"), pooled)?;
    }
    if let Some(censored) = &figures.censored {
        shares(&format!("{key}.censored"), &[("images", censored.images), ("cells", censored.cells)])?;
        within(&format!("{key}.censored.floor"), censored.floor, [-LARGEST, LARGEST])?;
    }
    length(&format!("{key}.by_class"), figures.by_class.len(), MAX_CLASSES)?;
    for (at, class) in figures.by_class.iter().enumerate() {
        let key = format!("{key}.by_class[{at}]");
        length(&format!("{key}.name"), class.name.len(), MAX_NAME_BYTES)?;
        shares(&key, &[("prediction_top1", class.prediction_top1), ("pooled_top1", class.pooled_top1.unwrap_or(0.0))])?;
    }
    Ok(())
}

fn accuracy(key: &str, figures: &Accuracy) -> Checked {
    for (name, estimate) in [("top1", figures.top1), ("top5", figures.top5)] {
        share(&format!("{key}.{name}.value"), estimate.value)?;
        share(&format!("{key}.{name}.standard_error"), estimate.standard_error.unwrap_or(0.0))?;
    }
    shares(
        key,
        &[
            ("mean_average_precision_by_image", figures.mean_average_precision_by_image),
            ("mean_average_precision_by_class", figures.mean_average_precision_by_class),
            ("expected_calibration_error", figures.expected_calibration_error),
        ],
    )?;
    not_negative(&format!("{key}.entropy_nats"), figures.entropy_nats)?;
    length(&format!("{key}.reliability"), figures.reliability.len(), MAX_BINS)?;
    for (at, bin) in figures.reliability.iter().enumerate() {
        let values = [("confidence", bin.confidence), ("accuracy", bin.accuracy)];
        shares(&format!("{key}.reliability[{at}]"), &values)?;
    }
    Ok(())
}

fn localization(key: &str, figures: &LocalizationFigures) -> Checked {
    shares(
        key,
        &[
            ("censored_images", figures.censored_images),
            ("censored_cells", figures.censored_cells),
            ("pointing_game", figures.pointing_game),
            ("pointing_game_centre", figures.pointing_game_centre),
        ],
    )?;
    within(&format!("{key}.floor"), figures.floor, [-LARGEST, LARGEST])?;
    boxes(&format!("{key}.max_box_acc_v2"), &figures.max_box_acc_v2)?;
    boxes(&format!("{key}.centre_box"), &figures.centre_box)
}

fn boxes(key: &str, figures: &BoxAccuracy) -> Checked {
    share(&format!("{key}.mean"), figures.mean)?;
    figures.at_iou.iter().try_for_each(|value| share(&format!("{key}.at_iou"), *value))
}

fn crop_fidelity(figures: &CropFidelity) -> Checked {
    for (kind, found) in figures.labels.iter() {
        fidelity(&format!("crop_fidelity.{}", kind.name()), found)?;
    }
    length("crop_fidelity.coverings", figures.coverings.len(), MAX_COVERINGS)?;
    for (name, found) in &figures.coverings {
        length("crop_fidelity.coverings, a name", name.len(), MAX_NAME_BYTES)?;
        fidelity(&format!("crop_fidelity.coverings.{name}"), found)?;
    }
    within("crop_fidelity.tile_count", figures.tile_count as f64, [0.0, Tiles::MAX_TILES as f64])
}

fn fidelity(key: &str, figures: &Fidelity) -> Checked {
    shares(key, &[("top1", figures.top1), ("tv", figures.tv)])?;
    let errors = [figures.top1_standard_error, figures.kl_standard_error, figures.tv_standard_error];
    [figures.kl].into_iter().chain(errors).flatten().try_for_each(|value| not_negative(key, value))?;
    length(&format!("{key}.by_area"), figures.by_area.len(), MAX_BINS)?;
    for (at, area) in figures.by_area.iter().enumerate() {
        area_fidelity(&format!("{key}.by_area[{at}]"), area)?;
    }
    Ok(())
}

fn area_fidelity(key: &str, figures: &AreaFidelity) -> Checked {
    let [from, to] = figures.area;
    within(&format!("{key}.area"), from, [0.0, LARGEST])?;
    within(&format!("{key}.area"), to, [from, LARGEST])?;
    shares(key, &[("top1", figures.top1.unwrap_or(0.0)), ("tv", figures.tv.unwrap_or(0.0))])?;
    let errors = [figures.top1_standard_error, figures.kl_standard_error, figures.tv_standard_error];
    [figures.kl].into_iter().chain(errors).flatten().try_for_each(|value| not_negative(key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_figures_are_named() {
        let message = |checked: Checked| checked.unwrap_err().to_string();
        assert_eq!(message(share("a.top1", 1.5)), "a.top1 is 1.5, expected a number from 0 to 1");
        assert_eq!(message(share("a", f64::NAN)), "a is NaN, expected a number from 0 to 1");
        assert!(not_negative("kl", -1e-9).is_ok() && not_negative("kl", -0.1).is_err());
        assert!(not_negative("kl", f64::INFINITY).is_err());
        assert_eq!(message(length("truths", 65, MAX_TRUTHS)), "truths has a length of 65, expected at most 64");
    }
}
