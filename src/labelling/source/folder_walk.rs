//! Lists the images of a folder on several threads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use crate::labelling::source::image_name::is_image_name;
use crate::labelling::source::source_error::SourceError;
use crate::shared::printable::printable_path;

/// An image file.
pub(super) struct FoundFile {
    /// Path below the folder that was listed.
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// Lists every image below `root`, in no order. Symbolic links are followed, since data sets are often assembled from them;
/// names that begin with a dot are ignored.
///
/// # Errors
/// Returns [`SourceError::Unlistable`] if a folder cannot be read, and [`SourceError::LinkLoop`] if a link points to a folder
/// that contains it.
pub(super) fn image_files(root: &Path) -> Result<Vec<FoundFile>, SourceError> {
    let metadata = std::fs::metadata(root).map_err(unlistable(root))?;
    let walk = FolderWalk { root, seen: Mutex::default() };
    let mut folders = walk.list(Path::new(""), &Ancestors { folder: identity(&metadata), above: None })?;
    if folders.len() == 1 { Ok(folders.remove(0)) } else { Ok(folders.into_iter().flatten().collect()) }
}

struct FolderWalk<'a> {
    root: &'a Path,
    /// Every folder, and the path by which it was found first.
    seen: Mutex<HashMap<(u64, u64), PathBuf>>,
}

/// The folders that contain a folder.
struct Ancestors<'a> {
    folder: (u64, u64),
    above: Option<&'a Ancestors<'a>>,
}

impl Ancestors<'_> {
    fn contain(&self, folder: (u64, u64)) -> bool {
        self.folder == folder || self.above.is_some_and(|above| above.contain(folder))
    }
}

/// Identifies a folder independently of its path.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl FolderWalk<'_> {
    fn list(&self, below: &Path, ancestors: &Ancestors<'_>) -> Result<Vec<Vec<FoundFile>>, SourceError> {
        let folder = self.root.join(below);
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(&folder).map_err(unlistable(&folder))? {
            let entry = entry.map_err(unlistable(&folder))?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            match inspect_entry(&entry).map_err(unlistable(&entry.path()))? {
                FoundEntry::Image { bytes } => files.push(FoundFile { path: below.join(name), bytes }),
                FoundEntry::Folder { identity } => {
                    if ancestors.contain(identity) {
                        return Err(SourceError::LinkLoop { path: entry.path() });
                    }
                    self.warn_if_seen(&below.join(&name), identity);
                    folders.push((below.join(name), identity));
                }
                FoundEntry::Other => {}
            }
        }
        let deeper = |(below, identity): (PathBuf, _)| {
            self.list(&below, &Ancestors { folder: identity, above: Some(ancestors) })
        };
        let deeper: Vec<Vec<Vec<FoundFile>>> = folders.into_par_iter().map(deeper).collect::<Result<_, _>>()?;
        Ok(std::iter::once(files).chain(deeper.into_iter().flatten()).collect())
    }

    /// Warns of a folder with two paths: its images are listed twice, with two ids and perhaps two classes.
    fn warn_if_seen(&self, below: &Path, identity: (u64, u64)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.entry(identity) {
            Entry::Vacant(entry) => drop(entry.insert(below.to_path_buf())),
            Entry::Occupied(first) => tracing::warn!(
                "{}: `{}` and `{}` are the same folder (by a link), and its images are listed twice",
                printable_path(self.root),
                printable_path(first.get()),
                printable_path(below)
            ),
        }
    }
}

enum FoundEntry {
    Image { bytes: u64 },
    Folder { identity: (u64, u64) },
    Other,
}

/// Classifies an entry with as few system calls as possible: most files of a data set are images.
fn inspect_entry(entry: &DirEntry) -> io::Result<FoundEntry> {
    let kind = entry.file_type()?;
    let is_image = is_image_name(entry.file_name().as_encoded_bytes());
    if kind.is_file() && !is_image {
        return Ok(FoundEntry::Other);
    }
    let metadata = if kind.is_symlink() { std::fs::metadata(entry.path())? } else { entry.metadata()? };
    Ok(if metadata.is_dir() {
        FoundEntry::Folder { identity: identity(&metadata) }
    } else if metadata.is_file() && is_image {
        FoundEntry::Image { bytes: metadata.len() }
    } else {
        FoundEntry::Other
    })
}

fn unlistable(path: &Path) -> impl FnOnce(io::Error) -> SourceError {
    move |problem| SourceError::Unlistable { path: path.to_path_buf(), problem }
}
