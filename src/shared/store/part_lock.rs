//! Locks that allow one writer for each part. The operating system releases them when their holder ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::layout;
use super::part::Part;
use crate::shared::error::Error;
use crate::shared::regular_file;

/// Held while a writer creates or opens the store and locks its part. Writers that start at the same time wait for each
/// other here, so that only one of them creates the store.
#[derive(Debug)]
pub(super) struct StartLock {
    _held: HeldLock,
}

/// A locked file. It is unlocked explicitly, not only closed, since a process forked in the meantime has it open too.
#[derive(Debug)]
struct HeldLock(File);

impl Drop for HeldLock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl StartLock {
    pub(super) fn wait(store: &Path) -> Result<Self, Error> {
        let path = lock_path(store, "start");
        let file = open(&path)?;
        file.lock().map_err(Error::file("lock", &path))?;
        Ok(Self { _held: HeldLock(file) })
    }
}

/// Held while a part of a store is written.
#[derive(Debug)]
pub(super) struct PartLock {
    _held: HeldLock,
}

impl PartLock {
    /// Locks a part of a store with `shards` shards. `holder` is shown to other writers.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if another writer holds this part or one that shares shards with it.
    pub(super) fn take(
        store: &Path,
        part: Part,
        shards: usize,
        holder: &str,
        _start: &StartLock,
    ) -> Result<Self, Error> {
        for other in parts_in(store)?.into_iter().filter(|other| *other != part && other.overlaps(part, shards)) {
            let path = lock_path(store, &other.to_string());
            let file = HeldLock(open(&path)?);
            if try_lock(&file.0, &path)? == Attempt::IsHeld {
                return Err(held(store, &path, other));
            }
        }
        let path = lock_path(store, &part.to_string());
        let mut file = open(&path)?;
        if try_lock(&file, &path)? == Attempt::IsHeld {
            return Err(held(store, &path, part));
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{holder}"))
            .map_err(Error::file("write", &path))?;
        Ok(Self { _held: HeldLock(file) })
    }
}

fn lock_path(store: &Path, name: &str) -> PathBuf {
    store.join(layout::LOCKS).join(name)
}

fn open(path: &Path) -> Result<File, Error> {
    let opened =
        regular_file::open_to_write(OpenOptions::new().read(true).write(true).create(true).truncate(false), path);
    opened.map_err(Error::file("create", path))
}

#[derive(PartialEq, Eq)]
enum Attempt {
    IsOurs,
    IsHeld,
}

fn try_lock(file: &File, path: &Path) -> Result<Attempt, Error> {
    match file.try_lock() {
        Ok(()) => Ok(Attempt::IsOurs),
        Err(TryLockError::WouldBlock) => Ok(Attempt::IsHeld),
        Err(TryLockError::Error(error)) => Err(Error::file("lock", path)(error)),
    }
}

/// Returns every part that was ever locked.
fn parts_in(store: &Path) -> Result<Vec<Part>, Error> {
    let folder = store.join(layout::LOCKS);
    let entries = std::fs::read_dir(&folder).map_err(Error::file("list", &folder))?;
    let mut parts = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::file("list", &folder))?.file_name();
        parts.extend(name.to_str().and_then(|name| name.parse::<Part>().ok()));
    }
    Ok(parts)
}

fn held(store: &Path, path: &Path, part: Part) -> Error {
    let read = regular_file::read(path, MAX_HOLDER_BYTES).ok().and_then(|found| found.usable().ok());
    let holder = read.and_then(|text| String::from_utf8(text).ok()).unwrap_or_default();
    let holder =
        if holder.trim().is_empty() { "another process".to_owned() } else { holder.trim().escape_debug().to_string() };
    let what = if part.is_whole() { "the store".to_owned() } else { format!("part {part}") };
    Error::Store {
        path: store.to_path_buf(),
        problem: format!("{what} is being written by {holder}\n  help: wait for that process to finish, or stop it")
            .into(),
    }
}

/// Longest description of a holder that is read.
const MAX_HOLDER_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn take(store: &Path, part: &str) -> Result<PartLock, Error> {
        let start = StartLock::wait(store)?;
        PartLock::take(store, part.parse().unwrap(), 8, &format!("process 7 of host a ({part})"), &start)
    }

    #[test]
    fn a_second_writer_is_refused_and_told_the_holder() {
        let store = tempfile::tempdir().unwrap();
        std::fs::create_dir(store.path().join(layout::LOCKS)).unwrap();
        let held = take(store.path(), "0-of-1").unwrap();
        let refusal = take(store.path(), "0-of-1").unwrap_err().to_string();
        assert!(refusal.contains("process 7 of host a"), "{refusal}");
        drop(held);
        take(store.path(), "0-of-1").unwrap();
    }

    #[test]
    fn parts_are_held_concurrently_unless_they_share_a_shard() {
        let store = tempfile::tempdir().unwrap();
        std::fs::create_dir(store.path().join(layout::LOCKS)).unwrap();
        let _first = take(store.path(), "0-of-4").unwrap();
        let second = take(store.path(), "1-of-4").unwrap();
        let refusal = take(store.path(), "0-of-2").unwrap_err().to_string();
        assert!(refusal.contains("part 0-of-4") || refusal.contains("part 1-of-4"), "{refusal}");
        assert!(take(store.path(), "0-of-1").is_err());
        take(store.path(), "1-of-2").unwrap();
        drop(second);
        take(store.path(), "1-of-4").unwrap();
    }
}
