//! The folder of a report. Only a new or empty folder, or one with an earlier report, is accepted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::page::GENERATOR;
use crate::shared::error::Error;
use crate::shared::printable::printable_path;
use crate::shared::regular_file::{concerns_file, metadata, read_regular_text};

const INDEX: &str = "index.html";
/// `index.html` while it is written.
const UNFINISHED: &str = "index.html.part";
const DATA: &str = "data";
const ROWS: &str = "rows.js";

/// A folder into which a report can be written. Its content is unchanged so far.
#[derive(Debug)]
pub struct ReportFolder {
    path: PathBuf,
    is_new: bool,
}

/// Writes the files of a report. `index.html` is written last.
#[derive(Debug)]
pub(super) struct PageWriter {
    path: PathBuf,
    bytes: AtomicU64,
}

impl ReportFolder {
    /// Checks a folder, creates it if needed, and tests whether it is writable.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if it contains other files, and [`Error::File`] if it cannot be created or written.
    pub fn claim(path: &Path) -> Result<Self, Error> {
        let is_new = metadata(path)?.is_none();
        if !is_new {
            refuse_foreign_files(path)?;
        }
        fs::create_dir_all(path).map_err(Error::file("create", path))?;
        let claimed = Self { path: path.to_path_buf(), is_new };
        tempfile::tempfile_in(path).map_err(Error::file("write into", path))?;
        Ok(claimed)
    }

    /// Returns the path of `index.html`.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.path.join(INDEX)
    }

    /// Deletes an earlier report.
    pub(super) fn begin(mut self) -> Result<PageWriter, Error> {
        self.is_new = false;
        let data = self.path.join(DATA);
        remove(&self.path.join(INDEX))?;
        fs::create_dir_all(&data).map_err(Error::file("create", &data))?;
        for name in names_in(&data)?.iter().filter(|name| is_data(name)) {
            remove(&data.join(name))?;
        }
        Ok(PageWriter { path: self.path.clone(), bytes: AtomicU64::new(0) })
    }
}

/// Deletes a folder that was created for a report that was never started.
impl Drop for ReportFolder {
    fn drop(&mut self) {
        if self.is_new {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

impl PageWriter {
    pub(super) fn write_block(&self, number: usize, script: &[u8]) -> Result<(), Error> {
        self.write(&self.path.join(DATA).join(format!("block-{number:05}.js")), script)
    }

    pub(super) fn write_rows(&self, script: &[u8]) -> Result<(), Error> {
        self.write(&self.path.join(DATA).join(ROWS), script)
    }

    /// Writes a chart. Returns its path relative to the page.
    pub(super) fn write_chart(&self, number: usize, png: &[u8]) -> Result<String, Error> {
        let name = format!("{DATA}/chart-{number:02}.png");
        self.write(&self.path.join(&name), png)?;
        Ok(name)
    }

    /// Writes `index.html`. Returns the size of all files in bytes.
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

fn refuse_foreign_files(path: &Path) -> Result<(), Error> {
    let refuse = |problem: &str| Err(Error::Usage(format!("--out {}: {problem}", printable_path(path))));
    if !path.is_dir() {
        return refuse("not a folder\n  help: choose a folder for the report");
    }
    let names = names_in(path)?;
    // An interrupted report leaves its data only.
    let is_unfinished = |name: &String| name == UNFINISHED || name == DATA;
    let is_page = match read_regular_text(&path.join(INDEX)) {
        Ok(page) => page.contains(GENERATOR),
        Err(error) if concerns_file(&error) => false,
        Err(error) => return Err(Error::file("read", &path.join(INDEX))(error)),
    };
    let is_ours =
        is_page || names.iter().all(is_unfinished) && names_in(&path.join(DATA))?.iter().all(|name| is_data(name));
    if is_ours {
        Ok(())
    } else {
        refuse("contains other files than an earlier report\n  help: choose a new or empty folder")
    }
}

fn is_data(name: &str) -> bool {
    let number = |start: &str, end: &str| name.strip_prefix(start)?.strip_suffix(end);
    let numbers = [number("block-", ".js"), number("chart-", ".png")];
    let is_number = |number: &str| number.bytes().all(|digit| digit.is_ascii_digit());
    name == ROWS || numbers.into_iter().flatten().any(is_number)
}

/// Returns the names of the files in a folder; none if it does not exist.
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
    fn only_new_empty_or_earlier_report_folders_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let claim = |name: &str| ReportFolder::claim(&folder.path().join(name)).map(|_| ()).map_err(|e| e.to_string());
        claim("new/deeper").unwrap();
        assert!(!folder.path().join("new/deeper").exists(), "a report that was never started leaves nothing");
        fs::create_dir(folder.path().join("empty")).unwrap();
        claim("empty").unwrap();
        assert!(folder.path().join("empty").exists());
        fs::create_dir(folder.path().join("mine")).unwrap();
        fs::write(folder.path().join("mine/index.html"), "<p>my page").unwrap();
        assert!(claim("mine").unwrap_err().contains("other files"));
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(claim("file").unwrap_err().contains("not a folder"));
    }

    #[test]
    fn an_earlier_report_is_deleted_and_the_new_index_comes_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report");
        let begin = || ReportFolder::claim(&path).unwrap().begin().unwrap();
        let writer = begin();
        writer.write_block(0, b"a").unwrap();
        writer.write_block(7, b"b").unwrap();
        writer.write_rows(b"rows").unwrap();
        assert_eq!(writer.write_chart(3, b"png").unwrap(), "data/chart-03.png");
        assert!(!path.join(INDEX).exists());
        assert_eq!(writer.finish(&format!("<!doctype html>{GENERATOR}")).unwrap(), 9 + 15 + GENERATOR.len() as u64);
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
