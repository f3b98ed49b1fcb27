//! Probes which features respond when a patch of a photograph changes.
//!
//! If cells correspond to image positions, the cell that responds most is at the patch. Some tokens respond to every change,
//! so each cell is compared with its own usual response.

use std::fmt;

use crate::labelling::teacher::PixelBatch;
use crate::shared::error::Error;
use crate::shared::geometry::MapSize;
use crate::shared::random::SplitMix64;

/// Responses of cells to changed patches.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeResult {
    /// Number of photographs.
    pub photographs: usize,
    /// Number of patches changed in all photographs.
    pub patches: usize,
    /// Correlation of the row of the patch with the row that responded most, then of columns; `None` if there is only one row
    /// or column.
    pub along: [Option<f32>; 2],
    /// Correlation of the row of the patch with the column that responded most, and vice versa.
    pub across: [Option<f32>; 2],
    /// Fraction of patches whose own cell or a neighbour responded most.
    pub near: f32,
    /// Mean offset of the responding cell from its patch, down and to the right, in cells, over responses in the same cell or
    /// a neighbour. About 1 for a map that is shifted by one cell.
    pub shift: [f32; 2],
    /// Row and column of a patch and of a responding cell far from it.
    pub example: Option<([usize; 2], [usize; 2])>,
}

impl ProbeResult {
    /// Largest number of photographs.
    pub const PHOTOGRAPHS: usize = 4;
    /// Smallest accepted `along`. Good teachers reach 0.99 to 1.00, scrambled ones at most 0.83 along one of their axes.
    pub const MIN_ALONG: f32 = 0.9;
    /// Largest accepted `across`. 64 random positions reach 0.25 once in fifty times.
    pub const MAX_ACROSS: f32 = 0.4;
    /// Smallest accepted `near`, which detects maps that are scrambled in small blocks.
    pub const MIN_NEAR: f32 = 0.7;
    /// Largest accepted `shift`. Strides and paddings of convolutions shift responses by about half a cell.
    pub const MAX_SHIFT: f32 = 0.75;

    /// Whether the responses show that cells correspond to image positions.
    #[must_use]
    pub fn passes(&self) -> bool {
        let along = self.along.iter().flatten().all(|&value| value >= Self::MIN_ALONG);
        let across = self.across.iter().flatten().all(|&value| value.abs() <= Self::MAX_ACROSS);
        along && across && self.near >= Self::MIN_NEAR && !self.is_shifted()
    }

    fn is_shifted(&self) -> bool {
        self.shift.iter().any(|shift| shift.abs() > Self::MAX_SHIFT)
    }

    /// Whether more photographs are unnecessary.
    pub(super) fn is_clear(&self) -> bool {
        self.passes() && self.along.iter().flatten().all(|&value| value >= 0.97) && self.near >= 0.9
    }

    /// Describes the responses and where they contradict the map.
    pub(super) fn explain_failure(&self, size: MapSize) -> String {
        if self.is_shifted() {
            let [down, right] = self.shift;
            return format!(
                "{self}; the responding cells are {down:.1} rows below and {right:.1} columns right of the patch on average"
            );
        }
        let Some((patch, response)) = self.example else { return self.to_string() };
        format!("{self}; a change at the {} affected cells at the {}", region(patch, size), region(response, size))
    }
}

impl fmt::Display for ProbeResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: Option<f32>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        write!(
            f,
            "for {} of {} patches changed in {} photographs, the cell of the patch or a neighbour responded most (correlation \
             of rows {}, columns {}, rows with columns {} and {})",
            (self.near * self.patches as f32).round(),
            self.patches,
            self.photographs,
            value(self.along[0]),
            value(self.along[1]),
            value(self.across[0]),
            value(self.across[1]),
        )
    }
}

