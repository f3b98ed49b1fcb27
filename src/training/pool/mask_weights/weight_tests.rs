use proptest::prelude::*;

use super::super::pixel_mask::PixelOrder;
use super::*;

/// A mask in row order.
#[derive(Clone, Debug)]
struct Pixels {
    size: MaskSize,
    values: Vec<u8>,
}

impl Pixels {
    fn new(height: usize, width: usize, is_inside: impl Fn(usize, usize) -> bool) -> Self {
        let size = MaskSize::new(height, width).unwrap();
        let values = (0..height * width).map(|at| u8::from(is_inside(at / width, at % width)) * 255).collect();
        Self { size, values }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        f64::from(u8::from(self.values[row * self.size.width_pixels() + column] != 0))
    }

    fn columns(&self) -> Vec<u8> {
        let (height, width) = (self.size.height_pixels(), self.size.width_pixels());
        (0..width).flat_map(|column| (0..height).map(move |row| self.values[row * width + column])).collect()
    }

    fn rle(&self) -> CocoRle {
        let mut counts = vec![0_i64];
        for value in self.columns() {
            // Even positions are outside.
            if (value != 0) == (counts.len() % 2 == 1) {
                counts.push(0);
            }
            *counts.last_mut().unwrap() += 1;
        }
        CocoRle::from_counts(self.size, &counts).unwrap()
    }

    fn weights(&self, size: MapSize, resize: MaskResize) -> MaskWeights {
        let mask = PixelMask::new(self.size, &self.values, PixelOrder::Rows).unwrap();
        MaskWeights::from_pixels(&mask, size, resize)
    }
}

fn cells(height: usize, width: usize) -> MapSize {
    MapSize::new(height, width).unwrap()
}

fn assert_close(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    let worst = found.iter().zip(wanted).map(|(found, wanted)| (found - wanted).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-12, "{worst}: {found:?} instead of {wanted:?}");
}

fn normalised(values: Vec<f64>) -> Vec<f64> {
    let total: f64 = values.iter().sum();
    values.into_iter().map(|value| value / total).collect()
}

/// The fraction of each cell that is covered, pixel by pixel.
fn covered(mask: &Pixels, size: MapSize) -> Vec<f64> {
    let overlap = |cell: usize, cells: usize, pixel: usize, pixels: usize| {
        let (cells, pixels) = (cells as f64, pixels as f64);
        let [low, high] = [cell, cell + 1].map(|side| side as f64 / cells);
        (high.min((pixel as f64 + 1.0) / pixels) - low.max(pixel as f64 / pixels)).max(0.0)
    };
    let (height, width) = (mask.size.height_pixels(), mask.size.width_pixels());
    let mut values = vec![0.0; size.cells()];
    for (at, value) in values.iter_mut().enumerate() {
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
            *value += mask.at(row, column)
                * overlap(at / size.width_cells(), size.height_cells(), row, height)
                * overlap(at % size.width_cells(), size.width_cells(), column, width);
        }
    }
    normalised(values)
}

/// The mask at the centre of each cell, between pixels that repeat beyond the edge.
fn sampled(mask: &Pixels, size: MapSize) -> Vec<f64> {
    let (height, width) = (mask.size.height_pixels() as f64, mask.size.width_pixels() as f64);
    let values = (0..size.cells()).map(|at| {
        let y = ((at / size.width_cells()) as f64 + 0.5) * height / size.height_cells() as f64 - 0.5;
        let x = ((at % size.width_cells()) as f64 + 0.5) * width / size.width_cells() as f64 - 0.5;
        let pixel = |dy: f64, dx: f64| {
            let row = (y.floor() + dy).clamp(0.0, height - 1.0) as usize;
            mask.at(row, (x.floor() + dx).clamp(0.0, width - 1.0) as usize)
        };
        let (fy, fx) = (y - y.floor(), x - x.floor());
        (1.0 - fy) * ((1.0 - fx) * pixel(0.0, 0.0) + fx * pixel(0.0, 1.0))
            + fy * ((1.0 - fx) * pixel(1.0, 0.0) + fx * pixel(1.0, 1.0))
    });
    values.collect()
}

#[test]
fn a_full_mask_has_equal_weights() {
    for (height, width) in [(1, 1), (3, 2), (48, 64), (375, 500)] {
        let full = Pixels::new(height, width, |_, _| true);
        for size in [cells(1, 1), cells(7, 7), cells(15, 10)] {
            for resize in [MaskResize::Linear, MaskResize::Area] {
                let wanted = vec![1.0 / size.cells() as f64; size.cells()];
                assert_close(full.weights(size, resize).weights(), &wanted);
                assert_close(MaskWeights::from_coco_rle(&full.rle(), size, resize).weights(), &wanted);
            }
        }
    }
}

