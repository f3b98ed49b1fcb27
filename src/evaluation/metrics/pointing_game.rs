//! The pointing game (Zhang et al., 2016; as in `TorchRay`): whether the highest score of a class is at an object of it.

use std::collections::BTreeMap;

/// Distance in pixels below which a point hits an object.
const TOLERANCE: f64 = 15.0;

/// Counts hits and misses for each class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointingGame {
    by_class: BTreeMap<u32, Hits>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hits {
    hits: usize,
    images: usize,
}

impl PointingGame {
    /// Adds the result for a class in one image.
    pub fn add(&mut self, class: u32, is_hit: bool) {
        let hits = self.by_class.entry(class).or_default();
        hits.hits += usize::from(is_hit);
        hits.images += 1;
    }

    /// Adds the results of another game.
    pub fn merge(&mut self, other: &Self) {
        for (&class, added) in &other.by_class {
            let hits = self.by_class.entry(class).or_default();
            hits.hits += added.hits;
            hits.images += added.images;
        }
    }

    /// Returns the mean over classes of the fraction of hits; 0 without any image.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        let accuracies = self.by_class.values().map(|hits| hits.hits as f64 / hits.images as f64);
        accuracies.sum::<f64>() / self.by_class.len().max(1) as f64
    }
}

/// Whether a point, in pixels, is less than 15 pixels from a pixel of a box. Boxes are `x0, y0, x1, y1`, half-open; a box with
/// a fractional side contains the pixels that it touches.
#[must_use]
pub fn hits_boxes([x, y]: [f64; 2], boxes: &[[f64; 4]]) -> bool {
    // Distance to the nearest of the pixels `from..to`.
    let distance = |at: f64, from: f64, to: f64| {
        let first = from.floor();
        let last = (to.ceil() - 1.0).max(first);
        (first - at).max(at - last).max(0.0)
    };
    let is_near = |&[x0, y0, x1, y1]: &[f64; 4]| {
        let (across, down) = (distance(x, x0, x1), distance(y, y0, y1));
        across * across + down * down < TOLERANCE * TOLERANCE
    };
    boxes.iter().any(is_near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tolerance_is_a_distance_below_15_pixels() {
        let boxes = [[100.0, 50.0, 120.0, 60.0]];
        let hits = |x: f64, y: f64| hits_boxes([x, y], &boxes);
        assert!(hits(110.0, 55.0));
        assert!(hits(86.0, 55.0) && !hits(85.0, 55.0), "pixel 100 is 14 and 15 pixels away");
        assert!(hits(133.0, 55.0) && !hits(134.0, 55.0), "the last pixel is 119");
        assert!(hits(91.0, 39.0) && !hits(91.0, 38.0), "9 and 11 pixels away, 9 and 12");
        assert!(!hits_boxes([0.0, 0.0], &[]));
    }

    #[test]
    fn every_class_counts_the_same() {
        let mut game = PointingGame::default();
        for is_hit in [true, true, false, true] {
            game.add(3, is_hit);
        }
        game.add(8, false);
        assert!((game.accuracy() - 0.375).abs() < 1e-12);
        let mut merged = PointingGame::default();
        merged.merge(&game);
        merged.add(8, true);
        assert!((merged.accuracy() - 0.625).abs() < 1e-12);
        assert!(PointingGame::default().accuracy().abs() < f64::EPSILON);
    }
}
