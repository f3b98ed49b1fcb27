//! How well boxes around the high scores of a map overlap with true boxes, at each threshold.

use super::class_scores::CellScores;
use super::contour_boxes::{ContourBoxes, LEVELS, SIDE};
use super::cubic_resize::cubic_resize;

/// Largest overlap (`IoU`) of any contour's box with any true box, at each of the 255 thresholds of a map with levels from 0
/// to 255. wsolevaluation's 1,000 thresholds differ only in these.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelOverlaps {
    by_threshold: Vec<f64>,
}

impl LevelOverlaps {
    /// The overlaps, by threshold: 0 to 254. Pixels above the threshold belong to objects.
    #[must_use]
    pub fn by_threshold(&self) -> &[f64] {
        &self.by_threshold
    }
}

/// Computes overlaps, and keeps buffers for the next map.
#[derive(Debug)]
pub struct OverlapScratch {
    contours: ContourBoxes,
    resized: Vec<f64>,
    image: Vec<u8>,
    /// Thresholds and boxes of the centred Gaussian.
    centre: Vec<(usize, [i32; 4])>,
}

impl Default for OverlapScratch {
    fn default() -> Self {
        Self::new()
    }
}

impl OverlapScratch {
    /// Creates buffers.
    #[must_use]
    pub fn new() -> Self {
        Self { contours: ContourBoxes::new(), resized: Vec::new(), image: Vec::new(), centre: Vec::new() }
    }

    /// Returns the overlaps of a map with true boxes in wsolevaluation's numbers ([`resized_box`]). As there: the map is
    /// resized with `OpenCV`'s bicubic filter and scaled to 0..1; a threshold without contours, and therefore a flat map, has
    /// the box `0, 0, 0, 0`.
    pub fn overlaps(&mut self, scores: &CellScores, true_boxes: &[[i32; 4]]) -> LevelOverlaps {
        cubic_resize(&scores.scores, scores.size.width_cells(), SIDE, &mut self.resized);
        set_levels(&mut self.image, &self.resized);
        let mut best = BestOverlaps::new(true_boxes);
        self.contours.visit(&self.image, |threshold, contour| best.add(threshold, contour));
        best.finish()
    }

    /// Returns the overlaps of the centre baseline: an isotropic Gaussian around the centre instead of a map. Its contours
    /// are centred squares of every size, so its width does not matter.
    pub fn centre_overlaps(&mut self, true_boxes: &[[i32; 4]]) -> LevelOverlaps {
        if self.centre.is_empty() {
            set_levels(&mut self.image, &centred_gaussian());
            self.contours.visit(&self.image, |threshold, contour| self.centre.push((threshold, contour)));
        }
        let mut best = BestOverlaps::new(true_boxes);
        self.centre.iter().for_each(|&(threshold, contour)| best.add(threshold, contour));
        best.finish()
    }
}

/// Returns a true box, given as first and last pixels of an image of `width` by `height` pixels (`x0, y0, x1, y1`, both
/// inclusive), in the pixels of the resized map, rounded down.
#[must_use]
pub fn resized_box([x0, y0, x1, y1]: [f64; 4], [width, height]: [usize; 2]) -> [i32; 4] {
    let resized = |at: f64, side: usize| (at * SIDE as f64 / side as f64) as i32;
    [resized(x0, width), resized(y0, height), resized(x1, width), resized(y1, height)]
}

/// Scales scores to 0..1 and then to levels from 0 to 255, rounded down. Equal scores become 0.
fn set_levels(image: &mut Vec<u8>, scores: &[f64]) {
    let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let range = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max) - lowest;
    image.clear();
    if range > 0.0 {
        image.extend(scores.iter().map(|score| ((score - lowest) / range * 255.0) as u8));
    } else {
        image.resize(scores.len(), 0);
    }
}

/// A Gaussian with a standard deviation of a quarter of the side: fine enough steps for levels, up to the corners.
fn centred_gaussian() -> Vec<f64> {
    let centre = (SIDE as f64 - 1.0) / 2.0;
    let deviation = SIDE as f64 / 4.0;
    let squared = |at: usize| ((at as f64 - centre) / deviation).powi(2);
    let row = |y: usize| (0..SIDE).map(move |x| (-(squared(x) + squared(y)) / 2.0).exp());
    (0..SIDE).flat_map(row).collect()
}

