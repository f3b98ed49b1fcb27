//! Lookup and examination of single images of a store. Reads labels and never runs a teacher.

mod find;
mod cell_probs;
mod regions;
mod class_marks;
mod statistics;
mod image_view;
mod walk;

pub use cell_probs::CellProbs;
pub use class_marks::{ClassLetters, PALETTE, Rgb, class_color};
pub use find::{FindClassError, FindImageError, find_class, find_image, name_of_row};
pub use image_view::{CropRequest, CropView, ImageView, ImageViewer, TilesView};
pub use regions::{Object, Region, connected_cells, objects, regions};
pub use statistics::{Examiner, ImageStatistics, StatisticsError, Verdict};
pub use walk::{FinishedRow, walk};
