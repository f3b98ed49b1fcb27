//! Weights of a map's cells under a mask.

use std::ops::Range;

use super::coco_rle::CocoRle;
use super::mask_size::MaskSize;
use super::pixel_mask::PixelMask;
use crate::shared::geometry::MapSize;

/// How a mask is resized to the cells of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaskResize {
    /// Bilinear without antialiasing, as `cv2.resize` with `INTER_LINEAR`: a cell gets the value of the mask at its centre,
    /// between the four nearest pixels. This is the resize of MultiLabel-ImageNet (arXiv 2603.05729). A mask that is 0 at all
    /// centres, because it is smaller than a cell or thin, is resized as with [`MaskResize::Area`].
    #[default]
    Linear,
    /// The fraction of each cell that the mask covers.
    Area,
}

/// A mask resized to the cells of a map and divided by its sum: the weight of each cell in the mean over the mask.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskWeights {
    size: MapSize,
    /// `[y, x]`, with the sum 1.
    weights: Vec<f64>,
}

impl MaskWeights {
    /// Resizes a mask in COCO's run-length encoding.
    #[must_use]
    pub fn from_coco_rle(mask: &CocoRle, size: MapSize, resize: MaskResize) -> Self {
        Self::new(
            size,
            resize,
            |area: &mut CoveredArea| mask.for_each_rectangle(|rows, columns| area.add(rows, columns)),
            |rows: &[usize], columns: &[usize]| mask.pixels_at(rows, columns),
            mask.size(),
        )
    }

    /// Resizes a mask of pixels.
    #[must_use]
    pub fn from_pixels(mask: &PixelMask<'_>, size: MapSize, resize: MaskResize) -> Self {
        Self::new(
            size,
            resize,
            |area: &mut CoveredArea| mask.for_each_rectangle(|rows, columns| area.add(rows, columns)),
            |rows: &[usize], columns: &[usize]| mask.pixels_at(rows, columns),
            mask.size(),
        )
    }

    fn new(
        size: MapSize,
        resize: MaskResize,
        add_rectangles: impl FnOnce(&mut CoveredArea),
        pixels_at: impl FnOnce(&[usize], &[usize]) -> Vec<bool>,
        mask_size: MaskSize,
    ) -> Self {
        let linear = (resize == MaskResize::Linear).then(|| linear_values(mask_size, size, pixels_at));
        // Mean of 0 pixels: thin masks may lie between the centres.
        let values = linear.filter(|values| values.iter().any(|&value| value > 0.0)).unwrap_or_else(|| {
            let mut area = CoveredArea::new(mask_size, size);
            add_rectangles(&mut area);
            area.sums.iter().map(|&sum| sum as f64).collect()
        });
        let total: f64 = values.iter().sum();
        Self { size, weights: values.iter().map(|value| value / total).collect() }
    }

    /// Size of the map.
    #[must_use]
    pub fn size(&self) -> MapSize {
        self.size
    }

    /// Weights of the cells, `[y, x]`. Their sum is 1.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }
}

/// Returns the value of the mask at the centre of each cell, `[y, x]`, between the nearest pixels.
fn linear_values(mask: MaskSize, size: MapSize, pixels_at: impl FnOnce(&[usize], &[usize]) -> Vec<bool>) -> Vec<f64> {
    let y = CellCentres::new(mask.height_pixels(), size.height_cells());
    let x = CellCentres::new(mask.width_pixels(), size.width_cells());
    let pixels = pixels_at(&y.pixels, &x.pixels);
    let pixel = |row: usize, column: usize| f64::from(u8::from(pixels[column * y.pixels.len() + row]));
    let mut values = Vec::with_capacity(size.cells());
    for row in &y.centres {
        for column in &x.centres {
            let between = |row: usize| {
                pixel(row, column.before) * (1.0 - column.fraction) + pixel(row, column.after) * column.fraction
            };
            values.push(between(row.before) * (1.0 - row.fraction) + between(row.after) * row.fraction);
        }
    }
    values
}

/// The centres of cells between the pixels of one axis.
struct CellCentres {
    /// The pixels next to centres, in increasing order.
    pixels: Vec<usize>,
    centres: Vec<CellCentre>,
}

/// A centre between two pixels, which are given by their position in [`CellCentres::pixels`].
struct CellCentre {
    before: usize,
    after: usize,
    /// Weight of the pixel after it.
    fraction: f64,
}

impl CellCentres {
    fn new(pixel_count: usize, cell_count: usize) -> Self {
        let mut centres = Vec::with_capacity(cell_count);
        let mut pixels = Vec::with_capacity(2 * cell_count);
        for cell in 0..cell_count {
            // Centres of pixels are at integers. The order of the operations is that of OpenCV.
            let position = (cell as f64 + 0.5) / (cell_count as f64 / pixel_count as f64) - 0.5;
            let position = position.clamp(0.0, (pixel_count - 1) as f64);
            let before = position as usize;
            let after = (before + 1).min(pixel_count - 1);
            for pixel in [before, after] {
                if pixels.last().is_none_or(|&last| last < pixel) {
                    pixels.push(pixel);
                }
            }
            centres.push(CellCentre { before, after, fraction: position - before as f64 });
        }
        for centre in &mut centres {
            for pixel in [&mut centre.before, &mut centre.after] {
                *pixel = pixels.partition_point(|&other| other < *pixel);
            }
        }
        Self { pixels, centres }
    }
}

/// Area that rectangles of pixels cover in each cell, in units of one pixel of one cell. It is exact.
struct CoveredArea {
    mask: MaskSize,
    size: MapSize,
    /// `[y, x]`
    sums: Vec<u64>,
}

impl CoveredArea {
    fn new(mask: MaskSize, size: MapSize) -> Self {
        Self { mask, size, sums: vec![0; size.cells()] }
    }

    fn add(&mut self, rows: Range<usize>, columns: Range<usize>) {
        let width = self.size.width_cells();
        for (y, height_in_cell) in overlaps(rows, self.mask.height_pixels(), self.size.height_cells()) {
            for (x, width_in_cell) in overlaps(columns.clone(), self.mask.width_pixels(), width) {
                self.sums[y * width + x] += height_in_cell * width_in_cell;
            }
        }
    }
}

/// Returns the cells that a range of pixels overlaps, and the lengths of the overlaps. The axis has the length
/// `pixel_count * cell_count`.
fn overlaps(pixels: Range<usize>, pixel_count: usize, cell_count: usize) -> impl Iterator<Item = (usize, u64)> {
    let (start, end) = (pixels.start * cell_count, pixels.end * cell_count);
    let cells = start / pixel_count..end.div_ceil(pixel_count);
    cells.map(move |cell| (cell, (end.min((cell + 1) * pixel_count) - start.max(cell * pixel_count)) as u64))
}

#[cfg(test)]
mod weight_tests;
