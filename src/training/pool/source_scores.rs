//! Scores of one source of a crop's target.

use super::pool_error::PoolError;
use crate::shared::label_map::ImagePrediction;

/// Classes of one source, each once, with scores that are differences to the score of all other classes. The softmax of the
/// scores is the source's distribution.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceScores {
    classes: Vec<u32>,
    scores: Vec<f64>,
}

/// Smallest probability of all classes together that were not stored: half the distance between 1 and the float16 below it,
/// since stored probabilities are rounded to float16 and may add up to 1 or more.
const SMALLEST_REST: f64 = 1.0 / 4096.0;

/// Smallest positive float16, for stored probabilities that were rounded to 0.
const SMALLEST_STORED: f64 = 1.0 / 16_777_216.0;

impl SourceScores {
    pub(super) fn classes(&self) -> &[u32] {
        &self.classes
    }

    pub(super) fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// Replaces the scores.
    pub(super) fn set(&mut self, class_scores: impl Iterator<Item = (u32, f64)>) {
        self.classes.clear();
        self.scores.clear();
        for (class, score) in class_scores {
            self.classes.push(class);
            self.scores.push(score);
        }
    }

    /// Replaces the scores with those of a prediction: logarithms of probabilities. The classes that are not stored have equal
    /// shares of what remains.
    pub(super) fn set_prediction(&mut self, prediction: &ImagePrediction, class_count: usize) -> Result<(), PoolError> {
        if let Some(&class) = prediction.classes().iter().find(|&&class| class as usize >= class_count) {
            return Err(PoolError::ClassId { class, class_count });
        }
        let probs = prediction.probs().iter().map(|prob| prob.to_f64().max(SMALLEST_STORED));
        let rest = (1.0 - probs.clone().sum::<f64>()).max(SMALLEST_REST);
        let absent_count = class_count.saturating_sub(prediction.classes().len());
        let absent = (rest / absent_count.max(1) as f64).ln();
        self.set(prediction.classes().iter().copied().zip(probs.map(|prob| prob.ln() - absent)));
        Ok(())
    }
}
