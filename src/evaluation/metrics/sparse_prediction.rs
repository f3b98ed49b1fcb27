//! A teacher's prediction for the entire image as a label of all classes.

use crate::shared::label_map::ImagePrediction;
use crate::training::pool::SparseTarget;

/// Returns the probabilities of all classes: the kept ones, and what remains to 1 in equal shares for the others.
#[must_use]
pub fn sparse_prediction(prediction: &ImagePrediction) -> SparseTarget {
    let mut kept: Vec<(u32, f32)> =
        prediction.classes().iter().copied().zip(prediction.probs().iter().map(|prob| prob.to_f32())).collect();
    // Stored probabilities are rounded, and equal ones need not be in the order of their ids.
    kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let sum: f64 = kept.iter().map(|&(_, prob)| f64::from(prob)).sum();
    let (classes, probs) = kept.into_iter().unzip();
    SparseTarget { classes, probs, rest: (1.0 - sum).max(0.0) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_belongs_to_the_classes_that_are_not_kept() {
        let prediction = ImagePrediction::from_ranks(&[0.5, 0.125, 0.125], &[7, 9, 3]).unwrap();
        let label = sparse_prediction(&prediction);
        assert_eq!(label, SparseTarget { classes: vec![7, 3, 9], probs: vec![0.5, 0.125, 0.125], rest: 0.25 });
        assert!((label.prob_of(0, 13) - 0.025).abs() < 1e-7);
        let above_one = ImagePrediction::from_ranks(&[1.0, 0.0005], &[1, 2]).unwrap();
        assert!(sparse_prediction(&above_one).rest.abs() < f32::EPSILON, "rounding does not make the rest negative");
    }
}
