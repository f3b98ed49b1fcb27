//! Finds rows by name: the only code that decides which image a name refers to.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::image_list::{Manifest, id_from_path};
use crate::shared::spelling::{difference_of_form, folded};

/// Finds the row of a name. It stores row numbers and looks names up in the list: about 5 bytes per image.
///
/// A name is compared with ids and paths first as it is, then without its extension. Case, spaces and Unicode form count,
/// since they distinguish files.
#[derive(Debug)]
pub struct RowIndex {
    hasher: DefaultHashBuilder,
    /// Rows by id.
    ids: HashTable<u32>,
    /// Rows with a chosen id, by path without extension.
    stems: HashTable<u32>,
}

/// Kind of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// An id; a path only if no image has this id.
    Id,
    /// A file's path below the source, as a data set lists it. Its extension may differ from that of the labelled file.
    Path,
    /// An id or a path.
    IdOrPath,
}

/// The rows of two images that a name could refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmbiguousName {
    /// First matching row.
    pub first: usize,
    /// Second matching row.
    pub second: usize,
}

/// Errors of looking up a list of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The name at this position could refer to two images.
    Ambiguous(usize, AmbiguousName),
    /// The names at these two positions are different files, but only one image matches.
    OneImage {
        /// Position of the first name.
        first: usize,
        /// Position of the second name.
        second: usize,
        /// Row of the image that matches both.
        row: usize,
    },
}

/// Extensions that a file of the same image may have, in upper or lower case. Anything else after a dot is part of the name
/// (`frame_0.25`).
const EXTENSIONS: [&str; 23] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "ppm", "bmp", "dib", "pgm", "tif", "tiff", "webp", "gif", "avif", "heic",
    "heif", "jp2", "jxl", "qoi", "npy", "npz", "pt", "pth",
];

impl RowIndex {
    /// Builds the index of a list in which every id is unique, as in the manifest of every store.
    #[must_use]
    pub fn new(manifest: &Manifest) -> Self {
        let hasher = DefaultHashBuilder::default();
        let id_hash = |row: u32| hasher.hash_one(manifest.id(row as usize));
        let stem_hash = |row: u32| hasher.hash_one(id_from_path(manifest.path(row as usize)));
        let (mut ids, mut stems) = (HashTable::with_capacity(manifest.len()), HashTable::new());
        for row in 0..manifest.len() as u32 {
            ids.insert_unique(id_hash(row), row, |&other| id_hash(other));
            if manifest.chosen_id(row as usize).is_some() {
                stems.insert_unique(stem_hash(row), row, |&other| stem_hash(other));
            }
        }
        Self { hasher, ids, stems }
    }

    /// Returns the row of an id, in the list from which the index was built.
    #[must_use]
    pub fn row(&self, manifest: &Manifest, id: &str) -> Option<usize> {
        let found = self.ids.find(self.hasher.hash_one(id), |&row| manifest.id(row as usize) == id);
        found.map(|&row| row as usize)
    }

    /// Returns the row of the image that a name refers to; `None` if it refers to no image.
    ///
    /// # Errors
    /// Returns [`AmbiguousName`] if the name could refer to either of two.
    pub fn find(&self, manifest: &Manifest, name: &str, kind: NameKind) -> Result<Option<usize>, AmbiguousName> {
        let path = without_dot(name);
        let (by_id, by_path) = (self.row(manifest, name), self.row_of_path(manifest, path));
        let exact = match kind {
            NameKind::Id => by_id.or(by_path),
            NameKind::Path => by_path,
            NameKind::IdOrPath => one_of(by_id.into_iter().chain(by_path))?,
        };
        if exact.is_some() {
            return Ok(exact);
        }
        let stem = name_without_extension(path);
        let by_stem = stem
            .into_iter()
            .flat_map(|stem| self.row(manifest, stem).into_iter().chain(self.rows_of_stem(manifest, stem)));
        one_of(by_id.into_iter().chain(self.rows_of_stem(manifest, path)).chain(by_stem))
    }

    /// Returns the rows of a list of names of one kind, `None` for those that refer to no image. If the names may be ids or
    /// paths and all of them are ids, or all of them are paths, they are read as that.
    ///
    /// # Errors
    /// Returns [`LookupError`] for the first name that could refer to two images, or the first two files that only one
    /// image matches.
    pub fn find_all(
        &self,
        manifest: &Manifest,
        names: &[impl AsRef<str>],
        kind: NameKind,
    ) -> Result<Vec<Option<usize>>, LookupError> {
        let kind = if kind == NameKind::IdOrPath { self.kind_of(manifest, names) } else { kind };
        let mut rows = Vec::with_capacity(names.len());
        // Position of the first file name by which a row was found.
        let mut files: HashMap<usize, usize> = HashMap::new();
        for (at, name) in names.iter().enumerate() {
            let name = name.as_ref();
            let row = self.find(manifest, name, kind).map_err(|two| LookupError::Ambiguous(at, two))?;
            if let Some(row) = row.filter(|&row| kind != NameKind::Id && manifest.id(row) != name) {
                let first = *files.entry(row).or_insert(at);
                if without_dot(names[first].as_ref()) != without_dot(name) {
                    return Err(LookupError::OneImage { first, second: at, row });
                }
            }
            rows.push(row);
        }
        Ok(rows)
    }

