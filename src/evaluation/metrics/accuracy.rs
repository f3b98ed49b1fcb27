//! Accuracy of one kind of label.

use serde::{Deserialize, Serialize};

use super::class_precision::ClassPrecision;
use super::class_ranking::ClassRanking;
use super::estimate::{Estimate, MeanAccumulator};
use super::image_precision::image_precision;
use super::reliability::{Reliability, ReliabilityBin};
use crate::training::pool::SparseTarget;

/// Accuracy of one kind of label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Fraction of images whose best class is a true class.
    pub top1: Estimate,
    /// Fraction of images with a true class among the best five.
    pub top5: Estimate,
    /// Mean over images of the average precision of their classes.
    pub mean_average_precision_by_image: f64,
    /// Mean over classes with at least one image of the average precision of their images.
    pub mean_average_precision_by_class: f64,
    /// Expected calibration error of the best class, 15 bins.
    pub expected_calibration_error: f64,
    /// Mean entropy in nats.
    pub entropy_nats: f64,
    /// The bins of the calibration error, by confidence.
    pub reliability: Vec<ReliabilityBin>,
}

/// Whether the best classes of one image are true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelHits {
    /// The best class is a true class.
    pub top1: bool,
    /// One of the best five classes is a true class.
    pub top5: bool,
}

/// Computes the accuracy of labels from one image after the other. The result does not depend on the order of the images,
/// except for rounding.
#[derive(Debug)]
pub struct AccuracyAccumulator {
    class_count: usize,
    top1: MeanAccumulator,
    top5: MeanAccumulator,
    entropy: MeanAccumulator,
    image_precision: MeanAccumulator,
    class_precision: ClassPrecision,
    reliability: Reliability,
}

impl AccuracyAccumulator {
    /// Creates an accumulator for labels of `class_count` classes.
    #[must_use]
    pub fn new(class_count: usize) -> Self {
        Self {
            class_count,
            top1: MeanAccumulator::default(),
            top5: MeanAccumulator::default(),
            entropy: MeanAccumulator::default(),
            image_precision: MeanAccumulator::default(),
            class_precision: ClassPrecision::new(class_count),
            reliability: Reliability::default(),
        }
    }

    /// Adds the label of an image and its true classes, all of them below the number of classes. An image without true
    /// classes has no accuracy, and must not be added.
    pub fn add(&mut self, label: &SparseTarget, true_classes: &[u32]) -> LabelHits {
        let mut true_classes = true_classes.to_vec();
        true_classes.sort_unstable();
        true_classes.dedup();
        let ranking = ClassRanking::new(label, self.class_count);
        let best_rank = true_classes.iter().map(|&class| ranking.rank_of(class)).min();
        let hits_best = |count: usize| best_rank.is_some_and(|rank| rank < count);
        let hits = LabelHits { top1: hits_best(1), top5: hits_best(5) };
        self.top1.add(f64::from(u8::from(hits.top1)));
        self.top5.add(f64::from(u8::from(hits.top5)));
        self.entropy.add(f64::from(label.entropy(self.class_count)));
        self.image_precision.add(image_precision(&ranking, &true_classes));
        self.class_precision.add(label, &ranking, &true_classes);
        self.reliability.add(ranking.best().1, hits.top1);
        hits
    }

    /// Number of added images.
    #[must_use]
    pub fn images(&self) -> usize {
        self.top1.count()
    }

    /// Returns the accuracy; zeros without images.
    #[must_use]
    pub fn finish(&self) -> Accuracy {
        Accuracy {
            top1: self.top1.estimate(),
            top5: self.top5.estimate(),
            mean_average_precision_by_image: self.image_precision.mean(),
            mean_average_precision_by_class: self.class_precision.mean(),
            expected_calibration_error: self.reliability.expected_calibration_error(),
            entropy_nats: self.entropy.mean(),
            reliability: self.reliability.bins(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_true_class_is_a_hit() {
        let mut accumulator = AccuracyAccumulator::new(20);
        let label = SparseTarget { classes: vec![4, 9, 2], probs: vec![0.6, 0.2, 0.03], rest: 0.17 };
        let hits = |top1: bool, top5: bool| LabelHits { top1, top5 };
        assert_eq!(accumulator.add(&label, &[4, 17]), hits(true, true));
        assert_eq!(accumulator.add(&label, &[17, 9, 9]), hits(false, true));
        // Classes that the label does not list share the rest; the lowest ids come first.
        assert_eq!(accumulator.add(&label, &[1]), hits(false, true));
        assert_eq!(accumulator.add(&label, &[3]), hits(false, false));
        let accuracy = accumulator.finish();
        assert_eq!(accumulator.images(), 4);
        assert!((accuracy.top1.value - 0.25).abs() < 1e-12 && (accuracy.top5.value - 0.75).abs() < 1e-12);
        assert_eq!(accuracy.reliability[8].images, 4);
    }
}
