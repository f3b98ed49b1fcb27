//! Writing of a report.

use std::sync::{Mutex, PoisonError};

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSlice as _;

use super::Report;
use super::block::{self, BlockMaker, ScoreCounts};
use super::page;
use super::page_data::PageData;
use super::page_row::PageRow;
use super::photographs::Photographs;
use super::report_folder::ReportFolder;
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::monitor::Monitor;
use crate::shared::store::Agreement;

/// Counts of a report that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenReport {
    /// Images on the page.
    pub rows: usize,
    /// Images on the page that could not be labelled.
    pub failed: usize,
    /// Photographs on the page.
    pub photographs: usize,
    /// Photographs that could not be shown.
    pub without_photograph: usize,
    /// Size of the complete folder in bytes.
    pub bytes: u64,
}

impl Report<'_> {
    /// Writes the report on the threads of the current rayon pool; `index.html` comes last. The monitor is notified after
    /// each block, and can request a stop.
    ///
    /// # Errors
    /// Returns [`Error::Source`] if none of the first photographs can be shown, and [`Error::Store`] if the store's `pooling.json` is
    /// damaged; an earlier report is kept. After that,
    /// [`Error::Interrupted`] if a stop was requested, [`Error::Store`] if a shard is damaged and [`Error::File`] if a file
    /// cannot be written; `index.html` is then missing.
    pub fn write(&self, folder: ReportFolder, monitor: &dyn Monitor) -> Result<WrittenReport, Error> {
        if let Some(photographs) = &self.photographs {
            photographs.try_some(self.store, self.manifest, self.selection.rows())?;
        }
        let calibrated = self.store.calibration()?.map(|calibration| calibration.parameters);
        let page_writer = folder.begin()?;
        let classes: ClassList = (&self.store.info().classes).into();
        let scores = Mutex::new(ScoreCounts::default());
        let write_block = |maker: &mut BlockMaker<'_>, (number, rows): (usize, &[usize])| {
            if monitor.stop_requested() {
                return Err(Error::Interrupted);
            }
            let (block, script) = maker.make(number, rows)?;
            page_writer.write_block(number, &script)?;
            scores.lock().unwrap_or_else(PoisonError::into_inner).add(&block.scores);
            let failed = block.rows.iter().filter(|row| row.has_failed()).count();
            monitor.images_done(block.rows.len() - failed, failed, Agreement::default());
            Ok(block.rows)
        };
        let chunks = self.selection.rows().par_chunks(block::ROWS).enumerate();
        let rows: Vec<Vec<PageRow>> =
            chunks.map_init(|| BlockMaker::new(self, &classes), write_block).collect::<Result<_, Error>>()?;
        let rows: Vec<PageRow> = rows.into_iter().flatten().collect();
        let (photographs, without_photograph) = self.photographs.as_ref().map_or((0, 0), Photographs::counts);
        if monitor.stop_requested() {
            return Err(Error::Interrupted);
        }
        let scores = scores.into_inner().unwrap_or_else(PoisonError::into_inner);
        let figures = self.figures.as_ref().map(|figures| figures.write(&page_writer)).transpose()?;
        let data = PageData { report: self, classes: &classes, rows: &rows, scores: &scores, calibrated, figures };
        page_writer.write_rows(&data.script(photographs, without_photograph))?;
        let bytes = page_writer.finish(&page::index_html())?;
        let failed = rows.iter().filter(|row| row.has_failed()).count();
        Ok(WrittenReport { rows: rows.len(), failed, photographs, without_photograph, bytes })
    }
}
