//! Matches the names of a truth with images: data sets write them with other folders and without extensions.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use rayon::slice::ParallelSliceMut as _;

use super::truth_error::{TruthError, beginning};
use crate::shared::classes::ClassList;
use crate::shared::manifest::{AmbiguousName, Manifest, NameKind, RowIndex, name_without_extension};

/// Finds the image that a name of a truth means.
pub(super) struct ImageNames<'a> {
    manifest: &'a Manifest,
    index: &'a RowIndex,
    classes: HashMap<String, u32>,
    by_file_name: OnceCell<FileNames<'a>>,
}

/// The rows in the order of their file names, and the folder classes. Built when a name is not found by its path.
struct FileNames<'a> {
    rows: Vec<NamedRow>,
    folders: HashSet<&'a str>,
}

/// Whether two names have the same folder, or folders of the same class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SameFolder {
    Yes,
    No,
    /// Their folders may be splits, or those of a different layout.
    Unknown,
}

/// A row, by the file name of its path or the end of its id.
#[derive(Clone, Copy)]
struct NamedRow {
    row: u32,
    by_id: bool,
}

impl<'a> ImageNames<'a> {
    pub(super) fn new(manifest: &'a Manifest, index: &'a RowIndex, classes: &ClassList) -> Self {
        Self { manifest, index, classes: classes.by_folder_class(), by_file_name: OnceCell::new() }
    }

    /// Returns the row that a name means: by id or path; else by path without the first folders; else by file name without
    /// extension. A file name alone does not match if both folders are known and differ.
    ///
    /// # Errors
    /// Returns [`TruthError::AmbiguousImage`] if the name could mean either of two images.
    pub(super) fn find(&self, name: &str) -> Result<Option<usize>, TruthError> {
        if let Some(row) = self.find_path(name)? {
            return Ok(Some(row));
        }
        if name.contains('\\') && !name.contains('/') {
            return self.find(&name.replace('\\', "/"));
        }
        self.find_file_name(name)
    }

    /// Returns the row of an id or a path, also without the first folders; `None` if only a file name might match.
    pub(super) fn find_path(&self, name: &str) -> Result<Option<usize>, TruthError> {
        let ambiguous = |two: AmbiguousName| self.ambiguous(name, two.first, two.second);
        if let Some(row) = self.index.find(self.manifest, name, NameKind::IdOrPath).map_err(ambiguous)? {
            return Ok(Some(row));
        }
        let ends = name.match_indices('/').map(|(at, _)| &name[at + 1..]).filter(|end| end.contains('/'));
        for end in ends {
            if let Some(row) = self.index.find(self.manifest, end, NameKind::IdOrPath).map_err(ambiguous)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn find_file_name(&self, name: &str) -> Result<Option<usize>, TruthError> {
        let file = name.rsplit('/').next().unwrap_or(name);
        let folder = name.rsplit('/').nth(1);
        let known = self.by_file_name.get_or_init(|| self.file_names());
        let stem = name_without_extension(file);
        let mut unclear = None;
        let mut found: Option<(usize, SameFolder)> = None;
        for wanted in [Some(file), stem].into_iter().flatten().map(original_name) {
            let at = known.rows.partition_point(|&row| self.file_name(row) < wanted);
            let same = known.rows[at..].iter().take_while(|&&row| self.file_name(row) == wanted);
            for row in same.map(|named| named.row as usize) {
                let same = folder.map_or(SameFolder::Unknown, |folder| self.same_folder(folder, row, known));
                match (found, same) {
                    (_, SameFolder::No) | (Some((_, SameFolder::Yes)), SameFolder::Unknown) => {}
                    (Some((_, SameFolder::Unknown)), SameFolder::Yes) | (None, _) => found = Some((row, same)),
                    (Some((first, _)), _) if first == row => {}
                    // A row in the same folder may follow.
                    (Some((first, SameFolder::Unknown)), _) => unclear = unclear.or(Some((first, row))),
                    (Some((first, _)), _) => return Err(self.ambiguous(name, first, row)),
                }
            }
        }
        match (found, unclear) {
            (Some((_, SameFolder::Unknown)), Some((first, second))) => Err(self.ambiguous(name, first, second)),
            (found, _) => Ok(found.map(|(row, _)| row)),
        }
    }

    fn file_names(&self) -> FileNames<'a> {
        let rows = 0..self.manifest.len() as u32;
        let mut rows: Vec<NamedRow> = rows
            .flat_map(|row| [false, true].map(|by_id| NamedRow { row, by_id }))
            .filter(|named| {
                !named.by_id || self.file_name(*named) != self.file_name(NamedRow { by_id: false, ..*named })
            })
            .collect();
        let manifest = self.manifest;
        rows.par_sort_by(|one, other| file_name(manifest, *one).cmp(file_name(manifest, *other)));
        let folders = (0..manifest.len()).filter_map(|row| manifest.folder_class(row)).collect();
        FileNames { rows, folders }
    }

    fn file_name(&self, named: NamedRow) -> &'a str {
        file_name(self.manifest, named)
    }

    /// Compares a folder with that of a row: the folder that contains the file, and the folder class.
    fn same_folder(&self, folder: &str, row: usize, known: &FileNames<'_>) -> SameFolder {
        let path = self.manifest.path(row);
        let of_row = [path.rsplit('/').nth(1), self.manifest.folder_class(row)];
        let class = self.classes.get(folder);
        let mut same = match class {
            None if known.folders.contains(folder) => SameFolder::No,
            _ => SameFolder::Unknown,
        };
        for name in of_row.into_iter().flatten() {
            let class_of_row = self.classes.get(name);
            if name == folder || class.is_some() && class == class_of_row {
                return SameFolder::Yes;
            }
            if class.is_some() && class_of_row.is_some() {
                same = SameFolder::No;
            }
        }
        same
    }

