//! Whether calibrated labels are better than the best label before.

use serde::Serialize;

use crate::evaluation::evaluation_file::LabelKind;
use crate::shared::store::{Calibration, CalibrationFigures};

/// Comparison of calibrated labels with the best label before the calibration, by KL of held-out crops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CalibrationVerdict {
    /// They are closer to the teacher, by more than two standard errors.
    Better,
    /// They are not further from the teacher, and not closer by more than two standard errors.
    WithinStandardError,
    /// They are further from the teacher: the calibration must not be used.
    Worse,
}

/// Improvements of at most so many standard errors count as none.
const STANDARD_ERRORS: f64 = 2.0;

impl CalibrationVerdict {
    /// Judges a calibration; `None` if it has no figures of labels before it.
    #[must_use]
    pub fn new(calibration: &Calibration) -> Option<Self> {
        let before = best_before(calibration)?;
        let is_beyond_error =
            before.kl_improvement_standard_error.is_some_and(|error| before.kl_improvement > STANDARD_ERRORS * error);
        Some(match before.kl_improvement {
            // A comparison with NaN is false, too.
            improvement if !(improvement >= 0.0) => Self::Worse,
            _ if is_beyond_error => Self::Better,
            _ => Self::WithinStandardError,
        })
    }
}

/// Returns the figures of the label with the smallest KL before the calibration.
pub(super) fn best_before(calibration: &Calibration) -> Option<&CalibrationFigures> {
    let after = [LabelKind::Calibrated, LabelKind::CalibratedWithoutTiles].map(LabelKind::name);
    let is_before = |figures: &&CalibrationFigures| !after.contains(&&*figures.label);
    calibration.figures.iter().filter(is_before).min_by(|one, other| one.kl.total_cmp(&other.kl))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::digest::digest_bytes;
    use crate::shared::pooling_parameters::PoolingParameters;
    use crate::shared::store::CalibrationSample;

    /// Figures of labels with these values of KL, and this standard error of the differences to the last one.
    fn verdict(labels: &[(&str, f64)], standard_error: Option<f64>) -> CalibrationVerdict {
        let calibrated = labels.last().unwrap().1;
        let figures = labels.iter().map(|&(label, kl)| CalibrationFigures {
            label: label.to_owned(),
            top1: 0.5,
            top1_standard_error: None,
            kl,
            kl_standard_error: None,
            tv: 0.5,
            tv_standard_error: None,
            kl_improvement: kl - calibrated,
            kl_improvement_standard_error: standard_error,
        });
        let sample = CalibrationSample { images: 2, crops: 8, seed: 0 };
        let calibration = Calibration {
            pooling_version: Calibration::VERSION,
            tool_version: String::new(),
            made_with: digest_bytes(b"settings"),
            teacher_sha256: digest_bytes(b"teacher"),
            parameters: PoolingParameters::PREDICTIONS_BY_OVERLAP,
            parameters_without_tiles: None,
            fit: sample,
            held_out: sample,
            figures: figures.collect(),
        };
        CalibrationVerdict::new(&calibration).unwrap()
    }

    #[test]
    fn calibrated_labels_are_compared_with_the_best_label_before() {
        use CalibrationVerdict::{Better, WithinStandardError, Worse};
        let labels = |calibrated| [("pooled", 2.0), ("image", 0.75), ("tiles", 0.5), ("calibrated", calibrated)];
        assert_eq!(verdict(&labels(0.25), Some(0.0625)), Better);
        assert_eq!(verdict(&labels(0.25), Some(0.125)), WithinStandardError);
        assert_eq!(verdict(&labels(0.25), None), WithinStandardError, "one image has no standard error");
        assert_eq!(verdict(&labels(0.5), Some(0.0)), WithinStandardError, "equal");
        assert_eq!(verdict(&labels(0.500_001), Some(10.0)), Worse);
        assert_eq!(verdict(&labels(f64::NAN), Some(0.1)), Worse);
        // Labels that are calibrated without tiles are not a label before.
        assert_eq!(
            verdict(&[("image", 1.0), ("calibrated_without_tiles", 0.25), ("calibrated", 0.5)], Some(0.1)),
            Better
        );
    }
}
