//! Calibration: how often the best class is true, by its probability.

use serde::{Deserialize, Serialize};

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Number of images.
    pub images: usize,
    /// Mean confidence: probability of the best class. 0 for an empty bin.
    pub confidence: f64,
    /// Fraction of images whose best class is a true class. 0 for an empty bin.
    pub accuracy: f64,
}

/// Counts images by confidence, in bins of equal width that include their upper bound (Guo et al., 2017).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reliability {
    bins: [BinSums; Self::BINS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct BinSums {
    images: usize,
    confidence: f64,
    hits: usize,
}

impl Reliability {
    /// Number of bins.
    pub const BINS: usize = 15;

    /// Adds an image: the probability of its best class, and whether this is a true class.
    pub fn add(&mut self, confidence: f32, is_hit: bool) {
        let is_below = |upper: &usize| confidence <= *upper as f32 / Self::BINS as f32;
        let bin = &mut self.bins[(1..Self::BINS).find(is_below).unwrap_or(Self::BINS) - 1];
        bin.images += 1;
        bin.confidence += f64::from(confidence);
        bin.hits += usize::from(is_hit);
    }

    /// Returns all bins, by confidence.
    #[must_use]
    pub fn bins(&self) -> Vec<ReliabilityBin> {
        let bin = |sums: &BinSums| {
            let images = sums.images.max(1) as f64;
            let (confidence, accuracy) = (sums.confidence / images, sums.hits as f64 / images);
            ReliabilityBin { images: sums.images, confidence, accuracy }
        };
        self.bins.iter().map(bin).collect()
    }

    /// Returns the expected calibration error: the mean over images of the difference between confidence and accuracy of
    /// their bins.
    #[must_use]
    pub fn expected_calibration_error(&self) -> f64 {
        let images: usize = self.bins.iter().map(|bin| bin.images).sum();
        let differences = self.bins.iter().map(|bin| (bin.confidence - bin.hits as f64).abs());
        differences.sum::<f64>() / images.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_include_their_upper_bound() {
        let mut reliability = Reliability::default();
        for confidence in [1.0 / 15.0, 0.0667, 0.0, 1.0, 14.0 / 15.0, 1.0005] {
            reliability.add(confidence, false);
        }
        let images: Vec<_> = reliability.bins().iter().map(|bin| bin.images).collect();
        assert_eq!(images, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn the_error_is_the_mean_difference_of_confidence_and_accuracy() {
        let mut reliability = Reliability::default();
        for (confidence, is_hit) in [(0.75, true), (0.75, false), (0.5, true), (0.5, true)] {
            reliability.add(confidence, is_hit);
        }
        // |0.75 - 0.5| for one half of the images, |0.5 - 1| for the other.
        assert!((reliability.expected_calibration_error() - 0.375).abs() < 1e-12);
        assert!(Reliability::default().expected_calibration_error().abs() < f64::EPSILON);
    }
}
