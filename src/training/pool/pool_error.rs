//! Errors of pooling.

use crate::shared::geometry::MapSize;

/// Why a label map cannot be pooled, or why an option is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The map has a class id that is not below the number of classes.
    #[error("it has class {class}, but there are {class_count} classes")]
    ClassId {
        /// The class id.
        class: u32,
        /// Number of classes.
        class_count: usize,
    },
    /// The fill needs a log-sum-exp, and the map has none.
    #[error("it has no log-sum-exp, which the fill needs")]
    NoLse,
    /// The map has another size than the crops were prepared for.
    #[error("it is a map of {found} cells, not {expected}")]
    MapSize {
        /// Size of the map.
        found: MapSize,
        /// Expected size.
        expected: MapSize,
    },
    /// The output has no parts or too many.
    #[error("an output of {rows}x{columns} parts is out of range: each side is 1 to {max_side}")]
    OutputSize {
        /// Rows of parts.
        rows: usize,
        /// Columns of parts.
        columns: usize,
        /// Largest accepted number of rows or columns.
        max_side: usize,
    },
    /// The temperature is not a finite number above 0.
    #[error("the temperature is {0}, and must be a finite number above 0")]
    Temperature(f32),
}
