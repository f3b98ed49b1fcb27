//! Reads the lists of images that users make.

use std::path::Path;

use super::image_list::Manifest;
use super::list_columns::SplitCounts;
use super::manifest_error::ManifestError;
use super::{manifest_csv, manifest_parquet};
use crate::shared::error::Error;
use crate::shared::regular_file;

impl Manifest {
    /// Reads a list that a user made, CSV or Parquet by its extension; `manifests/README.md` describes the format.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the file cannot be read, and [`Error::Manifest`] if it is not a valid manifest.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Ok(Self::read_with_splits(path)?.0)
    }

    /// Reads a list as [`Manifest::read`] does, and returns also the number of rows in each split if the list has a column
    /// `split`.
    ///
    /// # Errors
    /// See [`Manifest::read`].
    pub fn read_with_splits(path: &Path) -> Result<(Self, SplitCounts), Error> {
        let refused = |problem: ManifestError| Error::Manifest { path: path.to_path_buf(), problem: problem.into() };
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let (builder, splits) = match extension.as_str() {
            "parquet" => {
                let absent = || Error::file("read", path)(std::io::ErrorKind::NotFound.into());
                let bytes = regular_file::read(path, u64::MAX)?.or_none("read", path)?.ok_or_else(absent)?;
                manifest_parquet::read_list(bytes).map_err(refused)?
            }
            "csv" | "tsv" => manifest_csv::read_csv(path, if extension == "tsv" { b'\t' } else { b',' })?,
            _ => return Err(refused(ManifestError::UnknownExtension)),
        };
        if builder.rows().is_empty() {
            return Err(refused(ManifestError::Empty));
        }
        check_separators(builder.rows()).map_err(refused)?;
        Ok((builder.finish().map_err(refused)?, splits))
    }
}

/// Refuses a list in which only `\` separates folders: it was made on Windows. In other lists `\` is part of a name.
fn check_separators(manifest: &Manifest) -> Result<(), ManifestError> {
    let mut paths = (0..manifest.len()).map(|row| manifest.path(row));
    let Some(first) = paths.clone().find(|path| path.contains('\\')) else { return Ok(()) };
    if paths.any(|path| path.contains('/')) {
        return Ok(());
    }
    Err(ManifestError::Backslashes { path: first.to_owned() })
}
