//! A folder of this machine, as any other place.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::Files;
use crate::error::Error;

/// The files below a folder. Its errors are [`Error::File`].
#[derive(Clone, Debug)]
pub struct FolderFiles {
    folder: PathBuf,
    name: String,
}

impl FolderFiles {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), name: folder.display().to_string() }
    }
}

impl Files for FolderFiles {
    fn name(&self) -> &str {
        &self.name
    }

    fn read(&self, inside: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.folder.join(inside);
        absent_or(fs::read(&path)).map_err(Error::file("read", &path))
    }

    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let path = self.folder.join(inside);
        let mut bytes = vec![0; range.end.saturating_sub(range.start) as usize];
        let read = File::open(&path).and_then(|file| file.read_exact_at(&mut bytes, range.start));
        read.map(|()| bytes).map_err(Error::file("read", &path))
    }

    fn bytes_of(&self, inside: &str) -> Result<Option<u64>, Error> {
        let path = self.folder.join(inside);
        let metadata = absent_or(fs::metadata(&path)).map_err(Error::file("look at", &path))?;
        Ok(metadata.filter(fs::Metadata::is_file).map(|metadata| metadata.len()))
    }

    /// Links to files are files, as in the Hub's download cache; links to folders are not followed, so that none leads
    /// round in circles.
    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error> {
        let mut files = Vec::new();
        let mut folders = vec![(self.folder.clone(), String::new())];
        while let Some((folder, inside)) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(Error::file("list", &folder))? {
                let entry = entry.map_err(Error::file("list", &folder))?;
                let name = format!("{inside}{}", entry.file_name().to_string_lossy());
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push((entry.path(), name + "/"));
                    continue;
                }
                // A link that leads nowhere is a file that is not there.
                if let Some(metadata) = fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file) {
                    files.push((name, metadata.len()));
                }
            }
        }
        files.sort();
        Ok(Some(files))
    }
}

fn absent_or<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(there) => Ok(Some(there)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
