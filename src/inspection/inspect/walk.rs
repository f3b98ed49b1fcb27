//! Parallel iteration over many rows of a store.

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSlice as _;

use crate::shared::error::Error;
use crate::shared::label_map::ImageLabels;
use crate::shared::monitor::Monitor;
use crate::shared::store::{Agreement, DecodeScratch, FailedImage, RowState, StoreReader};

/// Rows per task.
const ROWS_AT_ONCE: usize = 64;

/// A row of a finished shard.
#[derive(Clone, Debug, PartialEq)]
pub enum FinishedRow {
    /// Label map and prediction.
    Labelled(ImageLabels),
    /// Reason the image could not be labelled.
    Failed(FailedImage),
}

/// Calls `examine` for each finished row of `rows` on the threads of the current rayon pool, and returns its results in
/// the order of `rows`. Rows that are not done are skipped. `make_scratch` creates the scratch of a thread. The monitor
/// is notified after every 64 rows, and can request a stop.
///
/// # Errors
/// Returns [`Error::Interrupted`] if a stop was requested, an error of the store if a row does not exist or its shard is
/// damaged, and the errors of `examine`.
pub fn walk<S, T: Send>(
    store: &StoreReader,
    rows: &[usize],
    monitor: &dyn Monitor,
    make_scratch: impl Fn() -> S + Sync,
    examine: impl Fn(&mut S, usize, FinishedRow) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let init = || (make_scratch(), DecodeScratch::default());
    let chunks = rows.par_chunks(ROWS_AT_ONCE).map_init(init, |(scratch, decode_scratch), rows| {
        if monitor.stop_requested() {
            return Err(Error::Interrupted);
        }
        let (mut examined, mut failed) = (Vec::with_capacity(rows.len()), 0);
        for &row in rows {
            let finished = match store.row_with(row, decode_scratch)? {
                RowState::Labelled(labels) => FinishedRow::Labelled(labels),
                RowState::Failed(image) => {
                    failed += 1;
                    FinishedRow::Failed(image)
                }
                RowState::ToDo => continue,
            };
            examined.push(examine(scratch, row, finished)?);
        }
        monitor.images_done(rows.len() - failed, failed, Agreement::default());
        Ok(examined)
    });
    let mut results = Vec::new();
    chunks.collect_into_vec(&mut results);
    let mut all = Vec::with_capacity(rows.len());
    for result in results {
        all.extend(result?);
    }
    Ok(all)
}
