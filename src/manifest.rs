//! The manifest: the fixed list of a data set's images. Its order is the row order of every array in the store.

mod table;
mod csv;

use std::collections::HashMap;
use std::path::Path;

use crate::error::Error;

pub use table::{manifest_bytes, read_manifest_parquet};

/// The frozen list. Row numbers are positions in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    rows: Vec<Row>,
    labels: Vec<String>,
}

/// One image, packed: a data set has millions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    path: Box<str>,
    /// `None` where the id is the path without its extension.
    id: Option<Box<str>>,
    label: Option<u32>,
    bytes: u64,
}

/// One image as a source or a file lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Path below the source, with `/` between its parts.
    pub path: String,
    /// Chosen id; the path without its extension where there is none.
    pub id: Option<String>,
    /// The folder's class.
    pub label: Option<String>,
    /// Length of the file, 0 where it is not known.
    pub bytes: u64,
}

impl Manifest {
    /// From entries in row order. Two entries that would share an id keep their extensions in it.
    ///
    /// # Errors
    /// When a path is empty, absolute, leaves the source or is listed twice, or when a chosen id stands twice.
    pub fn from_entries(entries: Vec<Entry>) -> Result<Self, String> {
        let mut labels = Vec::new();
        let mut label_numbers: HashMap<String, u32> = HashMap::new();
        let mut rows = Vec::with_capacity(entries.len());
        for (row, entry) in entries.into_iter().enumerate() {
            check_path(&entry.path).map_err(|problem| format!("row {row}: {problem}"))?;
            let label = entry.label.filter(|label| !label.is_empty()).map(|label| {
                *label_numbers.entry(label).or_insert_with_key(|label| {
                    labels.push(label.clone());
                    labels.len() as u32 - 1
                })
            });
            let id =
                entry.id.filter(|id| !id.is_empty() && *id != id_from_path(&entry.path)).map(String::into_boxed_str);
            rows.push(Row { path: entry.path.into_boxed_str(), id, label, bytes: entry.bytes });
        }
        let mut manifest = Self { rows, labels };
        manifest.keep_extensions_where_ids_meet();
        manifest.check_unique()?;
        Ok(manifest)
    }

    /// Reads a list that a user made, CSV or Parquet by its name. `manifests/README.md` says what it may hold.
    ///
    /// # Errors
    /// When the file cannot be read or says something impossible; the message names the row.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let problem = |problem: String| Error::Manifest { path: path.to_path_buf(), problem };
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let entries = match extension.as_str() {
            "parquet" => table::read_entries(path)?,
            "csv" | "tsv" => csv::read_entries(path, if extension == "tsv" { b'\t' } else { b',' })?,
            _ => return Err(problem("a manifest is a .csv, .tsv or .parquet file".to_owned())),
        };
        if entries.is_empty() {
            return Err(problem("it lists no image".to_owned()));
        }
        Self::from_entries(entries).map_err(problem)
    }

    /// Keeps only the first `count` rows.
    pub fn truncate(&mut self, count: usize) {
        self.rows.truncate(count);
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Path below the source.
    ///
    /// # Panics
    /// When there is no such row; so do the others.
    #[must_use]
    pub fn path(&self, row: usize) -> &str {
        &self.rows[row].path
    }

    /// Id: the path without its extension, unless it was chosen or would be shared.
    #[must_use]
    pub fn id(&self, row: usize) -> &str {
        let row = &self.rows[row];
        row.id.as_deref().unwrap_or_else(|| id_from_path(&row.path))
    }

    /// The folder's class, if the image is in one.
    #[must_use]
    pub fn label(&self, row: usize) -> Option<&str> {
        self.rows[row].label.map(|label| self.labels[label as usize].as_str())
    }

    /// Length of the file when it was listed.
    #[must_use]
    pub fn bytes(&self, row: usize) -> u64 {
        self.rows[row].bytes
    }

    /// The first row in which two manifests differ, in words; `None` when they list the same images in the same order.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.len() != other.len() {
            return Some(format!("{} images there, {} here", self.len(), other.len()));
        }
        let same = |row: &usize| {
            self.path(*row) == other.path(*row)
                && self.id(*row) == other.id(*row)
                && self.label(*row) == other.label(*row)
        };
        (0..self.len()).find(|row| !same(row)).map(|row| {
            format!(
                "row {row} is `{}` ({}) there, `{}` ({}) here",
                self.path(row),
                self.id(row),
                other.path(row),
                other.id(row)
            )
        })
    }

    fn keep_extensions_where_ids_meet(&mut self) {
        // An extension that is kept may meet the id of yet another file (`x.png` beside `x.png.JPEG`).
        while self.keep_extensions_once() {}
    }

    /// Returns whether an id was changed.
    fn keep_extensions_once(&mut self) -> bool {
        let mut rows_of_ids: HashMap<&str, u32> = HashMap::with_capacity(self.rows.len());
        for row in 0..self.rows.len() {
            *rows_of_ids.entry(self.id(row)).or_default() += 1;
        }
        let shared: Vec<usize> =
            (0..self.rows.len()).filter(|&row| self.rows[row].id.is_none() && rows_of_ids[self.id(row)] > 1).collect();
        for &row in &shared {
            self.rows[row].id = Some(self.rows[row].path.clone());
        }
        !shared.is_empty()
    }

    fn check_unique(&self) -> Result<(), String> {
        let mut rows_of_ids: HashMap<&str, usize> = HashMap::with_capacity(self.rows.len());
        for row in 0..self.rows.len() {
            if let Some(first) = rows_of_ids.insert(self.id(row), row) {
                return Err(format!("`{}` is listed in row {first} and again in row {row}", self.id(row)));
            }
        }
        Ok(())
    }
}

