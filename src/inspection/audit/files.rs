//! The files of an audit: which they are, and that they appear complete or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::Audit;
use super::columns::{ImageRow, class_columns, image_columns};
use super::pred_probs::{PRED_PROBS, pred_probs};
use crate::inspection::table::{Column, Format, Table, TableWriter};
use crate::shared::draft::Draft;
use crate::shared::error::Error;
use crate::shared::monitor::Monitor;
use crate::shared::printable::printable_path;

/// Where an audit goes, and in which format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFile {
    path: PathBuf,
    format: Format,
    with_pred_probs: bool,
}

/// Files that are being written, under names of their own. They go when this is dropped.
#[derive(Debug)]
pub struct Drafts<'a> {
    file: &'a AuditFile,
    images: Draft,
    /// In JSON both tables stand in one document.
    classes: Option<Draft>,
}

impl AuditFile {
    /// A file that ends in `.parquet`, `.csv` or `.json`, with the column `pred_probs` or without.
    ///
    /// # Errors
    /// [`Error::Usage`] when it has another ending, or one that cannot hold what is wanted.
    pub fn new(path: &Path, with_pred_probs: bool) -> Result<Self, Error> {
        let refused = |problem: &str| Err(Error::Usage(format!("{}: {problem}", printable_path(path))));
        let format = match ending(path).to_ascii_lowercase().as_str() {
            "parquet" => Format::Parquet,
            "csv" if with_pred_probs => {
                return refused(
                    "CSV has no lists, and pred_probs are one in each row: name a file that ends in .parquet, or in \
                     .json if the images are few",
                );
            }
            "csv" => Format::Csv,
            "json" => Format::Json,
            _ => return refused("the ending says what is written: name a file that ends in .parquet, .csv or .json"),
        };
        Ok(Self { path: path.to_path_buf(), format, with_pred_probs })
    }

    /// The file of the images.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the classes beside it; `None` for JSON, where one document holds both.
    #[must_use]
    pub fn classes_path(&self) -> Option<PathBuf> {
        (self.format != Format::Json).then(|| self.path.with_extension(format!("classes.{}", ending(&self.path))))
    }

    /// Whether the images' maps are read again while the file is written.
    #[must_use]
    pub fn with_pred_probs(&self) -> bool {
        self.with_pred_probs
    }

    /// Makes the files under other names in the same folder, so that it is known before work begins that they can be.
    ///
    /// # Errors
    /// When the folder is not there or cannot be written, or a file's name is that of a folder; [`Error::Usage`] when the
    /// files would lie in `store`, which keeps its own only.
    pub fn drafts(&self, store: &Path) -> Result<Drafts<'_>, Error> {
        let folder = folder_of(&self.path);
        let found = folder.canonicalize().map_err(Error::file("write into the folder", folder))?;
        if store.canonicalize().is_ok_and(|store| found.starts_with(store)) {
            let problem = "a store keeps its own files only: name a file outside of it";
            return Err(Error::Usage(format!("{}: {problem}", printable_path(&self.path))));
        }
        let images = Draft::begin(&self.path)?;
        let classes = self.classes_path().map(|path| Draft::begin(&path)).transpose()?;
        Ok(Drafts { file: self, images, classes })
    }
}

