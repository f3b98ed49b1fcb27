//! Probes which cells of label maps respond when a patch of a photograph changes: the same check as on features, but on what a
//! loaded teacher returns.

use super::probe::{ProbeResult, probe};
use crate::labelling::teacher::{PixelBatch, Teacher, TeacherShape};
use crate::shared::error::Error;

/// Changes patches of photographs, and compares their positions with those of the cells whose labels respond most.
///
/// # Errors
/// Returns the error of the teacher if it fails.
pub fn probe_labels(
    teacher: &mut dyn Teacher,
    shape: &TeacherShape,
    photographs: &PixelBatch,
) -> Result<ProbeResult, Error> {
    /// Images per run, if the graph does not fix it.
    const BATCH: usize = 9;
    let mut features_of = |batch: &PixelBatch| {
        let labels = teacher.label(batch)?;
        let cells = labels.scores.chunks_exact(labels.k).zip(labels.classes.chunks_exact(labels.k));
        Ok(cells.flat_map(|(scores, classes)| features(scores, classes)).collect())
    };
    probe(photographs, shape.map_size, BATCH, false, &mut features_of)
}

/// Number of features per cell. Classes share them, so that cells of many classes need little memory.
const FEATURES: usize = 64;

/// Probabilities of a cell's classes, among its own.
fn features(scores: &[f32], classes: &[i32]) -> [f32; FEATURES] {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - largest).exp()).sum();
    let mut features = [0.0; FEATURES];
    for (score, &class) in scores.iter().zip(classes) {
        features[class.unsigned_abs() as usize % FEATURES] += (score - largest).exp() / sum;
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_probabilities_by_class() {
        let found = features(&[2.0, 2.0, f32::NEG_INFINITY], &[3, 67, 5]);
        assert!((found[3] - 1.0).abs() < 1e-6 && found[5].abs() < 1e-6, "classes 3 and 67 share a feature");
    }
}
