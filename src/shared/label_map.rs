//! What a teacher says of one image: a [`LabelMap`] for its cells and an [`ImagePrediction`] for the whole.
//! Shapes, order and finiteness are checked once, here, in the constructors.

use std::collections::HashMap;

use half::f16;

use crate::shared::error::{ImageError, ImageErrorKind};
use crate::shared::geometry::MapSize;

/// The `k` best classes of every cell of one image: scores and class ids, both `[k, y, x]`.
///
/// Scores are raw teacher scores (logits), each cell sorted from high to low.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelMap {
    k: usize,
    size: MapSize,
    scores: Vec<f16>,
    classes: Vec<u32>,
    lse: Option<Vec<f16>>,
}

impl LabelMap {
    /// From the teacher's own order, `[y, x, k]`: `scores` float32 sorted from high to low in each cell, `classes`
    /// the class ids beside them.
    ///
    /// # Errors
    /// Returns an [`ImageError`] of kind `Scores`, with the number of cells, if scores saturate float16: they are not
    /// finite, or as large as the largest number that float16 holds, 65,504.
    ///
    /// # Panics
    /// When the lengths are not `size.cells() * k`: a fault of the caller, not of the image.
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
        let rounded: Vec<f16> = match rounding {
            ScoreRounding::Float16 => scores.iter().map(|&score| f16::from_f32(score)).collect(),
            ScoreRounding::Steps { steps_per_unit } => diffuse(scores, classes, k, size, steps_per_unit),
        };
        let mut map = Self { k, size, scores: vec![f16::ZERO; cells * k], classes: vec![0; cells * k], lse: None };
        for cell in 0..cells {
            for rank in 0..k {
                let from = cell * k + rank;
                map.scores[rank * cells + cell] = rounded[from];
                map.classes[rank * cells + cell] = classes[from] as u32;
            }
        }
        Ok(map)
    }

    /// From stored arrays, both `[k, y, x]`. A stored map whose lengths do not fit is no map: `None`.
    #[must_use]
    pub fn from_stored(scores: Vec<f16>, classes: Vec<u32>, k: usize, size: MapSize) -> Option<Self> {
        let values = k * size.cells();
        (scores.len() == values && classes.len() == values).then_some(Self { k, size, scores, classes, lse: None })
    }

    /// The same map with the log-sum-exp over all classes of each cell, `[y, x]`, rounded to float16.
    ///
    /// # Errors
    /// Returns an [`ImageError`] of kind `Scores`, with the number of cells, if values saturate float16.
    ///
    /// # Panics
    /// When there is not one value for each cell: a fault of the caller.
    pub fn with_lse(mut self, lse: &[f32]) -> Result<Self, ImageError> {
        assert_eq!(lse.len(), self.size.cells(), "one log-sum-exp for each cell of {}", self.size);
        check_cells(lse, 1, self.size)?;
        self.lse = Some(lse.iter().map(|&lse| f16::from_f32(lse)).collect());
        Ok(self)
    }

    /// The same map with a stored log-sum-exp, `[y, x]`; `None` when there is not one finite value for each cell.
    #[must_use]
    pub fn with_stored_lse(mut self, lse: Vec<f16>) -> Option<Self> {
        let fits = lse.len() == self.size.cells() && lse.iter().all(|lse| lse.is_finite());
        self.lse = Some(lse);
        fits.then_some(self)
    }

    /// Classes kept in each cell.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Rows and columns of cells.
    #[must_use]
    pub fn size(&self) -> MapSize {
        self.size
    }

    /// All scores, `[k, y, x]`.
    #[must_use]
    pub fn scores(&self) -> &[f16] {
        &self.scores
    }

    /// All class ids, `[k, y, x]`.
    #[must_use]
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// Log-sum-exp over all classes of each cell, `[y, x]`, where it is kept: `exp(score - lse)` is the probability of a
    /// class in its cell.
    #[must_use]
    pub fn lse(&self) -> Option<&[f16]> {
        self.lse.as_deref()
    }

    /// Score and class of rank `rank` (0 is the best) in cell (`y`, `x`).
    ///
    /// # Panics
    /// When the rank or the cell is outside the map.
    #[must_use]
    pub fn at(&self, rank: usize, y: usize, x: usize) -> (f16, u32) {
        let at = (rank * self.size.height_cells() + y) * self.size.width_cells() + x;
        (self.scores[at], self.classes[at])
    }
}

/// The teacher's own prediction for the whole image: the best classes with their probabilities (softmax over all
/// classes), from high to low.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePrediction {
    probs: Vec<f16>,
    classes: Vec<u32>,
}

impl ImagePrediction {
    /// From probabilities and class ids of the same length, best first.
    ///
    /// # Errors
    /// Returns an [`ImageError`] of kind `Scores` if a probability is not a number between 0 and 1.
    ///
    /// # Panics
    /// When the lengths differ: a fault of the caller.
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