    fn kind_of(&self, manifest: &Manifest, names: &[impl AsRef<str>]) -> NameKind {
        let all_ids = names.iter().all(|name| self.row(manifest, name.as_ref()).is_some());
        let all_paths = || names.iter().all(|name| self.row_of_path(manifest, without_dot(name.as_ref())).is_some());
        match all_ids {
            true if !all_paths() => NameKind::Id,
            false if all_paths() => NameKind::Path,
            _ => NameKind::IdOrPath,
        }
    }

    fn row_of_path(&self, manifest: &Manifest, path: &str) -> Option<usize> {
        let stem = id_from_path(path);
        self.row(manifest, stem)
            .into_iter()
            .chain(self.rows_of_stem(manifest, stem))
            .find(|&row| manifest.path(row) == path)
    }

    /// Rows with a chosen id whose path without its extension is `stem`. For other rows that is the id.
    fn rows_of_stem<'a>(&'a self, manifest: &'a Manifest, stem: &'a str) -> impl Iterator<Item = usize> + 'a {
        let rows = self.stems.iter_hash(self.hasher.hash_one(stem)).map(|&row| row as usize);
        rows.filter(move |&row| id_from_path(manifest.path(row)) == stem)
    }

    /// Suggests what was probably meant by a name that refers to no image; `None` if nothing resembles it. It compares every
    /// row.
    #[must_use]
    pub fn advice(&self, manifest: &Manifest, name: &str) -> Option<String> {
        // The end of an absolute path, or of one from further above.
        let ends = name.match_indices(['/', '\\']).map(|(at, _)| &name[at + 1..]).filter(|end| !end.is_empty());
        for end in ends {
            if let Ok(Some(row)) = self.find(manifest, end, NameKind::IdOrPath) {
                return Some(format!("names start below the source: `{end}` is the image `{}`", manifest.id(row)));
            }
        }
        let wanted = folded(name);
        let stem = folded(name_without_extension(name).unwrap_or(name));
        (0..manifest.len()).find_map(|row| {
            let (id, path) = (manifest.id(row), manifest.path(row));
            let alike = |text: &str| [&wanted, &stem].contains(&&folded(text));
            let there = [id, id_from_path(path)].into_iter().find(|text| alike(text))?;
            let given = name_without_extension(name).filter(|_| folded(there) == stem).unwrap_or(name);
            Some(format!("`{id}` exists; the two names differ {}", difference_of_form(given, there)))
        })
    }
}

/// Returns the only row; `None` if the list is empty.
fn one_of(rows: impl Iterator<Item = usize>) -> Result<Option<usize>, AmbiguousName> {
    let mut found = None;
    for row in rows {
        match found {
            Some(first) if first != row => return Err(AmbiguousName { first, second: row }),
            _ => found = Some(row),
        }
    }
    Ok(found)
}

/// Returns a path without leading `./`, which has no meaning.
fn without_dot(path: &str) -> &str {
    path.strip_prefix("./").map_or(path, without_dot)
}

