//! Output files of a command that writes a table of images and one of classes. They appear complete or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::table_writer::TableFormat;
use crate::shared::atomic_file::{AtomicFile, refuse_inside};
use crate::shared::error::Error;
use crate::shared::printable::printable_path;

/// A file for a table of images, in the format of its extension, and the file for the table of classes next to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFile {
    path: PathBuf,
    format: TableFormat,
}

/// The files while they are written, under temporary names. Dropping this deletes them.
#[derive(Debug)]
pub struct TableDrafts {
    images: AtomicFile,
    /// `None` for JSON: one document contains both tables.
    classes: Option<AtomicFile>,
}

impl TableFile {
    /// Checks a path that ends in `.parquet`, `.csv` or `.json`.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if it has a different extension.
    pub fn new(path: &Path) -> Result<Self, Error> {
        let format = match extension(path).to_ascii_lowercase().as_str() {
            "parquet" => TableFormat::Parquet,
            "csv" => TableFormat::Csv,
            "json" => TableFormat::Json,
            _ => {
                let problem = "unknown extension\n  help: choose a file that ends in .parquet, .csv or .json";
                return Err(Error::Usage(format!("{}: {problem}", printable_path(path))));
            }
        };
        Ok(Self { path: path.to_path_buf(), format })
    }

    /// Returns the path of the table of images.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Format of both tables.
    #[must_use]
    pub fn format(&self) -> TableFormat {
        self.format
    }

    /// Returns the path of the table of classes, next to it; `None` for JSON, where one document contains both.
    #[must_use]
    pub fn classes_path(&self) -> Option<PathBuf> {
        (self.format != TableFormat::Json)
            .then(|| self.path.with_extension(format!("classes.{}", extension(&self.path))))
    }

    /// Creates the files under temporary names in the same folder, so errors appear before the work starts.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the folder does not exist or cannot be written, or if the path of a file is a folder;
    /// [`Error::Usage`] if the files would be inside one of `stores`.
    pub fn drafts(&self, stores: &[&Path]) -> Result<TableDrafts, Error> {
        stores.iter().try_for_each(|store| refuse_inside(store, &self.path))?;
        let images = AtomicFile::create(&self.path)?;
        let classes = self.classes_path().map(|path| AtomicFile::create(&path)).transpose()?;
        Ok(TableDrafts { images, classes })
    }
}

impl TableDrafts {
    /// Writes both tables and renames the files to their final names. Earlier files with these names are replaced. A JSON
    /// document also contains `summary`, which is JSON.
    ///
    /// # Errors
    /// Returns [`Error::File`] if a file cannot be written, and the errors of `write_images`.
    pub fn write(
        mut self,
        summary: &str,
        write_images: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), Error>,
        write_classes: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
    ) -> Result<(), Error> {
        let path = self.images.path().to_path_buf();
        let failed = |error| Error::file("write", &path)(error);
        let mut out = BufWriter::new(self.images.file());
        if let Some(classes) = &mut self.classes {
            write_images(&mut out)?;
            let path = classes.path().to_path_buf();
            let mut out = BufWriter::new(classes.file());
            write_classes(&mut out).and_then(|()| out.flush()).map_err(Error::file("write", &path))?;
        } else {
            write!(out, "{{\n\"summary\": {summary},\n\"images\": ").map_err(failed)?;
            write_images(&mut out)?;
            out.write_all(b",\n\"classes\": ").map_err(failed)?;
            write_classes(&mut out).and_then(|()| out.write_all(b"\n}\n")).map_err(failed)?;
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

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_formats() {
        let classes = |path: &str| TableFile::new(Path::new(path)).unwrap().classes_path();
        assert_eq!(classes("a/audit.parquet"), Some("a/audit.classes.parquet".into()));
        assert_eq!(classes("all.labels.CSV"), Some("all.labels.classes.CSV".into()));
        assert_eq!(classes("audit.json"), None);
        for (path, advice) in [("audit", ".parquet, .csv or .json"), ("a.txt", "a.txt")] {
            let refused = TableFile::new(Path::new(path)).unwrap_err();
            assert!(matches!(&refused, Error::Usage(text) if text.contains(advice)), "{refused}");
        }
    }

    #[test]
    fn dropped_drafts_are_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let file = TableFile::new(&folder.path().join("audit.csv")).unwrap();
        let drafts = file.drafts(&[Path::new("/nowhere")]).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(drafts);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let inside = file.drafts(&[Path::new("/nowhere"), folder.path()]).unwrap_err();
        assert!(inside.to_string().contains("outside the store"));
    }
}
