//! Labels of one image: a [`LabelMap`] of its cells and an [`ImagePrediction`] of the entire image.
//! Shapes, order and finiteness are checked once, by the constructors.

use std::collections::HashMap;

use half::f16;

use crate::shared::error::{ImageError, ImageErrorKind};
use crate::shared::geometry::MapSize;

/// The `k` best classes of every cell of one image.
///
/// Scores are raw teacher scores (logits), sorted from high to low in each cell. Scores and class ids are stored in cell
/// order, `[y, x, k]`: the order of the teacher's output and of the bytes on disk, and the one in which pooling reads all
/// ranks of a cell from one cache line. A store's metadata and the Python package describe the same values as
/// `[k, y, x]`: [`LabelMap::rank_planes`].
#[derive(Clone, Debug, PartialEq)]
pub struct LabelMap {
    k: usize,
    size: MapSize,
    scores: Vec<f16>,
    classes: Vec<u32>,
    lse: Option<Vec<f16>>,
}

impl LabelMap {
    /// Creates a map from the teacher's output, `[y, x, k]`: `scores` float32, sorted from high to low in each cell, and
    /// `classes` their class ids.
    ///
    /// # Errors
    /// Returns an [`ImageError`] of kind `Scores`, with the number of cells, if scores saturate float16: they are not
    /// finite, or as large as the largest number that float16 represents, 65,504.
    ///
    /// # Panics
    /// Panics if the lengths are not `size.cells() * k`.
    pub fn from_cells(
        scores: &[f32],
        classes: &[i32],
        k: usize,
        size: MapSize,
        rounding: ScoreRounding,
    ) -> Result<Self, ImageError> {
        let cells = size.cells();
        assert_eq!((scores.len(), classes.len()), (cells * k, cells * k), "a map of {size} cells with k = {k}");
        check_cells(scores, k, size)?;
        let scores: Vec<f16> = match rounding {
            ScoreRounding::Float16 => scores.iter().map(|&score| f16::from_f32(score)).collect(),
            ScoreRounding::Steps { steps_per_unit } => diffuse(scores, classes, k, size, steps_per_unit),
        };
        let classes = classes.iter().map(|&class| class as u32).collect();
        Ok(Self { k, size, scores, classes, lse: None })
    }

    /// Creates a map from stored values, both `[y, x, k]`; `None` if the lengths do not fit.
    #[must_use]
    pub fn from_stored_cells(scores: Vec<f16>, classes: Vec<u32>, k: usize, size: MapSize) -> Option<Self> {
        let values = k * size.cells();
        (scores.len() == values && classes.len() == values).then_some(Self { k, size, scores, classes, lse: None })
    }

    /// Creates a map from arrays in the order of a store's metadata, both `[k, y, x]`; `None` if the lengths do not fit.
    #[must_use]
    pub fn from_rank_planes(scores: &[f16], classes: &[u32], k: usize, size: MapSize) -> Option<Self> {
        let values = k * size.cells();
        (scores.len() == values && classes.len() == values).then(|| Self {
            k,
            size,
            scores: transposed(scores, size.cells()),
            classes: transposed(classes, size.cells()),
            lse: None,
        })
    }

    /// Returns the map with the log-sum-exp over all classes of each cell, `[y, x]`, rounded to float16.
    ///
    /// # Errors
    /// Returns an [`ImageError`] of kind `Scores`, with the number of cells, if values saturate float16.
    ///
    /// # Panics
    /// Panics if there is not one value for each cell.
    pub fn with_lse(mut self, lse: &[f32]) -> Result<Self, ImageError> {
        assert_eq!(lse.len(), self.size.cells(), "one log-sum-exp for each cell of {}", self.size);
        check_cells(lse, 1, self.size)?;
        self.lse = Some(lse.iter().map(|&lse| f16::from_f32(lse)).collect());
        Ok(self)
    }

    /// Returns the map without log-sum-exp.
    #[must_use]
    pub fn without_lse(mut self) -> Self {
        self.lse = None;
        self
    }

    /// Returns the map with a stored log-sum-exp, `[y, x]`; `None` if there is not one finite value for each cell.
    #[must_use]
    pub fn with_stored_lse(mut self, lse: Vec<f16>) -> Option<Self> {
        let fits = lse.len() == self.size.cells() && lse.iter().all(|lse| lse.is_finite());
        self.lse = Some(lse);
        fits.then_some(self)
    }

