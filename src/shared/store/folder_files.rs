//! The files of a local folder.

use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::location::Files;
use crate::shared::error::Error;
use crate::shared::regular_file;

/// The files below a folder. Errors are [`Error::File`].
#[derive(Clone, Debug)]
pub struct FolderFiles {
    folder: PathBuf,
    name: String,
}

impl FolderFiles {
    /// Creates access to the files below `folder`, and reads nothing yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), name: folder.display().to_string() }
    }
}

impl Files for FolderFiles {
    fn name(&self) -> &str {
        &self.name
    }

    fn read_up_to(&self, inside: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let path = self.folder.join(inside);
        regular_file::read(&path, max_bytes)?.or_none("read", &path)
    }

    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let path = self.folder.join(inside);
        let missing = || Error::file("read", &path)(ErrorKind::NotFound.into());
        let (file, metadata) = regular_file::open(&path)?.or_none("read", &path)?.ok_or_else(missing)?;
        if range.end > metadata.len() {
            return Err(Error::file("read", &path)(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("{} bytes, expected at least {}", metadata.len(), range.end),
            )));
        }
        let mut bytes = vec![0; range.end.saturating_sub(range.start) as usize];
        let read = file.read_exact_at(&mut bytes, range.start);
        read.map(|()| bytes).map_err(Error::file("read", &path))
    }

    fn file_bytes(&self, inside: &str) -> Result<Option<u64>, Error> {
        let metadata = regular_file::metadata(&self.folder.join(inside))?;
        Ok(metadata.filter(fs::Metadata::is_file).map(|metadata| metadata.len()))
    }

    /// Links to files count as files, as in the Hub's download cache. Links to folders are not followed, since they could
    /// form a cycle.
    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error> {
        let mut files = Vec::new();
        self.walk(&mut |name, metadata| {
            // A dangling link is a missing file.
            if let Some(metadata) = metadata.filter(|metadata| metadata.is_file()) {
                files.push((name, metadata.len()));
            }
        })?;
        files.sort();
        Ok(Some(files))
    }

    fn irregular_entries(&self) -> Result<Vec<(String, String)>, Error> {
        let mut entries = Vec::new();
        self.walk(&mut |name, metadata| match metadata {
            Some(metadata) if metadata.is_file() => {}
            Some(metadata) if metadata.is_dir() => {
                let what = "a symbolic link to a folder, which is not followed: nothing below it was checked";
                entries.push((name, what.to_owned()));
            }
            Some(metadata) => entries.push((name, regular_file::kind_of(metadata).to_string())),
            None => entries.push((name, "a dangling symbolic link".to_owned())),
        })?;
        entries.sort();
        Ok(entries)
    }
}

impl FolderFiles {
    /// Calls `visit` with the name and metadata of every entry below the folder that is not itself a folder. Metadata of a
    /// link is that of its target, `None` if it is dangling.
    fn walk(&self, visit: &mut dyn FnMut(String, Option<&fs::Metadata>)) -> Result<(), Error> {
        let mut folders = vec![(self.folder.clone(), String::new())];
        while let Some((folder, inside)) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(Error::file("list", &folder))? {
                let entry = entry.map_err(Error::file("list", &folder))?;
                let name = format!("{inside}{}", entry.file_name().to_string_lossy());
                if entry.file_type().map_err(Error::file("inspect", &entry.path()))?.is_dir() {
                    folders.push((entry.path(), name + "/"));
                    continue;
                }
                visit(name, regular_file::metadata(&entry.path())?.as_ref());
            }
        }
        Ok(())
    }
}
