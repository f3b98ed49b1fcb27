//! The order of all classes of a label, without making it dense.

use crate::training::pool::SparseTarget;

/// All classes of a label, ranked by probability; the lower id first if two are equal. The ranks equal those of NumPy's
/// stable `argsort` of the negated dense label.
#[derive(Clone, Copy, Debug)]
pub struct ClassRanking<'a> {
    label: &'a SparseTarget,
    absent_count: usize,
    /// Probability of each absent class.
    absent_prob: f32,
}

impl<'a> ClassRanking<'a> {
    /// Creates the ranking of `class_count` classes.
    #[must_use]
    pub fn new(label: &'a SparseTarget, class_count: usize) -> Self {
        let absent_count = class_count.saturating_sub(label.classes.len());
        let absent_prob = if absent_count > 0 { label.rest / absent_count as f32 } else { 0.0 };
        Self { label, absent_count, absent_prob }
    }

    /// Probability of each class that the label does not list.
    #[must_use]
    pub fn absent_prob(&self) -> f32 {
        self.absent_prob
    }

    /// Returns the probability of a class.
    #[must_use]
    pub fn prob_of(&self, class: u32) -> f32 {
        let at = self.label.classes.iter().position(|&listed| listed == class);
        at.map_or(self.absent_prob, |at| self.label.probs[at])
    }

    /// Returns the number of classes with at least this probability.
    #[must_use]
    pub fn count_at_least(&self, prob: f32) -> usize {
        let listed = self.label.probs.partition_point(|&listed| listed >= prob);
        listed + if self.absent_prob >= prob { self.absent_count } else { 0 }
    }

    /// Returns the rank of a class, 0 being the best.
    #[must_use]
    pub fn rank_of(&self, class: u32) -> usize {
        let prob = self.prob_of(class);
        let higher = self.label.probs.partition_point(|&listed| listed > prob);
        let equal = self.label.probs.partition_point(|&listed| listed >= prob);
        let lower_ids = self.label.classes[higher..equal].iter().filter(|&&listed| listed < class).count();
        let absent = if self.absent_prob > prob {
            self.absent_count
        } else if self.absent_prob < prob {
            0
        } else {
            class as usize - self.label.classes.iter().filter(|&&listed| listed < class).count()
        };
        higher + lower_ids + absent
    }

    /// Returns the best class and its probability.
    #[must_use]
    pub fn best(&self) -> (u32, f32) {
        let listed = self.label.probs.first().copied();
        let prob =
            if self.absent_count == 0 { listed.unwrap_or(0.0) } else { self.absent_prob.max(listed.unwrap_or(0.0)) };
        let equal = self.label.probs.partition_point(|&listed| listed >= prob);
        let best_listed = self.label.classes[..equal].iter().copied().min();
        let mut ids = 0..=self.label.classes.len() as u32;
        let absent_is_best = self.absent_count > 0 && self.absent_prob >= prob;
        let best_absent = absent_is_best.then(|| ids.find(|class| !self.label.classes.contains(class))).flatten();
        (best_listed.into_iter().chain(best_absent).min().unwrap_or(0), prob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::random::SplitMix64;

    fn below(random: &mut SplitMix64, limit: usize) -> usize {
        random.uniform(0.0, limit as f64) as usize
    }

    #[test]
    fn ranks_equal_those_of_the_dense_label() {
        let mut random = SplitMix64::new(1);
        for case in 0..500 {
            let class_count = 1 + below(&mut random, 12);
            let mut classes: Vec<u32> = (0..class_count as u32).filter(|_| below(&mut random, 2) == 0).collect();
            // Few distinct probabilities, so that many are equal, also those of the absent classes.
            let probs: Vec<f32> = classes.iter().map(|_| below(&mut random, 4) as f32 * 0.125).collect();
            let mut order: Vec<usize> = (0..classes.len()).collect();
            order.sort_by(|&a, &b| probs[b].total_cmp(&probs[a]).then(classes[b].cmp(&classes[a])));
            let probs = order.iter().map(|&at| probs[at]).collect();
            classes = order.iter().map(|&at| classes[at]).collect();
            let absent = class_count - classes.len();
            let label = SparseTarget { classes, probs, rest: absent as f32 * 0.125 };
            let ranking = ClassRanking::new(&label, class_count);
            let dense: Vec<f32> = (0..class_count as u32).map(|class| label.prob_of(class, class_count)).collect();
            let mut sorted: Vec<u32> = (0..class_count as u32).collect();
            sorted.sort_by(|&a, &b| dense[b as usize].total_cmp(&dense[a as usize]));
            for (rank, &class) in sorted.iter().enumerate() {
                assert_eq!(ranking.rank_of(class), rank, "case {case}, class {class} of {label:?}");
            }
            assert_eq!(ranking.best(), (sorted[0], dense[sorted[0] as usize]), "case {case}");
            let count = |prob: f32| dense.iter().filter(|&&other| other >= prob).count();
            assert!([0.0, 0.1, 0.125, 0.25, 1.0].iter().all(|&prob| ranking.count_at_least(prob) == count(prob)));
        }
    }
}