impl Drafts<'_> {
    /// Writes an audit and gives the files their names. What had such a name before is gone then.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when a stop was asked for, and when a file cannot be written or, for `pred_probs`, a map
    /// cannot be read.
    pub fn write(mut self, audit: &Audit<'_>, monitor: &dyn Monitor) -> Result<(), Error> {
        let file = self.file;
        let failed = |error| Error::file("write", &file.path)(error);
        let mut out = BufWriter::new(self.images.file());
        if let Some(classes) = &mut self.classes {
            file.write_images(&mut out, audit, monitor)?;
            let path = classes.path().to_path_buf();
            let mut out = BufWriter::new(classes.file());
            file.write_classes(&mut out, audit).and_then(|()| out.flush()).map_err(Error::file("write", &path))?;
        } else {
            let summary = serde_json::to_string(&audit.summary()).map_err(|error| failed(error.into()))?;
            write!(out, "{{\n\"summary\": {summary},\n\"images\": ").map_err(failed)?;
            file.write_images(&mut out, audit, monitor)?;
            out.write_all(b",\n\"classes\": ").map_err(failed)?;
            file.write_classes(&mut out, audit).and_then(|()| out.write_all(b"\n}\n")).map_err(failed)?;
        }
        out.flush().map_err(failed)?;
        drop(out);
        self.name()
    }

    /// Gives the files their names, the images' last: where that is, everything is.
    fn name(self) -> Result<(), Error> {
        let Some(classes) = self.classes else { return self.images.complete() };
        let classes_path = classes.path().to_path_buf();
        classes.complete()?;
        self.images.complete().inspect_err(|_| {
            // The error that is told is that of the images.
            let _ = std::fs::remove_file(&classes_path);
        })
    }
}

/// Rows that are held at a time while a table is written, and values of `pred_probs`.
const ROWS_AT_ONCE: usize = 1 << 16;
const PROBS_AT_ONCE: usize = 1 << 22;

impl AuditFile {
    fn write_images(
        &self,
        out: &mut BufWriter<&mut File>,
        audit: &Audit<'_>,
        monitor: &dyn Monitor,
    ) -> Result<(), Error> {
        let failed = |error| Error::file("write", &self.path)(error);
        let columns = image_columns(audit.request.crops > 0);
        let block = self.with_pred_probs.then_some(PRED_PROBS);
        let mut table = TableWriter::new(self.format, out, &table_of(&columns, block)).map_err(failed)?;
        let by_probs = PROBS_AT_ONCE / audit.names.len().max(1);
        let rows_at_once = if self.with_pred_probs { by_probs.clamp(1, ROWS_AT_ONCE) } else { ROWS_AT_ONCE };
        let mut rank = 0;
        for images in audit.images.chunks(rows_at_once) {
            if monitor.stop_requested() {
                return Err(Error::Interrupted);
            }
            let probs = self.with_pred_probs.then(|| pred_probs(audit.store, images, monitor)).transpose()?;
            let rows: Vec<_> = (rank..rank + images.len()).map(|rank| ImageRow::new(audit, rank)).collect();
            table.write(&rows, probs.as_deref()).map_err(failed)?;
            rank += images.len();
        }
        table.end().map_err(failed)
    }

    fn write_classes(&self, out: &mut BufWriter<&mut File>, audit: &Audit<'_>) -> io::Result<()> {
        let columns = class_columns(audit.request.crops > 0);
        let mut table = TableWriter::new(self.format, out, &table_of(&columns, None))?;
        table.write(&audit.class_figures(), None)?;
        table.end()
    }
}

fn table_of<'a, R>(columns: &'a [Column<R>], block: Option<&'static str>) -> Table<'a, R> {
    Table { name: "audit", columns, block }
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().into_owned()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_formats() {
        let classes = |path: &str| AuditFile::new(Path::new(path), false).unwrap().classes_path();
        assert_eq!(classes("a/audit.parquet"), Some("a/audit.classes.parquet".into()));
        assert_eq!(classes("all.labels.CSV"), Some("all.labels.classes.CSV".into()));
        assert_eq!(classes("audit.json"), None);
        for (path, with_pred_probs, advice) in
            [("audit", false, ".parquet, .csv or .json"), ("a.txt", false, "a.txt"), ("a.csv", true, "no lists")]
        {
            let refused = AuditFile::new(Path::new(path), with_pred_probs).unwrap_err();
            assert!(matches!(&refused, Error::Usage(text) if text.contains(advice)), "{refused}");
        }
    }

    #[test]
    fn drafts_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = AuditFile::new(&folder.path().join("audit.csv"), false).unwrap();
        let drafts = file.drafts(Path::new("/nowhere")).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(drafts);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(file.drafts(folder.path()).unwrap_err().to_string().contains("outside of it"));
    }
}
