//! What a store says of one image: found by name, and examined. Reads labels, never runs a teacher.

mod find;
mod cells;
mod regions;
mod key;
mod figures;
mod view;
mod palette;
mod walk;

pub use cells::CellProbs;
pub use figures::{Examiner, Figures, Verdict};
pub use find::{find, find_class, name_of};
pub use key::Key;
pub use palette::{PALETTE, Rgb, class_color};
pub use regions::{Object, Region, connected, objects, regions};
pub use view::View;
pub use walk::{Seen, walk};
