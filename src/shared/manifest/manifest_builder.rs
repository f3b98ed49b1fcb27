//! Builds a manifest row by row, and checks that names are unique.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::image_list::{Manifest, id_from_path, is_path_below_source};
use super::manifest_error::ManifestError;
use super::row_index::{NameKind, RowIndex};

/// One image as a source or a file lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Path below the source, with `/` between its parts.
    pub path: String,
    /// Chosen id; `None` for the path without its extension.
    pub id: Option<String>,
    /// The class that the image is filed under.
    pub folder_class: Option<String>,
    /// Length of the file in bytes; 0 if unknown.
    pub bytes: u64,
}

/// Builds a [`Manifest`] row by row.
#[derive(Debug, Default)]
pub struct ManifestBuilder {
    manifest: Manifest,
    /// Positions of the class names.
    class_numbers: HashMap<String, u32>,
    /// Whether any row has an id that is neither its path nor its path without its extension.
    has_foreign_ids: bool,
}

impl ManifestBuilder {
    /// Adds the next row. An empty id or folder class counts as none.
    ///
    /// # Errors
    /// Returns [`ManifestError::EmptyPath`] or [`ManifestError::PathOutsideSource`].
    pub fn push(
        &mut self,
        path: &str,
        id: Option<&str>,
        folder_class: Option<&str>,
        bytes: u64,
    ) -> Result<(), ManifestError> {
        let row = self.manifest.len();
        if path.is_empty() {
            return Err(ManifestError::EmptyPath { row });
        }
        if !is_path_below_source(path) {
            return Err(ManifestError::PathOutsideSource { row, path: path.to_owned() });
        }
        let chosen_id = id.filter(|id| !id.is_empty() && *id != id_from_path(path));
        self.has_foreign_ids |= chosen_id.is_some_and(|id| id != path);
        let class = folder_class.filter(|name| !name.is_empty()).map(|name| self.class_number(name));
        self.manifest.push(path, chosen_id, class, bytes);
        Ok(())
    }

    fn class_number(&mut self, name: &str) -> u32 {
        // Images of a class are mostly listed together.
        if let Some(last) = self.manifest.last_class(name) {
            return last;
        }
        if let Some(&number) = self.class_numbers.get(name) {
            return number;
        }
        let number = self.manifest.add_class(name);
        self.class_numbers.insert(name.to_owned(), number);
        number
    }

