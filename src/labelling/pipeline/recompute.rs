//! Labels images of a store again and compares the results with the stored labels.

use serde::Serialize;

use super::job::{ImagesToDo, Job, ShardWork};
use super::stages::label;
use crate::labelling::teacher::Teacher;
use crate::shared::error::Error;
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, TileLabels};
use crate::shared::monitor::Monitor;
use crate::shared::store::{RowState, StoreReader};

/// Result of the comparison.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recomputed {
    /// Number of images that were labelled again.
    pub images: usize,
    /// Number of these whose labels are identical to the stored ones, bit by bit.
    pub equal: usize,
    /// Largest difference between a stored score and the new one at the same position, of all images.
    pub largest_difference: f32,
    /// Number of cells of these images.
    pub cells: usize,
    /// Number of cells whose best class differs now.
    pub other_best_cells: usize,
    /// Largest difference between the two best stored scores of those cells: near 0 if only ties changed.
    pub widest_gap: f32,
    /// Images whose difference exceeds the tolerance, or that can no longer be labelled.
    pub wrong: Vec<WrongImage>,
}

/// An image whose stored labels are wrong.
#[derive(Clone, Debug, Serialize)]
pub struct WrongImage {
    /// Row in the manifest.
    pub row: usize,
    /// Path below the source.
    pub path: String,
    /// The difference.
    pub problem: String,
}

/// Which differences are tolerated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// None: the same program on the same device gives identical bits
    /// (test `damage::recomputed_labels_equal_the_stored_ones_bit_for_bit`).
    Exact,
    /// Differences of scores relative to the largest score of the map, plus those of rounding: a different device sums in
    /// a different order.
    Relative(f32),
}

/// Labels the given rows again, each in its original batch, and compares the results with the stored labels. Rows without
/// labels are skipped.
///
/// # Errors
/// Returns the first error of a stage, and [`Error::Store`] if the store is damaged.
pub fn recompute(
    job: &mut Job<'_>,
    reader: &StoreReader,
    rows: &[usize],
    tolerance: Tolerance,
    teachers: Vec<Box<dyn Teacher>>,
    monitor: &dyn Monitor,
) -> Result<Recomputed, Error> {
    let mut stored = Vec::new();
    for &row in rows {
        if let RowState::Labelled(labels) = reader.row(row)? {
            stored.push((row, labels));
        }
    }
    stored.sort_by_key(|(row, _)| *row);
    let shard_of = |row: usize| row / job.info.shard_images;
    job.shards = stored
        .chunk_by(|(a, _), (b, _)| shard_of(*a) == shard_of(*b))
        .map(|rows| ShardWork {
            shard: shard_of(rows[0].0),
            images: ImagesToDo::These(rows.iter().map(|(row, _)| *row).collect()),
        })
        .collect();
    let mut again = label(job, teachers, monitor)?;
    let mut result = Recomputed { images: stored.len(), ..Recomputed::default() };
    for (row, stored) in stored {
        result.cells += stored.map.as_ref().map_or(0, |map| map.size().cells());
        if let Some(Ok(now)) = again.get(&row) {
            let gaps = match (&now.map, &stored.map) {
                (Some(now), Some(stored)) => gaps_of_other_best(now, stored),
                _ => Vec::new(),
            };
            result.other_best_cells += gaps.len();
            result.widest_gap = gaps.into_iter().fold(result.widest_gap, f32::max);
        }
        let compared = match again.remove(&row) {
            Some(Ok(now)) if are_equal(&now, &stored) => Ok(0.0),
            Some(Ok(now)) => Err(Ok(largest_difference(&now, &stored))),
            Some(Err(error)) => Err(Err(format!("cannot label it now: {error}"))),
            None => Err(Err("it was not labelled again".to_owned())),
        };
        let problem = match compared {
            Ok(_) => {
                result.equal += 1;
                None
            }
            Err(Ok(difference)) => {
                result.largest_difference = result.largest_difference.max(difference);
                let bound = bound(&stored, tolerance, job.info.score_steps);
                (difference.is_nan() || difference > bound).then(|| match tolerance {
                    Tolerance::Exact => {
                        format!("its labels differ from the stored ones (scores by up to {difference:.3})")
                    }
                    Tolerance::Relative(_) => {
                        format!("its scores differ by up to {difference:.3}; {bound:.3} is accepted")
                    }
                })
            }
            Err(Err(problem)) => Some(problem),
        };
        if let Some(problem) = problem {
            result.wrong.push(WrongImage { row, path: job.manifest.path(row).to_owned(), problem });
        }
    }
    Ok(result)
}

