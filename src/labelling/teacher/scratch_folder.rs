//! Temporary folders.

use std::path::Path;

use tempfile::TempDir;

/// Creates a temporary folder in `parent`; `None` if it cannot be created. For files that are dispensable.
pub(super) fn create_scratch_folder(parent: &Path) -> Option<TempDir> {
    let created = tempfile::Builder::new().prefix("relabel-").tempdir_in(parent);
    let report = |error: &std::io::Error| {
        tracing::debug!("cannot create a temporary folder in {}: {error}", parent.display());
    };
    created.inspect_err(report).ok()
}
