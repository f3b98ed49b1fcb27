//! Softmax over all classes, most of which share one score.

/// Softmax of scores that are differences to the score of an absent class, whose own is 0.
pub(super) struct Softmax {
    top: f64,
    temperature: f64,
    total: f64,
    absent: f64,
}

impl Softmax {
    /// Computes softmax of `scores` and of `absent_count` further classes with the score 0, all divided by `temperature`.
    pub(super) fn new(scores: impl Iterator<Item = f64> + Clone, absent_count: usize, temperature: f64) -> Self {
        Self::visiting(scores, absent_count, temperature, |_| ())
    }

    /// Computes softmax as [`Softmax::new`] does, and calls `visit` with the exponential of each of `scores`.
    pub(super) fn visiting(
        scores: impl Iterator<Item = f64> + Clone,
        absent_count: usize,
        temperature: f64,
        mut visit: impl FnMut(f64),
    ) -> Self {
        let absent_score = if absent_count > 0 { 0.0 } else { f64::NEG_INFINITY };
        let top = scores.clone().fold(absent_score, f64::max);
        let mut softmax = Self { top, temperature, total: 1.0, absent: 0.0 };
        // Without absent classes the top may be far below 0, and the exponential infinite.
        let absent = if absent_count > 0 { softmax.exponential(0.0) } else { 0.0 };
        let exponentials = scores.map(|score| softmax.exponential(score));
        let present: f64 = exponentials.inspect(|&exponential| visit(exponential)).sum();
        softmax.total = present + absent * absent_count as f64;
        softmax.absent = absent / softmax.total;
        softmax
    }

    /// Returns the probability of a class.
    pub(super) fn of(&self, score: f64) -> f64 {
        self.of_exponential(self.exponential(score))
    }

    /// Returns the probability of a class by the exponential of its score.
    pub(super) fn of_exponential(&self, exponential: f64) -> f64 {
        exponential / self.total
    }

    /// Probability of an absent class.
    pub(super) fn absent(&self) -> f64 {
        self.absent
    }

    fn exponential(&self, score: f64) -> f64 {
        ((score - self.top) / self.temperature).exp()
    }
}
