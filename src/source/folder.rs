//! A folder of any depth; the first folder below it is an image's class.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::Source;
use crate::error::{Error, ImageError, ImageErrorKind};
use crate::manifest::{Entry, label_from_path};

/// Endings that are taken for images, in any case: torchvision's `IMG_EXTENSIONS`, and GIF.
const IMAGE_EXTENSIONS: [&str; 10] = ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif"];

/// Longest file that is read, so that a stray disk image does not fill the memory.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Images in a folder.
#[derive(Clone, Debug)]
pub struct FolderSource {
    root: PathBuf,
}

impl FolderSource {
    /// A folder that exists.
    ///
    /// # Errors
    /// When it is not there or no folder.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let metadata = std::fs::metadata(root).map_err(Error::file("open", root))?;
        if !metadata.is_dir() {
            return Err(Error::Source {
                path: root.to_path_buf(),
                problem: "it is no folder; --in takes a folder of images".to_owned(),
            });
        }
        Ok(Self { root: root.to_path_buf() })
    }

    fn entry(&self, found: &DirEntry) -> Result<Option<Entry>, Error> {
        let is_image = found
            .path()
            .extension()
            .is_some_and(|extension| IMAGE_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)));
        if !is_image || !found.file_type().is_file() {
            return Ok(None);
        }
        let below = found.path().strip_prefix(&self.root).unwrap_or(found.path());
        let Some(path) = below.to_str() else {
            return Err(self.problem(format!("the name of {} is not UTF-8; rename the file", below.display())));
        };
        let bytes = found.metadata().map_err(|error| self.problem(error.to_string()))?.len();
        Ok(Some(Entry { path: path.to_owned(), id: None, label: label_from_path(path).map(str::to_owned), bytes }))
    }

    fn problem(&self, problem: String) -> Error {
        Error::Source { path: self.root.clone(), problem }
    }
}

impl Source for FolderSource {
    fn list(&self) -> Result<Vec<Entry>, Error> {
        let visible = |entry: &DirEntry| entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".");
        let mut entries = Vec::new();
        // Data sets are often put together from links.
        for found in WalkDir::new(&self.root).follow_links(true).into_iter().filter_entry(visible) {
            let found = found.map_err(|error| self.problem(format!("it cannot be listed whole: {error}")))?;
            entries.extend(self.entry(&found)?);
        }
        if entries.is_empty() {
            return Err(self.problem(format!("it holds no image (looked for {})", IMAGE_EXTENSIONS.join(", "))));
        }
        entries.sort_unstable_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        Ok(entries)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, ImageError> {
        let unreadable = |reason: String| ImageError { kind: ImageErrorKind::Unreadable, reason };
        let file = self.root.join(path);
        let metadata = std::fs::metadata(&file).map_err(|error| unreadable(error.to_string()))?;
        // Reading a pipe or a device may never end.
        if !metadata.is_file() {
            return Err(unreadable("it is no ordinary file".to_owned()));
        }
        let length = metadata.len();
        if length > MAX_FILE_BYTES {
            return Err(unreadable(format!("the file has {length} bytes; at most {MAX_FILE_BYTES} are read")));
        }
        std::fs::read(&file).map_err(|error| unreadable(error.to_string()))
    }

    fn length(&self, path: &str) -> Option<u64> {
        std::fs::metadata(self.root.join(path)).ok().map(|metadata| metadata.len())
    }

    fn name(&self) -> String {
        let absolute = std::fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone());
        absolute.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_listed_in_byte_order_with_their_class() {
        let root = tempfile::tempdir().unwrap();
        for path in ["b/x.JPEG", "a.b/deep/er/z.png", "a/y.jpg", "a/notes.txt", ".git/c.jpg", "a/.d.jpg", "top.WEBP"] {
            let file = root.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, path).unwrap();
        }
        let entries = FolderSource::open(root.path()).unwrap().list().unwrap();
        let listed: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), entry.label.as_deref())).collect();
        let expected =
            [("a.b/deep/er/z.png", Some("a.b")), ("a/y.jpg", Some("a")), ("b/x.JPEG", Some("b")), ("top.WEBP", None)];
        assert_eq!(listed, expected);
        assert_eq!(entries[1].bytes, 7);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_loops_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("real")).unwrap();
        std::fs::write(root.path().join("real/x.jpg"), "x").unwrap();
        std::os::unix::fs::symlink(root.path().join("real"), root.path().join("linked")).unwrap();
        assert_eq!(FolderSource::open(root.path()).unwrap().list().unwrap().len(), 2);
        std::os::unix::fs::symlink(root.path(), root.path().join("real/loop")).unwrap();
        assert!(FolderSource::open(root.path()).unwrap().list().is_err());
    }

    #[test]
    fn what_is_missing_is_an_image_error() {
        let root = tempfile::tempdir().unwrap();
        let source = FolderSource::open(root.path()).unwrap();
        std::fs::create_dir(root.path().join("folder.jpg")).unwrap();
        for path in ["gone.jpg", "folder.jpg"] {
            assert_eq!(source.read(path).unwrap_err().kind, ImageErrorKind::Unreadable);
        }
        assert!(source.list().unwrap_err().to_string().contains("holds no image"));
        assert!(FolderSource::open(&root.path().join("nowhere")).is_err());
    }
}
