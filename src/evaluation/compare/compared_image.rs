//! Comparison of the labels of one image.

use std::cmp::Ordering;

use super::cell_figures::{CellComparer, CellFigures};
use super::difference_histogram::DifferenceHistogram;
use super::same_bits::{has_same_bits, is_same_prediction};
use super::target_distance::{TargetDistance, target_from_prediction};
use super::tile_comparison::{CommonTiles, TileFigures};
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::{ImageLabels, LabelMap};
use crate::training::pool::{PoolError, PoolOptions, Pooler};

/// Comparison of one image. Its id and folder stay in the manifest, as a data set can have millions of images.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparedImage {
    /// Row in the first store.
    pub row_a: usize,
    /// Row in the second store.
    pub row_b: usize,
    /// Whether all scores, classes and probabilities that both stores have are the same bits.
    pub is_identical: bool,
    /// Comparison of the cells; `None` if the maps have different sizes.
    pub cells: Option<CellFigures>,
    /// Whether the best class of the prediction is the same.
    pub same_prediction: bool,
    /// Total variation distance of the predictions.
    pub prediction_distance: f32,
    /// Comparison of the targets of random crops.
    pub crops: CropFigures,
    /// Comparison of the predictions for tiles; `None` if the stores have no tiles in common.
    pub tiles: Option<TileFigures>,
    /// Hash of the classes of the first map, to find the image whose map this is.
    pub(super) fingerprint: u64,
}

/// Comparison of the targets of the random crops of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropFigures {
    /// Fraction of crops whose target has the same best class.
    pub same_best: f32,
    /// Mean total variation distance.
    pub mean_distance: f32,
    /// Largest total variation distance.
    pub max_distance: f32,
}

impl ComparedImage {
    /// Fraction of cells with the same best class. If the maps have different sizes: fraction of crops whose target has the
    /// same best class.
    #[must_use]
    pub fn agreement(&self) -> f64 {
        self.cells.map_or(f64::from(self.crops.same_best), |cells| cells.same_best_share())
    }

    /// Orders images for a comparison: lowest agreement first, then the largest distance of targets, then by row. Identical
    /// images come last.
    #[must_use]
    pub fn by_agreement(&self, other: &Self) -> Ordering {
        self.agreement()
            .total_cmp(&other.agreement())
            .then(other.crops.mean_distance.total_cmp(&self.crops.mean_distance))
            .then(self.is_identical.cmp(&other.is_identical))
            .then(self.row_a.cmp(&other.row_a))
    }
}

/// Differences of many images.
#[derive(Debug, Default)]
pub(super) struct DifferenceTotals {
    /// Of the scores of classes that both maps keep in a cell.
    pub(super) scores: DifferenceHistogram,
    /// Total variation distances of the targets of crops.
    pub(super) targets: DifferenceHistogram,
}

impl DifferenceTotals {
    /// Adds other differences, and clears them.
    pub(super) fn take(&mut self, other: &mut Self) {
        self.scores.take(&mut other.scores);
        self.targets.take(&mut other.targets);
    }
}

/// Compares images one by one; use one per thread.
pub(super) struct ImageComparer<'a> {
    cells: CellComparer,
    pooler: Pooler,
    distance: TargetDistance,
    crops: &'a [UnitBox],
    tiles: &'a CommonTiles,
    /// Differences since the caller last took them.
    pub(super) totals: DifferenceTotals,
}

impl<'a> ImageComparer<'a> {
    /// Creates a comparer for teachers with `class_count` classes. `crops` is not empty.
    pub(super) fn new(class_count: usize, crops: &'a [UnitBox], tiles: &'a CommonTiles) -> Self {
        Self {
            cells: CellComparer::new(class_count),
            pooler: Pooler::new(class_count, PoolOptions::default()),
            distance: TargetDistance::new(class_count),
            crops,
            tiles,
            totals: DifferenceTotals::default(),
        }
    }

    /// Compares the labels of one image, which is in these rows.
    pub(super) fn compare(
        &mut self,
        (row_a, a): (usize, &ImageLabels),
        (row_b, b): (usize, &ImageLabels),
    ) -> Result<ComparedImage, PoolError> {
        let (a_map, b_map) = (a.label_map()?, b.label_map()?);
        let is_same_map = has_same_bits(a_map, b_map);
        let cells = if is_same_map {
            let figures = CellFigures::of_copy(a_map);
            self.totals.scores.add_zeros(u64::from(figures.shared));
            Some(figures)
        } else if a_map.size() == b_map.size() {
            Some(self.cells.compare(a_map, b_map, &mut self.totals.scores))
        } else {
            None
        };
        let (a_target, b_target) = (target_from_prediction(&a.prediction), target_from_prediction(&b.prediction));
        Ok(ComparedImage {
            row_a,
            row_b,
            is_identical: is_same_map
                && is_same_prediction(&a.prediction, &b.prediction)
                && self.tiles.are_identical(a, b),
            cells,
            same_prediction: a.prediction.classes().first() == b.prediction.classes().first(),
            prediction_distance: self.distance.total_variation(&a_target, &b_target) as f32,
            crops: self.compare_crops(a_map, b_map, is_same_map)?,
            tiles: self.tiles.compare(a, b, &mut self.distance),
            fingerprint: fingerprint(a_map),
        })
    }