/// A path without the extension of its file: `n01440764/n01440764_10026` for `n01440764/n01440764_10026.JPEG`.
fn id_from_path(path: &str) -> &str {
    let file_at = path.rfind('/').map_or(0, |slash| slash + 1);
    match path[file_at..].rfind('.') {
        Some(dot) if dot > 0 => &path[..file_at + dot],
        _ => path,
    }
}

/// Only paths below the source are read, whatever a manifest says.
fn check_path(path: &str) -> Result<(), String> {
    let bad_part = |part: &str| part.is_empty() || part == "." || part == "..";
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    if path.starts_with('/') || path.contains('\0') || path.split('/').any(bad_part) {
        return Err(format!("`{path}` is no path below the source (no `..`, no `//`, not absolute)"));
    }
    Ok(())
}

/// The first folder of a path, which is the image's class.
#[must_use]
pub(crate) fn label_from_path(path: &str) -> Option<&str> {
    path.split_once('/').map(|(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        Entry { path: path.into(), label: label_from_path(path).map(str::to_owned), ..Entry::default() }
    }

    #[test]
    fn ids_are_paths_without_extension_unless_they_would_meet() {
        let paths = ["a/x.JPEG", "a/x.png", "a/y.tar.gz", "b/x.JPEG", "c/.hidden", "top.jpg"];
        let manifest = Manifest::from_entries(paths.map(entry).to_vec()).unwrap();
        let ids: Vec<_> = (0..manifest.len()).map(|row| manifest.id(row)).collect();
        assert_eq!(ids, ["a/x.JPEG", "a/x.png", "a/y.tar", "b/x", "c/.hidden", "top"]);
        assert_eq!((manifest.label(0), manifest.label(5)), (Some("a"), None));
    }

    #[test]
    fn kept_extensions_may_meet_other_ids() {
        let paths = ["a/x.JPEG", "a/x.png", "a/x.JPEG.png"];
        let manifest = Manifest::from_entries(paths.map(entry).to_vec()).unwrap();
        assert_eq!(
            paths.map(str::to_owned).to_vec(),
            (0..3).map(|row| manifest.id(row).to_owned()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn paths_outside_the_source_are_refused_with_their_row() {
        for bad in ["", "/etc/passwd", "../x.jpg", "a/../../x.jpg", "a//b.jpg", "./a.jpg", "a\0b"] {
            let refusal = Manifest::from_entries(vec![entry("good.jpg"), entry(bad)]).unwrap_err();
            assert!(refusal.contains("row 1"), "{bad}: {refusal}");
        }
    }

    #[test]
    fn nothing_is_listed_twice() {
        assert!(
            Manifest::from_entries(vec![entry("a.jpg"), entry("a.jpg")])
                .unwrap_err()
                .contains("row 0 and again in row 1")
        );
        let chosen = |path: &str| Entry { id: Some("same".into()), ..entry(path) };
        assert!(Manifest::from_entries(vec![chosen("a.jpg"), chosen("b.jpg")]).is_err());
    }

    #[test]
    fn differences_name_the_first_row() {
        let list = |paths: &[&str]| Manifest::from_entries(paths.iter().map(|path| entry(path)).collect()).unwrap();
        assert_eq!(list(&["a.jpg"]).difference(&list(&["a.jpg"])), None);
        assert!(list(&["a.jpg", "b.jpg"]).difference(&list(&["a.jpg", "c.jpg"])).unwrap().contains("row 1"));
        assert_eq!(list(&["a.jpg"]).difference(&list(&["a.jpg", "c.jpg"])).unwrap(), "1 images there, 2 here");
    }
}
