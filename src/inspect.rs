//! What a store says of one image: found by name, and examined. Reads labels, never runs a teacher.

mod find;
mod cells;
mod regions;
mod figures;
mod palette;
#[cfg(feature = "label")]
mod walk;

pub use cells::CellProbs;
pub use figures::{Examiner, Figures, Verdict};
pub use find::{find, find_class};
pub use palette::{PALETTE, Rgb, class_color};
pub use regions::{Object, Region, objects, regions};
#[cfg(feature = "label")]
pub use walk::{Seen, walk};
