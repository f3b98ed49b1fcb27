//! The manifest: the fixed list of a data set's images. Its order is the row order of every array in the store.

mod texts;
mod unique;
mod row_budget;
mod pages;
mod table;
mod csv;
mod columns;
mod row_index;

use std::collections::HashMap;
use std::path::Path;

use crate::shared::error::Error;
use crate::shared::regular_file;

use texts::Texts;

pub use columns::SplitCounts;
pub(crate) use pages::check_pages;
pub(crate) use row_budget::RowBudget;
pub use row_index::{NameKind, NamesProblem, RowIndex, TwoImages};
pub use table::{manifest_bytes, read_manifest_bytes, read_manifest_parquet};
pub(crate) use table::{
    manifest_rows, read_known_manifest, read_known_manifest_bytes, read_manifest_of, rows_in_manifest,
};

/// The frozen list. Row numbers are positions in it.
///
/// A data set has millions of images, so texts lie one behind the other in memory: about 50 bytes an image beside its
/// path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    paths: Texts,
    /// Empty where the id is the path without its extension; no texts at all where that holds for every row.
    ids: Option<Texts>,
    /// Positions in `label_names`, or [`NO_LABEL`].
    labels: Vec<u32>,
    label_names: Vec<String>,
    lengths: Vec<u64>,
}

/// The label of an image that has none.
const NO_LABEL: u32 = u32::MAX;

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

/// Puts a manifest together, row by row.
#[derive(Debug, Default)]
pub struct ManifestBuilder {
    manifest: Manifest,
    label_numbers: HashMap<String, u32>,
    /// Whether a row has an id that is neither its path nor its path without its extension.
    has_foreign_ids: bool,
}

impl ManifestBuilder {
    /// Adds the next row. An id or label that is empty counts as none.
    ///
    /// # Errors
    /// When the path is empty, absolute or leaves the source; the message names the row.
    pub fn push(&mut self, path: &str, id: Option<&str>, label: Option<&str>, bytes: u64) -> Result<(), String> {
        let row = self.manifest.len();
        check_path(path).map_err(|problem| format!("row {row}: {problem}"))?;
        if let Some(id) = id.filter(|id| !id.is_empty() && *id != id_from_path(path)) {
            self.manifest.choose_id(row, id);
            self.has_foreign_ids |= id != path;
        } else if let Some(ids) = &mut self.manifest.ids {
            ids.push("");
        }
        let label = match label.filter(|label| !label.is_empty()) {
            None => NO_LABEL,
            Some(label) => self.label_number(label),
        };
        self.manifest.paths.push(path);
        self.manifest.labels.push(label);
        self.manifest.lengths.push(bytes);
        Ok(())
    }

    fn label_number(&mut self, label: &str) -> u32 {
        let names = &mut self.manifest.label_names;
        // Images of a class mostly stand together.
        if let Some(&last) = self.manifest.labels.last()
            && names.get(last as usize).is_some_and(|name| name == label)
        {
            return last;
        }
        if let Some(&number) = self.label_numbers.get(label) {
            return number;
        }
        let number = names.len() as u32;
        names.push(label.to_owned());
        self.label_numbers.insert(label.to_owned(), number);
        number
    }

    /// The whole list. Two images that would share an id keep their extensions in it.
    ///
    /// # Errors
    /// When a path or a chosen id is listed twice, or a chosen id is another image's path; the message names both rows.
    pub fn finish(self) -> Result<Manifest, String> {
        let mut manifest = self.manifest;
        // Without chosen ids, rows of one path have one id, too.
        if manifest.ids.is_some()
            && let Some(shared) = unique::rows_that_share(manifest.len(), |row| manifest.path(row))
        {
            let (first, again) = (shared[0], shared[1]);
            return Err(format!("`{}` is listed in row {first} and again in row {again}", manifest.path(again)));
        }
        // An extension that is kept may meet the id of yet another file (`x.png` beside `x.png.JPEG`).
        while let Some(shared) = unique::rows_that_share(manifest.len(), |row| manifest.id(row)) {
            let has_no_own = |row: &usize| manifest.chosen_id(*row).is_none();
            let mut to_change: Vec<usize> = shared.iter().copied().filter(has_no_own).collect();
            if to_change.is_empty() {
                let (first, again) = (shared[0], shared[1]);
                return Err(format!("`{}` is listed in row {first} and again in row {again}", manifest.id(again)));
            }
            to_change.sort_unstable();
            manifest.keep_extensions(&to_change);
        }
        if self.has_foreign_ids {
            check_that_no_id_is_another_path(&manifest)?;
        }
        Ok(manifest)
    }
}

/// Training code names images by their paths, too, so that a chosen id must not be the path of another image.
fn check_that_no_id_is_another_path(manifest: &Manifest) -> Result<(), String> {
    let index = RowIndex::new(manifest);
    for row in 0..manifest.len() {
        let Some(id) = manifest.chosen_id(row) else { continue };
        if let Ok(Some(other)) = index.find(manifest, id, NameKind::Path)
            && manifest.path(other) == id
            && other != row
        {
            return Err(format!(
                "row {row} (`{}`) has the id `{id}`, which is the path of the image in row {other}\n  help: choose ids that \
                 are no paths of other images",
                manifest.path(row)
            ));
        }
    }
    Ok(())
}

impl Manifest {
    /// From entries in row order. Two entries that would share an id keep their extensions in it.
    ///
    /// # Errors
    /// When a path is empty, absolute, leaves the source or is listed twice, or when a chosen id stands twice.
    pub fn from_entries(entries: Vec<Entry>) -> Result<Self, String> {
        let mut builder = ManifestBuilder::default();
        for entry in entries {
            builder.push(&entry.path, entry.id.as_deref(), entry.label.as_deref(), entry.bytes)?;
        }
        builder.finish()
    }

