//! The files whose digests were verified, and their metadata at that time, so that resuming a store does not read all of
//! it again. A file that was touched since is verified again (test `damage::every_damage_is_reported_and_repaired`).
//!
//! A cache: without it, the next run reads every file once.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::committer::create_own_folder;
use super::layout;
use super::part::Part;
use crate::shared::error::Error;
use crate::shared::regular_file;

/// Longest log that is read. Files listed in a longer one are verified again.
const MAX_LOG_BYTES: u64 = 1 << 28;

/// The files that were verified by any writer.
#[derive(Debug, Default)]
pub(super) struct VerifiedFiles {
    fingerprints: HashMap<String, String>,
}

impl VerifiedFiles {
    /// Reads the logs of all parts. Unreadable ones are ignored.
    pub(super) fn read(store: &Path) -> Self {
        let mut fingerprints = HashMap::new();
        let entries = std::fs::read_dir(store.join(layout::VERIFIED)).into_iter().flatten();
        for log in entries.filter_map(Result::ok) {
            let read = regular_file::read(&log.path(), MAX_LOG_BYTES).ok().and_then(|found| found.usable().ok());
            let text = read.and_then(|text| String::from_utf8(text).ok()).unwrap_or_default();
            // A line that a crash cut off has no line break, and is ignored.
            let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            let lines = lines.filter_map(|line| line.split_once('\t'));
            fingerprints.extend(lines.map(|(fingerprint, path)| (path.into(), fingerprint.into())));
        }
        Self { fingerprints }
    }

    /// Returns whether the file was verified and was not touched since.
    pub(super) fn contains(&self, inside: &str, metadata: &Metadata) -> bool {
        let known = self.fingerprints.get(inside);
        known.is_some_and(|known| *known == FileFingerprint::from_metadata(metadata).to_string())
    }
}

/// The log in which a writer lists the files that it verified or wrote.
#[derive(Debug)]
pub(super) struct VerifiedFilesLog {
    file: Mutex<Option<File>>,
}

impl VerifiedFilesLog {
    pub(super) fn open(store: &Path, part: Part) -> Result<Self, Error> {
        let folder = store.join(layout::VERIFIED);
        create_own_folder(&folder)?;
        let path = folder.join(part.to_string());
        let opened = regular_file::open_to_write(OpenOptions::new().append(true).create(true), &path);
        let file = opened.map_err(Error::file("create", &path))?;
        Ok(Self { file: Mutex::new(Some(file)) })
    }

    /// Lists a file that matches its record. `metadata` is from before the file was read.
    pub(super) fn add(&self, inside: &str, metadata: &Metadata) {
        let mut log = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = log.as_mut() else { return };
        let line = format!("{}\t{inside}\n", FileFingerprint::from_metadata(metadata));
        if file.write_all(line.as_bytes()).is_err() {
            // The only cost is that the next run reads the file again.
            *log = None;
        }
    }
}

/// Length, times and inode of a file, which change when it is written to or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileFingerprint {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
}

impl FileFingerprint {
    pub(super) fn from_metadata(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

impl fmt::Display for FileFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, modified, changed, inode } = self;
        write!(f, "{bytes} {}.{:09} {}.{:09} {inode}", modified.0, modified.1, changed.0, changed.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_verified_until_it_is_touched() {
        let store = tempfile::tempdir().unwrap();
        let file = store.path().join("x");
        std::fs::write(&file, "as it was").unwrap();
        let is_verified = || VerifiedFiles::read(store.path()).contains("x", &std::fs::metadata(&file).unwrap());
        let log = VerifiedFilesLog::open(store.path(), Part::new(1, 2).unwrap()).unwrap();
        assert!(!is_verified());
        log.add("x", &std::fs::metadata(&file).unwrap());
        assert!(is_verified());
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(&file, "as it is!").unwrap();
        assert!(!is_verified());
    }

    #[test]
    fn a_line_that_was_cut_off_is_ignored() {
        let store = tempfile::tempdir().unwrap();
        std::fs::write(store.path().join("x"), "x").unwrap();
        let metadata = std::fs::metadata(store.path().join("x")).unwrap();
        VerifiedFilesLog::open(store.path(), Part::WHOLE).unwrap().add("x", &metadata);
        let log = store.path().join(layout::VERIFIED).join("0-of-1");
        let text = std::fs::read_to_string(&log).unwrap();
        std::fs::write(&log, text.trim_end()).unwrap();
        assert!(!VerifiedFiles::read(store.path()).contains("x", &metadata));
    }
}
