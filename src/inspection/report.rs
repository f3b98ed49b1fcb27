//! Reports: a page for the browser about many images, with their maps over their photographs, filters, charts, and a crop
//! that can be dragged.
//!
//! A report is a folder: `index.html` with the styles and scripts, `data/rows.js` with the columns of all rows, and files
//! such as `data/block-00012.js` with the maps and photographs of sixteen rows each. Charts that are not computed from the
//! rows are files such as `data/chart-00.png`. All scripts are classic scripts, so
//! the page works from disk, without a server or a network. The same store gives the same bytes
//! (test `report::the_same_store_gives_the_same_page`).
//!
//! Blocks are written as they are made; only the columns stay in memory, about 1 kB per row.

mod row_selection;
mod photographs;
mod script;
mod page_row;
mod block;
mod page_data;
mod page;
mod report_folder;
mod report_figures;
mod report_writer;

pub use photographs::{Photographs, exif_orientation};
pub use report_figures::{ReportChart, ReportFigures, ReportTable};
pub use report_folder::ReportFolder;
pub use report_writer::WrittenReport;
pub use row_selection::{RowQuery, RowSelection, SampleMode};

use crate::shared::manifest::Manifest;
use crate::shared::store::StoreReader;

/// The content of a report.
pub struct Report<'a> {
    /// Labelled store.
    pub store: &'a StoreReader,
    /// Manifest of the store.
    pub manifest: &'a Manifest,
    /// Rows on the page.
    pub selection: &'a RowSelection,
    /// Photographs; without them the page shows maps only.
    pub photographs: Option<Photographs<'a>>,
    /// Figures that are shown in a tab of their own.
    pub figures: Option<ReportFigures>,
}
