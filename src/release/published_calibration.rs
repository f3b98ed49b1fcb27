//! The calibration of a store in a release: `pooling.json` and its figures.

use serde_json::{Value, json};

use super::private_text::redacted;
use super::release_file::ReleaseFile;
use crate::evaluation::calibrate::CalibrationVerdict;
use crate::evaluation::evaluation_file::LabelKind;
use crate::shared::error::Error;
use crate::shared::numbers::thousands;
use crate::shared::store::{CALIBRATION, Calibration, CalibrationFigures, StoreReader};

/// A `pooling.json` and its content.
pub(super) struct PublishedCalibration {
    pub(super) content: Calibration,
    pub(super) document: ReleaseFile,
}

impl PublishedCalibration {
    /// Reads the calibration of a store; `None` if it has none.
    ///
    /// # Errors
    /// See [`StoreReader::calibration`].
    pub(super) fn read(store: &StoreReader) -> Result<Option<Self>, Error> {
        let (Some(content), Some(bytes)) = (store.calibration()?, store.calibration_file()?) else { return Ok(None) };
        Ok(Some(Self { content, document: ReleaseFile::from_bytes(CALIBRATION, bytes) }))
    }

    /// Returns the figures of calibrated targets.
    fn calibrated(&self) -> Option<&CalibrationFigures> {
        self.content.figures.iter().find(|figures| figures.label == "calibrated")
    }

    /// Returns the figures of the label that is closest to the teacher without a calibration.
    fn best_other(&self) -> Option<&CalibrationFigures> {
        let others = self.content.figures.iter().filter(|figures| !figures.label.starts_with("calibrated"));
        others.min_by(|a, b| a.kl.total_cmp(&b.kl))
    }

    /// Describes whether calibrated targets are closer to the teacher than the best other label.
    pub(super) fn sentence(&self) -> String {
        let (Some(calibrated), Some(other)) = (self.calibrated(), self.best_other()) else {
            return "The calibration has no figures.".to_owned();
        };
        let (sample, by, error) = (&self.content.held_out, other.kl_improvement, other.kl_improvement_standard_error);
        let difference = match CalibrationVerdict::new(&self.content) {
            Some(CalibrationVerdict::Better) => format!("calibrated targets are closer by {}", with_error(by, error)),
            Some(CalibrationVerdict::Worse) => {
                format!("calibrated targets are further away by {}", with_error(-by, error))
            }
            Some(CalibrationVerdict::WithinStandardError) | None => {
                format!("the difference of {} is within the standard error", with_error(by, error))
            }
        };
        format!(
            "Calibrated targets of {} held-out crops of {} images have a KL divergence of {} nats from the teacher's own \
             prediction for the crop. The best label without calibration (\"{}\") has {}: {difference}.",
            thousands(sample.crops),
            thousands(sample.images),
            with_error(calibrated.kl, calibrated.kl_standard_error),
            label_title(&other.label),
            with_error(other.kl, other.kl_standard_error),
        )
    }

    /// Returns the entry of `provenance.json`.
    pub(super) fn provenance(&self) -> Value {
        let Self { content, document } = self;
        json!({
            "file": document.path,
            "sha256": document.sha256,
            "tool_version": redacted(&content.tool_version),
            "teacher_sha256": content.teacher_sha256,
            "parameters": content.parameters,
            "fit": content.fit,
            "held_out": content.held_out,
            "figures": content.figures,
        })
    }
}

/// Returns a figure with its standard error: `0.453 ± 0.021`.
pub(super) fn with_error(value: f64, standard_error: Option<f64>) -> String {
    let error = standard_error.map_or(String::new(), |error| format!(" ± {error:.3}"));
    format!("{value:.3}{error}")
}

/// Returns the name of a kind of label, for readers.
pub(super) fn label_title(label: &str) -> &str {
    LabelKind::from_name(label).map_or(label, |kind| kind.title())
}
