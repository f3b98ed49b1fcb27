//! Scores of the sources of a crop's target.

use super::axis_samples::AxisSamples;
use super::cell_weights::CellWeights;
use super::class_sums::ClassSums;
use super::crop_ingredients::CropIngredients;
use super::label_sources::{CropSource, CropSources, LabelSources, MapRegion, SourceLabel};
use super::options::Fill;
use super::pool_error::PoolError;
use super::source_scores::SourceScores;
use crate::shared::geometry::UnitBox;
use crate::shared::label_map::{ImageLabels, LabelMap};

/// Pools the label maps and predictions of images, each by itself. It has buffers that are reused for each image, so every thread
/// needs its own.
#[derive(Debug)]
pub struct SourcePooler {
    sources: LabelSources,
    sums: ClassSums,
}

impl SourcePooler {
    /// Creates a pooler for the labels of a teacher with `class_count` classes.
    #[must_use]
    pub fn new(class_count: usize, sources: LabelSources) -> Self {
        Self { sources, sums: ClassSums::new(class_count) }
    }

    /// Returns everything of an image's labels that the target of a crop depends on, for any parameters of pooling.
    ///
    /// # Errors
    /// Returns [`PoolError::ClassId`] if the labels have a class that the teacher does not have; [`PoolError::MissingLabels`] if
    /// a source is missing in `labels`.
    pub fn ingredients(&mut self, labels: &ImageLabels, crop: UnitBox) -> Result<CropIngredients, PoolError> {
        let mut located = CropSources::default();
        self.locate(crop, None, &mut located);
        let mut scores = vec![SourceScores::default(); located.sources().len()];
        for (source, scores) in located.sources().iter().zip(&mut scores) {
            self.pool(labels, source, scores)?;
        }
        Ok(CropIngredients::new(located, scores))
    }

    pub(super) fn class_count(&self) -> usize {
        self.sums.class_count()
    }

    /// See [`LabelSources::locate`].
    pub(super) fn locate(&self, crop: UnitBox, hidden: Option<UnitBox>, located: &mut CropSources) {
        self.sources.locate(crop, hidden, located);
    }

    /// Computes the scores of one source.
    ///
    /// # Errors
    /// See [`SourcePooler::ingredients`].
    pub(super) fn pool(
        &mut self,
        labels: &ImageLabels,
        source: &CropSource,
        scores: &mut SourceScores,
    ) -> Result<(), PoolError> {
        let tile = |number| labels.tiles.get(number).ok_or(PoolError::MissingLabels("labels of the tiles"));
        match (source.label, source.tile) {
            (SourceLabel::Map(region), None) => {
                let map = labels.map.as_ref().ok_or(PoolError::MissingLabels("label map"))?;
                self.pool_map(map, region, scores)
            }
            (SourceLabel::Map(region), Some(number)) => {
                let map = tile(number)?.map.as_ref().ok_or(PoolError::MissingLabels("label maps of the tiles"))?;
                self.pool_map(map, region, scores)
            }
            (SourceLabel::Prediction, None) => scores.set_prediction(&labels.prediction, self.class_count()),
            (SourceLabel::Prediction, Some(number)) => {
                scores.set_prediction(&tile(number)?.prediction, self.class_count())
            }
        }
    }

    fn pool_map(&mut self, map: &LabelMap, region: MapRegion, scores: &mut SourceScores) -> Result<(), PoolError> {
        let [y, x] = AxisSamples::of_box(region.unit_box, map.size());
        let fill = Fill::Constant(0.0);
        match region.hidden {
            None => {
                let (y, x) = (y.part_weights(0), x.part_weights(0));
                self.sums.add_map(map, &CellWeights::product(&y, &x), fill)?;
            }
            Some(hidden) => self.sums.add_map(map, &CellWeights::visible(&y, &x, hidden), fill)?,
        }
        scores.set(self.sums.class_scores());
        self.sums.clear();
        Ok(())
    }
}
