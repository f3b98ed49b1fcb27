//! Scores of one source of a crop's target.

use super::pool_error::PoolError;
use super::target::SparseTarget;
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
        let (probs, rest) = stored_probs(prediction, class_count)?;
        let absent_count = class_count.saturating_sub(prediction.classes().len());
        let absent = (rest / absent_count.max(1) as f64).ln();
        self.set(prediction.classes().iter().copied().zip(probs.map(|prob| prob.ln() - absent)));
        Ok(())
    }
}

/// Returns a prediction as a target.
///
/// # Errors
///
/// Returns [`PoolError::ClassId`] if a class is not below `class_count`.
pub fn prediction_target(prediction: &ImagePrediction, class_count: usize) -> Result<SparseTarget, PoolError> {
    let (probs, rest) = stored_probs(prediction, class_count)?;
    let rest = if prediction.classes().len() < class_count { rest } else { 0.0 };
    let total = probs.clone().sum::<f64>() + rest;
    Ok(SparseTarget {
        classes: prediction.classes().to_vec(),
        probs: probs.map(|prob| (prob / total) as f32).collect(),
        rest: (rest / total) as f32,
    })
}

/// Returns the stored probabilities of a prediction, and that of all other classes together. Both are positive.
fn stored_probs(
    prediction: &ImagePrediction,
    class_count: usize,
) -> Result<(impl Iterator<Item = f64> + Clone, f64), PoolError> {
    if let Some(&class) = prediction.classes().iter().find(|&&class| class as usize >= class_count) {
        return Err(PoolError::ClassId { class, class_count });
    }
    let probs = prediction.probs().iter().map(|prob| prob.to_f64().max(SMALLEST_STORED));
    let rest = (1.0 - probs.clone().sum::<f64>()).max(SMALLEST_REST);
    Ok((probs, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_predictions_become_targets() {
        let target = |probs: &[f32], class_count| {
            let classes: Vec<i32> = (0..probs.len() as i32).collect();
            prediction_target(&ImagePrediction::from_ranks(probs, &classes).unwrap(), class_count).unwrap()
        };
        assert_eq!(target(&[0.5, 0.25], 10), SparseTarget { classes: vec![0, 1], probs: vec![0.5, 0.25], rest: 0.25 });
        let certain = target(&[1.0, 1e-9], 10);
        assert!(certain.probs[0] > 0.999 && certain.probs[1] > 1e-8, "{certain:?}");
        assert!((certain.rest - 1.0 / 4097.0).abs() < 1e-6, "{certain:?}");
        let all = target(&[0.75, 0.25], 2);
        assert!(all.rest.abs() < 1e-9 && (all.probs[0] - 0.75).abs() < 1e-6);
        let refused = prediction_target(&ImagePrediction::from_ranks(&[0.5], &[7]).unwrap(), 7).unwrap_err();
        assert!(refused.to_string().contains("class id 7 is out of range"));
    }
}
