//! The only code that creates files in a store.
//!
//! A file is written under `.staging/`, flushed to the disk, and only then renamed to its place; then the folder that
//! now names it is flushed too. So a file that is in its place is whole, whenever the machine stops
//! (test `kill::a_killed_run_resumes_to_the_same_bytes`).

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use super::names;
use crate::error::Error;

/// Puts `bytes` into the store at `inside`, a path relative to it, whole or not at all.
pub(super) fn commit_file(store: &Path, inside: &str, bytes: &[u8]) -> Result<(), Error> {
    let staged = store.join(names::STAGING).join(inside.replace('/', "~"));
    let place = store.join(inside);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&staged)
        .map_err(Error::file("create", &staged))?;
    file.write_all(bytes).map_err(Error::file("write", &staged))?;
    file.sync_all().map_err(Error::file("flush", &staged))?;
    fs::rename(&staged, &place).map_err(Error::file("move into place", &place))?;
    flush_folder(place.parent().unwrap_or(store))
}

/// Creates a folder of the store, if it is not there.
pub(super) fn create_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::file("create", path))?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => flush_folder(parent),
        None => Ok(()),
    }
}

/// Makes a rename in a folder last through a power cut.
fn flush_folder(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(Error::file("flush", path))
}

/// Removes what an interrupted run left in `.staging/`. The caller holds the lock.
pub(super) fn clear_staging(store: &Path) -> Result<(), Error> {
    let staging = store.join(names::STAGING);
    for left in fs::read_dir(&staging).map_err(Error::file("list", &staging))?.filter_map(Result::ok) {
        fs::remove_file(left.path()).map_err(Error::file("remove", &left.path()))?;
    }
    Ok(())
}
