//! The map of one class.

use crate::shared::geometry::MapSize;
use crate::shared::label_map::LabelMap;

/// Scores of one class in all cells.
#[derive(Clone, Debug, PartialEq)]
pub struct CellScores {
    /// Scores, `[y, x]`: that of the class, or the floor in a cell that does not have it.
    pub scores: Vec<f32>,
    /// Rows and columns of cells.
    pub size: MapSize,
    /// Number of cells that do not have the class.
    pub censored: usize,
    /// Score of these cells: at most 0, and at most any kept score of the class in this image.
    pub floor: f32,
}

impl CellScores {
    /// Whether all cells have the same score, so that the map does not locate anything.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        let lowest = self.scores.iter().copied().fold(f32::INFINITY, f32::min);
        self.scores.iter().all(|score| *score <= lowest)
    }
}

/// Returns the scores of a class in all cells. The top k hides how low the score of an absent class is. LabelPooling counts
/// it as 0; it is not above the lowest kept score of the class.
#[must_use]
pub fn class_scores(map: &LabelMap, class: u32) -> CellScores {
    let kept = |cell: usize| {
        let (scores, classes) = map.cell(cell);
        classes.iter().position(|&kept| kept == class).map(|rank| scores[rank].to_f32())
    };
    let kept: Vec<Option<f32>> = (0..map.size().cells()).map(kept).collect();
    let floor = kept.iter().flatten().copied().fold(0.0, f32::min);
    CellScores {
        scores: kept.iter().map(|score| score.unwrap_or(floor)).collect(),
        size: map.size(),
        censored: kept.iter().filter(|score| score.is_none()).count(),
        floor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::label_map::ScoreRounding;

    #[test]
    fn cells_without_the_class_have_the_floor() {
        let scores = [3.0, 1.0, 2.0, -1.5, 4.0, 0.5];
        let classes = [7, 2, 7, 5, 2, 3];
        let size = MapSize::new(1, 3).unwrap();
        let map = LabelMap::from_cells(&scores, &classes, 2, size, ScoreRounding::Float16).unwrap();
        let of = |class: u32| class_scores(&map, class);
        assert_eq!(of(7), CellScores { scores: vec![3.0, 2.0, 0.0], size, censored: 1, floor: 0.0 });
        assert_eq!(of(5), CellScores { scores: vec![-1.5; 3], size, censored: 2, floor: -1.5 });
        assert_eq!(of(9), CellScores { scores: vec![0.0; 3], size, censored: 3, floor: 0.0 });
        assert_eq!([7, 5, 9, 2].map(|class| of(class).is_flat()), [false, true, true, false]);
    }
}
