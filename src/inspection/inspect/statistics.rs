//! Statistics of one image: its target, how many classes it shows, and whether its folder class is among them.

use serde::Serialize;

use super::cell_probs::CellProbs;
use super::regions::objects;
use crate::shared::error::Cause;
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::LabelMap;
use crate::training::pool::{PoolOptions, Pooler, SparseTarget};

/// Computes statistics of label maps of one teacher. Holds buffers that are reused from map to map; use one per thread.
#[derive(Debug)]
pub struct Examiner {
    pooler: Pooler,
    class_count: usize,
}

/// Statistics of a label map.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageStatistics {
    /// Target of the full image.
    pub target: SparseTarget,
    /// Whether the folder class is the best class of [`ImageStatistics::target`].
    pub verdict: Verdict,
    /// Probability of the folder class in [`ImageStatistics::target`]; `None` without a folder class.
    pub folder_class_prob: Option<f32>,
    /// Number of cells whose best class is the folder class; `None` without a folder class.
    pub folder_class_cells: Option<usize>,
    /// Classes that are the best in at least one cell, in ascending order.
    pub winners: Box<[u32]>,
    /// Number of [`objects`].
    pub objects: usize,
    /// Entropy of [`ImageStatistics::target`] in nats: 0 if one class has all of the probability, ln(classes) if all
    /// classes have the same.
    pub entropy: f32,
}

/// Comparison of an image's target with its folder class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The folder class is the best class of the target.
    Agrees,
    /// A different class is the best, but the top `k` of some cell contains the folder class.
    Differs,
    /// No cell contains the folder class.
    Absent,
    /// The image is in no folder, or its folder is not a class of the teacher.
    NotCompared,
}

/// Reason the statistics of a label map cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum StatisticsError {
    /// The label map does not fit the teacher: a class id is out of range, or the map has a different size.
    #[error("cannot pool the label map: {0}")]
    Pool(#[source] Cause),
    /// The target or the prediction is empty.
    #[error("the target or the prediction is empty")]
    NoBestClass,
}

impl Examiner {
    /// Creates an examiner for maps of a teacher with `class_count` classes.
    #[must_use]
    pub fn new(class_count: usize) -> Self {
        Self { pooler: Pooler::new(class_count, PoolOptions::default()), class_count }
    }

    /// Number of classes of the teacher.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.class_count
    }

    /// Pools a crop with the paper's LabelPooling.
    ///
    /// # Errors
    /// Returns [`StatisticsError::Pool`] if the map contains a class id that the teacher does not have.
    pub fn pool(&mut self, map: &LabelMap, unit_box: UnitBox) -> Result<SparseTarget, StatisticsError> {
        let mut targets =
            self.pooler.pool_sparse(map, Crop::from(unit_box)).map_err(|error| StatisticsError::Pool(error.into()))?;
        // The default pooling has one output, and so one target.
        Ok(targets.swap_remove(0))
    }

    /// Computes the statistics of an image with this folder class.
    ///
    /// # Errors
    /// See [`Examiner::pool`].
    pub fn statistics(
        &mut self,
        map: &LabelMap,
        folder_class: Option<u32>,
    ) -> Result<ImageStatistics, StatisticsError> {
        let target = self.pool(map, UnitBox::WHOLE)?;
        let cell_winners = map.best_classes();
        let mut winners = cell_winners.clone();
        winners.sort_unstable();
        winners.dedup();
        Ok(ImageStatistics {
            verdict: Verdict::new(map, &target, folder_class),
            folder_class_prob: folder_class.map(|class| target.prob_of(class, self.class_count)),
            folder_class_cells: folder_class
                .map(|class| cell_winners.iter().filter(|winner| **winner == class).count()),
            winners: winners.into(),
            objects: objects(map, &CellProbs::new(map, self.class_count)).len(),
            entropy: target.entropy(self.class_count),
            target,
        })
    }
}

impl Verdict {
    /// Compares a map and its target with the folder class.
    #[must_use]
    pub fn new(map: &LabelMap, target: &SparseTarget, folder_class: Option<u32>) -> Self {
        match folder_class {
            None => Self::NotCompared,
            Some(class) if target.classes.first() == Some(&class) => Self::Agrees,
            Some(class) if map.cell_classes().contains(&class) => Self::Differs,
            Some(_) => Self::Absent,
        }
    }

    /// Returns the serialised name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::Absent => "absent",
            Self::NotCompared => "not-compared",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::ScoreRounding;

    #[test]
    fn statistics_of_an_image_of_two_halves() {
        let size = MapSize::new(1, 2).unwrap();
        let map = LabelMap::from_cells(&[9.0, 1.0, 8.0, 2.0], &[3, 5, 4, 5], 2, size, ScoreRounding::Float16).unwrap();
        let mut examiner = Examiner::new(10);
        let statistics = examiner.statistics(&map, Some(4)).unwrap();
        assert_eq!(statistics.target.classes, [3, 4, 5]);
        assert_eq!(
            (&*statistics.winners, statistics.objects, statistics.folder_class_cells),
            ([3, 4].as_slice(), 2, Some(1))
        );
        let total = 4.5_f32.exp() + 4_f32.exp() + 1.5_f32.exp() + 7.0;
        assert!((statistics.folder_class_prob.unwrap() - 4_f32.exp() / total).abs() < 1e-6);
        let verdict = |folder_class| Examiner::new(10).statistics(&map, folder_class).unwrap().verdict;
        assert_eq!(
            [Some(3), Some(5), Some(7), None].map(verdict),
            [Verdict::Agrees, Verdict::Differs, Verdict::Absent, Verdict::NotCompared]
        );
    }

    #[test]
    fn entropy_counts_all_classes() {
        let flat = SparseTarget { classes: vec![2], probs: vec![0.25], rest: 0.75 };
        assert!((flat.entropy(4) - 4_f32.ln()).abs() < 1e-6);
        assert!((flat.prob_of(0, 4) - 0.25).abs() < 1e-7 && (flat.prob_of(2, 4) - 0.25).abs() < 1e-7);
        let sure = SparseTarget { classes: vec![2], probs: vec![1.0], rest: 0.0 };
        assert!(sure.entropy(4).abs() < 1e-7);
    }
}