    /// Reads a list that a user made, CSV or Parquet by its name. `manifests/README.md` says what it may hold.
    ///
    /// # Errors
    /// When the file cannot be read or says something impossible; the message names the row.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Ok(Self::read_with_splits(path)?.0)
    }

    /// The same, and how many rows are in each split where the list has a column `split`.
    ///
    /// # Errors
    /// As for [`Manifest::read`].
    pub fn read_with_splits(path: &Path) -> Result<(Self, SplitCounts), Error> {
        let problem = |problem: String| Error::Manifest { path: path.to_path_buf(), problem: problem.into() };
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let (builder, splits) = match extension.as_str() {
            "parquet" => {
                let absent = || Error::file("read", path)(std::io::ErrorKind::NotFound.into());
                let bytes = regular_file::read(path, u64::MAX)?.or_none("read", path)?.ok_or_else(absent)?;
                table::read_list(bytes).map_err(problem)?
            }
            "csv" | "tsv" => csv::read_rows(path, if extension == "tsv" { b'\t' } else { b',' })?,
            _ => return Err(problem("a manifest is a .csv, .tsv or .parquet file".to_owned())),
        };
        if builder.manifest.is_empty() {
            return Err(problem("it lists no image".to_owned()));
        }
        check_separators(&builder.manifest).map_err(problem)?;
        Ok((builder.finish().map_err(problem)?, splits))
    }

    /// Keeps only the first `count` rows.
    pub fn truncate(&mut self, count: usize) {
        self.paths.truncate(count);
        self.labels.truncate(count);
        self.lengths.truncate(count);
        if let Some(ids) = &mut self.ids {
            ids.truncate(count);
        }
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// True when there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Path below the source.
    ///
    /// # Panics
    /// When there is no such row; so do the others.
    #[must_use]
    pub fn path(&self, row: usize) -> &str {
        self.paths.get(row)
    }

    /// Id: the path without its extension, unless it was chosen or would be shared.
    #[must_use]
    pub fn id(&self, row: usize) -> &str {
        self.chosen_id(row).unwrap_or_else(|| id_from_path(self.path(row)))
    }

    fn chosen_id(&self, row: usize) -> Option<&str> {
        self.ids.as_ref().map(|ids| ids.get(row)).filter(|id| !id.is_empty())
    }

    /// The folder's class, if the image is in one.
    #[must_use]
    pub fn label(&self, row: usize) -> Option<&str> {
        self.label_names.get(self.labels[row] as usize).map(String::as_str)
    }

    /// Length of the file when it was listed.
    #[must_use]
    pub fn bytes(&self, row: usize) -> u64 {
        self.lengths[row]
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

    /// Gives the next row, number `row`, an id of its own.
    fn choose_id(&mut self, row: usize, id: &str) {
        self.ids.get_or_insert_with(|| Texts::empty(row)).push(id);
    }

    /// Makes whole paths the ids of `rows`, which stand in order.
    fn keep_extensions(&mut self, rows: &[usize]) {
        let mut ids = Texts::default();
        let mut next = rows.iter().copied().peekable();
        for row in 0..self.len() {
            let keeps = next.next_if_eq(&row).is_some();
            ids.push(if keeps { self.path(row) } else { self.chosen_id(row).unwrap_or_default() });
        }
        self.ids = Some(ids);
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

/// A list in which folders are parted by `\\` alone was made on Windows. A single such name may be a file's own.
fn check_separators(manifest: &Manifest) -> Result<(), String> {
    let mut paths = (0..manifest.len()).map(|row| manifest.path(row));
    let Some(first) = paths.clone().find(|path| path.contains('\\')) else { return Ok(()) };
    if paths.any(|path| path.contains('/')) {
        return Ok(());
    }
    Err(format!(
        "`{first}` has `\\` between its folders, as on Windows\n  help: write `/`, as in `{}`",
        first.replace('\\', "/")
    ))
}

/// Only paths below the source are read, whatever a manifest says.
fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    if !is_path_below_source(path) {
        return Err(format!("`{path}` is no path below the source (no `..`, no `//`, not absolute)"));
    }
    Ok(())
}

/// True for a path that a list may hold.
pub(crate) fn is_path_below_source(path: &str) -> bool {
    let bad_part = |part: &str| part.is_empty() || part == "." || part == "..";
    !path.contains('\0') && !path.split('/').any(bad_part)
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
        let chosen = |path: &str, id: &str| Entry { id: Some(id.into()), ..entry(path) };
        assert!(Manifest::from_entries(vec![chosen("a.jpg", "same"), chosen("b.jpg", "same")]).is_err());
        assert!(Manifest::from_entries(vec![chosen("a.jpg", "a.jpg"), entry("a.jpg")]).is_err());
        // Another pair that shares an id is found first.
        let paths = ["x.jpg", "y.jpg", "x.png", "y.png", "x.png"];
        let refusal = Manifest::from_entries(paths.map(entry).to_vec()).unwrap_err();
        assert!(refusal.contains("`x.png` is listed in row 2 and again in row 4"), "{refusal}");
    }

    #[test]
    fn differences_name_the_first_row() {
        let list = |paths: &[&str]| Manifest::from_entries(paths.iter().map(|path| entry(path)).collect()).unwrap();
        assert_eq!(list(&["a.jpg"]).difference(&list(&["a.jpg"])), None);
        assert!(list(&["a.jpg", "b.jpg"]).difference(&list(&["a.jpg", "c.jpg"])).unwrap().contains("row 1"));
        assert_eq!(list(&["a.jpg"]).difference(&list(&["a.jpg", "c.jpg"])).unwrap(), "1 images there, 2 here");
    }
}