    /// Returns the error of a name that could mean either of two images.
    pub(super) fn ambiguous(&self, name: &str, first: usize, second: usize) -> TruthError {
        TruthError::AmbiguousImage {
            name: beginning(name),
            first: self.manifest.id(first).to_owned(),
            second: self.manifest.id(second).to_owned(),
        }
    }
}

fn file_name(manifest: &Manifest, named: NamedRow) -> &str {
    let row = named.row as usize;
    let name = if named.by_id { manifest.id(row) } else { manifest.path(row) };
    let file = name.rsplit('/').next().unwrap_or(name);
    original_name(name_without_extension(file).unwrap_or(file))
}

/// Returns a name of ImageNet without the class that Hugging Face appends: `n01440764_10026_n01440764`,
/// `ILSVRC2012_val_00000293_n01440764`. Other names are returned as they are.
fn original_name(name: &str) -> &str {
    let Some((original, class)) = name.rsplit_once('_') else { return name };
    let is_wnid = |text: &str| {
        let digits = text.strip_prefix('n').unwrap_or_default();
        digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_original =
        original.starts_with("ILSVRC2012_") || original.split_once('_').is_some_and(|(wnid, _)| is_wnid(wnid));
    if is_wnid(class) && is_original { original } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::ManifestEntry;

    fn found(paths: &[&str], name: &str) -> Result<Option<usize>, String> {
        let entry = |path: &&str| ManifestEntry {
            path: (*path).to_owned(),
            folder_class: path.split_once('/').map(|(folder, _)| folder.to_owned()),
            ..ManifestEntry::default()
        };
        let manifest = Manifest::from_entries(paths.iter().map(entry).collect()).unwrap();
        let index = RowIndex::new(&manifest);
        let names = ImageNames::new(&manifest, &index, &ClassList::imagenet_1k());
        names.find(name).map_err(|problem| problem.to_string())
    }

    #[test]
    fn names_of_imagenet_match_in_every_layout() {
        let folders =
            ["n01440764/n01440764_10026.JPEG", "n01751748/ILSVRC2012_val_00000001.JPEG", "n01440764/other.png"];
        let flat = ["n01440764_10026.JPEG", "ILSVRC2012_val_00000001.JPEG", "other.png"];
        let hub = ["train/n01440764_10026_n01440764.JPEG", "val/ILSVRC2012_val_00000001_n01751748.JPEG", "a/other.png"];
        for paths in [folders, flat, hub] {
            for name in
                ["n01440764_10026", "n01440764/n01440764_10026.JPEG", "/data/train/n01440764/n01440764_10026.jpg"]
            {
                assert_eq!(found(&paths, name), Ok(Some(0)), "{name} {paths:?}");
            }
            for name in [
                "ILSVRC2012_val_00000001",
                "val/ILSVRC2012_val_00000001.JPEG",
                "val\\ILSVRC2012_val_00000001.JPEG",
                "./val/n01751748/ILSVRC2012_val_00000001.JPEG",
                "ILSVRC2012_val_00000001_n01751748.JPEG",
            ] {
                assert_eq!(found(&paths, name), Ok(Some(1)), "{name} {paths:?}");
            }
            for name in ["ILSVRC2012_val_00000002", "n01440764_1002", "10026", "", "/", "n01440764/"] {
                assert_eq!(found(&paths, name), Ok(None), "{name} {paths:?}");
            }
        }
    }

    #[test]
    fn equal_file_names_are_told_apart_by_their_folders_or_refused() {
        let paths = ["0/1.jpg", "5/1.jpg", "5/2.jpg", "n01443537/3.jpg"];
        assert_eq!(found(&paths, "val2/5/1.jpeg"), Ok(Some(1)));
        assert!(found(&paths, "1.jpg").unwrap_err().contains("`1.jpg` could be the image `0/1` or `5/1`"));
        assert!(found(&paths, "val/1.jpg").is_err());
        assert_eq!(found(&paths, "7/1.jpg"), Ok(None), "the folder of a class that the store does not have");
        assert_eq!(found(&paths, "0/2.jpg"), Ok(None), "the file of that name is in another folder");
        assert_eq!(found(&paths, "n01440764/3.jpg"), Ok(None), "the folder of another class");
        assert_eq!(found(&paths, "1/3.jpg"), Ok(Some(3)), "the same class by id");
        assert_eq!(found(&paths, "val/2.jpg"), Ok(Some(2)));
    }

    #[test]
    fn folders_above_that_of_the_file_may_differ() {
        let paths = ["val/0/1.jpg", "val/5/1.jpg", "1.jpg"];
        assert_eq!(found(&paths, "val2/5/1.jpeg"), Ok(Some(1)));
        assert_eq!(found(&paths, "x/n01440764/1.jpeg"), Ok(Some(0)), "class 0");
        assert_eq!(found(&paths, "1"), Ok(Some(2)), "an id");
        assert!(found(&["train/0/1.jpg", "val/0/1.jpg"], "val2/0/1.jpg").is_err());
    }

    #[test]
    fn dots_in_names_are_not_extensions() {
        let paths = ["a/frame_0.25.jpg", "a/frame_0.50.jpg"];
        assert_eq!(found(&paths, "b/frame_0.25"), Ok(Some(0)));
        assert_eq!(found(&paths, "b/frame_0"), Ok(None));
    }
}
