//! A folder of this machine, as any other place.

use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::Files;
use crate::shared::error::Error;
use crate::shared::regular_file;

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

    fn read_up_to(&self, inside: &str, most_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let path = self.folder.join(inside);
        regular_file::read(&path, most_bytes)?.or_none("read", &path)
    }

    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let path = self.folder.join(inside);
        let absent = || Error::file("read", &path)(ErrorKind::NotFound.into());
        let (file, metadata) = regular_file::open(&path)?.or_none("read", &path)?.ok_or_else(absent)?;
        if range.end > metadata.len() {
            return Err(Error::file("read", &path)(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("it has {} bytes, and bytes up to {} were expected", metadata.len(), range.end),
            )));
        }
        let mut bytes = vec![0; range.end.saturating_sub(range.start) as usize];
        let read = file.read_exact_at(&mut bytes, range.start);
        read.map(|()| bytes).map_err(Error::file("read", &path))
    }

    fn bytes_of(&self, inside: &str) -> Result<Option<u64>, Error> {
        let metadata = regular_file::look_at(&self.folder.join(inside))?;
        Ok(metadata.filter(fs::Metadata::is_file).map(|metadata| metadata.len()))
    }

    /// Links to files are files, as in the Hub's download cache; links to folders are not followed, so that none leads
    /// round in circles.
    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error> {
        let mut files = Vec::new();
        self.walk(&mut |name, metadata| {
            // A link that leads nowhere is a file that is not there.
            if let Some(metadata) = metadata.filter(|metadata| metadata.is_file()) {
                files.push((name, metadata.len()));
            }
        })?;
        files.sort();
        Ok(Some(files))
    }

    fn strangers(&self) -> Result<Vec<(String, String)>, Error> {
        let mut strangers = Vec::new();
        self.walk(&mut |name, metadata| match metadata {
            Some(metadata) if metadata.is_file() => {}
            Some(metadata) if metadata.is_dir() => {
                let what = "it is a link to a folder, which is not followed: nothing below it was checked";
                strangers.push((name, what.to_owned()));
            }
            Some(metadata) => strangers.push((name, regular_file::kind_of(metadata))),
            None => strangers.push((name, "it is a link that leads nowhere".to_owned())),
        })?;
        strangers.sort();
        Ok(strangers)
    }
}

impl FolderFiles {
    /// Calls `see` with the name of each thing below the folder that is no folder of its own, and with what it is or, of a
    /// link, what it leads to.
    fn walk(&self, see: &mut dyn FnMut(String, Option<&fs::Metadata>)) -> Result<(), Error> {
        let mut folders = vec![(self.folder.clone(), String::new())];
        while let Some((folder, inside)) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(Error::file("list", &folder))? {
                let entry = entry.map_err(Error::file("list", &folder))?;
                let name = format!("{inside}{}", entry.file_name().to_string_lossy());
                if entry.file_type().map_err(Error::file("look at", &entry.path()))?.is_dir() {
                    folders.push((entry.path(), name + "/"));
                    continue;
                }
                see(name, regular_file::look_at(&entry.path())?.as_ref());
            }
        }
        Ok(())
    }
}
