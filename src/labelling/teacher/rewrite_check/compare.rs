//! Comparison of the rewritten teacher's labels with the reference.

use super::differences::{LargestDifference, QuantisedCheck, RewriteCheck};
use super::probabilities::{log_sum_exp, softmax};
use super::reference_scores::ReferenceScores;
use crate::labelling::teacher::BatchLabels;

impl ReferenceScores {
    /// Compares the labels that the rewritten teacher gives for the same images with the reference.
    pub(crate) fn compare(&self, labels: &BatchLabels) -> RewriteCheck {
        let (images, classes) = (self.pixels.images(), self.class_count);
        let largest_score = self.cell_scores.iter().fold(0.0_f32, |largest, score| largest.max(score.abs()));
        let relative = if self.half { RewriteCheck::RELATIVE_TOLERANCE_HALF } else { RewriteCheck::RELATIVE_TOLERANCE };
        let mut cell_difference = LargestDifference(self.copy_difference);
        let mut mean_difference = LargestDifference::default();
        let mut image_difference = LargestDifference::default();
        let mut lse_difference = LargestDifference::default();
        for (cell, truth) in self.cells.iter().zip(self.cell_scores.chunks_exact(classes)) {
            let at = cell.index(self.map_size);
            let mut ranked: Vec<f32> = truth.to_vec();
            ranked.sort_by(|a, b| b.total_cmp(a));
            let k = labels.k;
            for (rank, &ranked_score) in ranked.iter().enumerate().take(k) {
                let (score, class) = (labels.scores[at * k + rank], labels.classes[at * k + rank]);
                // Classes with equal scores up to rounding may be swapped: both the value at this rank and the value of
                // this class must be right.
                cell_difference.add(score, ranked_score);
                cell_difference.add(score, truth.get(class as usize).copied().unwrap_or(f32::NAN));
            }
            if let Some(lse) = &labels.lse {
                lse_difference.add(lse[at], log_sum_exp(truth));
            }
        }
        for image in 0..images {
            let own = &self.image_scores[image * classes..][..classes];
            for (&mean, &score) in self.mean_scores[image * classes..][..classes].iter().zip(own) {
                mean_difference.add(mean, score);
            }
            let probs = softmax(own);
            for rank in 0..labels.image_ranks {
                let at = image * labels.image_ranks + rank;
                let truth = probs.get(labels.image_classes[at] as usize).copied().unwrap_or(f32::NAN);
                image_difference.add(labels.image_probs[at], truth);
            }
        }
        RewriteCheck {
            images,
            cells: images * self.map_size.cells(),
            compared_cells: self.cells.len(),
            largest_score,
            cell_difference: cell_difference.0,
            mean_difference: mean_difference.0,
            image_difference: image_difference.0,
            lse_difference: labels.lse.is_some().then_some(lse_difference.0),
            tolerance: relative * largest_score.max(1.0),
            linearity: self.linearity.clone(),
            normalised_difference: self.input.difference,
            quantised: None,
            warnings: self.warnings.clone(),
        }
    }

    /// Compares the labels of a quantised teacher, computed from pixels, and adds the result to `on_features`, the comparison
    /// on the features of one session.
    pub(crate) fn compare_from_pixels(&self, labels: &BatchLabels, on_features: RewriteCheck) -> RewriteCheck {
        let own = self.compare(labels);
        let quantised = QuantisedCheck {
            score_difference: own.cell_difference,
            image_difference: own.image_difference,
            tolerance: RewriteCheck::RELATIVE_TOLERANCE_QUANTISED * own.largest_score,
        };
        RewriteCheck { quantised: Some(quantised), ..on_features }
    }
}