/// The largest overlap so far at each threshold; `None` without contours.
struct BestOverlaps<'a> {
    true_boxes: &'a [[i32; 4]],
    by_threshold: [Option<f64>; LEVELS],
}

impl<'a> BestOverlaps<'a> {
    fn new(true_boxes: &'a [[i32; 4]]) -> Self {
        Self { true_boxes, by_threshold: [None; LEVELS] }
    }

    fn add(&mut self, threshold: usize, contour: [i32; 4]) {
        let overlap = self.overlap(contour);
        let best = &mut self.by_threshold[threshold];
        *best = Some(best.map_or(overlap, |best| best.max(overlap)));
    }

    fn overlap(&self, contour: [i32; 4]) -> f64 {
        self.true_boxes.iter().map(|&true_box| intersection_over_union(contour, true_box)).fold(0.0, f64::max)
    }

    fn finish(self) -> LevelOverlaps {
        let without_contours = self.overlap([0; 4]);
        let by_threshold = self.by_threshold.iter().map(|best| best.unwrap_or(without_contours)).collect();
        LevelOverlaps { by_threshold }
    }
}

/// Sides count the pixel at their end, too.
fn intersection_over_union(a: [i32; 4], b: [i32; 4]) -> f64 {
    let area = |[x0, y0, x1, y1]: [i32; 4]| i64::from((x1 - x0 + 1).max(0)) * i64::from((y1 - y0 + 1).max(0));
    let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let union = area(a) + area(b) - shared;
    if union > 0 { shared as f64 / union as f64 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;

    fn map(scores: &[f32], columns: usize) -> CellScores {
        let size = MapSize::new(scores.len() / columns, columns).unwrap();
        CellScores { scores: scores.to_vec(), size, censored: 0, floor: 0.0 }
    }

    fn highest(overlaps: &LevelOverlaps) -> f64 {
        overlaps.by_threshold().iter().copied().fold(0.0, f64::max)
    }

    #[test]
    fn a_high_cell_overlaps_with_its_own_box() {
        let mut scratch = OverlapScratch::new();
        let mut scores = [0.0; 49];
        scores[2 * 7 + 5] = 8.0;
        let own = scratch.overlaps(&map(&scores, 7), &[[155, 59, 196, 100]]);
        assert!(highest(&own) > 0.9, "{}", highest(&own));
        assert!(own.by_threshold()[254] < 0.1, "a box around few pixels");
        let other = scratch.overlaps(&map(&scores, 7), &[[0, 150, 60, 220]]);
        assert!(highest(&other) < 0.1, "{}", highest(&other));
        let any = scratch.overlaps(&map(&scores, 7), &[[0, 150, 60, 220], [155, 59, 196, 100]]);
        let larger = |at: usize| own.by_threshold()[at].max(other.by_threshold()[at]);
        assert!(
            (0..LEVELS).all(|at| any.by_threshold()[at].total_cmp(&larger(at)).is_eq()),
            "one true box is sufficient"
        );
    }

    #[test]
    fn a_flat_map_overlaps_only_with_the_first_pixel() {
        let mut scratch = OverlapScratch::new();
        assert!(highest(&scratch.overlaps(&map(&[3.0; 9], 3), &[[5, 5, 200, 200]])).abs() < f64::EPSILON);
        assert!((highest(&scratch.overlaps(&map(&[3.0], 1), &[[0, 0, 1, 0]])) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_centre_has_squares_of_every_size() {
        let mut scratch = OverlapScratch::new();
        for margin in 0..100 {
            let square = [margin, margin, 223 - margin, 223 - margin];
            let best = highest(&scratch.centre_overlaps(&[square]));
            assert!(best > 0.9, "margin {margin}: {best}");
        }
    }

    #[test]
    fn boxes_are_resized_and_rounded_down() {
        assert_eq!(resized_box([111.0, 108.0, 441.0, 193.0], [500, 375]), [49, 64, 197, 115]);
        assert_eq!(resized_box([0.0, 0.0, 499.0, 374.0], [500, 375]), [0, 0, 223, 223]);
    }
}
