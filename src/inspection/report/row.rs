//! What a page's columns hold of one image.

use crate::inspection::inspect::{Examiner, Verdict};
use crate::shared::error::ImageError;
use crate::shared::label_map::LabelMap;

/// One image of a page.
#[derive(Clone, Debug)]
pub(super) struct PageRow {
    pub(super) row: usize,
    pub(super) state: RowState,
    /// Why its photograph is not shown, where it was looked for.
    pub(super) no_photograph: Option<ImageError>,
}

#[derive(Clone, Debug)]
pub(super) enum RowState {
    Labelled(RowFigures),
    Failed(ImageError),
}

/// Its figures; those of the pooled label are of the whole image.
#[derive(Clone, Debug)]
pub(super) struct RowFigures {
    pub(super) verdict: Verdict,
    pub(super) best_class: u32,
    pub(super) best_prob: f32,
    /// Probability of the folder's class.
    pub(super) label_prob: Option<f32>,
    /// Probability of the best of the other classes.
    pub(super) other_prob: Option<f32>,
    pub(super) label_cells: Option<usize>,
    pub(super) objects: usize,
    pub(super) entropy: f32,
    /// Bytes of the map in the store.
    pub(super) map_bytes: usize,
    /// Classes that are the best in some cell, lowest first.
    pub(super) winners: Box<[u32]>,
}

impl PageRow {
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state, RowState::Failed(_))
    }

    pub(super) fn figures(&self) -> Option<&RowFigures> {
        match &self.state {
            RowState::Labelled(figures) => Some(figures),
            RowState::Failed(_) => None,
        }
    }
}

impl RowFigures {
    /// Of a map that takes `map_bytes` in the store, of an image in the folder of `label_class`.
    ///
    /// # Errors
    /// In words, when the map holds a class that the teacher does not have.
    pub(super) fn new(
        examiner: &mut Examiner,
        map: &LabelMap,
        label_class: Option<u32>,
        map_bytes: usize,
    ) -> Result<Self, String> {
        let figures = examiner.figures(map, label_class)?;
        let whole = &figures.whole;
        let (Some(&best_class), Some(&best_prob)) = (whole.classes.first(), whole.probs.first()) else {
            return Err("its map holds no class".to_owned());
        };
        let other_prob = label_class.map(|label| {
            let mut ranked = whole.classes.iter().zip(&whole.probs);
            let held = ranked.find(|(class, _)| **class != label).map_or(0.0, |(_, prob)| *prob);
            let absent = examiner.class_count().saturating_sub(whole.classes.len());
            held.max(whole.rest / absent.max(1) as f32)
        });
        Ok(Self {
            verdict: figures.verdict,
            best_class,
            best_prob,
            label_prob: figures.label_prob,
            other_prob,
            label_cells: figures.label_cells,
            objects: figures.objects,
            entropy: figures.entropy,
            map_bytes,
            winners: figures.winners,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::ScoreRounding;

    #[test]
    fn the_best_other_class_stands_against_the_folders() {
        let size = MapSize::new(1, 2).unwrap();
        let map = LabelMap::from_cells(&[9.0, 1.0, 8.0, 2.0], &[3, 5, 4, 5], 2, size, ScoreRounding::Float16).unwrap();
        let mut examiner = Examiner::new(10);
        let mut of = |label| RowFigures::new(&mut examiner, &map, label, 12).unwrap();
        let (best, second) = (of(Some(3)), of(Some(4)));
        assert_eq!((best.best_class, &*best.winners, best.map_bytes), (3, [3, 4].as_slice(), 12));
        assert_eq!(best.label_prob, Some(best.best_prob));
        assert_eq!((best.other_prob, second.other_prob), (second.label_prob, best.label_prob));
        assert_eq!((of(None).label_prob, of(None).other_prob), (None, None));
    }
}
