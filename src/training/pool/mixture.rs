//! Weighted sums of distributions.

use super::softmax::Softmax;
use super::source_scores::SourceScores;
use super::target::{SparseTarget, TargetValue};

/// A weighted sum of distributions over all classes, each of which gives most classes the same probability. It has buffers that
/// are reused for each sum, so every thread needs its own.
#[derive(Debug)]
pub struct Mixture {
    listed: Vec<ListedClass>,
    touched: Vec<u32>,
    /// Sum of the probabilities that the distributions give to classes that they do not list.
    absent: f64,
}

/// Sums of the distributions that list a class.
#[derive(Clone, Copy, Debug, Default)]
struct ListedClass {
    /// Probabilities of the class.
    probs: f64,
    /// Probabilities of classes that they do not list.
    absent: f64,
    is_touched: bool,
}

impl Mixture {
    /// Creates an empty sum over `class_count` classes.
    #[must_use]
    pub fn new(class_count: usize) -> Self {
        Self { listed: vec![ListedClass::default(); class_count], touched: Vec::new(), absent: 0.0 }
    }

    /// Returns the classes that some distribution lists, each once, and their probabilities. All other classes have
    /// [`Mixture::absent_prob`].
    pub fn class_probs(&self) -> impl Iterator<Item = (u32, f64)> {
        self.touched.iter().map(|&class| (class, self.prob(class)))
    }

    /// Probability of each class that no distribution lists.
    #[must_use]
    pub fn absent_prob(&self) -> f64 {
        self.absent
    }

    /// Returns the sum as a target.
    #[must_use]
    pub fn sparse(&self) -> SparseTarget {
        let mut probs: Vec<(u32, f64)> = self.class_probs().collect();
        probs.sort_unstable_by(|(first, first_prob), (second, second_prob)| {
            second_prob.total_cmp(first_prob).then(first.cmp(second))
        });
        let absent_count = self.listed.len() - self.touched.len();
        SparseTarget {
            classes: probs.iter().map(|&(class, _)| class).collect(),
            probs: probs.iter().map(|&(_, prob)| prob as f32).collect(),
            rest: (self.absent * absent_count as f64) as f32,
        }
    }

    /// Adds `share` times the softmax of scores that are divided by `temperature`.
    pub(super) fn add(&mut self, share: f64, temperature: f64, scores: &SourceScores) {
        let absent_count = self.listed.len().saturating_sub(scores.classes().len());
        let softmax = Softmax::new(scores.scores().iter().copied(), absent_count, temperature);
        let absent = share * softmax.absent();
        self.absent += absent;
        for (&class, &score) in scores.classes().iter().zip(scores.scores()) {
            let listed = &mut self.listed[class as usize];
            listed.probs += share * softmax.of(score);
            listed.absent += absent;
            if !listed.is_touched {
                listed.is_touched = true;
                self.touched.push(class);
            }
        }
    }

    pub(super) fn write_dense<T: TargetValue>(&self, target: &mut [T]) {
        target.fill(T::from_probability(self.absent));
        for (class, prob) in self.class_probs() {
            target[class as usize] = T::from_probability(prob);
        }
    }

    pub(super) fn clear(&mut self) {
        for class in self.touched.drain(..) {
            self.listed[class as usize] = ListedClass::default();
        }
        self.absent = 0.0;
    }

    /// The distributions that do not list the class give it what they give to absent classes. If all list it, the difference is
    /// exactly 0, since both sums have the same terms in the same order.
    fn prob(&self, class: u32) -> f64 {
        let listed = self.listed[class as usize];
        listed.probs + (self.absent - listed.absent).max(0.0)
    }
}
