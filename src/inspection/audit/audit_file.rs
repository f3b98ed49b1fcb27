//! Output files of an audit. They appear complete or not at all.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::audit_columns::{ImageRow, class_columns, image_columns};
use super::pred_probs::{PRED_PROBS, pred_probs};
use super::ranking::Audit;
use crate::inspection::table::{Table, TableColumn, TableDrafts, TableFile, TableFormat, TableWriter};
use crate::shared::error::Error;
use crate::shared::monitor::Monitor;
use crate::shared::printable::printable_path;

/// The output file of an audit, and its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFile {
    file: TableFile,
    with_pred_probs: bool,
}

/// The files while they are written, under temporary names. Dropping this deletes them.
#[derive(Debug)]
pub struct AuditDrafts<'a> {
    file: &'a AuditFile,
    drafts: TableDrafts,
}

impl AuditFile {
    /// Checks a path that ends in `.parquet`, `.csv` or `.json`.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if it has a different extension, or if `with_pred_probs` is set for CSV.
    pub fn new(path: &Path, with_pred_probs: bool) -> Result<Self, Error> {
        let file = TableFile::new(path)?;
        if with_pred_probs && file.format() == TableFormat::Csv {
            return Err(Error::Usage(format!(
                "{}: cannot write pred_probs to CSV, which has no lists\n  help: choose a .parquet file, or a .json file for \
                 few images",
                printable_path(path)
            )));
        }
        Ok(Self { file, with_pred_probs })
    }

    /// Returns the path of the table of images.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Returns the path of the table of classes, next to it; `None` for JSON, where one document contains both.
    #[must_use]
    pub fn classes_path(&self) -> Option<PathBuf> {
        self.file.classes_path()
    }

    /// Returns whether the file has the column `pred_probs`, for which the maps are read a second time.
    #[must_use]
    pub fn with_pred_probs(&self) -> bool {
        self.with_pred_probs
    }

    /// Creates the files under temporary names in the same folder, so errors appear before the audit starts.
    ///
    /// # Errors
    /// See [`TableFile::drafts`].
    pub fn drafts(&self, store: &Path) -> Result<AuditDrafts<'_>, Error> {
        Ok(AuditDrafts { file: self, drafts: self.file.drafts(&[store])? })
    }
}

impl AuditDrafts<'_> {
    /// Writes an audit and renames the files to their final names. Earlier files with these names are replaced.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] if a stop was requested, [`Error::File`] if a file cannot be written, and an error of
    /// the store if, for `pred_probs`, a map cannot be read.
    pub fn write(self, audit: &Audit<'_>, monitor: &dyn Monitor) -> Result<(), Error> {
        let file = self.file;
        let summary =
            serde_json::to_string(&audit.summary()).map_err(|error| Error::file("write", file.path())(error.into()))?;
        self.drafts.write(&summary, |out| file.write_images(out, audit, monitor), |out| file.write_classes(out, audit))
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
        let failed = |error| Error::file("write", self.path())(error);
        let columns = image_columns(audit.options.crops > 0);
        let list_column = self.with_pred_probs.then_some(PRED_PROBS);
        let mut table =
            TableWriter::new(self.file.format(), out, &audit_table(&columns, list_column)).map_err(failed)?;
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
        let mut table = TableWriter::new(self.file.format(), out, &audit_table(&columns, None))?;
        table.write(&audit.class_statistics(), None)?;
        table.finish()
    }
}

fn audit_table<'a, R>(columns: &'a [TableColumn<R>], list_column: Option<&'static str>) -> Table<'a, R> {
    Table { name: "audit", columns, list_column }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_has_no_lists() {
        let refused = AuditFile::new(Path::new("a.csv"), true).unwrap_err();
        assert!(matches!(&refused, Error::Usage(text) if text.contains("no lists")), "{refused}");
        assert!(AuditFile::new(Path::new("a.csv"), false).is_ok() && AuditFile::new(Path::new("a.json"), true).is_ok());
    }
}
