//! One row of a report.

use crate::inspection::inspect::{Examiner, StatisticsError, Verdict};
use crate::shared::error::ImageError;
use crate::shared::label_map::ImageLabels;

/// One row of a report.
#[derive(Clone, Debug)]
pub(super) struct PageRow {
    pub(super) row: usize,
    pub(super) state: PageRowState,
    /// Reason the photograph cannot be shown.
    pub(super) no_photograph: Option<ImageError>,
}

#[derive(Clone, Debug)]
pub(super) enum PageRowState {
    Labelled(PageRowStatistics),
    Failed(ImageError),
}

/// Statistics of a row. Probabilities and entropy are those of the target of the full image.
#[derive(Clone, Debug)]
pub(super) struct PageRowStatistics {
    pub(super) verdict: Verdict,
    pub(super) best_class: u32,
    pub(super) best_prob: f32,
    /// Probability of the folder class.
    pub(super) folder_class_prob: Option<f32>,
    /// Highest probability of a different class.
    pub(super) other_prob: Option<f32>,
    pub(super) folder_class_cells: Option<usize>,
    pub(super) objects: usize,
    pub(super) entropy: f32,
    /// Size of the label maps in the store, in bytes; 0 without any.
    pub(super) map_bytes: usize,
    /// Classes that are the best in at least one cell, in ascending order; without a label map, in at least one prediction.
    pub(super) winners: Box<[u32]>,
}

impl PageRow {
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state, PageRowState::Failed(_))
    }

    pub(super) fn statistics(&self) -> Option<&PageRowStatistics> {
        match &self.state {
            PageRowState::Labelled(statistics) => Some(statistics),
            PageRowState::Failed(_) => None,
        }
    }
}

impl PageRowStatistics {
    /// Computes the statistics of an image whose label maps occupy `map_bytes` in the store.
    ///
    /// # Errors
    /// Returns an error if the labels contain a class id that the teacher does not have.
    pub(super) fn new(
        examiner: &mut Examiner,
        labels: &ImageLabels,
        folder_class: Option<u32>,
        map_bytes: usize,
    ) -> Result<Self, StatisticsError> {
        let statistics = examiner.statistics(labels, folder_class)?;
        let target = &statistics.target;
        let (Some(&best_class), Some(&best_prob)) = (target.classes.first(), target.probs.first()) else {
            return Err(StatisticsError::NoBestClass);
        };
        let other_prob = folder_class.map(|folder_class| {
            let mut ranked = target.classes.iter().zip(&target.probs);
            let kept = ranked.find(|(class, _)| **class != folder_class).map_or(0.0, |(_, prob)| *prob);
            let absent = examiner.class_count().saturating_sub(target.classes.len());
            kept.max(target.rest / absent.max(1) as f32)
        });
        Ok(Self {
            verdict: statistics.verdict,
            best_class,
            best_prob,
            folder_class_prob: statistics.folder_class_prob,
            other_prob,
            folder_class_cells: statistics.folder_class_cells,
            objects: statistics.objects,
            entropy: statistics.entropy,
            map_bytes,
            winners: statistics.winners,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::{ImagePrediction, LabelMap, ScoreRounding};
    use crate::training::pool::LabelSources;

    #[test]
    fn the_other_probability_is_that_of_the_best_other_class() {
        let size = MapSize::new(1, 2).unwrap();
        let map = LabelMap::from_cells(&[9.0, 1.0, 8.0, 2.0], &[3, 5, 4, 5], 2, size, ScoreRounding::Float16).unwrap();
        let labels = ImageLabels::new(map, ImagePrediction::from_ranks(&[0.9], &[7]).unwrap());
        let mut examiner = Examiner::new(10, LabelSources::new(true, None));
        let mut of = |folder_class| PageRowStatistics::new(&mut examiner, &labels, folder_class, 12).unwrap();
        let (best, second) = (of(Some(3)), of(Some(4)));
        assert_eq!((best.best_class, &*best.winners, best.map_bytes), (3, [3, 4].as_slice(), 12));
        assert_eq!(best.folder_class_prob, Some(best.best_prob));
        assert_eq!((best.other_prob, second.other_prob), (second.folder_class_prob, best.folder_class_prob));
        assert_eq!((of(None).folder_class_prob, of(None).other_prob), (None, None));
    }
}
