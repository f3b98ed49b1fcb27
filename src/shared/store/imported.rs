//! Description of the files that an imported store was made from.

use serde::{Deserialize, Serialize};

/// The files of a different program that a store was made from. Labels depend on every field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedInfo {
    /// Format of the files.
    pub format: ImportedFormat,
    /// Number type of scores and class ids.
    pub dtype: ImportedDtype,
    /// Position of the rank axis.
    pub rank_axis: RankAxis,
    /// Order of the two cell axes.
    pub orientation: CellOrder,
    /// Origin of `image_probs` and `image_classes`, which the files do not contain.
    pub image_prediction: ImportedPrediction,
}

/// Format of imported files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportedFormat {
    /// One PyTorch tensor for each image: scores, then class ids.
    Pt,
}

/// Number type of imported files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportedDtype {
    /// Integers are exact up to 16,777,216.
    Float32,
    /// Integers are exact up to 2,048.
    Float16,
}

/// Position of the rank axis in a file of two halves, scores and class ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RankAxis {
    /// `[2, rank, cells, cells]`, as in the published files.
    First,
    /// `[2, cells, cells, rank]`
    Last,
}

/// Order of the two cell axes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellOrder {
    /// Rows of the image, then columns, as in a store.
    Yx,
    /// Columns, then rows.
    Xy,
}

/// Origin of the prediction in an imported store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportedPrediction {
    /// `LabelPooling` of the entire image.
    Pooled,
}

impl ImportedDtype {
    /// Largest number up to which every integer is representable.
    #[must_use]
    pub const fn exact_up_to(self) -> usize {
        match self {
            Self::Float32 => 1 << 24,
            Self::Float16 => 1 << 11,
        }
    }
}
