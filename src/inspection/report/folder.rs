//! The folder that a page is written into: only a new or empty one, or one that holds an earlier page.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::page::GENERATOR;
use crate::shared::error::Error;
use crate::shared::printable::printable_path;
use crate::shared::regular_file::{concerns_file, look_at, read_regular_text};

const INDEX: &str = "index.html";
/// `index.html` on its way.
const UNFINISHED: &str = "index.html.part";
const DATA: &str = "data";
const ROWS: &str = "rows.js";

/// A folder that was looked at: a page may be written into it. Nothing in it was changed yet.
#[derive(Debug)]
pub struct ReportFolder {
    path: PathBuf,
    is_new: bool,
}

/// A folder into which a page is being written. It has no `index.html` until all else is there.
#[derive(Debug)]
pub(super) struct Writing {
    path: PathBuf,
    bytes: AtomicU64,
}

impl ReportFolder {
    /// Looks at a folder, makes it where there is none, and tries whether it can be written to.
    ///
    /// # Errors
    /// When something else is in it, or it cannot be written to.
    pub fn claim(path: &Path) -> Result<Self, Error> {
        let is_new = look_at(path)?.is_none();
        if !is_new {
            refuse_others_files(path)?;
        }
        fs::create_dir_all(path).map_err(Error::file("create", path))?;
        let claimed = Self { path: path.to_path_buf(), is_new };
        tempfile::tempfile_in(path).map_err(Error::file("write into", path))?;
        Ok(claimed)
    }

    /// The page's path.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.path.join(INDEX)
    }

    /// Removes an earlier page. From here on the folder belongs to the new one.
    pub(super) fn begin(mut self) -> Result<Writing, Error> {
        self.is_new = false;
        let data = self.path.join(DATA);
        remove(&self.path.join(INDEX))?;
        fs::create_dir_all(&data).map_err(Error::file("create", &data))?;
        for name in names_in(&data)?.iter().filter(|name| is_data(name)) {
            remove(&data.join(name))?;
        }
        Ok(Writing { path: self.path.clone(), bytes: AtomicU64::new(0) })
    }
}

/// A folder that was made for a page which then was not begun goes again.
impl Drop for ReportFolder {
    fn drop(&mut self) {
        if self.is_new {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

impl Writing {
    pub(super) fn write_block(&self, number: usize, script: &[u8]) -> Result<(), Error> {
        self.write(&self.path.join(DATA).join(format!("block-{number:05}.js")), script)
    }

    pub(super) fn write_rows(&self, script: &[u8]) -> Result<(), Error> {
        self.write(&self.path.join(DATA).join(ROWS), script)
    }

    /// Writes the page itself. Gives the bytes of all files.
    pub(super) fn finish(self, page: &str) -> Result<u64, Error> {
        let (part, index) = (self.path.join(UNFINISHED), self.path.join(INDEX));
        self.write(&part, page.as_bytes())?;
        fs::rename(&part, &index).map_err(Error::file("rename", &part))?;
        Ok(self.bytes.into_inner())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        fs::write(path, bytes).map_err(Error::file("write", path))
    }
}

fn refuse_others_files(path: &Path) -> Result<(), Error> {
    let refuse = |problem: &str| Err(Error::Usage(format!("--out {}: {problem}", printable_path(path))));
    if !path.is_dir() {
        return refuse("it is a file; name a folder for the page");
    }
    let names = names_in(path)?;
    // Of a page that was interrupted only the data are there.
    let are_remains = |name: &String| name == UNFINISHED || name == DATA;
    let is_page = match read_regular_text(&path.join(INDEX)) {
        Ok(page) => page.contains(GENERATOR),
        Err(error) if concerns_file(&error) => false,
        Err(error) => return Err(Error::file("read", &path.join(INDEX))(error)),
    };
    let holds_ours =
        is_page || names.iter().all(are_remains) && names_in(&path.join(DATA))?.iter().all(|name| is_data(name));
    if holds_ours {
        Ok(())
    } else {
        refuse("it holds something else than an earlier report, which would be mixed up. Name a new or empty folder")
    }
}

fn is_data(name: &str) -> bool {
    let number = name.strip_prefix("block-").and_then(|rest| rest.strip_suffix(".js"));
    name == ROWS || number.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Names of what is in a folder; none where there is no folder.
fn names_in(path: &Path) -> Result<Vec<String>, Error> {
    match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::file("read", path)(source)),
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()
            .map_err(Error::file("read", path)),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_empty_or_earlier_pages_are_written_over() {
        let place = tempfile::tempdir().unwrap();
        let claim = |name: &str| ReportFolder::claim(&place.path().join(name)).map(|_| ()).map_err(|e| e.to_string());
        claim("new/deeper").unwrap();
        assert!(!place.path().join("new/deeper").exists(), "what was not begun leaves nothing");
        fs::create_dir(place.path().join("empty")).unwrap();
        claim("empty").unwrap();
        assert!(place.path().join("empty").exists());
        fs::create_dir(place.path().join("mine")).unwrap();
        fs::write(place.path().join("mine/index.html"), "<p>my page").unwrap();
        assert!(claim("mine").unwrap_err().contains("something else"));
        fs::write(place.path().join("file"), "").unwrap();
        assert!(claim("file").unwrap_err().contains("it is a file"));
    }

    #[test]
    fn an_earlier_page_goes_and_the_new_index_comes_last() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("report");
        let begin = || ReportFolder::claim(&path).unwrap().begin().unwrap();
        let writing = begin();
        writing.write_block(0, b"a").unwrap();
        writing.write_block(7, b"b").unwrap();
        writing.write_rows(b"rows").unwrap();
        assert!(!path.join(INDEX).exists());
        assert_eq!(writing.finish(&format!("<!doctype html>{GENERATOR}")).unwrap(), 6 + 15 + GENERATOR.len() as u64);
        fs::write(path.join("notes.txt"), "mine").unwrap();
        let again = begin();
        assert_eq!(names_in(&path.join(DATA)).unwrap(), Vec::<String>::new());
        assert!(!path.join(INDEX).exists() && path.join("notes.txt").exists());
        again.write_block(0, b"a").unwrap();
        drop(again);
        fs::remove_file(path.join("notes.txt")).unwrap();
        begin();
    }
}
