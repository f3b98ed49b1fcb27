//! The pixel with the highest score, after a map is resized to its image.

use std::ops::Range;

/// Returns the pixel `[x, y]` with the highest score after the map is resized to an image of `width` by `height` pixels, as
/// `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` resizes it; the first in row order if several are
/// equal. `scores` are `[y, x]`, with rows of `columns` cells.
///
/// Between cell centres, interpolated scores have their maximum in a corner. So only pixels next to cell centres are
/// computed first, and then those rows between cell centres whose ends are within rounding of the maximum.
///
/// # Panics
/// Panics without cells or pixels.
#[must_use]
pub fn bilinear_maximum(scores: &[f32], columns: usize, [width, height]: [usize; 2]) -> [usize; 2] {
    let (x, y) = (Axis::new(columns, width), Axis::new(scores.len() / columns, height));
    let at = |px: usize, py: usize| {
        let (of_x, of_y) = (&x.pixels[px], &y.pixels[py]);
        let in_row = |row: usize| {
            let row = &scores[row * columns..];
            of_x.blend(row[of_x.below], row[of_x.above])
        };
        of_y.blend(in_row(of_y.below), in_row(of_y.above))
    };
    let ends = |of_x: &Range<usize>, py: usize| at(of_x.start, py).max(at(of_x.end - 1, py));
    let corners = |of_y: &Range<usize>, of_x: &Range<usize>| ends(of_x, of_y.start).max(ends(of_x, of_y.end - 1));
    let rectangles = || y.segments.iter().flat_map(|of_y| x.segments.iter().map(move |of_x| (of_y, of_x)));
    let highest: Vec<f32> = rectangles().map(|(of_y, of_x)| corners(of_y, of_x)).collect();
    let rounding = ROUNDING * scores.iter().fold(0.0, |largest: f32, score| largest.max(score.abs()));
    let limit = highest.iter().copied().fold(f32::NEG_INFINITY, f32::max) - rounding;
    let near = rectangles().zip(&highest).filter(|(_, highest)| **highest >= limit).map(|(rectangle, _)| rectangle);
    let mut best = (f32::NEG_INFINITY, 0, 0);
    for (of_y, of_x) in near {
        for py in of_y.clone().filter(|&py| ends(of_x, py) >= limit) {
            for px in of_x.clone() {
                let score = at(px, py);
                if score > best.0 || (score >= best.0 && (py, px) < (best.1, best.2)) {
                    best = (score, py, px);
                }
            }
        }
    }
    [best.2, best.1]
}

/// Upper limit of the rounding errors of a pixel, relative to the largest score.
const ROUNDING: f32 = 4e-6;

/// One axis of the image.
struct Axis {
    pixels: Vec<PixelWeights>,
    /// Consecutive pixels between the same two cell centres.
    segments: Vec<Range<usize>>,
}

/// The two cells next to a pixel, and their weights.
struct PixelWeights {
    below: usize,
    above: usize,
    below_weight: f32,
    above_weight: f32,
}

impl Axis {
    fn new(cells: usize, pixels: usize) -> Self {
        let scale = cells as f32 / pixels as f32;
        let weights = |pixel: usize| {
            let position = (scale * (pixel as f32 + 0.5) - 0.5).max(0.0);
            let below = (position as usize).min(cells - 1);
            let above_weight = (position - below as f32).clamp(0.0, 1.0);
            PixelWeights { below, above: (below + 1).min(cells - 1), below_weight: 1.0 - above_weight, above_weight }
        };
        let pixels: Vec<PixelWeights> = (0..pixels).map(weights).collect();
        let mut end = 0;
        let segments = pixels.chunk_by(|a, b| a.below == b.below).map(|segment| {
            let start = end;
            end += segment.len();
            start..end
        });
        let segments = segments.collect();
        Self { pixels, segments }
    }
}

impl PixelWeights {
    /// Rounds as PyTorch does on processors with fused multiply-add, where its compiler contracts the sum.
    fn blend(&self, below: f32, above: f32) -> f32 {
        below.mul_add(self.below_weight, above * self.above_weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_cell_is_found_at_its_centre() {
        // Pixels 2 and 3 of each axis are equally near to the centre of a cell of 6 pixels; the first one is returned.
        let mut scores = vec![0.0; 12];
        scores[6] = 1.0;
        assert_eq!(bilinear_maximum(&scores, 4, [24, 18]), [14, 8]);
        assert_eq!(bilinear_maximum(&scores, 4, [4, 3]), [2, 1]);
        assert_eq!(bilinear_maximum(&scores, 4, [20, 15]), [12, 7]);
    }

    #[test]
    fn the_edge_continues_the_nearest_cell() {
        // All pixels up to the centre of the first cell have its score, so the first pixel is the maximum.
        assert_eq!(bilinear_maximum(&[1.0, 0.0, 0.0, 0.0], 2, [100, 80]), [0, 0]);
        let [x, y] = bilinear_maximum(&[0.0, 0.0, 0.0, 1.0], 2, [100, 80]);
        assert_eq!([x, y], [75, 60]);
    }

    #[test]
    fn fewer_pixels_than_cells_skip_cells() {
        let scores: Vec<f32> = (0..64).map(|cell| if cell == 9 { 5.0 } else { (cell % 7) as f32 }).collect();
        assert_eq!(bilinear_maximum(&scores, 8, [1, 1]), [0, 0]);
        let [x, y] = bilinear_maximum(&scores, 8, [4, 4]);
        assert!(x < 4 && y < 4);
    }
}