/// Compares bit by bit. A store may keep fewer classes than the teacher returns.
fn are_equal(now: &ImageLabels, stored: &ImageLabels) -> bool {
    let of_tiles = |now: &TileLabels, stored: &TileLabels| {
        now.map == stored.map && same_prediction(&now.prediction, &stored.prediction)
    };
    let tiles = now.tiles.iter().zip(&stored.tiles);
    now.map == stored.map
        && same_prediction(&now.prediction, &stored.prediction)
        && now.tiles.len() == stored.tiles.len()
        && tiles.into_iter().all(|(now, stored)| of_tiles(now, stored))
}

fn same_prediction(now: &ImagePrediction, stored: &ImagePrediction) -> bool {
    now.probs().get(..stored.probs().len()) == Some(stored.probs())
        && now.classes().get(..stored.classes().len()) == Some(stored.classes())
}

/// Returns the largest difference between scores of the maps at the same position, and of the logarithms of predicted
/// probabilities. NaN if the labels have different shapes.
fn largest_difference(now: &ImageLabels, stored: &ImageLabels) -> f32 {
    if now.map.is_some() != stored.map.is_some() || now.tiles.len() != stored.tiles.len() {
        return f32::NAN;
    }
    let mut largest = match (&now.map, &stored.map) {
        (Some(now), Some(stored)) => map_difference(now, stored),
        _ => prediction_difference(&now.prediction, &stored.prediction),
    };
    for (now, stored) in now.tiles.iter().zip(&stored.tiles) {
        let of_maps = match (&now.map, &stored.map) {
            (Some(now), Some(stored)) => map_difference(now, stored),
            (None, None) => 0.0,
            _ => f32::NAN,
        };
        for difference in [of_maps, prediction_difference(&now.prediction, &stored.prediction)] {
            largest = if difference.is_nan() { difference } else { largest.max(difference) };
        }
    }
    largest
}

/// Returns the largest difference between the logarithms of the probabilities of a class, like a difference of scores.
/// Probabilities below 0.001, of which float16 keeps few bits, are not compared.
fn prediction_difference(now: &ImagePrediction, stored: &ImagePrediction) -> f32 {
    const SMALLEST: f32 = 1e-3;
    let kept = stored.classes().iter().zip(stored.probs()).map(|(&class, prob)| (class, prob.to_f32()));
    let lowest_now = now.probs().last().map_or(0.0, |prob| prob.to_f32());
    kept.filter(|&(_, prob)| prob >= SMALLEST)
        .map(|(class, prob)| {
            let again = now.rank_of(class).map_or(lowest_now.min(prob), |rank| now.probs()[rank].to_f32());
            (prob.ln() - again.max(f32::MIN_POSITIVE).ln()).abs()
        })
        .fold(0.0, f32::max)
}

/// Returns the largest difference between scores at the same position. Classes with nearly the same score may change
/// places, so the values at each rank are compared, and the scores of each class as far as they are kept.
fn map_difference(now: &LabelMap, stored: &LabelMap) -> f32 {
    if (now.size(), now.k()) != (stored.size(), stored.k()) {
        return f32::NAN;
    }
    let pairs = now.cell_scores().iter().zip(stored.cell_scores());
    let of_ranks = pairs.map(|(a, b)| (a.to_f32() - b.to_f32()).abs()).fold(0.0, f32::max);
    of_ranks.max(difference_of_classes(now, stored))
}

/// Returns the largest difference between a class's stored score and its new one. A class that is no longer kept has at
/// most the lowest kept score.
fn difference_of_classes(now: &LabelMap, stored: &LabelMap) -> f32 {
    let (k, cells) = (stored.k(), stored.size().cells());
    let at = |map: &LabelMap, rank: usize, cell: usize| {
        let (scores, classes) = map.cell(cell);
        (scores[rank].to_f32(), classes[rank])
    };
    let mut largest = 0.0_f32;
    for cell in 0..cells {
        let lowest_now = at(now, k - 1, cell).0;
        for rank in 0..k {
            let (score, class) = at(stored, rank, cell);
            let kept = (0..k).map(|rank| at(now, rank, cell)).find(|(_, kept)| *kept == class);
            let difference = kept.map_or_else(|| (score - lowest_now).max(0.0), |(now, _)| (score - now).abs());
            largest = largest.max(difference);
        }
    }
    largest
}

