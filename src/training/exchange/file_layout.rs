//! Axes and shape of a published label map.

use crate::shared::error::Cause;
use crate::shared::geometry::MapSize;
use crate::shared::store::{CellOrder, RankAxis};

/// Shape of a published map, `[2, ., ., .]`, and the meaning of its axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLayout {
    k: usize,
    map_size: MapSize,
    rank_axis: RankAxis,
    cell_order: CellOrder,
}

/// Errors of creating a layout.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileLayoutError {
    /// The maps have no classes.
    #[error("a map of shape {0:?} has no classes")]
    NoClasses([usize; 3]),
    /// The maps have no cells or too many.
    #[error("{0}")]
    MapSize(#[source] Cause),
}

impl FileLayout {
    /// Creates a layout from the three lengths after the first.
    ///
    /// # Errors
    /// Returns [`FileLayoutError`] if a length is 0.
    pub fn new(lengths: [usize; 3], rank_axis: RankAxis, cell_order: CellOrder) -> Result<Self, FileLayoutError> {
        let (k, first_cells, last_cells) = match (rank_axis, lengths) {
            (RankAxis::First, [k, first, last]) | (RankAxis::Last, [first, last, k]) => (k, first, last),
        };
        if k == 0 {
            return Err(FileLayoutError::NoClasses(lengths));
        }
        let map_size = match cell_order {
            CellOrder::Yx => MapSize::new(first_cells, last_cells),
            CellOrder::Xy => MapSize::new(last_cells, first_cells),
        };
        let map_size = map_size.map_err(|problem| FileLayoutError::MapSize(problem.into()))?;
        Ok(Self { k, map_size, rank_axis, cell_order })
    }

    /// Number of classes in each cell.
    #[must_use]
    pub fn k(self) -> usize {
        self.k
    }

    /// Rows and columns of cells.
    #[must_use]
    pub fn map_size(self) -> MapSize {
        self.map_size
    }

    /// Position of the rank axis.
    #[must_use]
    pub fn rank_axis(self) -> RankAxis {
        self.rank_axis
    }

    /// Order of the two cell axes.
    #[must_use]
    pub fn cell_order(self) -> CellOrder {
        self.cell_order
    }

    /// Number of values in a file, scores and class ids.
    #[must_use]
    pub fn values(self) -> usize {
        2 * self.half_len()
    }

    /// Number of values in one half of a file: the position of the first class id.
    pub(super) fn half_len(self) -> usize {
        self.k * self.map_size.cells()
    }

    /// Returns the position of a value in its half.
    pub(super) fn position(self, rank: usize, y: usize, x: usize) -> usize {
        let cell = match self.cell_order {
            CellOrder::Yx => y * self.map_size.width_cells() + x,
            CellOrder::Xy => x * self.map_size.height_cells() + y,
        };
        match self.rank_axis {
            RankAxis::First => rank * self.map_size.cells() + cell,
            RankAxis::Last => cell * self.k + rank,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_axes() {
        let layout = |rank_axis, cell_order| FileLayout::new([2, 3, 4], rank_axis, cell_order).unwrap();
        let published = layout(RankAxis::First, CellOrder::Yx);
        assert_eq!((published.k(), published.map_size().to_string().as_str(), published.values()), (2, "3x4", 48));
        assert_eq!(published.position(1, 2, 3), (3 + 2) * 4 + 3);
        let transposed = layout(RankAxis::First, CellOrder::Xy);
        assert_eq!(
            (transposed.map_size().to_string().as_str(), transposed.position(1, 2, 1)),
            ("4x3", (3 + 1) * 4 + 2)
        );
        let ranks_last = layout(RankAxis::Last, CellOrder::Yx);
        assert_eq!((ranks_last.k(), ranks_last.map_size().to_string().as_str()), (4, "2x3"));
        assert_eq!(ranks_last.position(3, 1, 2), (3 + 2) * 4 + 3);
        assert!(FileLayout::new([0, 3, 4], RankAxis::First, CellOrder::Yx).is_err());
        assert!(FileLayout::new([2, 0, 4], RankAxis::First, CellOrder::Yx).is_err());
    }
}
