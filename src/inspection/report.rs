//! A page for the browser about many images: their maps over their photographs, filters, charts, and a crop to drag.
//!
//! It is a folder: `index.html` with all of the program, `data/rows.js` with the columns of all rows, and
//! `data/block-00012.js` with maps and photographs of sixteen rows each. Everything is a classic script, so that the page
//! works from the disk, without a server or a network. The same store gives the same bytes
//! (test `report::the_same_store_gives_the_same_page`).
//!
//! Blocks are written as they are made; only the columns stay in memory, about 1 kB a row.

mod choice;
mod photographs;
mod row;
mod block;
mod columns;
mod script;
mod page;
mod folder;

pub use choice::{Choice, Query, Which};
pub use folder::ReportFolder;
pub use photographs::{Photographs, exif_orientation};

use std::sync::{Mutex, PoisonError};

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSlice as _;

use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::monitor::Monitor;
use crate::shared::store::{Agreement, StoreReader};

use block::{Blocks, ScoreCounts};
use columns::Columns;
use row::PageRow;

/// A page to be made.
pub struct Report<'a> {
    /// The store.
    pub store: &'a StoreReader,
    /// The store's list of images.
    pub manifest: &'a Manifest,
    /// Which images it shows.
    pub choice: &'a Choice,
    /// Their photographs; the page shows maps alone without them.
    pub photographs: Option<Photographs<'a>>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Images on the page.
    pub rows: usize,
    /// Those of them that could not be labelled.
    pub failed: usize,
    /// Photographs on the page.
    pub photographs: usize,
    /// Photographs that could not be shown.
    pub without_photograph: usize,
    /// Bytes of the whole folder.
    pub bytes: u64,
}

impl Report<'_> {
    /// Writes the page, on the threads of the current rayon pool; `index.html` comes last. The monitor hears of each
    /// block, and may ask for a stop.
    ///
    /// # Errors
    /// When none of the photographs that are tried first can be shown; an earlier page stays then. After that,
    /// [`Error::Interrupted`] when a stop was asked for, and when a shard is damaged or something cannot be written;
    /// there is no `index.html` then.
    pub fn write(&self, folder: ReportFolder, monitor: &dyn Monitor) -> Result<Written, Error> {
        if let Some(photographs) = &self.photographs {
            photographs.try_some(self.store, self.manifest, self.choice.rows())?;
        }
        let writing = folder.begin()?;
        let classes: ClassList = (&self.store.info().classes).into();
        let scores = Mutex::new(ScoreCounts::default());
        let of_block = |blocks: &mut Blocks<'_>, (number, rows): (usize, &[usize])| {
            if monitor.stop_requested() {
                return Err(Error::Interrupted);
            }
            let (block, text) = blocks.make(number, rows)?;
            writing.write_block(number, &text)?;
            scores.lock().unwrap_or_else(PoisonError::into_inner).add(&block.scores);
            let failed = block.rows.iter().filter(|row| row.has_failed()).count();
            monitor.images_done(block.rows.len() - failed, failed, Agreement::default());
            Ok(block.rows)
        };
        let chunks = self.choice.rows().par_chunks(block::ROWS).enumerate();
        let rows: Vec<Vec<PageRow>> =
            chunks.map_init(|| Blocks::new(self, &classes), of_block).collect::<Result<_, Error>>()?;
        let rows: Vec<PageRow> = rows.into_iter().flatten().collect();
        let (photographs, without_photograph) = self.photographs.as_ref().map_or((0, 0), Photographs::counts);
        if monitor.stop_requested() {
            return Err(Error::Interrupted);
        }
        let scores = scores.into_inner().unwrap_or_else(PoisonError::into_inner);
        let columns = Columns { report: self, classes: &classes, rows: &rows, scores: &scores };
        writing.write_rows(&columns.script(photographs, without_photograph))?;
        let bytes = writing.finish(&page::index_html())?;
        let failed = rows.iter().filter(|row| row.has_failed()).count();
        Ok(Written { rows: rows.len(), failed, photographs, without_photograph, bytes })
    }
}
