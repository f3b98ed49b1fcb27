//! Looks where the features answer when a patch of a photograph changes.
//!
//! In a teacher whose cells are places, the cell that answers most lies where the patch is. Some tokens answer to every
//! change, wherever it is, so each cell is compared with its own usual answer.

use std::fmt;

use crate::labelling::teacher::PixelBatch;
use crate::shared::error::Error;
use crate::shared::geometry::MapSize;
use crate::shared::random::SplitMix64;

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeResult {
    /// Photographs that were changed.
    pub photographs: usize,
    /// Patches that were changed in all.
    pub patches: usize,
    /// Correlation of the row of the patch and of the row that answered most, then of columns; `None` where there is only
    /// one row or column.
    pub along: [Option<f32>; 2],
    /// Correlation of the row of the patch and of the column that answered most, and the other way round.
    pub across: [Option<f32>; 2],
    /// The part of patches whose own cell, or one next to it, answered most.
    pub near: f32,
    /// How far answers that are the same cell or one next to it lie below and to the right of their patches, in cells: the
    /// mean. A map that is shifted as one has about 1.
    pub shift: [f32; 2],
    /// A patch and an answer that are far apart, in cells: row and column of each.
    pub example: Option<([usize; 2], [usize; 2])>,
}

impl ProbeResult {
    /// Photographs that are looked at.
    pub const PHOTOGRAPHS: usize = 4;
    /// What `along` has to reach. Good teachers have 0.99 to 1.00, scrambled ones at most 0.83 along one of their axes.
    pub const LEAST_ALONG: f32 = 0.9;
    /// What `across` may reach. 64 places drawn at random reach 0.25 once in fifty times.
    pub const MOST_ACROSS: f32 = 0.4;
    /// What `near` has to reach: it tells maps that are scrambled only in small blocks.
    pub const LEAST_NEAR: f32 = 0.7;
    /// What `shift` may reach. Strides and paddings of convolutions shift answers by about half a cell.
    pub const MOST_SHIFT: f32 = 0.75;

    /// Whether cells are places.
    #[must_use]
    pub fn holds(&self) -> bool {
        let along = self.along.iter().flatten().all(|&value| value >= Self::LEAST_ALONG);
        let across = self.across.iter().flatten().all(|&value| value.abs() <= Self::MOST_ACROSS);
        along && across && self.near >= Self::LEAST_NEAR && !self.is_shifted()
    }

    fn is_shifted(&self) -> bool {
        self.shift.iter().any(|shift| shift.abs() > Self::MOST_SHIFT)
    }

    /// Whether the first photographs leave no doubt.
    pub(super) fn is_clear(&self) -> bool {
        self.holds() && self.along.iter().flatten().all(|&value| value >= 0.97) && self.near >= 0.9
    }

    /// What was seen, and where it contradicts the map.
    pub(super) fn in_words(&self, size: MapSize) -> String {
        if self.is_shifted() {
            let [down, right] = self.shift;
            return format!(
                "{self}; cells answer {down:.1} rows below and {right:.1} columns to the right of the patch"
            );
        }
        let Some((patch, answer)) = self.example else { return self.to_string() };
        format!("{self}; a change at the {} moved cells at the {}", corner(patch, size), corner(answer, size))
    }
}

impl fmt::Display for ProbeResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: Option<f32>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        write!(
            f,
            "in {} of {} changed patches of {} photographs the same cell or one next to it changed most (rows correlate {}, \
             columns {}, rows with columns {} and {})",
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

fn corner([row, column]: [usize; 2], size: MapSize) -> String {
    let third = |at: usize, count: usize, names: [&'static str; 3]| names[(at * 3 / count.max(1)).min(2)];
    let (down, across) = (
        third(row, size.height_cells(), ["upper", "middle", "lower"]),
        third(column, size.width_cells(), ["left", "middle", "right"]),
    );
    if down == across { "middle".to_owned() } else { format!("{down} {across}") }
}

/// Changes patches of the photographs. `features_of` gives the features of a batch as one vector a cell,
/// `[image, cell, channel]`, for at most `batch_images` images, or for just as many where `fills_batch`.
pub(super) fn look(
    photographs: &PixelBatch,
    size: MapSize,
    batch_images: usize,
    fills_batch: bool,
    features_of: &mut dyn FnMut(&PixelBatch) -> Result<Vec<f32>, Error>,
) -> Result<ProbeResult, Error> {
    let mut random = SplitMix64::new(0x7061_7463_6865_7300);
    let images = photographs.images();
    let mut seen = Vec::new();
    for image in 0..images {
        let original = photographs.slice(image, 1);
        let patches = patches(size, &mut random);
        let changed: Vec<Vec<u8>> = patches.iter().map(|&cell| with_patch(&original, size, cell)).collect();
        let all: Vec<&[u8]> = std::iter::once(original.data()).chain(changed.iter().map(Vec::as_slice)).collect();
        let mut features = Vec::new();
        for some in all.chunks(batch_images.max(1)) {
            let mut data = some.concat();
            // A fixed batch is filled with its last image.
            for _ in some.len()..if fills_batch { batch_images } else { 0 } {
                data.extend_from_slice(some[some.len() - 1]);
            }
            let images = data.len() / original.data().len();
            let batch = features_of(&PixelBatch::new(images, original.size(), data))?;
            features.extend_from_slice(&batch[..batch.len() / images * some.len()]);
        }
        let (unchanged, changed) = features.split_at(features.len() / all.len());
        let answers = changed.chunks_exact(unchanged.len()).map(|features| answer(unchanged, features, size.cells()));
        seen.extend(
            strongest(&answers.collect::<Vec<_>>()).into_iter().zip(patches).map(|(answer, patch)| (patch, answer)),
        );
    }
    Ok(judge(&seen, size, images))
}

/// One cell at random out of each of 4 x 4 parts of the map, or fewer where it is smaller.
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

/// The image with the pixels of one cell changed as far as they go: each value by 128.
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

/// How far each cell's vector moved.
fn answer(unchanged: &[f32], changed: &[f32], cells: usize) -> Vec<f32> {
    let channels = (unchanged.len() / cells.max(1)).max(1);
    let distance = |(a, b): (&[f32], &[f32])| {
        let sum: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a - b).powi(2)).sum();
        if sum.is_finite() { sum.sqrt() as f32 } else { f32::MAX }
    };
    unchanged.chunks_exact(channels).zip(changed.chunks_exact(channels)).map(distance).collect()
}