    /// Returns the map with other class ids.
    #[must_use]
    pub fn with_classes(mut self, class_of: impl Fn(u32) -> u32) -> Self {
        self.classes.iter_mut().for_each(|class| *class = class_of(*class));
        self
    }

    /// Number of classes kept in each cell.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Rows and columns of cells.
    #[must_use]
    pub fn size(&self) -> MapSize {
        self.size
    }

    /// All scores, `[y, x, k]`.
    #[must_use]
    pub fn cell_scores(&self) -> &[f16] {
        &self.scores
    }

    /// All class ids, `[y, x, k]`.
    #[must_use]
    pub fn cell_classes(&self) -> &[u32] {
        &self.classes
    }

    /// Scores and class ids of a cell, best first. Cells are counted row by row.
    ///
    /// # Panics
    /// Panics if the cell is outside the map.
    #[must_use]
    pub fn cell(&self, cell: usize) -> (&[f16], &[u32]) {
        let ranks = cell * self.k..(cell + 1) * self.k;
        (&self.scores[ranks.clone()], &self.classes[ranks])
    }

    /// Best class of each cell, `[y, x]`.
    #[must_use]
    pub fn best_classes(&self) -> Vec<u32> {
        self.classes.iter().step_by(self.k.max(1)).copied().collect()
    }

    /// Copies scores and class ids in the order of a store's metadata, both `[k, y, x]`.
    #[must_use]
    pub fn rank_planes(&self) -> (Vec<f16>, Vec<u32>) {
        (transposed(&self.scores, self.k), transposed(&self.classes, self.k))
    }

    /// Log-sum-exp over all classes of each cell, `[y, x]`, if the store has it: `exp(score - lse)` is the probability of a
    /// class in its cell.
    #[must_use]
    pub fn lse(&self) -> Option<&[f16]> {
        self.lse.as_deref()
    }

    /// Score and class id of rank `rank` (0 is the best) in cell (`y`, `x`).
    ///
    /// # Panics
    /// Panics if the rank or the cell is outside the map.
    #[must_use]
    pub fn at(&self, rank: usize, y: usize, x: usize) -> (f16, u32) {
        let (scores, classes) = self.cell(y * self.size.width_cells() + x);
        (scores[rank], classes[rank])
    }
}

/// `[columns, rows]` from `[rows, columns]`.
fn transposed<T: Copy>(values: &[T], columns: usize) -> Vec<T> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

/// The teacher's prediction for the entire image: the best classes and their probabilities (softmax over all classes),
/// from high to low.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePrediction {
    probs: Vec<f16>,
    classes: Vec<u32>,
}

impl ImagePrediction {
    /// Creates a prediction from probabilities and class ids of the same length, best first.
    ///
    /// # Errors
    /// Returns an [`ImageError`] of kind `Scores` if a probability is not a number between 0 and 1.
    ///
    /// # Panics
    /// Panics if the lengths differ.
    pub fn from_ranks(probs: &[f32], classes: &[i32]) -> Result<Self, ImageError> {
        assert_eq!(probs.len(), classes.len(), "one probability for each class");
        if let Some(&bad) = probs.iter().find(|prob| !(0.0..=1.001).contains(*prob)) {
            return Err(unusable_prob(bad));
        }
        Ok(Self {
            probs: probs.iter().map(|&prob| f16::from_f32(prob)).collect(),
            classes: classes.iter().map(|&class| class as u32).collect(),
        })
    }

    /// Creates a prediction from stored values; `None` if the lengths differ.
    #[must_use]
    pub fn from_stored(probs: Vec<f16>, classes: Vec<u32>) -> Option<Self> {
        (probs.len() == classes.len()).then_some(Self { probs, classes })
    }

    /// Returns the prediction with other class ids.
    #[must_use]
    pub fn with_classes(mut self, class_of: impl Fn(u32) -> u32) -> Self {
        self.classes.iter_mut().for_each(|class| *class = class_of(*class));
        self
    }

    /// Probabilities, from high to low.
    #[must_use]
    pub fn probs(&self) -> &[f16] {
        &self.probs
    }

