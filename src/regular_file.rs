//! Files that others put there: only regular ones are opened, so that nothing blocks, and a failure of the machine is
//! never taken for a file that is missing.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::error::Error;

/// Opens a regular file. A FIFO, a socket or a device is refused, and opening one does not wait for its other end.
///
/// # Errors
/// Returns the operating system's error, or one of kind `InvalidInput` if it is something else than a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

/// Reads a regular file as text.
///
/// # Errors
/// Returns an error as [`open_regular`] does, or if it cannot be read or is not UTF-8.
pub fn read_regular_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// What is at a path, links followed; `None` if there is nothing.
///
/// # Errors
/// Returns [`Error::File`] if that cannot be told.
pub fn found_at(path: &Path) -> Result<Option<Metadata>, Error> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::file("look at", path)(error)),
    }
}

/// Whether an error tells something of the file itself: it is missing, forbidden, or of another sort. Every other one is a
/// failure or a shortage of the machine (`EIO`, `ESTALE`, `EMFILE`, `ENOMEM`, ...), which tells nothing of the file.
#[must_use]
pub fn concerns_file(error: &io::Error) -> bool {
    const OF_THE_FILE: [Errno; 4] = [Errno::LOOP, Errno::NAMETOOLONG, Errno::NXIO, Errno::OVERFLOW];
    let is_kind = matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidData
            | ErrorKind::UnexpectedEof
    );
    is_kind || OF_THE_FILE.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "text").unwrap();
        assert_eq!(read_regular_text(&folder.path().join("file")).unwrap(), "text");
        let refused = |path: &Path| open_regular(path).unwrap_err();
        assert_eq!(refused(folder.path()).kind(), ErrorKind::IsADirectory);
        assert!(refused(Path::new("/dev/null")).to_string().contains("not a regular file"));
        assert!(concerns_file(&refused(&folder.path().join("gone"))));
        assert!(found_at(&folder.path().join("gone")).unwrap().is_none());
    }

    #[test]
    fn failures_of_the_machine_tell_nothing_of_a_file() {
        for errno in
            [Errno::IO, Errno::STALE, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::TIMEDOUT, Errno::NOTCONN]
        {
            assert!(!concerns_file(&errno.into()), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::PERM, Errno::ISDIR, Errno::NOTDIR, Errno::LOOP] {
            assert!(concerns_file(&errno.into()), "{errno}");
        }
    }
}