/// Returns the difference between the two best stored scores of each cell whose best class differs now.
fn gaps_of_other_best(now: &LabelMap, stored: &LabelMap) -> Vec<f32> {
    let cells = stored.size().cells();
    if now.size() != stored.size() {
        return vec![f32::INFINITY; cells];
    }
    let score = |rank: usize, cell: usize| stored.cell(cell).0.get(rank).map_or(0.0, |score| score.to_f32());
    // With a single class per cell the second best is unknown.
    let gap = |cell| if stored.k() > 1 { score(0, cell) - score(1, cell) } else { f32::INFINITY };
    (0..cells).filter(|&cell| now.cell(cell).1[0] != stored.cell(cell).1[0]).map(gap).collect()
}

fn bound(stored: &ImageLabels, tolerance: Tolerance, score_steps: Option<u16>) -> f32 {
    let Tolerance::Relative(relative) = tolerance else { return 0.0 };
    let maps = stored.map.iter().chain(stored.tiles.iter().filter_map(|tile| tile.map.as_ref()));
    let scores = maps.flat_map(|map| map.cell_scores().iter().map(|score| score.to_f32().abs()));
    let largest = scores.fold(1.0, f32::max);
    // Both values were rounded: to float16 (11 bits), or by up to two steps each if rounding errors are diffused.
    let rounding = score_steps.map_or(largest / 1024.0, |steps| 4.0 / f32::from(steps));
    relative * largest + rounding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::ScoreRounding;

    fn labels(scores: &[f32], classes: &[i32]) -> ImageLabels {
        let size = MapSize::new(1, 1).unwrap();
        let map = LabelMap::from_cells(scores, classes, scores.len(), size, ScoreRounding::Float16).unwrap();
        ImageLabels::new(map, ImagePrediction::from_ranks(&[0.5], &[1]).unwrap())
    }

    #[test]
    fn classes_that_change_places_differ_by_their_scores() {
        let stored = labels(&[8.0, 4.0, 2.0], &[1, 2, 3]);
        let cases = [
            ([8.0, 4.0, 2.0], [1, 2, 3], 0.0),
            ([8.0, 4.0, 2.0], [1, 3, 2], 2.0),
            // A tie at the last rank that is kept.
            ([8.0, 4.0, 2.0], [1, 2, 9], 0.0),
            ([8.0, 4.0, 2.0], [9, 2, 3], 6.0),
            ([8.5, 4.0, 2.0], [1, 2, 3], 0.5),
        ];
        for (scores, classes, expected) in cases {
            let difference = largest_difference(&labels(&scores, &classes), &stored);
            assert!((difference - expected).abs() < 1e-6, "{scores:?}, {classes:?}: {difference}");
        }
    }

    fn gaps(now: &ImageLabels, stored: &ImageLabels) -> Vec<f32> {
        gaps_of_other_best(now.map.as_ref().unwrap(), stored.map.as_ref().unwrap())
    }

    #[test]
    fn predictions_are_compared_by_the_logarithm_of_probabilities() {
        let prediction = |probs: &[f32], classes: &[i32]| ImagePrediction::from_ranks(probs, classes).unwrap();
        let stored = prediction(&[0.5, 0.25, 1e-5], &[1, 2, 3]);
        let difference = |probs: &[f32], classes: &[i32]| prediction_difference(&prediction(probs, classes), &stored);
        assert!(difference(&[0.5, 0.25, 2e-5], &[1, 2, 3]).abs() < 1e-6);
        assert!((difference(&[0.5, 0.125], &[1, 2]) - std::f32::consts::LN_2).abs() < 1e-3);
        assert!(difference(&[0.9, 0.01], &[1, 5]) > 3.0, "class 2 is gone");
    }

    #[test]
    fn gaps_of_cells_whose_best_class_changed() {
        let stored = labels(&[8.0, 7.5], &[1, 2]);
        assert_eq!(gaps(&labels(&[8.0, 7.5], &[1, 2]), &stored), Vec::<f32>::new());
        assert_eq!(gaps(&labels(&[8.0, 7.5], &[2, 1]), &stored), vec![0.5]);
        assert_eq!(gaps(&labels(&[8.0], &[2]), &labels(&[8.0], &[1])), vec![f32::INFINITY]);
    }

    #[test]
    fn bounds_grow_with_scores_and_rounding() {
        let stored = labels(&[16.0, 4.0], &[1, 2]);
        assert!(bound(&stored, Tolerance::Exact, None).abs() < f32::EPSILON);
        assert!((bound(&stored, Tolerance::Relative(1e-3), None) - 0.031_625).abs() < 1e-6);
        assert!((bound(&stored, Tolerance::Relative(1e-3), Some(8)) - 0.516).abs() < 1e-6);
    }
}
