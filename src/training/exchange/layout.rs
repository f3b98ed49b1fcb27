//! Where the values of a label map stand in a published file.

use crate::shared::geometry::MapSize;
use crate::shared::store::{Orientation, RankAxis};

/// The shape of a published map, `[2, ., ., .]`, and what its axes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLayout {
    k: usize,
    map_size: MapSize,
    rank_axis: RankAxis,
    orientation: Orientation,
}

impl FileLayout {
    /// From the three lengths behind the first.
    ///
    /// # Errors
    /// In words, when a length is 0.
    pub fn new(lengths: [usize; 3], rank_axis: RankAxis, orientation: Orientation) -> Result<Self, String> {
        let (k, first_cells, last_cells) = match (rank_axis, lengths) {
            (RankAxis::First, [k, first, last]) | (RankAxis::Last, [first, last, k]) => (k, first, last),
        };
        if k == 0 {
            return Err(format!("a map of the shape {lengths:?} has no classes"));
        }
        let map_size = match orientation {
            Orientation::Yx => MapSize::new(first_cells, last_cells)?,
            Orientation::Xy => MapSize::new(last_cells, first_cells)?,
        };
        Ok(Self { k, map_size, rank_axis, orientation })
    }

    /// Classes in each cell.
    #[must_use]
    pub fn k(self) -> usize {
        self.k
    }

    /// Rows and columns of cells.
    #[must_use]
    pub fn map_size(self) -> MapSize {
        self.map_size
    }

    /// Where the ranks stand.
    #[must_use]
    pub fn rank_axis(self) -> RankAxis {
        self.rank_axis
    }

    /// Which axis of cells comes first.
    #[must_use]
    pub fn orientation(self) -> Orientation {
        self.orientation
    }

    /// Values in a file, scores and class ids.
    #[must_use]
    pub fn values(self) -> usize {
        2 * self.half()
    }

    /// Values in one half of a file: where the class ids begin.
    pub(super) fn half(self) -> usize {
        self.k * self.map_size.cells()
    }

    /// Where a value stands in its half.
    pub(super) fn place(self, rank: usize, y: usize, x: usize) -> usize {
        let cell = match self.orientation {
            Orientation::Yx => y * self.map_size.width_cells() + x,
            Orientation::Xy => x * self.map_size.height_cells() + y,
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
    fn places_are_those_of_the_axes() {
        let layout = |rank_axis, orientation| FileLayout::new([2, 3, 4], rank_axis, orientation).unwrap();
        let published = layout(RankAxis::First, Orientation::Yx);
        assert_eq!((published.k(), published.map_size().to_string().as_str(), published.values()), (2, "3x4", 48));
        assert_eq!(published.place(1, 2, 3), (3 + 2) * 4 + 3);
        let turned = layout(RankAxis::First, Orientation::Xy);
        assert_eq!((turned.map_size().to_string().as_str(), turned.place(1, 2, 1)), ("4x3", (3 + 1) * 4 + 2));
        let ranks_last = layout(RankAxis::Last, Orientation::Yx);
        assert_eq!((ranks_last.k(), ranks_last.map_size().to_string().as_str()), (4, "2x3"));
        assert_eq!(ranks_last.place(3, 1, 2), (3 + 2) * 4 + 3);
        assert!(FileLayout::new([0, 3, 4], RankAxis::First, Orientation::Yx).is_err());
        assert!(FileLayout::new([2, 0, 4], RankAxis::First, Orientation::Yx).is_err());
    }
}
