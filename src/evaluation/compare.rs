//! Comparison of two stores of the same images: two teachers, two precisions, two devices, or before and after a change of
//! settings. `docs/guide/compare.md` explains each figure.

mod class_mapping;
mod image_pairs;
mod difference_histogram;
mod cell_figures;
mod target_distance;
mod same_bits;
mod tile_comparison;
mod compared_image;
mod arrangement;
mod likeness;
mod comparison;
mod folder_class_comparison;
mod comparison_summary;
mod comparison_columns;
mod comparison_file;

pub use arrangement::Arrangement;
pub use cell_figures::CellFigures;
pub use class_mapping::ClassListsDiffer;
pub use compared_image::{ComparedImage, CropFigures};
pub use comparison::{Comparison, ComparisonOptions, StoreSide};
pub use comparison_file::{ComparisonDrafts, ComparisonFile};
pub use comparison_summary::{
    CellSummary, ComparisonSummary, DifferenceQuantiles, DifferenceSummary, PredictionSummary, SideSummary,
    TargetSummary, TileSummary, WorstImage,
};
pub use folder_class_comparison::FolderClassComparison;
pub use image_pairs::{ImagePairs, UnpairedImages};
pub use likeness::Likeness;
pub use tile_comparison::TileFigures;