/// For each patch the cell that moved most, compared with how far it usually moves.
fn strongest(answers: &[Vec<f32>]) -> Vec<Option<usize>> {
    let cells = answers.first().map_or(0, Vec::len);
    let mean: f64 =
        answers.iter().flatten().map(|&value| f64::from(value)).sum::<f64>() / (cells * answers.len()).max(1) as f64;
    let usual: Vec<f64> = (0..cells)
        .map(|cell| {
            let mut moved: Vec<f32> = answers.iter().map(|answer| answer[cell]).collect();
            moved.sort_by(f32::total_cmp);
            f64::from(moved[moved.len() / 2])
        })
        .collect();
    let relative = |answer: &Vec<f32>| {
        let scaled = answer.iter().zip(&usual).map(|(&moved, usual)| f64::from(moved) / (usual + 0.1 * mean));
        let best = scaled.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        best.filter(|(_, value)| *value > 0.0).map(|(cell, _)| cell)
    };
    answers.iter().map(relative).collect()
}

fn judge(seen: &[(usize, Option<usize>)], size: MapSize, photographs: usize) -> ProbeResult {
    let width = size.width_cells();
    let place = |cell: usize| [cell / width, cell % width];
    // A patch that nothing answers to counts as one that something far away answers to.
    let answered: Vec<([usize; 2], [usize; 2])> =
        seen.iter().filter_map(|&(patch, answer)| Some((place(patch), place(answer?)))).collect();
    let apart =
        |(patch, answer): &([usize; 2], [usize; 2])| patch[0].abs_diff(answer[0]).max(patch[1].abs_diff(answer[1]));
    let shift = |axis: usize| {
        let close = answered.iter().filter(|pair| apart(pair) <= 1);
        let shifts: Vec<f32> = close.map(|(patch, answer)| answer[axis] as f32 - patch[axis] as f32).collect();
        shifts.iter().sum::<f32>() / shifts.len().max(1) as f32
    };
    let near = answered.iter().filter(|pair| apart(pair) <= 1).count();
    let correlate = |of_patch: usize, of_answer: usize| {
        let sides = [size.height_cells(), width];
        let pairs = answered.iter().map(|(patch, answer)| (patch[of_patch] as f64, answer[of_answer] as f64));
        (sides[of_patch] > 1 && sides[of_answer] > 1).then(|| correlation(&pairs.collect::<Vec<_>>()))
    };
    ProbeResult {
        photographs,
        patches: seen.len(),
        along: [correlate(0, 0), correlate(1, 1)],
        across: [correlate(0, 1), correlate(1, 0)],
        near: near as f32 / seen.len().max(1) as f32,
        shift: [shift(0), shift(1)],
        example: answered.iter().max_by_key(|pair| apart(pair)).filter(|pair| apart(pair) > 1).copied(),
    }
}

/// Pearson's; 0 where one side does not change.
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

    /// A made-up teacher: the mean of the pixels of each cell is a feature of the cell that `order` names.
    fn probe(size: MapSize, order: impl Fn(usize) -> usize) -> ProbeResult {
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
        look(&PixelBatch::new(2, input, photographs), size, 5, true, &mut features).unwrap()
    }

    #[test]
    fn cells_in_their_places_pass_and_others_fail() {
        let size = MapSize::new(8, 8).unwrap();
        let good = probe(size, |cell| cell);
        assert!(good.holds() && good.near >= 1.0 && good.example.is_none(), "{good:?}");
        let turned = probe(size, |cell| cell % 8 * 8 + cell / 8);
        assert!(!turned.holds() && turned.in_words(size).contains("moved cells at the"), "{turned:?}");
        let tiles = probe(size, |cell| {
            let (y, x) = (cell / 8, cell % 8);
            (y / 4 * 2 + x / 4) * 16 + y % 4 * 4 + x % 4
        });
        assert!(!tiles.holds(), "{tiles:?}");
        let shifted = probe(size, |cell| (cell + 8) % 64);
        assert!(!shifted.holds() && shifted.in_words(size).contains("1.0 rows below"), "{shifted:?}");
        assert!(!probe(size, |_| 9).holds());
        assert!(!probe(size, |cell| 63 - cell).holds());
        let one_row = MapSize::new(1, 6).unwrap();
        assert!(probe(one_row, |cell| cell).holds() && !probe(one_row, |cell| 5 - cell).holds());
    }
}