fn region([row, column]: [usize; 2], size: MapSize) -> String {
    let third = |at: usize, count: usize, names: [&'static str; 3]| names[(at * 3 / count.max(1)).min(2)];
    let (down, across) = (
        third(row, size.height_cells(), ["upper", "middle", "lower"]),
        third(column, size.width_cells(), ["left", "middle", "right"]),
    );
    if down == across { "middle".to_owned() } else { format!("{down} {across}") }
}

/// Changes patches of the photographs. `features_of` returns the features of a batch as `[image, cell, channel]`, for at most
/// `batch_images` images, or for exactly as many if `fills_batch`.
pub(super) fn probe(
    photographs: &PixelBatch,
    size: MapSize,
    batch_images: usize,
    fills_batch: bool,
    features_of: &mut dyn FnMut(&PixelBatch) -> Result<Vec<f32>, Error>,
) -> Result<ProbeResult, Error> {
    let mut random = SplitMix64::new(0x7061_7463_6865_7300);
    let images = photographs.images();
    let mut responses = Vec::new();
    for image in 0..images {
        let original = photographs.slice(image, 1);
        let patches = patches(size, &mut random);
        let changed: Vec<Vec<u8>> = patches.iter().map(|&cell| with_patch(&original, size, cell)).collect();
        let all: Vec<&[u8]> = std::iter::once(original.data()).chain(changed.iter().map(Vec::as_slice)).collect();
        let mut features = Vec::new();
        for some in all.chunks(batch_images.max(1)) {
            let mut data = some.concat();
            // A fixed batch is padded with its last image.
            for _ in some.len()..if fills_batch { batch_images } else { 0 } {
                data.extend_from_slice(some[some.len() - 1]);
            }
            let images = data.len() / original.data().len();
            let batch = features_of(&PixelBatch::new(images, original.size(), data))?;
            features.extend_from_slice(&batch[..batch.len() / images * some.len()]);
        }
        let (unchanged, changed) = features.split_at(features.len() / all.len());
        let distances: Vec<Vec<f32>> = changed
            .chunks_exact(unchanged.len())
            .map(|features| cell_distances(unchanged, features, size.cells()))
            .collect();
        responses.extend(patches.into_iter().zip(strongest(&distances)));
    }
    Ok(evaluate(&responses, size, images))
}

/// Returns one random cell from each of 4 x 4 parts of the map, or of fewer parts of a smaller map.
fn patches(size: MapSize, random: &mut SplitMix64) -> Vec<usize> {
    let parts = |count: usize| count.min(4);
    let (down, across) = (parts(size.height_cells()), parts(size.width_cells()));
    let mut pick = |part: usize, parts: usize, count: usize| {
        let (first, end) = (part * count / parts, (part + 1) * count / parts);
        first + (random.next_u64() % (end - first).max(1) as u64) as usize
    };
    let mut cells = Vec::with_capacity(down * across);
    for part_y in 0..down {
        for part_x in 0..across {
            let y = pick(part_y, down, size.height_cells());
            cells.push(y * size.width_cells() + pick(part_x, across, size.width_cells()));
        }
    }
    cells
}

/// Returns the image with the pixels of one cell changed by 128 each.
fn with_patch(image: &PixelBatch, size: MapSize, cell: usize) -> Vec<u8> {
    let (height, width) = (image.size().height_pixels() as usize, image.size().width_pixels() as usize);
    let (row, column) = (cell / size.width_cells(), cell % size.width_cells());
    let span = |at: usize, count: usize, pixels: usize| {
        at * pixels / count..((at + 1) * pixels / count).max(at * pixels / count + 1).min(pixels)
    };
    let mut data = image.data().to_vec();
    for y in span(row, size.height_cells(), height) {
        for x in span(column, size.width_cells(), width) {
            for value in &mut data[(y * width + x) * 3..][..3] {
                *value ^= 0x80;
            }
        }
    }
    data
}

/// Distance between the unchanged and the changed vector of each cell.
fn cell_distances(unchanged: &[f32], changed: &[f32], cells: usize) -> Vec<f32> {
    let channels = (unchanged.len() / cells.max(1)).max(1);
    let distance = |(a, b): (&[f32], &[f32])| {
        let sum: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a - b).powi(2)).sum();
        if sum.is_finite() { sum.sqrt() as f32 } else { f32::MAX }
    };
    unchanged.chunks_exact(channels).zip(changed.chunks_exact(channels)).map(distance).collect()
}

/// For each patch, the cell with the largest distance relative to its median over all patches.
fn strongest(distances: &[Vec<f32>]) -> Vec<Option<usize>> {
    let cells = distances.first().map_or(0, Vec::len);
    let mean: f64 = distances.iter().flatten().map(|&value| f64::from(value)).sum::<f64>()
        / (cells * distances.len()).max(1) as f64;
    let medians: Vec<f64> = (0..cells)
        .map(|cell| {
            let mut of_cell: Vec<f32> = distances.iter().map(|patch| patch[cell]).collect();
            of_cell.sort_by(f32::total_cmp);
            f64::from(of_cell[of_cell.len() / 2])
        })
        .collect();
    let strongest_cell = |patch: &Vec<f32>| {
        let scaled = patch.iter().zip(&medians).map(|(&distance, median)| f64::from(distance) / (median + 0.1 * mean));
        let best = scaled.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        best.filter(|(_, value)| *value > 0.0).map(|(cell, _)| cell)
    };
    distances.iter().map(strongest_cell).collect()
}