#[test]
fn a_box_on_the_borders_of_cells_has_the_weights_of_these_cells() {
    // Rows 1 and 2 and column 3 of 5x4 cells, each of 12x9 pixels.
    let mask = Pixels::new(60, 36, |row, column| (12..36).contains(&row) && column >= 27);
    let wanted: Vec<f64> = (0..20).map(|at| if [7, 11].contains(&at) { 0.5 } else { 0.0 }).collect();
    for resize in [MaskResize::Linear, MaskResize::Area] {
        assert_close(mask.weights(cells(5, 4), resize).weights(), &wanted);
        assert_close(MaskWeights::from_coco_rle(&mask.rle(), cells(5, 4), resize).weights(), &wanted);
    }
}

#[test]
fn a_mask_of_the_size_of_the_map_is_its_own_resize() {
    let mask = Pixels::new(7, 9, |row, column| (row * 9 + column) % 4 == 1);
    let wanted = normalised((0..63).map(|at| mask.at(at / 9, at % 9)).collect());
    for resize in [MaskResize::Linear, MaskResize::Area] {
        assert_close(mask.weights(cells(7, 9), resize).weights(), &wanted);
    }
}

#[test]
fn a_mask_between_all_centres_is_resized_by_area() {
    // The centres of 3 cells of 100 pixels are at 49.5, 149.5 and 249.5.
    let mask = Pixels::new(300, 300, |row, column| (95..105).contains(&row) && column == 10);
    let by_area = mask.weights(cells(3, 3), MaskResize::Area);
    assert_close(by_area.weights(), &[0.5, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(mask.weights(cells(3, 3), MaskResize::Linear), by_area);
    assert_eq!(MaskWeights::from_coco_rle(&mask.rle(), cells(3, 3), MaskResize::Linear), by_area);
}

#[test]
fn the_largest_mask_does_not_overflow() {
    let side = MaskSize::MAX_SIDE_PIXELS;
    let size = MaskSize::new(side, side).unwrap();
    let full = CocoRle::from_counts(size, &[0, (side * side) as i64]).unwrap();
    let weights = MaskWeights::from_coco_rle(&full, cells(1, 1), MaskResize::Area);
    assert_close(weights.weights(), &[1.0]);
    let strip = MaskSize::new(side, 1).unwrap();
    let full = CocoRle::from_counts(strip, &[0, side as i64]).unwrap();
    let largest = cells(MapSize::MAX_SIDE_CELLS, 1);
    assert_close(MaskWeights::from_coco_rle(&full, largest, MaskResize::Area).weights(), &vec![1.0 / 8192.0; 8192]);
}

#[test]
fn masks_of_pixels_need_their_pixels() {
    let size = MaskSize::new(2, 3).unwrap();
    let new = |pixels: &[u8]| PixelMask::new(size, pixels, PixelOrder::Rows).map(|_| ());
    assert_eq!(new(&[0; 6]), Err(crate::training::pool::MaskError::Empty));
    assert_eq!(new(&[1; 5]), Err(crate::training::pool::MaskError::PixelCount { found: 5, size }));
    let large = MaskSize::new(100, 100).unwrap();
    let mut last = vec![0; 10_000];
    last[9999] = 7;
    assert!(PixelMask::new(large, &last, PixelOrder::Columns).is_ok());
}

fn masks() -> impl Strategy<Value = Pixels> {
    (1..40_usize, 1..40_usize, any::<u64>(), 1..40_usize).prop_map(|(height, width, seed, run)| {
        // Long runs, and one pixel that is always inside.
        let bit =
            |at: usize| (seed.rotate_left((at / run) as u32 * 7) ^ (at / run) as u64).count_ones().is_multiple_of(3);
        Pixels::new(height, width, |row, column| bit(column * height + row) || (row, column) == (height / 2, width / 3))
    })
}

proptest! {
    #[test]
    fn weights_equal_brute_force(mask in masks(), height in 1..20_usize, width in 1..20_usize) {
        let size = cells(height, width);
        let area = covered(&mask, size);
        assert_close(mask.weights(size, MaskResize::Area).weights(), &area);
        let sampled = sampled(&mask, size);
        let is_missed = sampled.iter().sum::<f64>() < 1e-9;
        let wanted = if is_missed { area } else { normalised(sampled) };
        assert_close(mask.weights(size, MaskResize::Linear).weights(), &wanted);
    }

    #[test]
    fn the_encodings_of_a_mask_have_the_same_weights(mask in masks(), height in 1..20_usize, width in 1..20_usize) {
        let (columns, size) = (mask.columns(), cells(height, width));
        let by_columns = PixelMask::new(mask.size, &columns, PixelOrder::Columns).unwrap();
        for resize in [MaskResize::Linear, MaskResize::Area] {
            let weights = mask.weights(size, resize);
            prop_assert_eq!(&MaskWeights::from_coco_rle(&mask.rle(), size, resize), &weights);
            prop_assert_eq!(&MaskWeights::from_pixels(&by_columns, size, resize), &weights);
        }
    }
}