    /// From stored rows of the same length; `None` when they are not.
    #[must_use]
    pub fn from_stored(probs: Vec<f16>, classes: Vec<u32>) -> Option<Self> {
        (probs.len() == classes.len()).then_some(Self { probs, classes })
    }

    /// Probabilities, from high to low.
    #[must_use]
    pub fn probs(&self) -> &[f16] {
        &self.probs
    }

    /// Class ids beside [`ImagePrediction::probs`].
    #[must_use]
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// Where `class` stands among the kept classes, 0 being the best.
    #[must_use]
    pub fn rank_of(&self, class: u32) -> Option<usize> {
        self.classes.iter().position(|&kept| kept == class)
    }
}

/// Label map and whole-image prediction of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageLabels {
    /// The label map.
    pub map: LabelMap,
    /// The whole-image prediction; it may hold more ranks than the map, for counting top-5 agreement.
    pub prediction: ImagePrediction,
}

/// How scores are rounded before they are stored. Either way each cell stays sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScoreRounding {
    /// To the nearest float16, and no further.
    Float16,
    /// To multiples of `1 / steps_per_unit`, then to float16: fewer distinct values compress better. What a score loses
    /// is passed on to the same class in neighbouring cells, so that sums over an area, which pooling takes, change
    /// far less than single scores.
    Steps {
        /// Steps for each unit of score, a power of two, so that float16 holds the multiples exactly.
        steps_per_unit: u16,
    },
}

/// Rounds scores `[y, x, k]` to steps and passes the differences on by the weights of Floyd and Steinberg (1976), for
/// each class by itself.
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
            let lost = (wanted - given).clamp(-1.0 / steps, 1.0 / steps);
            let mut pass_on =
                |neighbour: usize, share: f32| *carried.entry((neighbour, class)).or_default() += lost * share;
            if x + 1 < width {
                pass_on(cell + 1, 7.0 / 16.0);
            }
            if y + 1 < height {
                pass_on(cell + width, 5.0 / 16.0);
                if x > 0 {
                    pass_on(cell + width - 1, 3.0 / 16.0);
                }
                if x + 1 < width {
                    pass_on(cell + width + 1, 1.0 / 16.0);
                }
            }
        }
    }
    rounded
}

/// Refuses cells that hold a value at or beyond the end of float16, `per_cell` values in each: a teacher that runs in
/// float16 has clipped it, or storing it would.
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
        "reach the largest number of float16, 65,504"
    } else {
        "are not finite in float16"
    };
    let reason = format!("{saturated} of {} cells {what} (the first: cell y {y}, x {x} has {value})", size.cells());
    Err(ImageError { kind: ImageErrorKind::Scores, reason })
}

fn unusable_prob(prob: f32) -> ImageError {
    let reason = format!("the teacher gave the image the probability {prob}, which is not between 0 and 1");
    ImageError { kind: ImageErrorKind::Scores, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(height: usize, width: usize) -> MapSize {
        MapSize::new(height, width).unwrap()
    }

    #[test]
    fn cells_are_turned_into_planes() {
        let scores = [8.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0, 4.0, 4.5, 4.25, 4.0, 0.5];
        let classes = [0, 1, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51];
        let map = LabelMap::from_cells(&scores, &classes, 2, size(2, 3), ScoreRounding::Float16).unwrap();
        assert_eq!(map.classes(), [0, 10, 20, 30, 40, 50, 1, 11, 21, 31, 41, 51]);
        assert_eq!(map.at(1, 1, 0), (f16::from_f32(4.0), 31));
    }

    #[test]
    fn scores_that_float16_cannot_hold_fail_the_image() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 70_000.0, -65_504.0, 65_490.0] {
            for rounding in [ScoreRounding::Float16, ScoreRounding::Steps { steps_per_unit: 8 }] {
                let error = LabelMap::from_cells(&[1.0, bad], &[0, 1], 2, size(1, 1), rounding).unwrap_err();
                assert_eq!(error.kind, ImageErrorKind::Scores);
            }
        }
        assert!(ImagePrediction::from_ranks(&[f32::NAN], &[0]).is_err());
    }

    #[test]
    fn steps_keep_cells_sorted_and_areas_nearly_as_they_were() {
        let (size, k) = (size(12, 12), 3);
        let score = |at: usize| 9.0 - (at % k) as f32 * 0.07 + ((at / k) as f32 * 0.61).sin() * 0.4;
        let scores: Vec<f32> = (0..size.cells() * k).map(score).collect();
        let classes: Vec<i32> = (0..size.cells() * k).map(|at| (at % k) as i32).collect();
        let map = LabelMap::from_cells(&scores, &classes, k, size, ScoreRounding::Steps { steps_per_unit: 8 }).unwrap();
        let stored = |rank: usize, cell: usize| map.scores()[rank * size.cells() + cell].to_f32();
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
