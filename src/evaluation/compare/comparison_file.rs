//! Output files of a comparison. They appear complete or not at all.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::comparison::Comparison;
use super::comparison_columns::{ComparedRow, folder_class_columns, image_columns};
use crate::inspection::table::{Table, TableDrafts, TableFile, TableWriter};
use crate::shared::error::Error;
use crate::shared::monitor::Monitor;

/// The output file of a comparison, and its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparisonFile {
    file: TableFile,
}

/// The files while they are written, under temporary names. Dropping this deletes them.
#[derive(Debug)]
pub struct ComparisonDrafts<'a> {
    file: &'a ComparisonFile,
    drafts: TableDrafts,
}

impl ComparisonFile {
    /// Checks a path that ends in `.parquet`, `.csv` or `.json`.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if it has a different extension.
    pub fn new(path: &Path) -> Result<Self, Error> {
        Ok(Self { file: TableFile::new(path)? })
    }

    /// Returns the path of the table of images.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Returns the path of the table of folder classes, next to it; `None` for JSON, where one document contains both.
    #[must_use]
    pub fn classes_path(&self) -> Option<PathBuf> {
        self.file.classes_path()
    }

    /// Creates the files under temporary names in the same folder, so errors appear before the comparison starts.
    ///
    /// # Errors
    /// See [`TableFile::drafts`].
    pub fn drafts(&self, stores: &[&Path]) -> Result<ComparisonDrafts<'_>, Error> {
        Ok(ComparisonDrafts { file: self, drafts: self.file.drafts(stores)? })
    }
}

impl ComparisonDrafts<'_> {
    /// Writes a comparison and renames the files to their final names. Earlier files with these names are replaced.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] if a stop was requested, and [`Error::File`] if a file cannot be written.
    pub fn write(self, comparison: &Comparison<'_>, monitor: &dyn Monitor) -> Result<(), Error> {
        let file = self.file;
        let summary = serde_json::to_string(&comparison.summary())
            .map_err(|error| Error::file("write", file.path())(error.into()))?;
        self.drafts.write(
            &summary,
            |out| file.write_images(out, comparison, monitor),
            |out| file.write_folder_classes(out, comparison),
        )
    }
}

/// Rows per batch of a table.
const ROWS_AT_ONCE: usize = 1 << 16;

impl ComparisonFile {
    fn write_images(
        &self,
        out: &mut BufWriter<&mut File>,
        comparison: &Comparison<'_>,
        monitor: &dyn Monitor,
    ) -> Result<(), Error> {
        let failed = |error| Error::file("write", self.path())(error);
        let columns = image_columns();
        let table = Table { name: "comparison", columns: &columns, list_column: None };
        let mut table = TableWriter::new(self.file.format(), out, &table).map_err(failed)?;
        for first in (0..comparison.images.len()).step_by(ROWS_AT_ONCE) {
            if monitor.stop_requested() {
                return Err(Error::Interrupted);
            }
            let last = comparison.images.len().min(first + ROWS_AT_ONCE);
            let rows: Vec<_> = (first..last).map(|rank| ComparedRow::new(comparison, rank)).collect();
            table.write(&rows, None).map_err(failed)?;
        }
        table.finish().map_err(failed)
    }

    fn write_folder_classes(&self, out: &mut BufWriter<&mut File>, comparison: &Comparison<'_>) -> io::Result<()> {
        let columns = folder_class_columns();
        let table = Table { name: "comparison", columns: &columns, list_column: None };
        let mut table = TableWriter::new(self.file.format(), out, &table)?;
        table.write(&comparison.folder_classes(), None)?;
        table.finish()
    }
}
