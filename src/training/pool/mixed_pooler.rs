//! Pools crops by mixing the label maps and predictions of an image and its tiles.

use super::label_sources::{CropSources, LabelSources, SourceLabel};
use super::mixture::Mixture;
use super::pool_error::PoolError;
use super::source_pooler::SourcePooler;
use super::source_scores::SourceScores;
use super::target::{SparseTarget, TargetValue};
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::ImageLabels;
use crate::shared::pooling_parameters::PoolingParameters;

/// Pools crops by mixing the labels of an image and its tiles (`docs/calibrated-pooling.md`). It has buffers that are reused for
/// each crop, so every thread needs its own.
#[derive(Debug)]
pub struct MixedPooler {
    parameters: PoolingParameters,
    pooler: SourcePooler,
    located: CropSources,
    shares: Vec<f64>,
    scores: SourceScores,
    mixture: Mixture,
}

/// Labels of an image that the target of a crop depends on, besides the prediction for the entire image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NeededLabels {
    /// The label map.
    pub map: bool,
    /// Predictions of tiles.
    pub tile_predictions: bool,
    /// Label maps of tiles.
    pub tile_maps: bool,
}

impl MixedPooler {
    /// Creates a pooler for the labels of a teacher with `class_count` classes. `parameters` must be within their ranges.
    #[must_use]
    pub fn new(class_count: usize, parameters: PoolingParameters, sources: LabelSources) -> Self {
        Self {
            parameters,
            pooler: SourcePooler::new(class_count, sources),
            located: CropSources::default(),
            shares: Vec::new(),
            scores: SourceScores::default(),
            mixture: Mixture::new(class_count),
        }
    }

    /// Returns which labels of an image the target of a crop depends on, or of its part that is not `hidden`; others may be
    /// missing in the labels that are pooled.
    #[must_use]
    pub fn needed_labels(&mut self, crop: Crop, hidden: Option<UnitBox>) -> NeededLabels {
        self.locate(crop.unit_box, hidden.map(|hidden| seen_in_image(crop, hidden)));
        let mut needed = NeededLabels::default();
        for (source, &share) in self.located.sources().iter().zip(&self.shares) {
            match (source.label, source.tile) {
                _ if share <= 0.0 => {}
                (SourceLabel::Map(_), None) => needed.map = true,
                (SourceLabel::Map(_), Some(_)) => needed.tile_maps = true,
                (SourceLabel::Prediction, None) => {}
                (SourceLabel::Prediction, Some(_)) => needed.tile_predictions = true,
            }
        }
        needed
    }

    /// Writes the target of a crop to `target`: probabilities of all classes.
    ///
    /// # Errors
    /// Returns [`PoolError::ClassId`] if the labels have a class that the teacher does not have; [`PoolError::MissingLabels`] if
    /// a source that is needed is missing in `labels`.
    ///
    /// # Panics
    /// Panics if `target` has a different length.
    pub fn pool<T: TargetValue>(
        &mut self,
        labels: &ImageLabels,
        crop: UnitBox,
        target: &mut [T],
    ) -> Result<(), PoolError> {
        self.mix(labels, crop, None)?;
        self.write(target);
        Ok(())
    }

    /// Returns the sparse target of a crop: the classes of all sources that are not negligible.
    ///
    /// # Errors
    /// See [`MixedPooler::pool`].
    pub fn pool_sparse(&mut self, labels: &ImageLabels, crop: UnitBox) -> Result<SparseTarget, PoolError> {
        self.mix(labels, crop, None)?;
        Ok(self.mixture.sparse())
    }

    /// Writes the target of the part of a crop that is not covered by a pasted box (CutMix by region). `hidden` is in 0..1 of the
    /// crop after any flip. Label maps are pooled over the visible part; predictions, areas and overlaps are those of the
    /// entire crop. If nothing is hidden, it is the target of the crop.
    ///
    /// # Errors
    /// See [`MixedPooler::pool`].
    ///
    /// # Panics
    /// Panics if `target` has a different length.
    pub fn pool_visible<T: TargetValue>(
        &mut self,
        labels: &ImageLabels,
        crop: Crop,
        hidden: UnitBox,
        target: &mut [T],
    ) -> Result<(), PoolError> {
        self.mix(labels, crop.unit_box, Some(seen_in_image(crop, hidden)))?;
        self.write(target);
        Ok(())
    }

    /// Computes the target of a crop in `self.mixture`.
    fn mix(&mut self, labels: &ImageLabels, crop: UnitBox, hidden: Option<UnitBox>) -> Result<(), PoolError> {
        self.locate(crop, hidden);
        self.mixture.clear();
        for (source, &share) in self.located.sources().iter().zip(&self.shares) {
            if share > 0.0 {
                self.pooler.pool(labels, source, &mut self.scores)?;
                self.mixture.add(share, self.located.temperature(source, &self.parameters), &self.scores);
            }
        }
        Ok(())
    }

    fn locate(&mut self, crop: UnitBox, hidden: Option<UnitBox>) {
        self.pooler.locate(crop, hidden, &mut self.located);
        self.located.shares(&self.parameters, &mut self.shares);
    }

    fn write<T: TargetValue>(&self, target: &mut [T]) {
        assert_eq!(target.len(), self.pooler.class_count(), "one value for each class");
        self.mixture.write_dense(target);
    }
}

/// Returns a box of a crop, in 0..1 of it, as it was before the crop was mirrored.
fn seen_in_image(crop: Crop, inside: UnitBox) -> UnitBox {
    if crop.is_flipped { inside.mirrored() } else { inside }
}

#[cfg(test)]
mod tests;
