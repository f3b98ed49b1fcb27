//! Measured differences between the rewrite and the reference, and the tolerances that they must meet.

use crate::labelling::teacher::tail::Linearity;

/// Measured differences between the rewrite and the reference. Differences are absolute, in units of the score.
#[derive(Clone, Debug)]
pub struct RewriteCheck {
    /// Number of random images compared.
    pub images: usize,
    /// Number of cells of these images.
    pub cells: usize,
    /// Number of cells compared: all, or [`RewriteCheck::MAX_CELLS`] spread over the maps.
    pub compared_cells: usize,
    /// Largest absolute score of any compared cell and class, as a scale for the differences.
    pub largest_score: f32,
    /// Largest difference between a kept score and the reference head's score of that class in that cell.
    pub cell_difference: f32,
    /// Largest difference between the mean over all cells and the teacher's own score, over all classes. It must be small
    /// for a linear head; for others it only tells how far apart the two are.
    pub mean_difference: f32,
    /// Largest difference between a kept image probability and the softmax of the teacher's own scores.
    pub image_difference: f32,
    /// Largest difference between a log-sum-exp and that of the reference head's scores; `None` if none is kept.
    pub lse_difference: Option<f32>,
    /// Largest accepted difference of scores.
    pub tolerance: f32,
    /// Whether the mean over cells must be the score of the image.
    pub linearity: Linearity,
    /// Largest difference between the pixels normalised by the rewrite and `(x / 255 - mean) / std`.
    pub normalised_difference: f32,
    /// Additional measurements of a quantised teacher.
    pub quantised: Option<QuantisedCheck>,
    /// Warnings, one sentence each.
    pub warnings: Vec<String>,
}

/// Measured differences of a quantised teacher from pixels to labels.
///
/// ONNX Runtime fuses the nodes of two sessions differently, and where values are rounded, a difference in the last bit
/// becomes one of a whole step. The heads are therefore compared on the features of one session, as strictly as for any
/// teacher, and the labels computed from pixels are compared with these looser tolerances.
#[derive(Clone, Debug)]
pub struct QuantisedCheck {
    /// Largest difference between a kept score and that of the reference, both computed from pixels.
    pub score_difference: f32,
    /// Largest difference between a kept image probability and that of the reference.
    pub image_difference: f32,
    /// Largest accepted difference of scores.
    pub tolerance: f32,
}

impl RewriteCheck {
    /// Largest number of cells compared. The reference runs once per cell on a map of its own, so the time for all cells
    /// grows with the square of their number.
    pub const MAX_CELLS: usize = 256;
    /// float32 sums in a different order differ by a few parts in a million.
    pub(crate) const RELATIVE_TOLERANCE: f32 = 1e-4;
    /// float16 has 11 significant bits.
    pub(crate) const RELATIVE_TOLERANCE_HALF: f32 = 1e-2;
    /// Eight bits, rounded at different nodes in two sessions.
    pub(crate) const RELATIVE_TOLERANCE_QUANTISED: f32 = 5e-2;
    /// The same for probabilities.
    const PROBABILITY_TOLERANCE_QUANTISED: f32 = 5e-2;

    /// Returns the tolerance relative to the largest score.
    #[must_use]
    pub fn relative_tolerance(&self) -> f32 {
        self.tolerance / self.largest_score.max(1.0)
    }

    /// Whether the head is linear.
    #[must_use]
    pub fn linear(&self) -> bool {
        self.linearity == Linearity::Linear
    }

    /// Returns the first comparison that failed.
    pub(crate) fn failure(&self) -> Option<CheckFailure> {
        let tolerance = self.tolerance;
        let fails = |difference: f32| !(difference <= tolerance);
        if fails(self.cell_difference) {
            return Some(CheckFailure::Cells { difference: self.cell_difference, tolerance });
        }
        if self.linear() && fails(self.mean_difference) {
            return Some(CheckFailure::Means { difference: self.mean_difference, tolerance });
        }
        if let Some(difference) = self.lse_difference.filter(|&difference| fails(difference)) {
            return Some(CheckFailure::LogSumExp { difference, tolerance });
        }
        if fails(self.image_difference) {
            return Some(CheckFailure::ImageProbabilities { difference: self.image_difference, tolerance });
        }
        let quantised = self.quantised.as_ref()?;
        let differs = !(quantised.score_difference <= quantised.tolerance)
            || !(quantised.image_difference <= Self::PROBABILITY_TOLERANCE_QUANTISED);
        differs.then(|| CheckFailure::Quantised(quantised.clone()))
    }
}

/// A comparison of the rewrite with the reference that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckFailure {
    #[error(
        "cell scores differ from those of the reference head by up to {difference:.1e}, above the tolerance of {tolerance:.1e}"
    )]
    Cells { difference: f32, tolerance: f32 },
    #[error(
        "means over cells differ from the teacher's own scores by up to {difference:.1e}, above the tolerance of {tolerance:.1e}"
    )]
    Means { difference: f32, tolerance: f32 },
    #[error(
        "log-sum-exps of cells differ from those of the reference head by up to {difference:.1e}, above the tolerance of {tolerance:.1e}"
    )]
    LogSumExp { difference: f32, tolerance: f32 },
    #[error(
        "image probabilities differ from the teacher's own by up to {difference:.1e}, above the tolerance of {tolerance:.1e}"
    )]
    ImageProbabilities { difference: f32, tolerance: f32 },
    #[error(
        "from pixels to labels, scores of the quantised teacher differ from those of the reference by up to {:.1e} (tolerance \
         {:.1e}), and image probabilities by up to {:.1e} (tolerance {:.1e})",
        .0.score_difference, .0.tolerance, .0.image_difference, RewriteCheck::PROBABILITY_TOLERANCE_QUANTISED
    )]
    Quantised(QuantisedCheck),
}

/// Running maximum of absolute differences. Once NaN it stays NaN, which fails every comparison with a tolerance.
#[derive(Default)]
pub(super) struct LargestDifference(pub(super) f32);

impl LargestDifference {
    pub(super) fn add(&mut self, a: f32, b: f32) {
        let difference = (a - b).abs();
        if !(difference <= self.0) {
            self.0 = if self.0.is_nan() { self.0 } else { difference };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_kept_as_the_largest_difference() {
        let mut difference = LargestDifference::default();
        difference.add(1.0, f32::NAN);
        difference.add(1.0, 1.5);
        assert!(difference.0.is_nan());
    }
}
