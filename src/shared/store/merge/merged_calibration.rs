//! Finds the `pooling.json` that a merged store gets.

use std::path::{Path, PathBuf};

use crate::shared::error::Error;
use crate::shared::regular_file::{self, Lookup};
use crate::shared::store::calibration::Calibration;
use crate::shared::store::info::StoreInfo;
use crate::shared::store::layout::{CALIBRATION, SMALL_FILE_BYTES};

/// The `pooling.json` of a merged store.
#[derive(Clone, Debug)]
pub(super) struct MergedCalibration {
    /// The store that has it.
    pub(super) store: PathBuf,
    pub(super) text: Vec<u8>,
}

impl MergedCalibration {
    /// Reads the valid calibrations of stores with these settings. Returns the first, and a line for each that differs from it.
    /// A calibration depends on the settings of a store, not on which of its images are labelled, so that of one part is valid
    /// for the merged store.
    pub(super) fn find<'a>(
        stores: impl Iterator<Item = &'a Path>,
        info: &StoreInfo,
    ) -> Result<(Option<Self>, Vec<String>), Error> {
        let mut first: Option<(Self, Calibration)> = None;
        let mut differing = Vec::new();
        for store in stores {
            let Lookup::Found(text) = regular_file::read(&store.join(CALIBRATION), SMALL_FILE_BYTES)? else { continue };
            let Ok(calibration) = Calibration::from_json(&text, info) else { continue };
            match &first {
                None => first = Some((Self { store: store.to_path_buf(), text }, calibration)),
                Some((found, known)) if *known != calibration => differing.push(format!(
                    "{CALIBRATION} differs between {} ({} crops, seed {}) and {} ({} crops, seed {})",
                    found.store.display(),
                    known.fit.crops,
                    known.fit.seed,
                    store.display(),
                    calibration.fit.crops,
                    calibration.fit.seed,
                )),
                Some(_) => {}
            }
        }
        Ok((first.map(|(found, _)| found), differing))
    }
}
