//! Walks a folder on several threads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::is_image_name;
use crate::shared::printable::printable_path;

/// An image file.
pub(super) struct FoundFile {
    /// Path below the folder that was walked.
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// Every image below `root`, in no order. Links are followed, since data sets are often put together from them; names
/// that begin with a dot are passed over.
pub(super) fn image_files(root: &Path) -> Result<Vec<FoundFile>, String> {
    let metadata = std::fs::metadata(root).map_err(|error| said(root, &error))?;
    let walk = Walk { root, seen: Mutex::default() };
    let mut folders = walk.below(Path::new(""), &Above { folder: identity(&metadata), above: None })?;
    if folders.len() == 1 { Ok(folders.remove(0)) } else { Ok(folders.into_iter().flatten().collect()) }
}

struct Walk<'a> {
    root: &'a Path,
    /// Every folder, and the path that led to it first.
    seen: Mutex<HashMap<(u64, u64), PathBuf>>,
}

/// The folders in which a folder lies.
struct Above<'a> {
    folder: (u64, u64),
    above: Option<&'a Above<'a>>,
}

impl Above<'_> {
    fn holds(&self, folder: (u64, u64)) -> bool {
        self.folder == folder || self.above.is_some_and(|above| above.holds(folder))
    }
}

/// What tells one folder from another, whatever path led to it.
fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Walk<'_> {
    fn below(&self, below: &Path, above: &Above<'_>) -> Result<Vec<Vec<FoundFile>>, String> {
        let folder = self.root.join(below);
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(&folder).map_err(|error| said(&folder, &error))? {
            let entry = entry.map_err(|error| said(&folder, &error))?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let found = look_at(&entry).map_err(|error| said(&entry.path(), &error))?;
            match found {
                Found::Image { bytes } => files.push(FoundFile { path: below.join(name), bytes }),
                Found::Folder { identity } => {
                    if above.holds(identity) {
                        return Err(format!(
                            "{} leads back to a folder that it lies in",
                            printable_path(&entry.path())
                        ));
                    }
                    self.notice(&below.join(&name), identity);
                    folders.push((below.join(name), identity));
                }
                Found::Other => {}
            }
        }
        let deeper =
            |(below, identity): (PathBuf, _)| self.below(&below, &Above { folder: identity, above: Some(above) });
        let deeper: Vec<Vec<Vec<FoundFile>>> = folders.into_par_iter().map(deeper).collect::<Result<_, _>>()?;
        Ok(std::iter::once(files).chain(deeper.into_iter().flatten()).collect())
    }

    /// Tells of a folder that two paths lead to: its images are listed twice, with two ids and perhaps two classes.
    fn notice(&self, below: &Path, identity: (u64, u64)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.entry(identity) {
            Entry::Vacant(entry) => drop(entry.insert(below.to_path_buf())),
            Entry::Occupied(first) => tracing::warn!(
                "{}: `{}` and `{}` are one folder (by a link), so that its images are listed twice",
                printable_path(self.root),
                printable_path(first.get()),
                printable_path(below)
            ),
        }
    }
}

enum Found {
    Image { bytes: u64 },
    Folder { identity: (u64, u64) },
    Other,
}

/// Asks the file system only for what it takes to tell: most files of a data set are images.
fn look_at(entry: &DirEntry) -> io::Result<Found> {
    let kind = entry.file_type()?;
    let is_image = is_image_name(entry.file_name().as_encoded_bytes());
    if kind.is_file() && !is_image {
        return Ok(Found::Other);
    }
    let metadata = if kind.is_symlink() { std::fs::metadata(entry.path())? } else { entry.metadata()? };
    Ok(if metadata.is_dir() {
        Found::Folder { identity: identity(&metadata) }
    } else if metadata.is_file() && is_image {
        Found::Image { bytes: metadata.len() }
    } else {
        Found::Other
    })
}

fn said(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", printable_path(path))
}
