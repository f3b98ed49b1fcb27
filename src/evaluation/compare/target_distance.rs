//! Total variation distance of two targets.

use crate::shared::label_map::ImagePrediction;
use crate::training::pool::SparseTarget;

/// Computes distances of targets over `class_count` classes. Every thread needs its own.
pub(super) struct TargetDistance {
    /// Probability of each class in the second target; negative if it is one of the rest.
    probs: Vec<f32>,
}

const ABSENT: f32 = -1.0;

impl TargetDistance {
    pub(super) fn new(class_count: usize) -> Self {
        Self { probs: vec![ABSENT; class_count] }
    }

    /// Returns half of the sum of the absolute differences over all classes, 0 to 1. Classes that a target does not list have
    /// equal shares of its rest.
    pub(super) fn total_variation(&mut self, a: &SparseTarget, b: &SparseTarget) -> f64 {
        let class_count = self.probs.len();
        let rest_share = |target: &SparseTarget| {
            f64::from(target.rest) / class_count.saturating_sub(target.classes.len()).max(1) as f64
        };
        let (a_rest, b_rest) = (rest_share(a), rest_share(b));
        for (&class, &prob) in b.classes.iter().zip(&b.probs) {
            self.probs[class as usize] = prob;
        }
        let (mut sum, mut listed) = (0.0, b.classes.len());
        for (&class, &prob) in a.classes.iter().zip(&a.probs) {
            let there = std::mem::replace(&mut self.probs[class as usize], ABSENT);
            let there = if there < 0.0 {
                listed += 1;
                b_rest
            } else {
                f64::from(there)
            };
            sum += (f64::from(prob) - there).abs();
        }
        for &class in &b.classes {
            let only_there = std::mem::replace(&mut self.probs[class as usize], ABSENT);
            if only_there >= 0.0 {
                sum += (a_rest - f64::from(only_there)).abs();
            }
        }
        sum += class_count.saturating_sub(listed) as f64 * (a_rest - b_rest).abs();
        (sum / 2.0).min(1.0)
    }
}

/// Returns a prediction as a target: the classes that it does not list have equal shares of the remaining probability.
pub(super) fn target_from_prediction(prediction: &ImagePrediction) -> SparseTarget {
    let probs: Vec<f32> = prediction.probs().iter().map(|prob| prob.to_f32()).collect();
    let rest = (1.0 - probs.iter().sum::<f32>()).max(0.0);
    SparseTarget { classes: prediction.classes().to_vec(), probs, rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(classes: &[u32], probs: &[f32]) -> SparseTarget {
        let rest = 1.0 - probs.iter().sum::<f32>();
        SparseTarget { classes: classes.to_vec(), probs: probs.to_vec(), rest }
    }

    #[test]
    fn the_distance_equals_that_of_dense_targets() {
        let dense = |target: &SparseTarget| (0..10).map(|class| target.prob_of(class, 10)).collect::<Vec<f32>>();
        let mut distance = TargetDistance::new(10);
        let targets = [
            target(&[1, 2], &[0.5, 0.25]),
            target(&[2, 7, 3], &[0.5, 0.3, 0.1]),
            target(&[], &[]),
            target(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], &[0.1; 10]),
        ];
        for a in &targets {
            for b in &targets {
                let wanted: f32 = dense(a).iter().zip(dense(b)).map(|(a, b)| (a - b).abs()).sum();
                let found = distance.total_variation(a, b);
                assert!((found - f64::from(wanted) / 2.0).abs() < 1e-6, "{a:?} {b:?}: {found}");
            }
        }
        assert!((distance.total_variation(&target(&[1], &[1.0]), &target(&[2], &[1.0])) - 1.0).abs() < 1e-9);
    }
}
