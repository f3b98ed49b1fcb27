//! Shows that each cell corresponds to a position in the image: by following the image axes through the graph, or, if that is
//! inconclusive, by changing patches of photographs and checking which cells respond.

mod coordinate;
mod elementwise;
mod traced;
mod window;
mod shapes;
mod trace;
mod grid;
mod structure;
mod probe_photographs;
mod probe;
mod probe_labels;
mod locate;

pub use locate::Locality;
pub(crate) use locate::{LocalityOptions, LocatedCells, layout_by_sizes, locate_cells};
pub use probe::ProbeResult;
pub use probe_labels::probe_labels;