/// Evaluates pairs of a patch and the cell that responded most.
fn evaluate(responses: &[(usize, Option<usize>)], size: MapSize, photographs: usize) -> ProbeResult {
    let width = size.width_cells();
    let position = |cell: usize| [cell / width, cell % width];
    // A patch without a response counts as one with a distant response.
    let located: Vec<([usize; 2], [usize; 2])> =
        responses.iter().filter_map(|&(patch, cell)| Some((position(patch), position(cell?)))).collect();
    let distance =
        |(patch, cell): &([usize; 2], [usize; 2])| patch[0].abs_diff(cell[0]).max(patch[1].abs_diff(cell[1]));
    let shift = |axis: usize| {
        let close = located.iter().filter(|pair| distance(pair) <= 1);
        let shifts: Vec<f32> = close.map(|(patch, cell)| cell[axis] as f32 - patch[axis] as f32).collect();
        shifts.iter().sum::<f32>() / shifts.len().max(1) as f32
    };
    let near = located.iter().filter(|pair| distance(pair) <= 1).count();
    let correlate = |patch_axis: usize, cell_axis: usize| {
        let sides = [size.height_cells(), width];
        let pairs = located.iter().map(|(patch, cell)| (patch[patch_axis] as f64, cell[cell_axis] as f64));
        (sides[patch_axis] > 1 && sides[cell_axis] > 1).then(|| correlation(&pairs.collect::<Vec<_>>()))
    };
    ProbeResult {
        photographs,
        patches: responses.len(),
        along: [correlate(0, 0), correlate(1, 1)],
        across: [correlate(0, 1), correlate(1, 0)],
        near: near as f32 / responses.len().max(1) as f32,
        shift: [shift(0), shift(1)],
        example: located.iter().max_by_key(|pair| distance(pair)).filter(|pair| distance(pair) > 1).copied(),
    }
}

/// Pearson correlation; 0 if one side is constant.
fn correlation(pairs: &[(f64, f64)]) -> f32 {
    let count = pairs.len().max(1) as f64;
    let (mean_a, mean_b) = pairs.iter().fold((0.0, 0.0), |(a, b), pair| (a + pair.0 / count, b + pair.1 / count));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for &(a, b) in pairs {
        ab += (a - mean_a) * (b - mean_b);
        aa += (a - mean_a).powi(2);
        bb += (b - mean_b).powi(2);
    }
    if aa * bb > 0.0 { (ab / (aa * bb).sqrt()) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::InputSize;

    /// Probes a synthetic teacher: the features of cell `order(cell)` are sums over the pixels of `cell`.
    fn probe_order(size: MapSize, order: impl Fn(usize) -> usize) -> ProbeResult {
        let input = InputSize::new(size.height_cells() as u32 * 8, size.width_cells() as u32 * 8).unwrap();
        let photographs: Vec<u8> =
            (0..2 * input.rgb_bytes()).map(|at| (at.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
        let mut features = |batch: &PixelBatch| {
            let (width, cells) = (input.width_pixels() as usize, size.cells());
            let mut all = vec![0.0; batch.images() * cells * 2];
            for image in 0..batch.images() {
                for (at, pixel) in batch.image(image).chunks_exact(3).enumerate() {
                    let cell = at / width / 8 * size.width_cells() + at % width / 8;
                    let vector = &mut all[(image * cells + order(cell)) * 2..][..2];
                    vector[0] += f32::from(pixel[0]) * (at % 7 + 1) as f32;
                    vector[1] += f32::from(pixel[1] ^ pixel[2]);
                }
            }
            Ok(all)
        };
        super::probe(&PixelBatch::new(2, input, photographs), size, 5, true, &mut features).unwrap()
    }

    #[test]
    fn cells_at_their_positions_pass_and_others_fail() {
        let size = MapSize::new(8, 8).unwrap();
        let good = probe_order(size, |cell| cell);
        assert!(good.passes() && good.near >= 1.0 && good.example.is_none(), "{good:?}");
        let turned = probe_order(size, |cell| cell % 8 * 8 + cell / 8);
        assert!(!turned.passes() && turned.explain_failure(size).contains("affected cells at the"), "{turned:?}");
        let tiles = probe_order(size, |cell| {
            let (y, x) = (cell / 8, cell % 8);
            (y / 4 * 2 + x / 4) * 16 + y % 4 * 4 + x % 4
        });
        assert!(!tiles.passes(), "{tiles:?}");
        let shifted = probe_order(size, |cell| (cell + 8) % 64);
        assert!(!shifted.passes() && shifted.explain_failure(size).contains("1.0 rows below"), "{shifted:?}");
        assert!(!probe_order(size, |_| 9).passes());
        assert!(!probe_order(size, |cell| 63 - cell).passes());
        let one_row = MapSize::new(1, 6).unwrap();
        assert!(probe_order(one_row, |cell| cell).passes() && !probe_order(one_row, |cell| 5 - cell).passes());
    }
}
