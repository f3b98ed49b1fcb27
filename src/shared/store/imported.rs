//! What a store says of files that it was made from, where no teacher was run.

use serde::{Deserialize, Serialize};

/// The files of another program that a store was made from. Labels depend on all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedInfo {
    /// What the files are.
    pub format: ImportedFormat,
    /// The numbers in them, class ids included.
    pub dtype: ImportedNumbers,
    /// Where the ranks stand in a file's shape.
    pub rank_axis: RankAxis,
    /// Which axis of cells comes first.
    pub orientation: Orientation,
    /// Where `image_probs` and `image_classes` come from, since the files do not have them.
    pub image_prediction: ImportedPrediction,
}

/// What imported files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportedFormat {
    /// One PyTorch tensor an image: scores, then class ids.
    Pt,
}

/// The numbers of imported files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportedNumbers {
    /// Whole numbers are exact up to 16,777,216.
    Float32,
    /// Whole numbers are exact up to 2,048.
    Float16,
}

/// Where the ranks stand in a file of two halves, scores and class ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RankAxis {
    /// `[2, rank, cells, cells]`, as the published files have it.
    First,
    /// `[2, cells, cells, rank]`
    Last,
}

/// Which axis of cells comes first in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orientation {
    /// Rows of the image, then columns, as in a store.
    Yx,
    /// Columns, then rows.
    Xy,
}

/// Where the prediction for a whole image comes from in an imported store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportedPrediction {
    /// `LabelPooling` of the whole image's box.
    Pooled,
}

impl ImportedNumbers {
    /// The largest number up to which every whole number is one of these.
    #[must_use]
    pub const fn exact_up_to(self) -> usize {
        match self {
            Self::Float32 => 1 << 24,
            Self::Float16 => 1 << 11,
        }
    }
}