    /// Class ids of [`ImagePrediction::probs`].
    #[must_use]
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// Returns the rank of `class` among the kept classes, 0 being the best.
    #[must_use]
    pub fn rank_of(&self, class: u32) -> Option<usize> {
        self.classes.iter().position(|&kept| kept == class)
    }
}

/// Labels of one image: of the entire image, and of its tiles.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageLabels {
    /// The label map; `None` if the store has predictions only.
    pub map: Option<LabelMap>,
    /// The prediction. It may have more ranks than the map, for top-5 agreement.
    pub prediction: ImagePrediction,
    /// Labels of the tiles, in the order of the store; empty if it has none.
    pub tiles: Vec<TileLabels>,
}

/// Labels of one tile of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct TileLabels {
    /// The teacher's prediction for the tile alone.
    pub prediction: ImagePrediction,
    /// The label map of the tile, if the store keeps maps of tiles.
    pub map: Option<LabelMap>,
}

impl ImageLabels {
    /// Creates labels without tiles.
    #[must_use]
    pub fn new(map: LabelMap, prediction: ImagePrediction) -> Self {
        Self { map: Some(map), prediction, tiles: Vec::new() }
    }

    /// Returns the labels with other class ids.
    #[must_use]
    pub fn with_classes(self, class_of: impl Fn(u32) -> u32 + Copy) -> Self {
        let tile = |tile: TileLabels| TileLabels {
            prediction: tile.prediction.with_classes(class_of),
            map: tile.map.map(|map| map.with_classes(class_of)),
        };
        Self {
            map: self.map.map(|map| map.with_classes(class_of)),
            prediction: self.prediction.with_classes(class_of),
            tiles: self.tiles.into_iter().map(tile).collect(),
        }
    }

    /// Returns the label map.
    ///
    /// # Errors
    /// Returns [`NoLabelMap`] if the store has predictions only.
    pub fn label_map(&self) -> Result<&LabelMap, NoLabelMap> {
        self.map.as_ref().ok_or(NoLabelMap)
    }
}

/// The labels have no label map, which an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has predictions of images and tiles only, and no label maps")]
pub struct NoLabelMap;

/// Rounding of scores before they are stored. Cells stay sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreRounding {
    /// To the nearest float16.
    Float16,
    /// To multiples of `1 / steps_per_unit`, then to float16: fewer distinct values compress better. The rounding error is
    /// diffused to the same class in neighbouring cells, so sums over an area, which pooling computes, change far
    /// less than single scores.
    Steps {
        /// Steps for each unit of score, a power of two, so that float16 represents the multiples exactly.
        steps_per_unit: u16,
    },
}

/// Rounds scores `[y, x, k]` to steps and diffuses the errors with the weights of Floyd and Steinberg (1976), separately
/// for each class.
fn diffuse(scores: &[f32], classes: &[i32], k: usize, size: MapSize, steps_per_unit: u16) -> Vec<f16> {
    let steps = f32::from(steps_per_unit);
    let (height, width) = (size.height_cells(), size.width_cells());
    let mut carried: HashMap<(usize, i32), f32> = HashMap::new();
    let mut rounded = Vec::with_capacity(scores.len());
    for cell in 0..size.cells() {
        let (y, x) = (cell / width, cell % width);
        let mut ceiling = f32::INFINITY;
        for rank in 0..k {
            let class = classes[cell * k + rank];
            let wanted = scores[cell * k + rank] + carried.remove(&(cell, class)).unwrap_or(0.0);
            let given = ((wanted * steps).round_ties_even() / steps).min(ceiling);
            ceiling = given;
            rounded.push(f16::from_f32(given));
            let error = (wanted - given).clamp(-1.0 / steps, 1.0 / steps);
            let mut diffuse_to =
                |neighbour: usize, share: f32| *carried.entry((neighbour, class)).or_default() += error * share;
            if x + 1 < width {
                diffuse_to(cell + 1, 7.0 / 16.0);
            }
            if y + 1 < height {
                diffuse_to(cell + width, 5.0 / 16.0);
                if x > 0 {
                    diffuse_to(cell + width - 1, 3.0 / 16.0);
                }
                if x + 1 < width {
                    diffuse_to(cell + width + 1, 1.0 / 16.0);
                }
            }
        }
    }
    rounded
}

