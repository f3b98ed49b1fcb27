//! Comparison of two maps of the same size, cell by cell.

use super::difference_histogram::DifferenceHistogram;
use crate::shared::label_map::LabelMap;

/// Comparison of two maps, cell by cell. The counts are sums over cells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CellFigures {
    /// Number of cells.
    pub cells: u32,
    /// Number of cells with the same best class.
    pub same_best: u32,
    /// Number of compared ranks: cells times the smaller k.
    pub ranks: u32,
    /// Number of classes that are among these ranks in both maps.
    pub shared_ranks: u32,
    /// Number of classes that both maps keep in a cell, at any rank.
    pub shared: u32,
    /// Number of classes that only one map keeps in a cell.
    pub only_one: u32,
    /// Sum of the absolute differences of the scores of shared classes.
    pub score_sum: f64,
    /// Largest absolute difference of the scores of a shared class.
    pub score_max: f32,
}

impl CellFigures {
    /// Returns the figures of a map and its copy.
    pub(super) fn of_copy(map: &LabelMap) -> Self {
        let (cells, values) = (map.size().cells() as u32, map.cell_classes().len() as u32);
        Self { cells, same_best: cells, ranks: values, shared_ranks: values, shared: values, ..Self::default() }
    }

    /// Adds the figures of other cells.
    pub(super) fn add(&mut self, other: &Self) {
        self.cells += other.cells;
        self.same_best += other.same_best;
        self.ranks += other.ranks;
        self.shared_ranks += other.shared_ranks;
        self.shared += other.shared;
        self.only_one += other.only_one;
        self.score_sum += other.score_sum;
        self.score_max = self.score_max.max(other.score_max);
    }

    /// Fraction of cells with the same best class.
    #[must_use]
    pub fn same_best_share(&self) -> f64 {
        share(self.same_best, self.cells)
    }

    /// Mean over cells of the fraction of the best k classes that both maps have, for the smaller k.
    #[must_use]
    pub fn rank_overlap(&self) -> f64 {
        share(self.shared_ranks, self.ranks)
    }

    /// Fraction of the classes kept by either map that only one keeps.
    #[must_use]
    pub fn only_one_share(&self) -> f64 {
        share(self.only_one, self.shared + self.only_one)
    }

    /// Mean absolute difference of the scores of shared classes; `None` if there are none.
    #[must_use]
    pub fn score_mean(&self) -> Option<f64> {
        (self.shared > 0).then(|| self.score_sum / f64::from(self.shared))
    }
}

fn share(part: u32, of: u32) -> f64 {
    f64::from(part) / f64::from(of.max(1))
}

/// Compares cells. Every thread needs its own.
pub(super) struct CellComparer {
    /// Rank of each class in the cell of the second map, or [`ABSENT`].
    ranks: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl CellComparer {
    /// Creates a comparer for maps of teachers with `class_count` classes.
    pub(super) fn new(class_count: usize) -> Self {
        Self { ranks: vec![ABSENT; class_count] }
    }

    /// Compares cell `a_cell` of one map with cell `b_cell` of another one. `on_difference` is called with the difference of
    /// each shared class.
    pub(super) fn compare_cell(
        &mut self,
        (a, a_cell): (&LabelMap, usize),
        (b, b_cell): (&LabelMap, usize),
        mut on_difference: impl FnMut(f64),
    ) -> CellFigures {
        let ((a_scores, a_classes), (b_scores, b_classes)) = (a.cell(a_cell), b.cell(b_cell));
        let k = a.k().min(b.k());
        let mut figures = CellFigures {
            cells: 1,
            same_best: u32::from(a_classes.first() == b_classes.first()),
            ranks: k as u32,
            ..CellFigures::default()
        };
        for (rank, &class) in b_classes.iter().enumerate().rev() {
            self.ranks[class as usize] = rank as u32;
        }
        for (rank, (&class, score)) in a_classes.iter().zip(a_scores).enumerate() {
            let there = self.ranks[class as usize] as usize;
            let Some(other) = b_scores.get(there) else { continue };
            figures.shared += 1;
            figures.shared_ranks += u32::from(rank.max(there) < k);
            let difference = (score.to_f64() - other.to_f64()).abs();
            figures.score_sum += difference;
            figures.score_max = figures.score_max.max(difference as f32);
            on_difference(difference);
        }
        for &class in b_classes {
            self.ranks[class as usize] = ABSENT;
        }
        figures.only_one = ((a.k() + b.k()) as u32).saturating_sub(2 * figures.shared);
        figures
    }

    /// Compares two maps of the same size, and adds the differences of scores to a histogram.
    pub(super) fn compare(&mut self, a: &LabelMap, b: &LabelMap, scores: &mut DifferenceHistogram) -> CellFigures {
        let mut figures = CellFigures::default();
        for cell in 0..a.size().cells() {
            figures.add(&self.compare_cell((a, cell), (b, cell), |difference| scores.add(difference)));
        }
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::geometry::MapSize;
    use crate::shared::label_map::ScoreRounding;

    fn map(scores: &[f32], classes: &[i32], k: usize) -> LabelMap {
        let size = MapSize::new(1, classes.len() / k).unwrap();
        LabelMap::from_cells(scores, classes, k, size, ScoreRounding::Float16).unwrap()
    }

    #[test]
    fn cells_are_compared_by_class() {
        let a = map(&[5.0, 4.0, 3.0, 9.0, 2.0, 1.0], &[1, 2, 3, 7, 8, 9], 3);
        let b = map(&[5.5, 4.0, 2.0, 8.0, 2.0, 1.0], &[2, 1, 4, 7, 8, 9], 3);
        let mut histogram = DifferenceHistogram::default();
        let figures = CellComparer::new(10).compare(&a, &b, &mut histogram);
        assert_eq!((figures.cells, figures.same_best, figures.ranks, figures.shared_ranks), (2, 1, 6, 5));
        assert_eq!((figures.shared, figures.only_one), (5, 2));
        // |5 - 4|, |4 - 5.5|, |9 - 8|, 0, 0
        assert!((figures.score_sum - 3.5).abs() < 1e-9 && (figures.score_max - 1.5).abs() < 1e-6);
        assert_eq!((histogram.count(), histogram.quantile(0.4), histogram.quantile(1.0)), (5, 0.0, 1.5));
        assert!(
            (figures.rank_overlap() - 5.0 / 6.0).abs() < 1e-9 && (figures.only_one_share() - 2.0 / 7.0).abs() < 1e-9
        );
    }

    #[test]
    fn the_smaller_k_counts_for_ranks_and_all_classes_for_scores() {
        let (a, b) = (map(&[5.0, 4.0, 3.0], &[1, 2, 3], 3), map(&[5.0], &[3], 1));
        let figures = CellComparer::new(10).compare(&a, &b, &mut DifferenceHistogram::default());
        assert_eq!((figures.ranks, figures.shared_ranks, figures.shared, figures.only_one), (1, 0, 1, 2));
        assert!((figures.score_max - 2.0).abs() < 1e-6);
        let copy = CellComparer::new(10).compare(&a, &a, &mut DifferenceHistogram::default());
        assert_eq!(copy, CellFigures::of_copy(&a));
    }
}
