//! Compares a label with the teacher's prediction for a crop.

use crate::training::pool::SparseTarget;

/// Lower bound of the probabilities of a label in divergences, which would otherwise be infinite: the smallest positive
/// normal float32.
const SMALLEST_PROB: f64 = f32::MIN_POSITIVE as f64;

/// The teacher's prediction for a crop.
pub(crate) struct CropPrediction<'a> {
    probs: &'a [f32],
    best: u32,
    total: f64,
    /// Sum of `p ln p`.
    negative_entropy: f64,
}

/// Agreement of a label with the teacher's prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LabelAgreement {
    /// Whether the best class is the same. Of equal ones, the class with the lower id is the best.
    pub(crate) top1: bool,
    /// Kullback-Leibler divergence of the label from the prediction, in nats.
    pub(crate) kl: f64,
    /// Total variation distance.
    pub(crate) tv: f64,
}

impl<'a> CropPrediction<'a> {
    pub(crate) fn new(probs: &'a [f32]) -> Self {
        let (mut best, mut total, mut negative_entropy) = (0, 0.0, 0.0);
        for (class, &prob) in probs.iter().enumerate() {
            if prob > probs[best] {
                best = class;
            }
            let prob = f64::from(prob);
            total += prob;
            if prob > 0.0 {
                negative_entropy += prob * prob.ln();
            }
        }
        Self { probs, best: best as u32, total, negative_entropy }
    }

    /// Compares with a label whose class ids are all below the number of classes. `scratch` is reused.
    pub(crate) fn compare(&self, label: &SparseTarget, scratch: &mut Vec<f64>) -> LabelAgreement {
        let absent_count = self.probs.len().saturating_sub(label.classes.len());
        let absent = if absent_count > 0 { f64::from(label.rest) / absent_count as f64 } else { 0.0 };
        scratch.clear();
        scratch.resize(self.probs.len(), absent);
        let (mut listed, mut cross_entropy) = (0.0, 0.0);
        for (&class, &prob) in label.classes.iter().zip(&label.probs) {
            let (teacher, prob) = (f64::from(self.probs[class as usize]), f64::from(prob));
            scratch[class as usize] = prob;
            listed += teacher;
            cross_entropy -= teacher * prob.max(SMALLEST_PROB).ln();
        }
        if absent_count > 0 {
            cross_entropy -= (self.total - listed).max(0.0) * absent.max(SMALLEST_PROB).ln();
        }
        let distances = self.probs.iter().zip(scratch.iter()).map(|(&prob, &label)| (f64::from(prob) - label).abs());
        LabelAgreement {
            tv: 0.5 * distances.sum::<f64>(),
            kl: self.negative_entropy + cross_entropy,
            top1: best_of(scratch) == self.best,
        }
    }
}

/// Returns the class with the highest probability; the lowest id if several are equal.
fn best_of(probs: &[f64]) -> u32 {
    let best = |best: usize, class: usize| if probs[class] > probs[best] { class } else { best };
    (0..probs.len()).fold(0, best) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(teacher: &[f32], classes: &[u32], probs: &[f32], rest: f32) -> LabelAgreement {
        let label = SparseTarget { classes: classes.to_vec(), probs: probs.to_vec(), rest };
        CropPrediction::new(teacher).compare(&label, &mut Vec::new())
    }

    #[test]
    fn figures_are_those_of_dense_probabilities() {
        let teacher = [0.1_f32, 0.5, 0.15, 0.25, 0.0];
        let dense = [0.05_f64, 0.3, 0.05, 0.55, 0.05];
        let found = compare(&teacher, &[3, 1], &[0.55, 0.3], 0.15);
        let pairs = || teacher.iter().map(|&p| f64::from(p)).zip(dense);
        let kl: f64 = pairs().filter(|(p, _)| *p > 0.0).map(|(p, q)| p * (p / q).ln()).sum();
        let tv: f64 = pairs().map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0;
        assert!((found.kl - kl).abs() < 1e-6 && (found.tv - tv).abs() < 1e-6 && !found.top1, "{found:?}");
    }

    #[test]
    fn an_equal_label_has_no_divergence() {
        let found = compare(&[0.25, 0.5, 0.25], &[1, 0, 2], &[0.5, 0.25, 0.25], 0.0);
        assert!(found.top1 && found.kl.abs() < 1e-12 && found.tv.abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn of_equal_classes_the_lower_id_is_the_best() {
        assert!(compare(&[0.4, 0.4, 0.2], &[1, 0], &[0.4, 0.4], 0.2).top1);
        assert!(!compare(&[0.3, 0.4, 0.3], &[1, 0], &[0.4, 0.4], 0.2).top1);
        // Absent classes have higher probabilities than listed ones if scores are below the fill.
        assert!(compare(&[0.6, 0.2, 0.2], &[1], &[0.1], 0.9).top1);
    }

    #[test]
    fn divergences_are_finite() {
        let found = compare(&[0.5, 0.5, 0.0], &[0, 2], &[1.0, 0.0], 0.0);
        let expected = 0.5 * 0.5_f64.ln() + 0.5 * (0.5 / f64::from(f32::MIN_POSITIVE)).ln();
        assert!((found.kl - expected).abs() < 1e-9 && (found.tv - 0.5).abs() < 1e-12, "{found:?}");
    }
}
