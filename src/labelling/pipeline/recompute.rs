//! Labels images of a store again and compares the results with the stored labels.

use serde::Serialize;

use super::job::{ImagesToDo, Job, ShardWork};
use super::stages::label;
use crate::labelling::teacher::Teacher;
use crate::shared::error::Error;
use crate::shared::label_map::ImageLabels;
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
        result.cells += stored.map.size().cells();
        if let Some(Ok(now)) = again.get(&row) {
            let gaps = gaps_of_other_best(now, &stored);
            result.other_best_cells += gaps.len();
            result.widest_gap = gaps.into_iter().fold(result.widest_gap, f32::max);
        }
        let compared = match again.remove(&row) {
            Some(Ok(now)) if now.map == stored.map && same_prediction(&now, &stored) => Ok(0.0),
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

/// Compares predictions. A store may keep fewer classes than the teacher returns.
fn same_prediction(now: &ImageLabels, stored: &ImageLabels) -> bool {
    let (now, stored) = (&now.prediction, &stored.prediction);
    now.probs().get(..stored.probs().len()) == Some(stored.probs())
        && now.classes().get(..stored.classes().len()) == Some(stored.classes())
}

/// Returns the largest difference between scores at the same position. Classes with nearly the same score may change
/// places, so the values at each rank are compared, and the scores of each class as far as they are kept.
fn largest_difference(now: &ImageLabels, stored: &ImageLabels) -> f32 {
    if (now.map.size(), now.map.k()) != (stored.map.size(), stored.map.k()) {
        return f32::NAN;
    }
    let pairs = now.map.cell_scores().iter().zip(stored.map.cell_scores());
    let of_ranks = pairs.map(|(a, b)| (a.to_f32() - b.to_f32()).abs()).fold(0.0, f32::max);
    of_ranks.max(difference_of_classes(now, stored))
}

/// Returns the largest difference between a class's stored score and its new one. A class that is no longer kept has at
/// most the lowest kept score.
fn difference_of_classes(now: &ImageLabels, stored: &ImageLabels) -> f32 {
    let (k, cells) = (stored.map.k(), stored.map.size().cells());
    let at = |labels: &ImageLabels, rank: usize, cell: usize| {
        let (scores, classes) = labels.map.cell(cell);
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
fn gaps_of_other_best(now: &ImageLabels, stored: &ImageLabels) -> Vec<f32> {
    let cells = stored.map.size().cells();
    if now.map.size() != stored.map.size() {
        return vec![f32::INFINITY; cells];
    }
    let score = |rank: usize, cell: usize| stored.map.cell(cell).0.get(rank).map_or(0.0, |score| score.to_f32());
    // With a single class per cell the second best is unknown.
    let gap = |cell| if stored.map.k() > 1 { score(0, cell) - score(1, cell) } else { f32::INFINITY };
    (0..cells).filter(|&cell| now.map.cell(cell).1[0] != stored.map.cell(cell).1[0]).map(gap).collect()
}

fn bound(stored: &ImageLabels, tolerance: Tolerance, score_steps: Option<u16>) -> f32 {
    let Tolerance::Relative(relative) = tolerance else { return 0.0 };
    let largest = stored.map.cell_scores().iter().map(|score| score.to_f32().abs()).fold(1.0, f32::max);
    // Both values were rounded: to float16 (11 bits), or by up to two steps each if rounding errors are diffused.
    let rounding = score_steps.map_or(largest / 1024.0, |steps| 4.0 / f32::from(steps));
    relative * largest + rounding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::{ImagePrediction, LabelMap, ScoreRounding};

    fn labels(scores: &[f32], classes: &[i32]) -> ImageLabels {
        let size = MapSize::new(1, 1).unwrap();
        ImageLabels {
            map: LabelMap::from_cells(scores, classes, scores.len(), size, ScoreRounding::Float16).unwrap(),
            prediction: ImagePrediction::from_ranks(&[0.5], &[1]).unwrap(),
        }
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

    #[test]
    fn gaps_of_cells_whose_best_class_changed() {
        let stored = labels(&[8.0, 7.5], &[1, 2]);
        assert_eq!(gaps_of_other_best(&labels(&[8.0, 7.5], &[1, 2]), &stored), Vec::<f32>::new());
        assert_eq!(gaps_of_other_best(&labels(&[8.0, 7.5], &[2, 1]), &stored), vec![0.5]);
        assert_eq!(gaps_of_other_best(&labels(&[8.0], &[2]), &labels(&[8.0], &[1])), vec![f32::INFINITY]);
    }

    #[test]
    fn bounds_grow_with_scores_and_rounding() {
        let stored = labels(&[16.0, 4.0], &[1, 2]);
        assert!(bound(&stored, Tolerance::Exact, None).abs() < f32::EPSILON);
        assert!((bound(&stored, Tolerance::Relative(1e-3), None) - 0.031_625).abs() < 1e-6);
        assert!((bound(&stored, Tolerance::Relative(1e-3), Some(8)) - 0.516).abs() < 1e-6);
    }
}
