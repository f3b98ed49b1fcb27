//! Output files of an audit. They appear complete or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::audit_columns::{ImageRow, class_columns, image_columns};
use super::pred_probs::{PRED_PROBS, pred_probs};
use super::ranking::Audit;
use crate::inspection::table::{Table, TableColumn, TableFormat, TableWriter};
use crate::shared::atomic_file::AtomicFile;
use crate::shared::error::Error;
use crate::shared::monitor::Monitor;
use crate::shared::printable::printable_path;

/// The output file of an audit, and its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFile {
    path: PathBuf,
    format: TableFormat,
    with_pred_probs: bool,
}

/// The files while they are written, under temporary names. Dropping this deletes them.
#[derive(Debug)]
pub struct AuditDrafts<'a> {
    file: &'a AuditFile,
    images: AtomicFile,
    /// `None` for JSON: one document contains both tables.
    classes: Option<AtomicFile>,
}

impl AuditFile {
    /// Checks a path that ends in `.parquet`, `.csv` or `.json`.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if it has a different extension, or if `with_pred_probs` is set for CSV.
    pub fn new(path: &Path, with_pred_probs: bool) -> Result<Self, Error> {
        let refuse = |problem: &str| Err(Error::Usage(format!("{}: {problem}", printable_path(path))));
        let format = match extension(path).to_ascii_lowercase().as_str() {
            "parquet" => TableFormat::Parquet,
            "csv" if with_pred_probs => {
                return refuse(
                    "cannot write pred_probs to CSV, which has no lists\n  help: choose a .parquet file, or a .json file for \
                     few images",
                );
            }
            "csv" => TableFormat::Csv,
            "json" => TableFormat::Json,
            _ => return refuse("unknown extension\n  help: choose a file that ends in .parquet, .csv or .json"),
        };
        Ok(Self { path: path.to_path_buf(), format, with_pred_probs })
    }

    /// Returns the path of the table of images.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the table of classes, next to it; `None` for JSON, where one document contains both.
    #[must_use]
    pub fn classes_path(&self) -> Option<PathBuf> {
        (self.format != TableFormat::Json)
            .then(|| self.path.with_extension(format!("classes.{}", extension(&self.path))))
    }

    /// Returns whether the file has the column `pred_probs`, for which the maps are read a second time.
    #[must_use]
    pub fn with_pred_probs(&self) -> bool {
        self.with_pred_probs
    }

    /// Creates the files under temporary names in the same folder, so errors appear before the audit starts.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the folder does not exist or cannot be written, or if the path of a file is a folder;
    /// [`Error::Usage`] if the files would be inside `store`.
    pub fn drafts(&self, store: &Path) -> Result<AuditDrafts<'_>, Error> {
        let folder = folder_of(&self.path);
        let found = folder.canonicalize().map_err(Error::file("write into the folder", folder))?;
        if store.canonicalize().is_ok_and(|store| found.starts_with(store)) {
            let problem = "cannot write into the store\n  help: choose a file outside the store";
            return Err(Error::Usage(format!("{}: {problem}", printable_path(&self.path))));
        }
        let images = AtomicFile::create(&self.path)?;
        let classes = self.classes_path().map(|path| AtomicFile::create(&path)).transpose()?;
        Ok(AuditDrafts { file: self, images, classes })
    }
}

impl AuditDrafts<'_> {
    /// Writes an audit and renames the files to their final names. Earlier files with these names are replaced.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] if a stop was requested, [`Error::File`] if a file cannot be written, and an error of
    /// the store if, for `pred_probs`, a map cannot be read.
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
        self.complete()
    }

    /// Renames the files, the table of images last: if it exists, both do.
    fn complete(self) -> Result<(), Error> {
        let Some(classes) = self.classes else { return self.images.commit() };
        let classes_path = classes.path().to_path_buf();
        classes.commit()?;
        self.images.commit().inspect_err(|_| {
            // The error of the images is returned.
            let _ = std::fs::remove_file(&classes_path);
        })
    }
}

/// Rows per batch of a table, and maximum number of values of `pred_probs` per batch.
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
        let columns = image_columns(audit.options.crops > 0);
        let list_column = self.with_pred_probs.then_some(PRED_PROBS);
        let mut table = TableWriter::new(self.format, out, &audit_table(&columns, list_column)).map_err(failed)?;
        let rows_by_probs = PROBS_AT_ONCE / audit.names.len().max(1);
        let rows_at_once = if self.with_pred_probs { rows_by_probs.clamp(1, ROWS_AT_ONCE) } else { ROWS_AT_ONCE };
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
        table.finish().map_err(failed)
    }

    fn write_classes(&self, out: &mut BufWriter<&mut File>, audit: &Audit<'_>) -> io::Result<()> {
        let columns = class_columns(audit.options.crops > 0);
        let mut table = TableWriter::new(self.format, out, &audit_table(&columns, None))?;
        table.write(&audit.class_statistics(), None)?;
        table.finish()
    }
}

fn audit_table<'a, R>(columns: &'a [TableColumn<R>], list_column: Option<&'static str>) -> Table<'a, R> {
    Table { name: "audit", columns, list_column }
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().into_owned()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_formats() {
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
    fn dropped_drafts_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let file = AuditFile::new(&folder.path().join("audit.csv"), false).unwrap();
        let drafts = file.drafts(Path::new("/nowhere")).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(drafts);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(file.drafts(folder.path()).unwrap_err().to_string().contains("outside the store"));
    }
}
