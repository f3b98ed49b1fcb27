//! Probabilities of the classes of each cell.

use crate::shared::label_map::LabelMap;

/// Probabilities of the kept classes of every cell: softmax over all classes, where classes that the cell does not contain
/// have score 0, as in LabelPooling (`docs/label-pooling.md`).
#[derive(Clone, Debug)]
pub struct CellProbs {
    k: usize,
    cells: usize,
    /// `[y, x, k]`
    probs: Vec<f32>,
}

impl CellProbs {
    /// Computes the probabilities of a map of a teacher with `class_count` classes.
    #[must_use]
    pub fn new(map: &LabelMap, class_count: usize) -> Self {
        let (k, cells) = (map.k(), map.size().cells());
        let absent = class_count.saturating_sub(k) as f32;
        let mut probs = vec![0.0; k * cells];
        for (cell, probs) in probs.chunks_exact_mut(k.max(1)).enumerate() {
            let cell_scores = || map.cell(cell).0.iter().map(|score| score.to_f32());
            let top = cell_scores().fold(if absent > 0.0 { 0.0 } else { f32::NEG_INFINITY }, f32::max);
            let total = cell_scores().map(|score| (score - top).exp()).sum::<f32>() + absent * (-top).exp();
            for (prob, score) in probs.iter_mut().zip(cell_scores()) {
                *prob = (score - top).exp() / total;
            }
        }
        Self { k, cells, probs }
    }

    /// Probability of the class of rank `rank` in cell number `cell`, counted row by row.
    ///
    /// # Panics
    /// Panics if the map has no such rank or cell.
    #[must_use]
    pub fn at(&self, rank: usize, cell: usize) -> f32 {
        self.probs[cell * self.k + rank]
    }

    /// Probability of one class in every cell, `[y, x]`; 0 where the cell does not contain it.
    #[must_use]
    pub fn of_class(&self, map: &LabelMap, class: u32) -> Vec<f32> {
        let mut class_probs = vec![0.0; self.cells];
        for (at, _) in map.cell_classes().iter().enumerate().filter(|(_, kept)| **kept == class) {
            class_probs[at / self.k] = self.probs[at];
        }
        class_probs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::ScoreRounding;

    #[test]
    fn absent_classes_have_score_0() {
        let size = MapSize::new(1, 2).unwrap();
        let map =
            LabelMap::from_cells(&[2.0, 1.0, 40.0, -3.0], &[4, 5, 5, 6], 2, size, ScoreRounding::Float16).unwrap();
        let probs = CellProbs::new(&map, 10);
        let total = 2_f32.exp() + 1_f32.exp() + 8.0;
        assert!((probs.at(0, 0) - 2_f32.exp() / total).abs() < 1e-6);
        assert!((probs.of_class(&map, 5)[0] - 1_f32.exp() / total).abs() < 1e-6);
        assert!((probs.of_class(&map, 5)[1] - 1.0).abs() < 1e-6);
        assert_eq!(probs.of_class(&map, 9), [0.0, 0.0]);
    }
}
