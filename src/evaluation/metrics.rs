//! Metrics of labels and of score maps: arithmetic without files. Each equals a public evaluator, which its file names; the
//! tests in `tests/metrics.rs` compare with values of these evaluators.

mod estimate;
mod class_ranking;
mod sparse_prediction;
mod image_precision;
mod class_precision;
mod reliability;
mod accuracy;
mod class_scores;
mod bilinear_maximum;
mod pointing_game;
mod cubic_resize;
mod contour_boxes;
mod level_overlaps;
mod box_accuracy;
mod localization;

pub use accuracy::{Accuracy, AccuracyAccumulator, LabelHits};
pub use bilinear_maximum::bilinear_maximum;
pub use box_accuracy::{BoxAccuracy, BoxEvaluator, BoxHits};
pub use class_ranking::ClassRanking;
pub use class_scores::{CellScores, class_scores};
pub use estimate::{Estimate, MeanAccumulator};
pub use level_overlaps::{LevelOverlaps, OverlapScratch, resized_box};
pub use localization::{LocalizationAccumulator, LocalizationFigures, LocalizedImage, ObjectBoxes, localize};
pub use pointing_game::{PointingGame, hits_boxes};
pub use reliability::{Reliability, ReliabilityBin};
pub use sparse_prediction::sparse_prediction;
