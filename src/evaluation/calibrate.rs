//! Calibration: fits the parameters of calibrated pooling to the teacher's predictions for crops of some images, and compares
//! the labels of crops of other images before and after. `docs/calibrated-pooling.md` has the formula.

mod sample_halves;
mod parameter_space;
mod fit_crops;
mod fit;
mod label_means;
mod calibration_verdict;
mod calibration_run;

pub use calibration_run::{CalibrationResult, calibrate};
pub use calibration_verdict::CalibrationVerdict;

#[cfg(test)]
mod tests;
