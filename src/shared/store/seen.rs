//! Which files were compared with their digests already, and how they looked then, so that going on with a store does
//! not read all of it again. A file that was touched since is compared anew (test `damage::every_damage_is_reported_and_repaired`).
//!
//! Nothing depends on it: without it, the next run reads every file once.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::names;
use super::part::Part;
use crate::shared::error::Error;
use crate::shared::regular_file;

/// Most bytes of notes that are read. Without them, files are compared anew.
const MOST_BYTES: u64 = 1 << 28;

/// What was compared before, by anybody.
#[derive(Debug, Default)]
pub(super) struct Seen {
    looks: HashMap<String, String>,
}

impl Seen {
    /// Reads the notes of all parts, as far as there are any.
    pub(super) fn read(store: &Path) -> Self {
        let mut looks = HashMap::new();
        let entries = std::fs::read_dir(store.join(names::SEEN)).into_iter().flatten();
        for notes in entries.filter_map(Result::ok) {
            let read = regular_file::read(&notes.path(), MOST_BYTES).ok().and_then(|found| found.or_problem().ok());
            let text = read.and_then(|text| String::from_utf8(text).ok()).unwrap_or_default();
            // A line that was cut off by a crash has no end, and does not count.
            let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            looks.extend(lines.filter_map(|line| line.split_once('\t')).map(|(look, path)| (path.into(), look.into())));
        }
        Self { looks }
    }

    /// True when the file was compared, and looks as it did then.
    pub(super) fn knows(&self, inside: &str, metadata: &Metadata) -> bool {
        self.looks.get(inside).is_some_and(|seen| *seen == Look::of(metadata).to_string())
    }
}

/// Where a writer notes what it compared, or has just written.
#[derive(Debug)]
pub(super) struct SeenNotes {
    file: Mutex<Option<File>>,
}

impl SeenNotes {
    pub(super) fn open(store: &Path, part: Part) -> Result<Self, Error> {
        let folder = store.join(names::SEEN);
        super::commit::create_own_folder(&folder)?;
        let path = folder.join(part.to_string());
        let opened = regular_file::open_to_write(OpenOptions::new().append(true).create(true), &path);
        let file = opened.map_err(Error::file("create", &path))?;
        Ok(Self { file: Mutex::new(Some(file)) })
    }

    /// Notes that the file holds what its record says. `metadata` is from before it was read.
    pub(super) fn add(&self, inside: &str, metadata: &Metadata) {
        let mut notes = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = notes.as_mut() else { return };
        let line = format!("{}\t{inside}\n", Look::of(metadata));
        if file.write_all(line.as_bytes()).is_err() {
            // Only time is lost: the next run reads the file again.
            *notes = None;
        }
    }
}

/// Length, times and number of a file: what changes when anybody writes to it, or puts another in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    number: u64,
}

impl Look {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            number: metadata.ino(),
        }
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, modified, changed, number } = self;
        write!(f, "{bytes} {}.{:09} {}.{:09} {number}", modified.0, modified.1, changed.0, changed.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_until_it_is_touched() {
        let store = tempfile::tempdir().unwrap();
        let file = store.path().join("x");
        std::fs::write(&file, "as it was").unwrap();
        let knows = || Seen::read(store.path()).knows("x", &std::fs::metadata(&file).unwrap());
        let notes = SeenNotes::open(store.path(), Part::new(1, 2).unwrap()).unwrap();
        assert!(!knows());
        notes.add("x", &std::fs::metadata(&file).unwrap());
        assert!(knows());
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(&file, "as it is!").unwrap();
        assert!(!knows());
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_count() {
        let store = tempfile::tempdir().unwrap();
        std::fs::write(store.path().join("x"), "x").unwrap();
        let metadata = std::fs::metadata(store.path().join("x")).unwrap();
        SeenNotes::open(store.path(), Part::WHOLE).unwrap().add("x", &metadata);
        let notes = store.path().join(names::SEEN).join("0-of-1");
        let text = std::fs::read_to_string(&notes).unwrap();
        std::fs::write(&notes, text.trim_end()).unwrap();
        assert!(!Seen::read(store.path()).knows("x", &metadata));
    }
}
