//! Going through many rows of a store, on all threads.

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::ParallelSlice as _;

use crate::shared::error::Error;
use crate::shared::label_map::ImageLabels;
use crate::shared::monitor::Monitor;
use crate::shared::store::{Agreement, DecodeScratch, FailedImage, RowState, StoreReader};

/// Rows that a thread takes at a time.
const ROWS_AT_ONCE: usize = 64;

/// What a walk sees of one row. Rows that are still to do are passed over.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// Its labels.
    Labelled(ImageLabels),
    /// It could not be labelled.
    Failed(FailedImage),
}

/// Calls `examine` for each of the rows that is not still to do, on the threads of the current rayon pool, and gives what
/// it makes of them in the order of `rows`. Each thread has what `make` makes. The monitor hears of each handful of rows,
/// and may ask for a stop.
///
/// # Errors
/// [`Error::Interrupted`] when a stop was asked for; when there is no such row, its shard is damaged, or `examine` says so.
pub fn walk<M, T: Send>(
    store: &StoreReader,
    rows: &[usize],
    monitor: &dyn Monitor,
    make: impl Fn() -> M + Sync,
    examine: impl Fn(&mut M, usize, Seen) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let begin = || (make(), DecodeScratch::default());
    let handfuls = rows.par_chunks(ROWS_AT_ONCE).map_init(begin, |(made, scratch), rows| {
        if monitor.stop_requested() {
            return Err(Error::Interrupted);
        }
        let (mut examined, mut failed) = (Vec::with_capacity(rows.len()), 0);
        for &row in rows {
            let seen = match store.row_with(row, scratch)? {
                RowState::Labelled(labels) => Seen::Labelled(labels),
                RowState::Failed(image) => {
                    failed += 1;
                    Seen::Failed(image)
                }
                RowState::ToDo => continue,
            };
            examined.push(examine(made, row, seen)?);
        }
        monitor.images_done(rows.len() - failed, failed, Agreement::default());
        Ok(examined)
    });
    let mut results = Vec::new();
    handfuls.collect_into_vec(&mut results);
    let mut all = Vec::with_capacity(rows.len());
    for result in results {
        all.extend(result?);
    }
    Ok(all)
}
