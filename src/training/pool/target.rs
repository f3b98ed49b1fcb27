//! Targets: their number types, and their sparse form.

use half::f16;

/// A number type of targets.
pub trait TargetValue: Copy + Default + Send {
    /// Returns the nearest value.
    fn from_probability(probability: f64) -> Self;
}

impl TargetValue for f32 {
    fn from_probability(probability: f64) -> Self {
        probability as f32
    }
}

impl TargetValue for f64 {
    fn from_probability(probability: f64) -> Self {
        probability
    }
}

impl TargetValue for f16 {
    fn from_probability(probability: f64) -> Self {
        Self::from_f64(probability)
    }
}

/// A target without the classes that no cell of the crop has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseTarget {
    /// Class ids, by decreasing probability; the lower id first if two are equal.
    pub classes: Vec<u32>,
    /// Probabilities of these classes.
    pub probs: Vec<f32>,
    /// Total probability of the other classes, which have equal shares.
    pub rest: f32,
}

impl SparseTarget {
    /// Returns the target with at most `top` classes. The probability of the others is added to the rest.
    #[must_use]
    pub fn with_top(mut self, top: usize) -> Self {
        if top < self.classes.len() {
            self.classes.truncate(top);
            self.rest += self.probs.drain(top..).sum::<f32>();
        }
        self
    }

    /// Returns the probability of any of `class_count` classes.
    #[must_use]
    pub fn prob_of(&self, class: u32, class_count: usize) -> f32 {
        let at = self.classes.iter().position(|kept| *kept == class);
        at.map_or(self.rest / self.absent_count(class_count).max(1) as f32, |at| self.probs[at])
    }

    /// Returns the entropy over all `class_count` classes, in nats.
    #[must_use]
    pub fn entropy(&self, class_count: usize) -> f32 {
        let term = |prob: f64| if prob > 0.0 { -prob * prob.ln() } else { 0.0 };
        let absent = self.absent_count(class_count) as f64;
        let rest = absent * term(f64::from(self.rest) / absent.max(1.0));
        (self.probs.iter().map(|&prob| term(f64::from(prob))).sum::<f64>() + rest) as f32
    }

    fn absent_count(&self, class_count: usize) -> usize {
        class_count.saturating_sub(self.classes.len())
    }
}
