//! Errors of pooling.

use crate::shared::geometry::MapSize;
use crate::shared::label_map::NoLabelMap;

/// Errors of pooling a label map, or of an option of pooling.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The map has a class id that is not below the number of classes.
    #[error("class id {class} is out of range (0 to {})", class_count.saturating_sub(1))]
    ClassId {
        /// Class id of the map.
        class: u32,
        /// Number of classes.
        class_count: usize,
    },
    /// The labels have no label map.
    #[error(transparent)]
    NoLabelMap(#[from] NoLabelMap),
    /// The fill needs a log-sum-exp, and the map has none.
    #[error("no log-sum-exp, which the fill `rest` needs\n  help: label with --with-lse")]
    NoLse,
    /// Labels are missing that the target depends on.
    #[error("no {0}, which the pooling needs")]
    MissingLabels(&'static str),
    /// The size of the map is not the one that the crops or masks were prepared for.
    #[error("a map of {found} cells, expected {expected}")]
    MapSize {
        /// Size of the map.
        found: MapSize,
        /// Expected size.
        expected: MapSize,
    },
    /// The output has no parts or too many.
    #[error("an output of {rows}x{columns} parts is out of range\n  help: use 1 to {max_side} for each side")]
    OutputSize {
        /// Rows of parts.
        rows: usize,
        /// Columns of parts.
        columns: usize,
        /// Largest accepted number of rows or columns.
        max_side: usize,
    },
    /// The temperature is not a finite number above 0.
    #[error("the temperature is {0}\n  help: use a finite number above 0")]
    Temperature(f32),
}
