//! A folder of images, of any depth. The first folder below it is an image's folder class.

use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rayon::slice::ParallelSliceMut as _;

use crate::labelling::source::folder_walk::image_files;
use crate::labelling::source::image_reader::{ImageReader, LengthCheck, MAX_IMAGE_BYTES, ReadError};
use crate::labelling::source::image_source::{ListedImages, Located, Source, on_listing_threads};
use crate::labelling::source::source_error::SourceError;
use crate::labelling::source::splits::{self, SplitsFound};
use crate::shared::error::{Cause, Error};
use crate::shared::manifest::{Manifest, ManifestBuilder, folder_class_from_path};
use crate::shared::regular_file::{concerns_file, open_regular};

/// Images in a folder.
#[derive(Clone, Debug)]
pub struct FolderSource {
    root: PathBuf,
}

impl FolderSource {
    /// Opens a folder.
    ///
    /// # Errors
    /// Returns [`Error::File`] if it is missing, and [`Error::Source`] if it is not a folder.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let metadata = std::fs::metadata(root).map_err(Error::file("open", root))?;
        if !metadata.is_dir() {
            return Err(Error::Source { path: root.to_path_buf(), problem: SourceError::NotAFolder.into() });
        }
        Ok(Self { root: root.to_path_buf() })
    }

    fn error(&self, problem: impl Into<Cause>) -> Error {
        Error::Source { path: self.root.clone(), problem: problem.into() }
    }
}

impl Source for FolderSource {
    fn description(&self) -> String {
        "a folder of images".to_owned()
    }

    fn name(&self) -> String {
        folder_name(&self.root)
    }

    fn list(&self) -> Result<Manifest, Error> {
        let found = on_listing_threads(|| {
            let mut found = image_files(&self.root)?;
            found.par_sort_unstable_by(|a, b| a.path.as_os_str().as_bytes().cmp(b.path.as_os_str().as_bytes()));
            Ok(found)
        })?;
        let found = found.map_err(|problem: SourceError| self.error(problem))?;
        if found.is_empty() {
            return Err(self.error(SourceError::NoImages));
        }
        let mut list = ManifestBuilder::default();
        for file in found {
            let Some(path) = file.path.to_str() else {
                return Err(self.error(SourceError::NotUtf8 { path: file.path }));
            };
            list.push(path, None, folder_class_from_path(path), file.bytes).map_err(|problem| self.error(problem))?;
        }
        list.finish().map_err(|problem| self.error(problem))
    }

    fn splits(&self, list: &Manifest) -> Option<SplitsFound> {
        splits::of_paths(list, &self.root, true)
    }

    fn locate<'a>(&'a self, list: &ListedImages<'a>) -> Result<Located<'a>, Error> {
        let images = FolderImages { root: &self.root, manifest: list.manifest };
        Ok(Located { images: Box::new(images), new_index: None })
    }
}

/// Returns a folder's own name, however its path is written.
pub(super) fn folder_name(folder: &Path) -> String {
    let absolute = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    absolute.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Reads the images of a folder by their paths.
struct FolderImages<'a> {
    root: &'a Path,
    manifest: &'a Manifest,
}

impl ImageReader for FolderImages<'_> {
    fn read(&self, row: usize, check: LengthCheck) -> Result<Vec<u8>, ReadError> {
        let path = self.root.join(self.manifest.path(row));
        let failed = |error: io::Error| ReadError::from_file_error(&path, error);
        let mut file = open_regular(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        check.check(self.manifest.bytes(row), length)?;
        let mut bytes = Vec::with_capacity(length as usize);
        file.by_ref().take(MAX_IMAGE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        // The file may have changed since.
        check.check(self.manifest.bytes(row), bytes.len() as u64)?;
        Ok(bytes)
    }

    fn looks_as_listed(&self, row: usize) -> Result<bool, Error> {
        let listed_bytes = self.manifest.bytes(row);
        let path = self.root.join(self.manifest.path(row));
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(listed_bytes == 0 || metadata.len() == listed_bytes),
            Err(error) if concerns_file(&error) => Ok(false),
            Err(error) => Err(Error::file("access", &path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::digest::digest_bytes;
    use crate::shared::error::ImageErrorKind;
    use crate::shared::manifest::ManifestEntry;

    #[test]
    fn images_are_listed_in_byte_order_with_their_folder_class() {
        let root = tempfile::tempdir().unwrap();
        for path in ["b/x.JPEG", "a.b/deep/er/z.png", "a/y.jpg", "a/notes.txt", ".git/c.jpg", "a/.d.jpg", "top.WEBP"] {
            let file = root.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, path).unwrap();
        }
        let list = FolderSource::open(root.path()).unwrap().list().unwrap();
        let listed: Vec<_> = (0..list.len()).map(|row| (list.path(row), list.folder_class(row))).collect();
        let expected =
            [("a.b/deep/er/z.png", Some("a.b")), ("a/y.jpg", Some("a")), ("b/x.JPEG", Some("b")), ("top.WEBP", None)];
        assert_eq!(listed, expected);
        assert_eq!(list.bytes(1), 7);
    }

    #[test]
    fn links_are_followed_and_loops_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("real")).unwrap();
        std::fs::write(root.path().join("real/x.jpg"), "x").unwrap();
        std::os::unix::fs::symlink(root.path().join("real"), root.path().join("linked")).unwrap();
        assert_eq!(FolderSource::open(root.path()).unwrap().list().unwrap().len(), 2);
        std::os::unix::fs::symlink(root.path(), root.path().join("real/loop")).unwrap();
        let refusal = FolderSource::open(root.path()).unwrap().list().unwrap_err().to_string();
        assert!(refusal.contains("symlink loop"), "{refusal}");
    }

    #[test]
    fn missing_and_changed_images_are_image_errors() {
        let root = tempfile::tempdir().unwrap();
        let source = FolderSource::open(root.path()).unwrap();
        assert!(source.list().unwrap_err().to_string().contains("contains no images"));
        assert!(FolderSource::open(&root.path().join("nowhere")).is_err());
        std::fs::create_dir(root.path().join("folder.jpg")).unwrap();
        std::fs::write(root.path().join("longer.jpg"), "12345").unwrap();
        let entry = |path: &str| ManifestEntry { path: path.to_owned(), bytes: 4, ..ManifestEntry::default() };
        let manifest =
            Manifest::from_entries(["gone.jpg", "folder.jpg", "longer.jpg", "fifo.jpg"].map(entry).to_vec()).unwrap();
        let list = ListedImages { manifest: &manifest, manifest_sha256: &digest_bytes(b""), index: None };
        let images = source.locate(&list).unwrap().images;
        let kind = |row, check| images.read(row, check).map_err(|error| error.into_image_error().unwrap().kind);
        assert_eq!(kind(0, LengthCheck::MatchManifest), Err(ImageErrorKind::Unreadable));
        assert_eq!(kind(1, LengthCheck::Ignore), Err(ImageErrorKind::Unreadable));
        let fifo = rustix::fs::mkfifoat(rustix::fs::CWD, root.path().join("fifo.jpg"), 0o600.into());
        fifo.unwrap();
        assert_eq!(kind(3, LengthCheck::Ignore), Err(ImageErrorKind::Unreadable), "it would block");
        assert_eq!(kind(2, LengthCheck::MatchManifest), Err(ImageErrorKind::Changed));
        assert_eq!(kind(2, LengthCheck::Ignore), Ok(b"12345".to_vec()));
        assert!(!images.looks_as_listed(0).unwrap() && !images.looks_as_listed(2).unwrap());
    }
}
