//! Ways in which the cells of a map can be out of place.

use crate::shared::geometry::MapSize;

/// A rearrangement of the cells of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrangement {
    /// Every cell is in its place.
    Same,
    /// Rows are columns, and columns are rows.
    Transposed,
    /// Left and right are exchanged.
    Mirrored,
    /// Top and bottom are exchanged.
    Flipped,
    /// Half a turn.
    HalfTurn,
    /// A quarter turn clockwise.
    QuarterTurn,
    /// A quarter turn counter-clockwise.
    CounterQuarterTurn,
    /// Transposed and half a turn.
    AntiTransposed,
    /// Moved by one cell: down and right are 1, up and left -1.
    Shifted {
        /// Rows.
        y: isize,
        /// Columns.
        x: isize,
    },
}

impl Arrangement {
    /// All rearrangements that are tried, most plausible first.
    pub(super) const TRIED: [Self; 15] = [
        Self::Transposed,
        Self::Mirrored,
        Self::Flipped,
        Self::HalfTurn,
        Self::Shifted { y: 0, x: 1 },
        Self::Shifted { y: 0, x: -1 },
        Self::Shifted { y: 1, x: 0 },
        Self::Shifted { y: -1, x: 0 },
        Self::Shifted { y: 1, x: 1 },
        Self::Shifted { y: 1, x: -1 },
        Self::Shifted { y: -1, x: 1 },
        Self::Shifted { y: -1, x: -1 },
        Self::QuarterTurn,
        Self::CounterQuarterTurn,
        Self::AntiTransposed,
    ];

    /// Returns the size of a rearranged map.
    pub(super) fn size(self, from: MapSize) -> Option<MapSize> {
        match self {
            Self::Transposed | Self::QuarterTurn | Self::CounterQuarterTurn | Self::AntiTransposed => {
                MapSize::new(from.width_cells(), from.height_cells()).ok()
            }
            _ => Some(from),
        }
    }

    /// Returns the cell of a map of size `from` that is in cell (`y`, `x`) of the rearranged one, as (y, x); `None` if it was
    /// outside.
    pub(super) fn source(self, from: MapSize, y: usize, x: usize) -> Option<(usize, usize)> {
        let (last_y, last_x) = (from.height_cells() - 1, from.width_cells() - 1);
        match self {
            Self::Same => Some((y, x)),
            Self::Transposed => Some((x, y)),
            Self::Mirrored => Some((y, last_x.checked_sub(x)?)),
            Self::Flipped => Some((last_y.checked_sub(y)?, x)),
            Self::HalfTurn => Some((last_y.checked_sub(y)?, last_x.checked_sub(x)?)),
            Self::QuarterTurn => Some((last_y.checked_sub(x)?, y)),
            Self::CounterQuarterTurn => Some((x, last_x.checked_sub(y)?)),
            Self::AntiTransposed => Some((last_y.checked_sub(x)?, last_x.checked_sub(y)?)),
            Self::Shifted { y: down, x: right } => {
                let (y, x) = (y.checked_add_signed(-down)?, x.checked_add_signed(-right)?);
                (y <= last_y && x <= last_x).then_some((y, x))
            }
        }
    }

    /// Returns a description that continues "looks like: ".
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Same => "the same map",
            Self::Transposed => "x and y swapped",
            Self::Mirrored => "mirrored left to right",
            Self::Flipped => "flipped upside down",
            Self::HalfTurn => "rotated by 180 degrees",
            Self::QuarterTurn => "rotated by 90 degrees clockwise",
            Self::CounterQuarterTurn => "rotated by 90 degrees counter-clockwise",
            Self::AntiTransposed => "x and y swapped, and rotated by 180 degrees",
            Self::Shifted { y, x } => match (y.signum(), x.signum()) {
                (0, 1) => "shifted by one cell to the right",
                (0, -1) => "shifted by one cell to the left",
                (1, 0) => "shifted by one cell downwards",
                (-1, 0) => "shifted by one cell upwards",
                (1, 1) => "shifted by one cell downwards and to the right",
                (1, -1) => "shifted by one cell downwards and to the left",
                (-1, 1) => "shifted by one cell upwards and to the right",
                (-1, -1) => "shifted by one cell upwards and to the left",
                _ => "not shifted",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 1 2 / 3 4 5 after a rearrangement, row by row; 9 where a cell was outside.
    fn rearranged(arrangement: Arrangement) -> Vec<usize> {
        let from = MapSize::new(2, 3).unwrap();
        let to = arrangement.size(from).unwrap();
        let source = |cell: usize| arrangement.source(from, cell / to.width_cells(), cell % to.width_cells());
        (0..to.cells()).map(|cell| source(cell).map_or(9, |(y, x)| y * 3 + x)).collect()
    }

    #[test]
    fn cells_move_as_described() {
        for (arrangement, cells) in [
            (Arrangement::Same, [0, 1, 2, 3, 4, 5]),
            (Arrangement::Transposed, [0, 3, 1, 4, 2, 5]),
            (Arrangement::Mirrored, [2, 1, 0, 5, 4, 3]),
            (Arrangement::Flipped, [3, 4, 5, 0, 1, 2]),
            (Arrangement::HalfTurn, [5, 4, 3, 2, 1, 0]),
            (Arrangement::QuarterTurn, [3, 0, 4, 1, 5, 2]),
            (Arrangement::CounterQuarterTurn, [2, 5, 1, 4, 0, 3]),
            (Arrangement::AntiTransposed, [5, 2, 4, 1, 3, 0]),
            (Arrangement::Shifted { y: 0, x: 1 }, [9, 0, 1, 9, 3, 4]),
            (Arrangement::Shifted { y: -1, x: -1 }, [4, 5, 9, 9, 9, 9]),
        ] {
            assert_eq!(rearranged(arrangement), cells, "{arrangement:?}");
        }
    }
}
