//! Converts the values of a published file to the labels of an image, and checks them.

use super::file_layout::FileLayout;
use crate::shared::error::{ImageError, ImageErrorKind};
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::{ImageLabels, ImagePrediction, LabelMap, ScoreRounding};
use crate::training::pool::{PoolOptions, Pooler};

/// Minimum number of ranks of the prediction, for the top-5 agreement.
const MIN_PREDICTED_RANKS: usize = 5;

/// Converts files to labels. It has buffers that are reused for each file, so every thread needs its own.
#[derive(Debug)]
pub struct FileReader {
    layout: FileLayout,
    pooler: Pooler,
    probs: Vec<f32>,
    cell: Vec<(f32, u32)>,
}

impl FileReader {
    /// Creates a reader of files of one layout, whose class ids are below `class_count`.
    #[must_use]
    pub fn new(layout: FileLayout, class_count: usize) -> Self {
        let pooler = Pooler::new(class_count, PoolOptions::default());
        Self { layout, pooler, probs: vec![0.0; class_count], cell: Vec::with_capacity(layout.k()) }
    }

    /// Converts a file: its map with each cell sorted from high to low, and as prediction the `LabelPooling` of the entire
    /// image. Equal scores keep the order of the file, since they may have differed before they were rounded.
    ///
    /// # Errors
    /// Returns an [`ImageError`] if a score is not finite in float16, or a class id is not an integer, out of range, or
    /// repeated in a cell.
    ///
    /// # Panics
    /// Panics if there are not as many values as the layout has.
    pub fn labels(&mut self, values: &[f32]) -> Result<ImageLabels, ImageError> {
        let (layout, size) = (self.layout, self.layout.map_size());
        assert_eq!(values.len(), layout.values(), "a map of {size} cells with k = {}", layout.k());
        let (scores, ids) = values.split_at(layout.half_len());
        let (mut sorted_scores, mut sorted_ids) = (Vec::with_capacity(scores.len()), Vec::with_capacity(ids.len()));
        for (y, x) in (0..size.height_cells()).flat_map(|y| (0..size.width_cells()).map(move |x| (y, x))) {
            self.cell.clear();
            for position in (0..layout.k()).map(|rank| layout.position(rank, y, x)) {
                let class = class_id(ids[position], self.probs.len())
                    .map_err(|problem| not_a_map(y, x, &problem.to_string()))?;
                if self.cell.iter().any(|&(_, other)| other == class) {
                    return Err(not_a_map(y, x, &format!("class {class} is listed twice")));
                }
                self.cell.push((scores[position], class));
            }
            // The map refuses NaN.
            self.cell.sort_by(|(a, _), (b, _)| b.partial_cmp(a).unwrap_or(std::cmp::Ordering::Equal));
            sorted_scores.extend(self.cell.iter().map(|&(score, _)| score));
            sorted_ids.extend(self.cell.iter().map(|&(_, class)| class as i32));
        }
        let map = LabelMap::from_cells(&sorted_scores, &sorted_ids, layout.k(), size, ScoreRounding::Float16)?;
        let prediction = self.prediction(&map)?;
        Ok(ImageLabels::new(map, prediction))
    }

    fn prediction(&mut self, map: &LabelMap) -> Result<ImagePrediction, ImageError> {
        self.pooler
            .pool(map, Crop::from(UnitBox::WHOLE), &mut self.probs)
            .map_err(|problem| ImageError { kind: ImageErrorKind::NotAMap, reason: problem.to_string() })?;
        let probs = &self.probs;
        let ranks = map.k().max(MIN_PREDICTED_RANKS).min(probs.len());
        let mut classes: Vec<usize> = (0..probs.len()).collect();
        let by_probability = |a: &usize, b: &usize| probs[*b].total_cmp(&probs[*a]).then(a.cmp(b));
        if ranks < classes.len() {
            classes.select_nth_unstable_by(ranks, by_probability);
            classes.truncate(ranks);
        }
        classes.sort_unstable_by(by_probability);
        let best: Vec<f32> = classes.iter().map(|&class| probs[class]).collect();
        let classes: Vec<i32> = classes.into_iter().map(|class| class as i32).collect();
        ImagePrediction::from_ranks(&best, &classes)
    }
}

/// Reason that a value is not a class id.
#[derive(Debug, thiserror::Error)]
enum ClassIdError {
    #[error("class id {0} is not an integer")]
    NotAnInteger(f32),
    #[error("class id {value} is out of range (0 to {})", class_count.saturating_sub(1))]
    OutOfRange { value: f32, class_count: usize },
}

fn class_id(value: f32, class_count: usize) -> Result<u32, ClassIdError> {
    if value.fract() != 0.0 {
        return Err(ClassIdError::NotAnInteger(value));
    }
    if value < 0.0 || value as usize >= class_count {
        return Err(ClassIdError::OutOfRange { value, class_count });
    }
    Ok(value as u32)
}

fn not_a_map(y: usize, x: usize, problem: &str) -> ImageError {
    ImageError { kind: ImageErrorKind::NotAMap, reason: format!("cell {y}, {x}: {problem}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::store::{CellOrder, RankAxis};
    use half::f16;

    fn reader() -> FileReader {
        FileReader::new(FileLayout::new([2, 1, 2], RankAxis::First, CellOrder::Yx).unwrap(), 10)
    }

    #[test]
    fn cells_are_sorted_and_equal_scores_keep_their_order() {
        let labels = reader().labels(&[1.0, 3.0, 2.0, 3.0, 7.0, 9.0, 8.0, 4.0]).unwrap();
        let (scores, classes) = labels.label_map().unwrap().rank_planes();
        assert_eq!(scores, [2.0, 3.0, 1.0, 3.0].map(f16::from_f32));
        assert_eq!(classes, [8, 9, 7, 4]);
        assert_eq!(labels.prediction.classes(), [4, 9, 8, 7, 0]);
    }

    #[test]
    fn classes_that_no_cell_has_may_be_the_most_probable() {
        let labels = reader().labels(&[-1.0, -1.0, -2.0, -2.0, 7.0, 7.0, 0.0, 0.0]).unwrap();
        assert_eq!(labels.prediction.classes(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn invalid_values_are_reported() {
        let refusal = |values: [f32; 8]| reader().labels(&values).unwrap_err().to_string();
        let scores = [2.0, 2.0, 1.0, 1.0];
        let with_ids = |ids: [f32; 4]| refusal([&scores[..], &ids].concat().try_into().unwrap());
        assert_eq!(with_ids([0.0, 1.0, 0.0, 2.0]), "not-a-map: cell 0, 0: class 0 is listed twice");
        assert!(with_ids([0.0, 1.0, 1.0, 2.5]).contains("cell 0, 1: class id 2.5 is not an integer"));
        assert!(with_ids([0.0, 1.0, 1.0, 10.0]).contains("out of range (0 to 9)"));
        assert!(with_ids([-1.0, 1.0, 1.0, 2.0]).contains("class id -1"));
        assert!(with_ids([f32::NAN, 1.0, 1.0, 2.0]).contains("class id NaN"));
        assert!(with_ids([f32::INFINITY, 1.0, 1.0, 2.0]).contains("class id inf"));
        let ids = [0.0, 1.0, 1.0, 0.0];
        for bad in [f32::NAN, f32::INFINITY, 70_000.0] {
            let reason = refusal([&[bad, 2.0, 1.0, 1.0][..], &ids].concat().try_into().unwrap());
            assert!(reason.starts_with("scores: ") && reason.contains("not finite in float16"), "{reason}");
        }
    }
}