    fn compare_crops(&mut self, a: &LabelMap, b: &LabelMap, is_same_map: bool) -> Result<CropFigures, PoolError> {
        if is_same_map {
            self.totals.targets.add_zeros(self.crops.len() as u64);
            return Ok(CropFigures { same_best: 1.0, mean_distance: 0.0, max_distance: 0.0 });
        }
        let (mut same_best, mut sum, mut max) = (0, 0.0, 0.0_f64);
        for &unit_box in self.crops {
            // The default pooling has one output, and so one target.
            let a = self.pooler.pool_sparse(a, Crop::from(unit_box))?.swap_remove(0);
            let b = self.pooler.pool_sparse(b, Crop::from(unit_box))?.swap_remove(0);
            same_best += usize::from(a.classes.first() == b.classes.first());
            let distance = self.distance.total_variation(&a, &b);
            self.totals.targets.add(distance);
            sum += distance;
            max = max.max(distance);
        }
        let count = self.crops.len().max(1) as f64;
        Ok(CropFigures {
            same_best: (same_best as f64 / count) as f32,
            mean_distance: (sum / count) as f32,
            max_distance: max as f32,
        })
    }
}

/// Returns a hash of the classes of all cells and ranks (FNV-1a by class id).
pub(super) fn fingerprint(map: &LabelMap) -> u64 {
    let mix = |hash: u64, class: &u32| (hash ^ u64::from(*class)).wrapping_mul(0x0100_0000_01b3);
    map.cell_classes().iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::{ImagePrediction, ScoreRounding};

    fn labels(height: usize, classes: &[i32]) -> ImageLabels {
        let size = MapSize::new(height, classes.len() / height).unwrap();
        let map = LabelMap::from_cells(&vec![9.0; classes.len()], classes, 1, size, ScoreRounding::Float16).unwrap();
        ImageLabels::new(map, ImagePrediction::from_ranks(&[0.75], &classes[..1]).unwrap())
    }

    #[test]
    fn equal_labels_are_identical_and_others_are_measured() {
        let crops = [UnitBox::WHOLE, UnitBox::new(0.0, 0.0, 0.4, 1.0).unwrap()];
        let none = CommonTiles::default();
        let mut comparer = ImageComparer::new(10, &crops, &none);
        let (a, b) = (labels(2, &[1, 2, 1, 2]), labels(2, &[1, 3, 1, 3]));
        let same = comparer.compare((0, &a), (4, &a.clone())).unwrap();
        assert!(same.is_identical && same.row_b == 4 && (same.agreement() - 1.0).abs() < 1e-9);
        assert_eq!((comparer.totals.scores.count(), comparer.totals.targets.count()), (4, 2));
        let other = comparer.compare((1, &a), (1, &b)).unwrap();
        assert!(!other.is_identical && other.same_prediction && other.prediction_distance.abs() < 1e-6);
        assert_eq!((other.agreement(), other.crops.same_best), (0.5, 1.0));
        // One of two classes differs in the target of the full image; the left crop is the same.
        let prob = 4.5_f64.exp() / (2.0 * 4.5_f64.exp() + 8.0);
        let share = 1.0 / (2.0 * 4.5_f64.exp() + 8.0);
        assert!((f64::from(other.crops.max_distance) - (prob - share)).abs() < 1e-6, "{:?}", other.crops);
        assert!((other.crops.mean_distance * 2.0 - other.crops.max_distance).abs() < 1e-6);
        assert_eq!(same.by_agreement(&other), Ordering::Greater);
    }

    #[test]
    fn maps_of_different_sizes_are_compared_by_targets() {
        let crops = [UnitBox::WHOLE];
        let none = CommonTiles::default();
        let image = ImageComparer::new(10, &crops, &none)
            .compare((0, &labels(2, &[1, 1, 1, 1])), (0, &labels(1, &[1])))
            .unwrap();
        assert_eq!((image.cells, image.agreement(), image.is_identical), (None, 1.0, false));
        assert!(image.crops.max_distance < 1e-6);
    }
}
