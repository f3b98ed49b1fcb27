//! Localization of the classes of boxes: all figures of one truth.

use serde::{Deserialize, Serialize};

use super::bilinear_maximum::bilinear_maximum;
use super::box_accuracy::{BoxAccuracy, BoxEvaluator, BoxHits};
use super::class_scores::class_scores;
use super::level_overlaps::{OverlapScratch, resized_box};
use super::pointing_game::{PointingGame, hits_boxes};
use crate::shared::label_map::LabelMap;

/// Figures about boxes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalizationFigures {
    /// Number of compared images; an image with boxes of several classes counts once for each.
    pub images: usize,
    /// Number of true boxes in them.
    pub boxes: usize,
    /// Fraction of compared images for which no cell has the class of the boxes.
    pub censored_images: f64,
    /// Fraction of their cells that do not have it.
    pub censored_cells: f64,
    /// Score of a cell that does not have the class: at most this.
    pub floor: f64,
    /// Pointing game, 15 pixels of tolerance, mean over classes.
    pub pointing_game: f64,
    /// The same for the centre of the image.
    pub pointing_game_centre: f64,
    /// `MaxBoxAccV2` of the map.
    pub max_box_acc_v2: BoxAccuracy,
    /// `MaxBoxAccV2` of a centred box.
    pub centre_box: BoxAccuracy,
}

/// True boxes of one class in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectBoxes {
    /// The class.
    pub class: u32,
    /// Width and height of the image, in pixels.
    pub image: [usize; 2],
    /// The boxes: `x0, y0, x1, y1` in pixels, half-open, inside the image.
    pub boxes: Vec<[f64; 4]>,
}

/// How well the map of one class locates its objects in one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalizedImage {
    class: u32,
    boxes: usize,
    cells: usize,
    censored: usize,
    points: bool,
    centre_points: bool,
    hits: BoxHits,
    centre_hits: BoxHits,
}

/// Compares the map of a class with its true boxes. A flat map, such as that of a class that no cell has, does not point at
/// anything.
pub fn localize(scratch: &mut OverlapScratch, map: &LabelMap, objects: &ObjectBoxes) -> LocalizedImage {
    let scores = class_scores(map, objects.class);
    let point = || bilinear_maximum(&scores.scores, scores.size.width_cells(), objects.image);
    // wsolevaluation's boxes end with their last pixel.
    let last_pixels = |&[x0, y0, x1, y1]: &[f64; 4]| [x0, y0, (x1 - 1.0).max(x0), (y1 - 1.0).max(y0)];
    let true_boxes: Vec<[i32; 4]> =
        objects.boxes.iter().map(|object| resized_box(last_pixels(object), objects.image)).collect();
    LocalizedImage {
        class: objects.class,
        boxes: objects.boxes.len(),
        cells: scores.size.cells(),
        censored: scores.censored,
        points: !scores.is_flat() && hits_boxes(point().map(|at| at as f64), &objects.boxes),
        centre_points: hits_boxes(objects.image.map(|side| side as f64 / 2.0), &objects.boxes),
        hits: (&scratch.overlaps(&scores, &true_boxes)).into(),
        centre_hits: (&scratch.centre_overlaps(&true_boxes)).into(),
    }
}

/// Computes the figures of many images. The result does not depend on their order.
#[derive(Clone, Debug, Default)]
pub struct LocalizationAccumulator {
    images: usize,
    boxes: usize,
    cells: usize,
    censored_images: usize,
    censored_cells: usize,
    pointing_game: PointingGame,
    pointing_game_centre: PointingGame,
    map: BoxEvaluator,
    centre: BoxEvaluator,
}

impl LocalizationAccumulator {
    /// Adds an image.
    pub fn add(&mut self, image: &LocalizedImage) {
        self.images += 1;
        self.boxes += image.boxes;
        self.cells += image.cells;
        self.censored_images += usize::from(image.censored == image.cells);
        self.censored_cells += image.censored;
        self.pointing_game.add(image.class, image.points);
        self.pointing_game_centre.add(image.class, image.centre_points);
        self.map.add(&image.hits);
        self.centre.add(&image.centre_hits);
    }

    /// Returns the figures; `None` without images.
    #[must_use]
    pub fn finish(&self) -> Option<LocalizationFigures> {
        let fraction = |part: usize, all: usize| part as f64 / all as f64;
        (self.images > 0).then(|| LocalizationFigures {
            images: self.images,
            boxes: self.boxes,
            censored_images: fraction(self.censored_images, self.images),
            censored_cells: fraction(self.censored_cells, self.cells),
            floor: 0.0,
            pointing_game: self.pointing_game.accuracy(),
            pointing_game_centre: self.pointing_game_centre.accuracy(),
            max_box_acc_v2: self.map.accuracy(),
            centre_box: self.centre.accuracy(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::ScoreRounding;

    #[test]
    fn a_class_that_no_cell_has_is_a_miss() {
        let size = MapSize::new(2, 2).unwrap();
        let map = LabelMap::from_cells(&[1.0, 1.0, 9.0, 1.0], &[5, 5, 6, 5], 1, size, ScoreRounding::Float16).unwrap();
        let mut scratch = OverlapScratch::new();
        let mut accumulator = LocalizationAccumulator::default();
        assert_eq!(accumulator.finish(), None);
        let upper_left = vec![[0.0, 0.0, 25.0, 25.0]];
        let lower_left = vec![[0.0, 30.0, 30.0, 60.0]];
        for (class, boxes) in [(6, lower_left), (7, upper_left)] {
            accumulator.add(&localize(&mut scratch, &map, &ObjectBoxes { class, image: [60, 60], boxes }));
        }
        let figures = accumulator.finish().unwrap();
        assert_eq!((figures.images, figures.boxes), (2, 2));
        assert!((figures.censored_images - 0.5).abs() < 1e-12);
        assert!((figures.censored_cells - 7.0 / 8.0).abs() < 1e-12);
        assert!((figures.pointing_game - 0.5).abs() < 1e-12);
        assert!((figures.pointing_game_centre - 1.0).abs() < 1e-12, "the centre is near to both boxes");
        assert!((figures.max_box_acc_v2.at_iou[0] - 0.5).abs() < 1e-12, "{figures:?}");
    }
}
