//! Files that are either complete under their name or missing. A later process reuses what a killed one left.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::shared::digest::digest_bytes;
use crate::shared::error::Error;
use crate::shared::printable::printable_path;

/// A file that is written under a temporary name in the same folder, and renamed when it is complete. Dropping it before
/// [`AtomicFile::commit`] removes it.
///
/// The temporary name is derived from that of the file, and the file is locked while it is written. So the next process
/// that writes the same file reuses the temporary file of one that was killed, and recognises one that is still writing.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary_path: PathBuf,
    file: File,
    is_committed: bool,
}

/// Refuses a path inside a store.
///
/// # Errors
/// Returns [`Error::Usage`] if the path is inside the store, and [`Error::File`] if its folder does not exist.
pub fn refuse_inside(store: &Path, path: &Path) -> Result<(), Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = folder.canonicalize().map_err(Error::file("write into the folder", folder))?;
    if store.canonicalize().is_ok_and(|store| found.starts_with(store)) {
        let problem = "cannot write into the store\n  help: choose a file outside the store";
        return Err(Error::Usage(format!("{}: {problem}", printable_path(path))));
    }
    Ok(())
}

/// Attempts to open the temporary file while other processes rename theirs.
const ATTEMPTS: usize = 16;

impl AtomicFile {
    /// Creates the temporary file, so that a folder that cannot be written to is detected before work begins.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the folder cannot be written to, the path is that of a folder, or another process is
    /// writing the file.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let refused = |error: io::Error| Error::file("write", path)(error);
        if path.is_dir() {
            return Err(refused(io::ErrorKind::IsADirectory.into()));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = digest_bytes(path.file_name().unwrap_or_default().as_encoded_bytes()).to_string();
        let temporary_path = folder.join(format!(".relabel-draft-{}", &name[..16]));
        for _ in 0..ATTEMPTS {
            let file = open(&temporary_path).map_err(refused)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    let problem =
                        "another process is writing it\n  help: wait until it has finished, or choose a different file";
                    return Err(refused(io::Error::other(problem)));
                }
                // On a file system without locks, other processes cannot be detected.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            if is_at(&file, &temporary_path).map_err(refused)? {
                file.set_len(0).map_err(refused)?;
                return Ok(Self { path: path.to_path_buf(), temporary_path, file, is_committed: false });
            }
        }
        Err(refused(io::Error::other("other processes keep writing it")))
    }

    /// Creates the temporary file, unless the file would be inside `store`.
    ///
    /// # Errors
    /// Returns [`Error::Usage`] if the file would be inside the store, and the errors of [`AtomicFile::create`].
    pub fn create_outside(store: &Path, path: &Path) -> Result<Self, Error> {
        refuse_inside(store, path)?;
        Self::create(path)
    }

    /// Returns the path that the file will have.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file with what was written so far.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Flushes the file to disk and gives it its name, replacing an older file.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the file cannot be flushed or renamed.
    pub fn commit(mut self) -> Result<(), Error> {
        let committed = self.file.sync_all().and_then(|()| fs::rename(&self.temporary_path, &self.path));
        self.is_committed = committed.is_ok();
        committed.map_err(Error::file("write", &self.path))
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.is_committed {
            let _ = fs::remove_file(&self.temporary_path);
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Opens or creates a temporary file. An existing one is ours only if it is a regular file without further hard links.
fn open(temporary_path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o666)
        .custom_flags(flags)
        .open(temporary_path);
    // The message should not mention the temporary name.
    let file = opened.map_err(|error| io::Error::from(error.kind()))?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.nlink() <= 1 {
        return Ok(file);
    }
    let name = temporary_path.file_name().unwrap_or_default().to_string_lossy();
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!(
            "`{name}` already exists in this folder and is not a temporary file of relabel\n  help: delete it or move it away"
        ),
    ))
}

/// Returns whether an open file still has this name: another process may have renamed it in the meantime.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let opened = identity(file.metadata()?);
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(identity(metadata) == opened),
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
    fn a_file_is_complete_or_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        drop(AtomicFile::create(&path).unwrap());
        assert!(names(folder.path()).is_empty());
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"rows").unwrap();
        file.commit().unwrap();
        assert_eq!(names(folder.path()), ["table.csv"]);
        assert_eq!(fs::read(&path).unwrap(), b"rows");
        assert!(AtomicFile::create(folder.path()).is_err());
    }

    #[test]
    fn the_temporary_file_of_a_killed_process_is_reused_and_that_of_a_running_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        let mut alive = AtomicFile::create(&path).unwrap();
        alive.write_all(b"half").unwrap();
        assert!(AtomicFile::create(&path).unwrap_err().to_string().contains("another process is writing it"));
        // A killed process leaves it unlocked, and does not remove it.
        alive.is_committed = true;
        drop(alive);
        assert_eq!(names(folder.path()).len(), 1);
        AtomicFile::create(&path).unwrap().commit().unwrap();
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["table.csv".to_owned()], vec![]));
    }
}
