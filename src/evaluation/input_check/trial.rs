//! One preparation, and what the classifier predicts for each image with it.

use super::preparation::InputPreparation;
use crate::evaluation::evaluation_file::Estimate;

/// Log-probabilities below this (0.1 %) count as this: a few images whose folder class is wrong would outweigh all others.
const MIN_LOG_PROB: f64 = -7.0;

/// A preparation that was tried on the first images of the sample.
pub(super) struct Trial {
    pub(super) preparation: InputPreparation,
    pub(super) outcomes: Vec<ImageOutcome>,
    /// Why the classifier cannot be run with it.
    pub(super) failure: Option<String>,
    /// Probabilities `[image, class]`, kept only without folder classes.
    probs: Vec<f32>,
    class_count: usize,
}

/// The prediction for one image.
#[derive(Clone, Copy)]
pub(super) struct ImageOutcome {
    pub(super) best_class: u32,
    pub(super) confidence: f64,
    /// Log-probability of the folder class, in nats.
    pub(super) log_prob: Option<f64>,
    pub(super) entropy: f64,
}

impl Trial {
    pub(super) fn new(preparation: InputPreparation, class_count: usize) -> Self {
        Self { preparation, outcomes: Vec::new(), failure: None, probs: Vec::new(), class_count }
    }

    /// Adds the probabilities of the next image.
    pub(super) fn push(&mut self, probs: &[f32], folder_class: Option<u32>) {
        let mut best = (0, f32::NEG_INFINITY);
        for (class, &prob) in (0..).zip(probs) {
            if prob > best.1 {
                best = (class, prob);
            }
        }
        let entropy = |&prob: &f32| if prob > 0.0 { -f64::from(prob) * f64::from(prob).ln() } else { 0.0 };
        let prob = folder_class.and_then(|class| probs.get(class as usize));
        self.outcomes.push(ImageOutcome {
            best_class: best.0,
            // Probabilities that are not numbers have no best class.
            confidence: f64::from(best.1).max(0.0),
            log_prob: prob.map(|&prob| f64::from(prob).ln().max(MIN_LOG_PROB)),
            entropy: probs.iter().map(entropy).sum(),
        });
        if folder_class.is_none() {
            self.probs.extend_from_slice(probs);
        }
    }

    /// Returns one number for each of the first `count` images, by which trials are compared: the log-probability of the folder
    /// class, or else the information of the prediction: its divergence from the mean prediction.
    ///
    /// Confidence alone would prefer an input that makes every image the same class.
    pub(super) fn scores(&self, count: usize) -> Vec<f64> {
        let count = count.min(self.outcomes.len());
        let outcomes = &self.outcomes[..count];
        if self.probs.is_empty() {
            return outcomes.iter().map(|outcome| outcome.log_prob.unwrap_or(MIN_LOG_PROB)).collect();
        }
        let mut mean = vec![0.0_f64; self.class_count];
        let images = || self.probs.chunks_exact(self.class_count).take(count);
        for image in images() {
            for (sum, &prob) in mean.iter_mut().zip(image) {
                *sum += f64::from(prob) / count as f64;
            }
        }
        let surprise = |(&prob, mean): (&f32, &f64)| {
            if prob > 0.0 { -f64::from(prob) * mean.ln() } else { 0.0 }
        };
        let divergence = |(image, outcome): (&[f32], &ImageOutcome)| {
            image.iter().zip(&mean).map(surprise).sum::<f64>() - outcome.entropy
        };
        images().zip(outcomes).map(divergence).collect()
    }

    /// Fraction of images whose best class is the folder class.
    pub(super) fn agreement(&self, folder_class: impl Fn(usize) -> Option<u32>) -> Estimate {
        let hit = |(image, outcome): (usize, &ImageOutcome)| {
            f64::from(u8::from(folder_class(image) == Some(outcome.best_class)))
        };
        super::statistics::estimate(&self.outcomes.iter().enumerate().map(hit).collect::<Vec<_>>())
    }

    /// Mean probability of the best class.
    pub(super) fn confidence(&self) -> Estimate {
        super::statistics::estimate(&self.outcomes.iter().map(|outcome| outcome.confidence).collect::<Vec<_>>())
    }
}
