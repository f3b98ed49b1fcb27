//! A file in the making: complete under its name, or not there. What a killed process left is taken over by the next.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::shared::digest::digest_bytes;
use crate::shared::error::Error;

/// A file in the making, next to its place. It is removed when this is dropped before [`Draft::complete`].
///
/// Its name follows from that of the file, and it is locked while it is written. So the next process that writes the same
/// file uses again what one that was killed has left, and one that still writes is told from it.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    at: PathBuf,
    file: File,
    is_named: bool,
}

/// Drafts that may get their names while this process waits for one; then something else is wrong.
const TRIES: usize = 16;

impl Draft {
    /// Begins a file, so that a folder that cannot be written to is found before work begins.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the folder cannot be written to, the path is that of a folder, or another process is
    /// writing the file.
    pub fn begin(path: &Path) -> Result<Self, Error> {
        let refused = |error: io::Error| Error::file("write", path)(error);
        if path.is_dir() {
            return Err(refused(io::ErrorKind::IsADirectory.into()));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = digest_bytes(path.file_name().unwrap_or_default().as_encoded_bytes()).to_string();
        let draft = folder.join(format!(".relabel-draft-{}", &name[..16]));
        for _ in 0..TRIES {
            let file = open(&draft).map_err(refused)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    let problem =
                        "another process is writing it\n  help: wait until that has ended, or name another file";
                    return Err(refused(io::Error::other(problem)));
                }
                // A file system without locks: nothing is known of others.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            if is_at(&file, &draft).map_err(refused)? {
                file.set_len(0).map_err(refused)?;
                return Ok(Self { path: path.to_path_buf(), at: draft, file, is_named: false });
            }
        }
        Err(refused(io::Error::other("other processes write it again and again")))
    }

    /// The path that the file will have.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file as it is so far.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Flushes the file to the disk and gives it its name, in place of an older one.
    ///
    /// # Errors
    /// Returns [`Error::File`] if that fails.
    pub fn complete(mut self) -> Result<(), Error> {
        let completed = self.file.sync_all().and_then(|()| fs::rename(&self.at, &self.path));
        self.is_named = completed.is_ok();
        completed.map_err(Error::file("write", &self.path))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_named {
            let _ = fs::remove_file(&self.at);
        }
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Opens a draft, or makes it. What is there under its name is ours only if it is a regular file with this one name.
fn open(draft: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o666).custom_flags(flags).open(draft);
    // Its name is of no use to the reader.
    let file = opened.map_err(|error| io::Error::from(error.kind()))?;
    let found = file.metadata()?;
    if found.is_file() && found.nlink() <= 1 {
        return Ok(file);
    }
    let name = draft.file_name().unwrap_or_default().to_string_lossy();
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("`{name}` is in the way in its folder")))
}

/// Whether an open file still has this name: another process may have given it its own meanwhile.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let opened = identity(file.metadata()?);
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(identity(there) == opened),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        fs::read_dir(folder).unwrap().map(name).collect()
    }

    #[test]
    fn a_file_is_complete_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        drop(Draft::begin(&path).unwrap());
        assert!(names(folder.path()).is_empty());
        let mut draft = Draft::begin(&path).unwrap();
        draft.write_all(b"rows").unwrap();
        draft.complete().unwrap();
        assert_eq!(names(folder.path()), ["table.csv"]);
        assert_eq!(fs::read(&path).unwrap(), b"rows");
        assert!(Draft::begin(folder.path()).is_err());
    }

    #[test]
    fn what_a_killed_process_left_is_used_again_and_what_is_alive_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let mut alive = Draft::begin(&path).unwrap();
        alive.write_all(b"half").unwrap();
        assert!(Draft::begin(&path).unwrap_err().to_string().contains("another process is writing it"));
        // As a kill leaves it: no lock, and nobody who removes it.
        alive.is_named = true;
        drop(alive);
        assert_eq!(names(folder.path()).len(), 1);
        Draft::begin(&path).unwrap().complete().unwrap();
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["table.csv".to_owned()], vec![]));
    }
}
