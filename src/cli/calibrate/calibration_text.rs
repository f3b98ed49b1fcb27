//! A calibration as text.

use std::path::Path;

use relabel::evaluation::calibrate::{CalibrationResult, CalibrationVerdict};
use relabel::evaluation::evaluation_file::LabelKind;
use relabel::shared::pooling_parameters::PoolingParameters;
use relabel::shared::printable::printable_path;
use relabel::shared::store::{Calibration, CalibrationFigures, StoreInfo};
use relabel::shared::tiles::Tiles;

use crate::cli::output::{count, significant, thousands};

/// Areas of crops, as fractions of the image, for which parameters are described: the largest random crop, a quarter, and the
/// smallest.
const AREAS: [f64; 3] = [1.0, 0.25, 0.08];

pub fn calibration_text(result: &CalibrationResult, info: &StoreInfo) -> String {
    let calibration = &result.calibration;
    let Calibration { fit, held_out, .. } = calibration;
    let mut text = format!(
        "calibrated on {} of {} (--seed {}), and compared on {} of {} others with the teacher's predictions\n{:<27} {:>15} {:>17} \
         {:>15} {:>18}\n",
        count(fit.crops, "crop"),
        count(fit.images, "image"),
        fit.seed,
        count(held_out.crops, "crop"),
        thousands(held_out.images),
        "",
        "same best class",
        "total variation",
        "KL (nats)",
        "KL above last line"
    );
    for figures in &calibration.figures {
        text += &figures_row(figures);
    }
    text += &parameters_text(&calibration.parameters, info);
    text + &verdict_text(result)
}

/// Returns the message that a calibration is refused.
pub fn refusal(result: &CalibrationResult, store: &Path) -> String {
    let (before, after) = (&result.best_before, calibrated(&result.calibration));
    format!(
        "cannot calibrate {}: on images that were held out, the KL of calibrated targets is {:.4}, and that of {} is {:.4}; nothing \
         was written\n  help: use more images (--images, with 2 or 4 --crops each), or pool without calibration",
        printable_path(store),
        after,
        label_name(&before.label),
        before.kl
    )
}

/// Returns the KL of calibrated labels.
fn calibrated(calibration: &Calibration) -> f64 {
    calibration.figures.last().map_or(f64::NAN, |figures| figures.kl)
}

fn label_name(label: &str) -> &str {
    LabelKind::from_name(label).map_or(label, |kind| kind.short_title())
}

fn figures_row(figures: &CalibrationFigures) -> String {
    let improvement = if figures.label == LabelKind::Calibrated.name() {
        String::new()
    } else {
        with_error(figures.kl_improvement, figures.kl_improvement_standard_error)
    };
    let top1_error = figures.top1_standard_error.map_or(String::new(), |error| format!(" ± {:.1}", error * 100.0));
    let row = format!(
        "  {:<25} {:>15} {:>17} {:>15} {improvement:>18}",
        label_name(&figures.label),
        format!("{:.1}{top1_error} %", figures.top1 * 100.0),
        with_error(figures.tv, figures.tv_standard_error),
        with_error(figures.kl, figures.kl_standard_error),
    );
    format!("{}\n", row.trim_end())
}

fn with_error(value: f64, standard_error: Option<f64>) -> String {
    let error = standard_error.map_or(String::new(), |error| format!(" ± {error:.3}"));
    format!("{value:.3}{error}")
}

/// Describes parameters by what they mean for crops.
fn parameters_text(parameters: &PoolingParameters, info: &StoreInfo) -> String {
    let columns = |value: &dyn Fn(f64) -> String| AREAS.map(|area| format!("{:>9}", value(area))).concat();
    let mut text = format!("{:<40}{}\n", "for crops with this area of the image", columns(&|area| percent(area)));
    let mut line = |name: &str, value: &dyn Fn(f64) -> String| text += &format!("  {name:<38}{}\n", columns(value));
    if info.map_size.is_some() {
        let odds = |area: f64| parameters.map_share_bias + parameters.map_share_slope * area.ln();
        line("share of label maps in the target", &|area| percent(1.0 / (1.0 + (-odds(area)).exp())));
        let temperature = |area: f64| parameters.map_temperature * area.powf(parameters.map_temperature_exponent);
        line("scores of label maps are divided by", &|area| significant(temperature(area)));
    }
    let temperature =
        |area: f64| parameters.prediction_temperature * area.powf(parameters.prediction_temperature_exponent);
    line("scores of predictions are divided by", &|area| significant(temperature(area)));
    if let Some(tiles) = &info.tiles {
        text += &tile_text(parameters, tiles);
    }
    text
}

/// Describes how much tiles count, by the example of the first one.
fn tile_text(parameters: &PoolingParameters, tiles: &Tiles) -> String {
    let Some(tile) = tiles.boxes().first().map(|tile| tile.area()) else { return String::new() };
    // Of a crop that equals the tile, the overlap with the tile is 1 and with the image its area; of the image it is vice versa.
    let odds = |bias: f64, sign: f64| (sign * parameters.overlap_sharpness * (1.0 - tile) + bias).exp();
    let line = |what: &str, bias: f64| {
        format!(
            "  {what} of a tile counts {} as much as the image's for a crop that equals the tile, {} for the entire image\n",
            times(odds(bias, 1.0)),
            times(odds(bias, -1.0))
        )
    };
    let mut text = line("the prediction", parameters.tile_bias);
    if tiles.with_maps() {
        text += &line("the label map", parameters.tile_map_bias);
    }
    text
}

fn times(factor: f64) -> String {
    match factor {
        1000.0.. => "more than 1,000 times".to_owned(),
        ..0.001 => "less than 0.001 times".to_owned(),
        factor => format!("{} times", significant(factor)),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn verdict_text(result: &CalibrationResult) -> String {
    let before = &result.best_before;
    let change = format!(
        "KL {:.3} instead of {:.3} ({}), {} by {}",
        calibrated(&result.calibration),
        before.kl,
        label_name(&before.label),
        if before.kl_improvement < 0.0 { "larger" } else { "smaller" },
        with_error(before.kl_improvement.abs(), before.kl_improvement_standard_error)
    );
    match result.verdict {
        CalibrationVerdict::Better => format!("improved   {change}\n"),
        CalibrationVerdict::WithinStandardError => {
            format!("unchanged  {change}: no improvement beyond the standard error\n")
        }
        CalibrationVerdict::Worse => format!("refused    {change}: targets would be further from the teacher\n"),
    }
}