/// Refuses values at or beyond the range of float16, `per_cell` of them in each cell: a teacher that runs in float16 has
/// clipped them, or storing them would.
fn check_cells(values: &[f32], per_cell: usize, size: MapSize) -> Result<(), ImageError> {
    let saturates = |value: &f32| {
        let value = f16::from_f32(*value);
        !value.is_finite() || value.to_f32().abs() >= f16::MAX.to_f32()
    };
    let cells = || values.chunks_exact(per_cell.max(1)).map(|cell| cell.iter().copied().find(saturates));
    let saturated = cells().flatten().count();
    let Some((cell, value)) = cells().enumerate().find_map(|(cell, value)| Some((cell, value?))) else { return Ok(()) };
    let (y, x) = (cell / size.width_cells(), cell % size.width_cells());
    let what = if f16::from_f32(value).is_finite() {
        "reach the largest float16 number, 65,504"
    } else {
        "are not finite in float16"
    };
    let reason = format!("{saturated} of {} cells {what} (the first: cell y {y}, x {x} has {value})", size.cells());
    Err(ImageError { kind: ImageErrorKind::Scores, reason })
}

fn unusable_prob(prob: f32) -> ImageError {
    let reason = format!("the teacher predicted the probability {prob}, which is not between 0 and 1");
    ImageError { kind: ImageErrorKind::Scores, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(height: usize, width: usize) -> MapSize {
        MapSize::new(height, width).unwrap()
    }

    #[test]
    fn cells_and_rank_planes_are_transposed() {
        let scores = [8.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0, 4.0, 4.5, 4.25, 4.0, 0.5];
        let classes = [0, 1, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51];
        let map = LabelMap::from_cells(&scores, &classes, 2, size(2, 3), ScoreRounding::Float16).unwrap();
        assert_eq!(map.cell_classes(), classes.map(|class| class as u32));
        assert_eq!(map.best_classes(), [0, 10, 20, 30, 40, 50]);
        assert_eq!(map.at(1, 1, 0), (f16::from_f32(4.0), 31));
        let (plane_scores, plane_classes) = map.rank_planes();
        assert_eq!(plane_classes, [0, 10, 20, 30, 40, 50, 1, 11, 21, 31, 41, 51]);
        assert_eq!(LabelMap::from_rank_planes(&plane_scores, &plane_classes, 2, size(2, 3)).unwrap(), map);
    }

    #[test]
    fn scores_outside_float16_fail_the_image() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 70_000.0, -65_504.0, 65_490.0] {
            for rounding in [ScoreRounding::Float16, ScoreRounding::Steps { steps_per_unit: 8 }] {
                let error = LabelMap::from_cells(&[1.0, bad], &[0, 1], 2, size(1, 1), rounding).unwrap_err();
                assert_eq!(error.kind, ImageErrorKind::Scores);
            }
        }
        assert!(ImagePrediction::from_ranks(&[f32::NAN], &[0]).is_err());
    }

    #[test]
    fn steps_keep_cells_sorted_and_areas_nearly_unchanged() {
        let (size, k) = (size(12, 12), 3);
        let score = |at: usize| 9.0 - (at % k) as f32 * 0.07 + ((at / k) as f32 * 0.61).sin() * 0.4;
        let scores: Vec<f32> = (0..size.cells() * k).map(score).collect();
        let classes: Vec<i32> = (0..size.cells() * k).map(|at| (at % k) as i32).collect();
        let map = LabelMap::from_cells(&scores, &classes, k, size, ScoreRounding::Steps { steps_per_unit: 8 }).unwrap();
        let stored = |rank: usize, cell: usize| map.cell(cell).0[rank].to_f32();
        for cell in 0..size.cells() {
            assert!((1..k).all(|rank| stored(rank, cell) <= stored(rank - 1, cell)));
            assert!((0..k).all(|rank| (stored(rank, cell) * 8.0).fract().abs() < f32::EPSILON));
        }
        for rank in 0..k {
            let lost: f32 = (0..size.cells()).map(|cell| stored(rank, cell) - score(cell * k + rank)).sum();
            assert!((lost / size.cells() as f32).abs() < 0.01, "rank {rank} lost {lost} over the map");
        }
    }
}
