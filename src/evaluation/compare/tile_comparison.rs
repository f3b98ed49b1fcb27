//! Comparison of the predictions for the tiles that two stores have in common.

use super::same_bits::{has_same_bits, is_same_prediction};
use super::target_distance::{TargetDistance, target_from_prediction};
use crate::shared::label_map::{ImageLabels, TileLabels};
use crate::shared::tiles::Tiles;

/// Positions of each tile that two stores have in common, in the order of the first store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CommonTiles {
    pairs: Vec<(usize, usize)>,
}

/// Comparison of the predictions for the common tiles of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TileFigures {
    /// Fraction of tiles with the same best class.
    pub same_best: f32,
    /// Mean total variation distance.
    pub mean_distance: f32,
    /// Largest total variation distance.
    pub max_distance: f32,
}

impl CommonTiles {
    /// Finds the tiles with the same box.
    pub(super) fn new(a: Option<&Tiles>, b: Option<&Tiles>) -> Self {
        let (Some(a), Some(b)) = (a, b) else { return Self::default() };
        let pair = |(at, tile)| Some((at, b.boxes().iter().position(|there| there == tile)?));
        Self { pairs: a.boxes().iter().enumerate().filter_map(pair).collect() }
    }

    /// Number of common tiles.
    pub(super) fn count(&self) -> usize {
        self.pairs.len()
    }

    /// Returns whether the labels of all common tiles have the same bits. Label maps are compared if both stores have them.
    pub(super) fn are_identical(&self, a: &ImageLabels, b: &ImageLabels) -> bool {
        self.labels(a, b).all(|(a, b)| {
            let is_same_map = match (&a.map, &b.map) {
                (Some(a), Some(b)) => has_same_bits(a, b),
                _ => true,
            };
            is_same_map && is_same_prediction(&a.prediction, &b.prediction)
        })
    }

    /// Compares the predictions for the common tiles; `None` if there are none.
    pub(super) fn compare(
        &self,
        a: &ImageLabels,
        b: &ImageLabels,
        distance: &mut TargetDistance,
    ) -> Option<TileFigures> {
        let (mut same_best, mut sum, mut max) = (0, 0.0, 0.0_f64);
        for (a, b) in self.labels(a, b) {
            same_best += usize::from(a.prediction.classes().first() == b.prediction.classes().first());
            let (a, b) = (target_from_prediction(&a.prediction), target_from_prediction(&b.prediction));
            let of_tile = distance.total_variation(&a, &b);
            sum += of_tile;
            max = max.max(of_tile);
        }
        let count = self.count() as f64;
        (self.count() > 0).then(|| TileFigures {
            same_best: (same_best as f64 / count) as f32,
            mean_distance: (sum / count) as f32,
            max_distance: max as f32,
        })
    }

    /// A reader returns the labels of all tiles of its store.
    fn labels<'a>(
        &'a self,
        a: &'a ImageLabels,
        b: &'a ImageLabels,
    ) -> impl Iterator<Item = (&'a TileLabels, &'a TileLabels)> {
        self.pairs.iter().filter_map(|&(in_a, in_b)| Some((a.tiles.get(in_a)?, b.tiles.get(in_b)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::label_map::ImagePrediction;
    use crate::shared::tiles::Covering;

    fn labels(classes: &[i32]) -> ImageLabels {
        let prediction = |class: i32| ImagePrediction::from_ranks(&[0.75], &[class]).unwrap();
        let tile = |&class: &i32| TileLabels { prediction: prediction(class), map: None };
        ImageLabels { map: None, prediction: prediction(0), tiles: classes.iter().map(tile).collect() }
    }

    #[test]
    fn tiles_with_the_same_box_are_compared() {
        let tiles = |covering: Covering| Tiles::new(covering.name().into(), covering.boxes(), 1, false).unwrap();
        let common = CommonTiles::new(Some(&tiles(Covering::Five)), Some(&tiles(Covering::Nine)));
        assert_eq!(common.pairs, [(0, 0), (1, 2), (2, 6), (3, 8), (4, 4)]);
        let (five, nine) = (labels(&[1, 2, 3, 4, 5]), labels(&[1, 0, 2, 0, 5, 0, 3, 0, 7]));
        let found = common.compare(&five, &nine, &mut TargetDistance::new(8)).unwrap();
        assert!((found.same_best - 0.8).abs() < 1e-6 && found.max_distance > 0.7, "{found:?}");
        assert!(!common.are_identical(&five, &nine));
        assert!(common.are_identical(&five, &labels(&[1, 0, 2, 0, 5, 0, 3, 0, 4])));
        let none = CommonTiles::new(Some(&tiles(Covering::Five)), None);
        assert_eq!(none.compare(&five, &labels(&[]), &mut TargetDistance::new(8)), None);
    }
}