    /// The rows so far.
    pub(super) fn rows(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the manifest without checking that names are unique, as for one that was checked when it was written.
    pub(super) fn finish_unchecked(self) -> Manifest {
        self.manifest
    }

    /// Returns the manifest. Images that would share an id keep their extensions in it.
    ///
    /// # Errors
    /// Returns [`ManifestError::Duplicate`] if a path or a chosen id is listed twice, and [`ManifestError::IdIsPath`] if a
    /// chosen id is another image's path.
    pub fn finish(self) -> Result<Manifest, ManifestError> {
        let mut manifest = self.manifest;
        let duplicate = |name: &str, shared: &[usize]| ManifestError::Duplicate {
            name: name.to_owned(),
            first: shared[0],
            second: shared[1],
        };
        // Without chosen ids, rows with the same path also have the same id.
        if manifest.has_chosen_ids()
            && let Some(shared) = rows_that_share(manifest.len(), |row| manifest.path(row))
        {
            return Err(duplicate(manifest.path(shared[1]), &shared));
        }
        // An id with its extension may be the id of yet another file (`x.png` and `x.png.JPEG`).
        while let Some(shared) = rows_that_share(manifest.len(), |row| manifest.id(row)) {
            let has_no_own = |row: &usize| manifest.chosen_id(*row).is_none();
            let mut to_change: Vec<usize> = shared.iter().copied().filter(has_no_own).collect();
            if to_change.is_empty() {
                return Err(duplicate(manifest.id(shared[1]), &shared));
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

impl Manifest {
    /// Returns the manifest of these entries, in their order. Images that would share an id keep their extensions in it.
    ///
    /// # Errors
    /// See [`ManifestBuilder::push`] and [`ManifestBuilder::finish`].
    pub fn from_entries(entries: Vec<ManifestEntry>) -> Result<Self, ManifestError> {
        let mut builder = ManifestBuilder::default();
        for entry in entries {
            builder.push(&entry.path, entry.id.as_deref(), entry.folder_class.as_deref(), entry.bytes)?;
        }
        builder.finish()
    }
}

/// Training code also refers to images by their paths, so a chosen id must not be the path of another image.
fn check_that_no_id_is_another_path(manifest: &Manifest) -> Result<(), ManifestError> {
    let index = RowIndex::new(manifest);
    for row in 0..manifest.len() {
        let Some(id) = manifest.chosen_id(row) else { continue };
        if let Ok(Some(other)) = index.find(manifest, id, NameKind::Path)
            && manifest.path(other) == id
            && other != row
        {
            return Err(ManifestError::IdIsPath { row, path: manifest.path(row).to_owned(), id: id.to_owned(), other });
        }
    }
    Ok(())
}

/// Returns all rows whose name is not unique: first a pair that shares one, for the message of the error, then
/// the others in order. `None` if all names are different.
///
/// The table contains row numbers and looks names up in the list: a map of strings would take several times the memory.
fn rows_that_share<'a>(rows: usize, name: impl Fn(usize) -> &'a str) -> Option<Vec<usize>> {
    let hasher = DefaultHashBuilder::default();
    let hash = |row: usize| hasher.hash_one(name(row));
    let mut first_rows: HashTable<u32> = HashTable::with_capacity(rows);
    let mut shared = Vec::new();
    for row in 0..rows {
        let here = hash(row);
        match first_rows.find(here, |&first| name(first as usize) == name(row)) {
            Some(&first) => shared.extend([first as usize, row]),
            None => drop(first_rows.insert_unique(here, row as u32, |&other| hash(other as usize))),
        }
    }
    let [first, second, ..] = shared[..] else { return None };
    shared.sort_unstable();
    shared.dedup();
    let pair = [first, second];
    Some(pair.into_iter().chain(shared.into_iter().filter(|row| !pair.contains(row))).collect())
}

#[cfg(test)]
mod tests {
    use super::super::image_list::folder_class_from_path;
    use super::*;

    fn entry(path: &str) -> ManifestEntry {
        ManifestEntry {
            path: path.into(),
            folder_class: folder_class_from_path(path).map(str::to_owned),
            ..ManifestEntry::default()
        }
    }

    #[test]
    fn ids_are_paths_without_extension_unless_two_would_be_equal() {
        let paths = ["a/x.JPEG", "a/x.png", "a/y.tar.gz", "b/x.JPEG", "c/.hidden", "top.jpg"];
        let manifest = Manifest::from_entries(paths.map(entry).to_vec()).unwrap();
        let ids: Vec<_> = (0..manifest.len()).map(|row| manifest.id(row)).collect();
        assert_eq!(ids, ["a/x.JPEG", "a/x.png", "a/y.tar", "b/x", "c/.hidden", "top"]);
        assert_eq!((manifest.folder_class(0), manifest.folder_class(5)), (Some("a"), None));
    }

    #[test]
    fn kept_extensions_may_equal_other_ids() {
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
            let refusal = Manifest::from_entries(vec![entry("good.jpg"), entry(bad)]).unwrap_err().to_string();
            assert!(refusal.contains("row 1"), "{bad}: {refusal}");
        }
    }

    #[test]
    fn nothing_is_listed_twice() {
        assert!(
            Manifest::from_entries(vec![entry("a.jpg"), entry("a.jpg")])
                .unwrap_err()
                .to_string()
                .contains("row 0 and again in row 1")
        );
        let chosen = |path: &str, id: &str| ManifestEntry { id: Some(id.into()), ..entry(path) };
        assert!(Manifest::from_entries(vec![chosen("a.jpg", "same"), chosen("b.jpg", "same")]).is_err());
        assert!(Manifest::from_entries(vec![chosen("a.jpg", "a.jpg"), entry("a.jpg")]).is_err());
        // Another pair that shares an id is found first.
        let paths = ["x.jpg", "y.jpg", "x.png", "y.png", "x.png"];
        let refusal = Manifest::from_entries(paths.map(entry).to_vec()).unwrap_err().to_string();
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
