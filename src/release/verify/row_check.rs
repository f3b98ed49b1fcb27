//! Decodes rows of a release and checks their values.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::verification::{ReleaseRemedy, ReleaseVerification, ReleaseVerifyProgress};
use crate::shared::error::Error;
use crate::shared::store::{RowState, StoreReader, check_labels};

/// Decodes rows and checks their values as `docs/format.md` specifies. Skips rows in files with a known problem.
///
/// # Errors
/// Returns an error if the location cannot be read or a row does not exist, and the errors of `on_progress`.
pub fn verify_rows(
    found: &mut ReleaseVerification,
    reader: &StoreReader,
    rows: &[usize],
    on_progress: &(dyn Fn(ReleaseVerifyProgress) -> Result<(), Error> + Sync),
) -> Result<(), Error> {
    on_progress(ReleaseVerifyProgress::More(rows.len()))?;
    let decoded = AtomicUsize::new(0);
    let damaged: BTreeSet<&str> = found.problems.iter().map(|problem| problem.file.as_str()).collect();
    let problems: Vec<Option<(String, String)>> = rows
        .into_par_iter()
        .map(|&row| {
            on_progress(ReleaseVerifyProgress::Done)?;
            let shard = row / reader.info().shard_images;
            let Some(record) = found.records.iter().find(|record| record.shard == shard) else { return Ok(None) };
            if record.all_files().any(|file| damaged.contains(file.path.as_str())) {
                return Ok(None);
            }
            let problem = match reader.row(row) {
                Ok(RowState::Labelled(labels)) => {
                    check_labels(&labels, reader.info()).err().map(|problem| problem.to_string())
                }
                Ok(RowState::Failed(_) | RowState::ToDo) => return Ok(None),
                Err(Error::Store { problem, .. }) => Some(problem.to_string()),
                Err(error) => return Err(error),
            };
            decoded.fetch_add(1, Ordering::Relaxed);
            let file = record.all_files().next().map(|file| file.path.clone()).unwrap_or_default();
            Ok(problem.map(|problem| (file, format!("row {row}: {problem}"))))
        })
        .collect::<Result<_, Error>>()?;
    found.decoded += decoded.into_inner();
    for (file, problem) in problems.into_iter().flatten() {
        found.add(file, problem, ReleaseRemedy::DownloadAgain);
    }
    Ok(())
}