/// Returns a name without the extension of an image file; `None` if it has none.
pub(crate) fn name_without_extension(name: &str) -> Option<&str> {
    let stem = id_from_path(name);
    let extension = name[stem.len()..].strip_prefix('.')?;
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)).then_some(stem)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ManifestEntry;
    use super::*;

    fn listed(paths: &[&str]) -> (Manifest, RowIndex) {
        let entry = |path: &&str| ManifestEntry { path: (*path).to_owned(), ..ManifestEntry::default() };
        let manifest = Manifest::from_entries(paths.iter().map(entry).collect()).unwrap();
        let index = RowIndex::new(&manifest);
        (manifest, index)
    }

    #[test]
    fn every_id_has_its_row_and_other_names_have_none() {
        let (manifest, index) = listed(&["a/x.JPEG", "a/y.png", "b/x.JPEG", "top.jpg"]);
        let rows = ["a/x", "a/y", "b/x", "top", "a/x.JPEG", ""].map(|id| index.row(&manifest, id));
        assert_eq!(rows, [Some(0), Some(1), Some(2), Some(3), None, None]);
    }

    #[test]
    fn names_are_compared_as_they_are_and_then_without_extension() {
        let (manifest, index) = listed(&["photo.jpg", "photo.v2.jpg", "x.png", "x.webp", "a.jpg", "a.jpg.png"]);
        let find = |name: &str, kind| index.find(&manifest, name, kind);
        for kind in [NameKind::Id, NameKind::Path, NameKind::IdOrPath] {
            assert_eq!(find("photo", kind), Ok(Some(0)));
            assert_eq!(find("photo.v2", kind), Ok(Some(1)), "not `photo` without an extension");
            assert_eq!(find("photo.v3", kind), Ok(None), "a version is not an extension");
            assert_eq!(find("photo.v2.PNG", kind), Ok(Some(1)), "converted");
            assert_eq!(find("./photo.jpg", kind), Ok(Some(0)));
            assert_eq!(find("x.png", kind), Ok(Some(2)));
            assert_eq!(find("x.jpg", kind), Err(AmbiguousName { first: 2, second: 3 }));
            assert_eq!(find("x", kind), Err(AmbiguousName { first: 2, second: 3 }));
            assert_eq!(find("Photo", kind), Ok(None));
        }
        // Id of the last image, path of the one before it.
        assert_eq!(find("a.jpg", NameKind::Id), Ok(Some(5)));
        assert_eq!(find("a.jpg", NameKind::Path), Ok(Some(4)));
        assert_eq!(find("a.jpg", NameKind::IdOrPath), Err(AmbiguousName { first: 5, second: 4 }));
    }

    #[test]
    fn a_list_of_names_is_read_as_one_kind() {
        let (manifest, index) = listed(&["a.jpg", "a.jpg.png", "b.jpg"]);
        let rows = |names: &[&str]| index.find_all(&manifest, names, NameKind::IdOrPath);
        assert_eq!(rows(&["a", "a.jpg", "b"]), Ok(vec![Some(0), Some(1), Some(2)]), "ids");
        assert_eq!(rows(&["a.jpg", "a.jpg.png", "b.jpg"]), Ok(vec![Some(0), Some(1), Some(2)]), "paths");
        assert!(matches!(rows(&["b.jpg", "b", "a.jpg"]), Err(LookupError::Ambiguous(2, _))), "mixed");
        assert_eq!(rows(&["b.jpg", "b.jpg", "b"]), Ok(vec![Some(2); 3]));
        let two = index.find_all(&manifest, &["b.jpg", "b.png"], NameKind::Path);
        assert_eq!(two, Err(LookupError::OneImage { first: 0, second: 1, row: 2 }));
    }

    #[test]
    fn advice_names_what_was_probably_meant() {
        let (manifest, index) = listed(&["n01/\u{e9}.jpg", "n01/x .jpg", "n02/Big.JPEG"]);
        for (name, advice) in [
            ("/data/train/n02/Big.JPEG", "`n02/Big`"),
            ("n01\\x .jpg", "`\\` and `/`"),
            ("n01/e\u{301}.jpg", "Unicode"),
            ("n01/x", "`n01/x ` exists; the two names differ in spaces"),
            ("n02/big.jpeg", "case"),
        ] {
            let found = index.advice(&manifest, name).unwrap_or_default();
            assert!(found.contains(advice), "{name}: {found}");
        }
        assert_eq!(index.advice(&manifest, "n03/other"), None);
    }

    /// Parts that make names collide: dots, extensions, case, spaces, Unicode forms, separators of Windows.
    fn path() -> impl Strategy<Value = String> {
        let part = prop::sample::select(vec![
            "a", "A", "a ", " a", "a.jpg", "b.v1", "\u{e9}", "e\u{301}", ".a", "a\\b", "...",
        ]);
        let end = prop::sample::select(vec!["", ".jpg", ".JPG", ".png", ".jpg.png", ".tar.gz", ".", ". ", ".v2"]);
        (prop::collection::vec(part, 1..3), end).prop_map(|(parts, end)| parts.join("/") + end)
    }

    proptest! {
        #[test]
        fn every_id_and_path_is_found_in_its_row(paths in prop::collection::btree_set(path(), 1..12)) {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let (manifest, index) = listed(&paths);
            let rows = 0..manifest.len();
            let ids: Vec<&str> = rows.clone().map(|row| manifest.id(row)).collect();
            let expected: Vec<_> = rows.map(Some).collect();
            prop_assert_eq!(index.find_all(&manifest, &ids, NameKind::Id), Ok(expected.clone()));
            prop_assert_eq!(index.find_all(&manifest, &paths, NameKind::Path), Ok(expected.clone()));
            for kind in [NameKind::Id, NameKind::Path, NameKind::IdOrPath] {
                for name in ids.iter().chain(&paths) {
                    // No name may resolve to a third image.
                    let named = |names: &[&str], row: usize| names[row] == *name;
                    let means = |row: usize| named(&ids, row) || named(&paths, row);
                    let fits = match index.find(&manifest, name, kind) {
                        Ok(found) => found.is_some_and(means),
                        Err(AmbiguousName { first, second }) => first != second && (means(first) || means(second)),
                    };
                    prop_assert!(fits, "{} as {:?}", name, kind);
                }
            }
            let given = index.find_all(&manifest, &ids, NameKind::IdOrPath);
            prop_assert!(given == Ok(expected) || matches!(given, Err(LookupError::Ambiguous(..))));
        }
    }
}
