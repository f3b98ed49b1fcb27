//! Which files were compared with their digests already, and how they looked then, so that going on with a store does
//! not read all of it again. A file that was touched since is compared anew (test `mishaps::every_damage_is_named_and_repaired`).
//!
//! Nothing depends on it: without it, the next run reads every file once.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::names;
use super::part::Part;
use crate::error::Error;

/// What was seen by earlier writers, and a place to note more.
#[derive(Debug)]
pub(super) struct Seen {
    looks: HashMap<String, String>,
    notes: Mutex<Option<File>>,
}

impl Seen {
    /// Reads the notes of all parts, and opens those of `part`.
    pub(super) fn open(store: &Path, part: Part) -> Result<Self, Error> {
        let folder = store.join(names::SEEN);
        super::commit::create_folder(&folder)?;
        let mut looks = HashMap::new();
        for notes in std::fs::read_dir(&folder).map_err(Error::file("list", &folder))?.filter_map(Result::ok) {
            let text = std::fs::read_to_string(notes.path()).unwrap_or_default();
            // A line that was cut off by a crash has no end, and does not count.
            let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            looks.extend(lines.filter_map(|line| line.split_once('\t')).map(|(look, path)| (path.into(), look.into())));
        }
        let path = folder.join(part.to_string());
        let notes = OpenOptions::new().append(true).create(true).open(&path).map_err(Error::file("create", &path))?;
        Ok(Self { looks, notes: Mutex::new(Some(notes)) })
    }

    /// True when the file was compared, and looks as it did then.
    pub(super) fn knows(&self, inside: &str, metadata: &Metadata) -> bool {
        self.looks.get(inside).is_some_and(|seen| *seen == look(metadata))
    }

    /// Notes that the file holds what its record says. `metadata` is from before it was read.
    pub(super) fn note(&self, inside: &str, metadata: &Metadata) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = notes.as_mut() else { return };
        let line = format!("{}\t{inside}\n", look(metadata));
        if file.write_all(line.as_bytes()).is_err() {
            // Only time is lost: the next run reads the file again.
            *notes = None;
        }
    }
}

/// Length, times and number of a file: what changes when anybody writes to it.
fn look(metadata: &Metadata) -> String {
    let (modified, changed) = ((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
    format!("{} {}.{:09} {}.{:09} {}", metadata.len(), modified.0, modified.1, changed.0, changed.1, metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_until_it_is_touched() {
        let store = tempfile::tempdir().unwrap();
        let file = store.path().join("x");
        std::fs::write(&file, "as it was").unwrap();
        let knows = |seen: &Seen| seen.knows("x", &std::fs::metadata(&file).unwrap());
        let seen = Seen::open(store.path(), Part::WHOLE).unwrap();
        assert!(!knows(&seen));
        seen.note("x", &std::fs::metadata(&file).unwrap());
        assert!(knows(&Seen::open(store.path(), Part::new(0, 2).unwrap()).unwrap()), "parts see each other's notes");
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(&file, "as it is!").unwrap();
        assert!(!knows(&Seen::open(store.path(), Part::WHOLE).unwrap()));
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_count() {
        let store = tempfile::tempdir().unwrap();
        std::fs::write(store.path().join("x"), "x").unwrap();
        let metadata = std::fs::metadata(store.path().join("x")).unwrap();
        Seen::open(store.path(), Part::WHOLE).unwrap().note("x", &metadata);
        let notes = store.path().join(names::SEEN).join("0-of-1");
        let text = std::fs::read_to_string(&notes).unwrap();
        std::fs::write(&notes, text.trim_end()).unwrap();
        let seen = Seen::open(store.path(), Part::WHOLE).unwrap();
        assert!(!seen.knows("x", &metadata));
    }
}
