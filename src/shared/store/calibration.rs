//! `pooling.json`: the parameters of calibrated pooling, with the figures that show what they improve.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::committer::{Committer, FaultInjection};
use super::info::StoreInfo;
use super::json_digest::{pretty, verify_digest, with_digest};
use super::layout::CALIBRATION;
use super::store_error::StoreError;
use crate::shared::digest::Digest;
use crate::shared::error::Error;
use crate::shared::pooling_parameters::PoolingParameters;

/// Result of a calibration. It is valid for the settings of its store, whichever of the images are labelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Version of this document: [`Calibration::VERSION`].
    pub pooling_version: u32,
    /// Version of the program that wrote it.
    pub tool_version: String,
    /// Identity of the store with its tiles ([`StoreInfo::identity_with_tiles`]).
    pub made_with: Digest,
    /// SHA-256 of the teacher that was run on crops.
    pub teacher_sha256: Digest,
    /// The fitted parameters.
    pub parameters: PoolingParameters,
    /// Parameters that were fitted without tiles, for comparison; absent if the store has no tiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_without_tiles: Option<PoolingParameters>,
    /// The images and crops that the parameters were fitted on.
    pub fit: CalibrationSample,
    /// The images and crops that were held out.
    pub held_out: CalibrationSample,
    /// Figures of labels of the held-out crops: those before the calibration, then `calibrated`.
    pub figures: Vec<CalibrationFigures>,
}

/// Sample of a calibration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalibrationSample {
    /// Number of images.
    pub images: usize,
    /// Number of crops.
    pub crops: usize,
    /// Seed of images and crops.
    pub seed: u64,
}

/// Agreement of one kind of label with the teacher's prediction for held-out crops: means over crops, and standard errors, for
/// which the crops of an image count as one observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationFigures {
    /// Kind of label: `pooled`, `image`, `tile`, ..., `calibrated`.
    pub label: String,
    /// Fraction of crops with the same best class.
    pub top1: f64,
    /// Standard error of `top1`.
    pub top1_standard_error: Option<f64>,
    /// Kullback-Leibler divergence of the label from the teacher's prediction, in nats.
    pub kl: f64,
    /// Standard error of `kl`.
    pub kl_standard_error: Option<f64>,
    /// Total variation distance, 0 to 1.
    pub tv: f64,
    /// Standard error of `tv`.
    pub tv_standard_error: Option<f64>,
    /// Mean difference of `kl` to that of `calibrated`, crop by crop: above 0 if calibrated labels are closer.
    pub kl_improvement: f64,
    /// Standard error of `kl_improvement`.
    pub kl_improvement_standard_error: Option<f64>,
}

impl Calibration {
    /// Version of the document that this program writes, and the only one that it reads.
    pub const VERSION: u32 = 1;

    /// Writes `pooling.json` into a store, atomically. It must be of the settings of this store.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if it is not a store, and [`Error::File`] if it cannot be written.
    pub fn write(&self, store: &Path) -> Result<(), Error> {
        StoreInfo::read(store)?;
        let Ok(serde_json::Value::Object(object)) = serde_json::to_value(self) else { return Ok(()) };
        // Not the name of a part: runs clear the staging folders of parts.
        let committer = Committer::new(store, "calibration", FaultInjection::default())?;
        committer.write_file(CALIBRATION, &pretty(&with_digest(object)))
    }

    /// Parses and checks the document of a store.
    pub(super) fn from_json(text: &[u8], info: &StoreInfo) -> Result<Self, StoreError> {
        let object = serde_json::from_slice(text).map_err(StoreError::NotJson)?;
        let content = verify_digest(object)?;
        match content.get("pooling_version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(Self::VERSION) => {}
            version => {
                return Err(StoreError::CalibrationVersion { version: version.unwrap_or(0), expected: Self::VERSION });
            }
        }
        let calibration: Self = serde_json::from_value(content.into()).map_err(StoreError::NotACalibration)?;
        if calibration.made_with != info.identity_with_tiles() {
            return Err(StoreError::OtherCalibration);
        }
        for parameters in [Some(calibration.parameters), calibration.parameters_without_tiles].into_iter().flatten() {
            parameters.check().map_err(StoreError::Parameter)?;
        }
        Ok(calibration)
    }
}
