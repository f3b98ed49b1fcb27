//! One image in figures: its pooled label, how mixed it is, and whether its folder's class is in it.

use serde::Serialize;

use super::cells::CellProbs;
use super::regions::objects;
use crate::shared::geometry::{Crop, UnitBox};
use crate::shared::label_map::LabelMap;
use crate::training::pool::{PoolOptions, Pooler, SparseTarget};

/// Examines label maps of one teacher, one after the other. It holds what is used again for each, so make one for each
/// thread.
#[derive(Debug)]
pub struct Examiner {
    pooler: Pooler,
    class_count: usize,
}

/// What a label map says of its image.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The pooled label of the whole image.
    pub whole: SparseTarget,
    /// Whether the folder's class is the best of [`Figures::whole`].
    pub verdict: Verdict,
    /// Probability of the folder's class in [`Figures::whole`]; `None` where it is no class of the teacher.
    pub label_prob: Option<f32>,
    /// Cells in which the folder's class is the best; `None` where it is no class of the teacher.
    pub label_cells: Option<usize>,
    /// Classes that are the best in at least one cell, lowest first.
    pub winners: Box<[u32]>,
    /// Connected areas of cells that are sure of one class ([`objects`]).
    pub objects: usize,
    /// Entropy of [`Figures::whole`] in nats: 0 for a label of one class, ln(classes) for one that says nothing.
    pub entropy: f32,
}

/// How an image's pooled label and its folder's class go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The folder's class is the best of the pooled label.
    Agrees,
    /// Another class is the best, but some cell holds the folder's class among its best `k`.
    Differs,
    /// No cell holds the folder's class.
    Absent,
    /// The image is in no folder, or in one that is no class of the teacher.
    NotCompared,
}

impl Examiner {
    /// An examiner of maps of a teacher with `class_count` classes.
    #[must_use]
    pub fn new(class_count: usize) -> Self {
        Self { pooler: Pooler::new(class_count, PoolOptions::default()), class_count }
    }

    /// Classes of the teacher.
    #[must_use]
    pub fn class_count(&self) -> usize {
        self.class_count
    }

    /// The pooled label of a box, as the paper pools it.
    ///
    /// # Errors
    /// In words, when the map holds a class that the teacher does not have.
    pub fn pool(&mut self, map: &LabelMap, unit_box: UnitBox) -> Result<SparseTarget, String> {
        // One part has one label.
        Ok(self.pooler.pool_sparse(map, Crop::from(unit_box)).map_err(|problem| problem.to_string())?.swap_remove(0))
    }

    /// The figures of an image that is filed under `label_class`.
    ///
    /// # Errors
    /// As for [`Examiner::pool`].
    pub fn figures(&mut self, map: &LabelMap, label_class: Option<u32>) -> Result<Figures, String> {
        let whole = self.pool(map, UnitBox::WHOLE)?;
        let winners = map.best_classes();
        let mut distinct = winners.clone();
        distinct.sort_unstable();
        distinct.dedup();
        Ok(Figures {
            verdict: Verdict::of(map, &whole, label_class),
            label_prob: label_class.map(|class| whole.prob_of(class, self.class_count)),
            label_cells: label_class.map(|class| winners.iter().filter(|winner| **winner == class).count()),
            winners: distinct.into(),
            objects: objects(map, &CellProbs::new(map, self.class_count)).len(),
            entropy: whole.entropy(self.class_count),
            whole,
        })
    }
}

impl Verdict {
    /// As it is serialised.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::Absent => "absent",
            Self::NotCompared => "not-compared",
        }
    }

    /// Of a map, its pooled label, and the folder's class.
    #[must_use]
    pub fn of(map: &LabelMap, whole: &SparseTarget, label_class: Option<u32>) -> Self {
        match label_class {
            None => Self::NotCompared,
            Some(class) if whole.classes.first() == Some(&class) => Self::Agrees,
            Some(class) if map.cell_classes().contains(&class) => Self::Differs,
            Some(_) => Self::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::ScoreRounding;

    #[test]
    fn an_image_of_two_halves() {
        let size = MapSize::new(1, 2).unwrap();
        let map = LabelMap::from_cells(&[9.0, 1.0, 8.0, 2.0], &[3, 5, 4, 5], 2, size, ScoreRounding::Float16).unwrap();
        let mut examiner = Examiner::new(10);
        let figures = examiner.figures(&map, Some(4)).unwrap();
        assert_eq!(figures.whole.classes, [3, 4, 5]);
        assert_eq!((&*figures.winners, figures.objects, figures.label_cells), ([3, 4].as_slice(), 2, Some(1)));
        let total = 4.5_f32.exp() + 4_f32.exp() + 1.5_f32.exp() + 7.0;
        assert!((figures.label_prob.unwrap() - 4_f32.exp() / total).abs() < 1e-6);
        let verdict = |label| Examiner::new(10).figures(&map, label).unwrap().verdict;
        assert_eq!(
            [Some(3), Some(5), Some(7), None].map(verdict),
            [Verdict::Agrees, Verdict::Differs, Verdict::Absent, Verdict::NotCompared]
        );
    }

    #[test]
    fn entropy_is_that_of_all_classes() {
        let flat = SparseTarget { classes: vec![2], probs: vec![0.25], rest: 0.75 };
        assert!((flat.entropy(4) - 4_f32.ln()).abs() < 1e-6);
        assert!((flat.prob_of(0, 4) - 0.25).abs() < 1e-7 && (flat.prob_of(2, 4) - 0.25).abs() < 1e-7);
        let sure = SparseTarget { classes: vec![2], probs: vec![1.0], rest: 0.0 };
        assert!(sure.entropy(4).abs() < 1e-7);
    }
}
