//! Average precision of the classes of one image.

use super::class_ranking::ClassRanking;

/// Returns the average precision of one image: each class is an answer, ranked by its probability, and the true ones are
/// relevant. Classes of equal probability count as one rank, as in scikit-learn's
/// `average_precision_score(average="samples")`. `true_classes` are distinct; 0 without any.
pub(super) fn image_precision(ranking: &ClassRanking<'_>, true_classes: &[u32]) -> f64 {
    let mut probs: Vec<f32> = true_classes.iter().map(|&class| ranking.prob_of(class)).collect();
    probs.sort_by(|a, b| b.total_cmp(a));
    let mut sum = 0.0;
    for (at, &prob) in probs.iter().enumerate() {
        // A group of equal probabilities counts once, at its last member.
        let is_last = probs.get(at + 1).is_none_or(|&next| next < prob);
        if is_last {
            let found = at + 1;
            let group = found - probs.partition_point(|&other| other > prob);
            sum += group as f64 * found as f64 / ranking.count_at_least(prob) as f64;
        }
    }
    sum / probs.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::pool::SparseTarget;

    fn precision(true_classes: &[u32]) -> f64 {
        // Classes 0 to 3 are listed; 4 to 9 share 0.06.
        let label = SparseTarget { classes: vec![3, 0, 1, 2], probs: vec![0.5, 0.2, 0.2, 0.04], rest: 0.06 };
        image_precision(&ClassRanking::new(&label, 10), true_classes)
    }

    #[test]
    fn precision_is_that_at_the_rank_of_each_true_class() {
        let equals = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(equals(precision(&[3]), 1.0));
        assert!(equals(precision(&[2]), 1.0 / 4.0));
        assert!(equals(precision(&[0]), 1.0 / 3.0), "0 and 1 are equal, so both count");
        assert!(equals(precision(&[0, 1]), 2.0 / 3.0));
        assert!(equals(precision(&[3, 1]), 5.0 / 6.0));
        assert!(equals(precision(&[7]), 1.0 / 10.0), "classes that are not listed are equal");
        assert!(equals(precision(&[3, 7, 8]), (1.0 + 2.0 * 3.0 / 10.0) / 3.0));
        assert!(equals(precision(&[]), 0.0));
    }
}
