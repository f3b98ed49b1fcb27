//! Opens untrusted files. Reading a pipe could block forever, and a device may never end: only regular files are
//! read, including through symbolic links, and never more bytes than expected. An I/O error of the host is never reported
//! as a missing file.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::shared::error::Error;
use crate::shared::numbers::exact_bytes;

/// Result of looking up a path. I/O errors of the host are reported as errors instead.
#[derive(Debug)]
pub(crate) enum Lookup<T> {
    /// A regular file.
    Found(T),
    /// The path does not exist.
    Absent,
    /// Something other than the expected file.
    Unusable(UnusableFile),
}

/// Reason that a path cannot be used as a file. The caller prints the path before the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableFile {
    /// The path does not exist.
    #[error("missing")]
    Missing,
    /// A folder, pipe, socket or device.
    #[error("{0}, not a regular file")]
    NotRegular(&'static str),
    /// A symbolic link that points to itself, directly or through others.
    #[error("symlink loop")]
    LinkLoop,
    /// More bytes than the file may have.
    #[error("{}, expected at most {}", exact_bytes(*.bytes), exact_bytes(*.max_bytes))]
    TooLong {
        /// Length of the file.
        bytes: u64,
        /// Largest length accepted.
        max_bytes: u64,
    },
}

impl<T> Lookup<T> {
    /// Returns the file.
    ///
    /// # Errors
    /// Returns [`UnusableFile`] if the path does not exist or is not a regular file.
    pub(crate) fn usable(self) -> Result<T, UnusableFile> {
        match self {
            Self::Found(found) => Ok(found),
            Self::Absent => Err(UnusableFile::Missing),
            Self::Unusable(problem) => Err(problem),
        }
    }

    /// Returns the file; `None` if the path does not exist.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the path is not a regular file.
    pub(crate) fn or_none(self, action: &'static str, path: &Path) -> Result<Option<T>, Error> {
        match self {
            Self::Found(found) => Ok(Some(found)),
            Self::Absent => Ok(None),
            Self::Unusable(problem) => Err(Error::file(action, path)(io::Error::new(ErrorKind::InvalidData, problem))),
        }
    }
}

/// Opens a path for reading, whatever its file type. Opening a pipe does not wait for its other end.
fn open_any(path: &Path) -> io::Result<(File, Metadata)> {
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Opens a file for reading.
///
/// # Errors
/// Returns [`Error::File`] if the path cannot be inspected.
pub(crate) fn open(path: &Path) -> Result<Lookup<(File, Metadata)>, Error> {
    let (file, metadata) = match open_any(path) {
        Ok(opened) => opened,
        Err(error) if is_absence(&error) => return Ok(Lookup::Absent),
        Err(error) if is_errno(&error, Errno::NXIO) => {
            return Ok(Lookup::Unusable(UnusableFile::NotRegular(NOT_REGULAR)));
        }
        Err(error) if is_errno(&error, Errno::LOOP) => {
            return Ok(Lookup::Unusable(UnusableFile::LinkLoop));
        }
        Err(error) => return Err(Error::file("open", path)(error)),
    };
    Ok(if metadata.is_file() { Lookup::Found((file, metadata)) } else { Lookup::Unusable(kind_of(&metadata)) })
}

/// Reads a file that has at most `max_bytes` bytes.
///
/// # Errors
/// Returns [`Error::File`] if the file cannot be read.
pub(crate) fn read(path: &Path, max_bytes: u64) -> Result<Lookup<Vec<u8>>, Error> {
    let (file, metadata) = match open(path)? {
        Lookup::Found(there) => there,
        Lookup::Absent => return Ok(Lookup::Absent),
        Lookup::Unusable(problem) => return Ok(Lookup::Unusable(problem)),
    };
    if metadata.len() > max_bytes {
        return Ok(Lookup::Unusable(UnusableFile::TooLong { bytes: metadata.len(), max_bytes }));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::file("read", path))?;
    if bytes.len() as u64 > max_bytes {
        return Ok(Lookup::Unusable(UnusableFile::TooLong { bytes: bytes.len() as u64, max_bytes }));
    }
    Ok(Lookup::Found(bytes))
}

/// Opens a file of this program for writing. Symbolic links are not followed: their target may belong to someone else.
///
/// # Errors
/// Returns the operating system's error, or one of kind `InvalidInput` if it is not a regular file.
pub(crate) fn open_to_write(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = options.custom_flags(flags).open(path).map_err(|error| {
        let is_link = is_errno(&error, Errno::LOOP);
        if is_link {
            return io::Error::new(ErrorKind::InvalidInput, "a symbolic link, which is not followed for writing");
        }
        let is_special = is_errno(&error, Errno::NXIO);
        if is_special { io::Error::new(ErrorKind::InvalidInput, UnusableFile::NotRegular(NOT_REGULAR)) } else { error }
    })?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok(file) } else { Err(io::Error::new(ErrorKind::InvalidInput, kind_of(&metadata))) }
}

/// Opens a regular file, for callers that judge the operating system's error themselves.
///
/// # Errors
/// Returns the operating system's error, or one of kind `InvalidInput` if it is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let (file, metadata) = open_any(path)?;
    if metadata.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    if metadata.is_file() { Ok(file) } else { Err(io::Error::new(ErrorKind::InvalidInput, kind_of(&metadata))) }
}

/// Reads a regular file as text.
///
/// # Errors
/// See [`open_regular`]. Also fails if the file cannot be read or is not UTF-8.
pub fn read_regular_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Returns whether an error is about the file itself: it is missing, forbidden, or of a different type. Every other error
/// is an I/O error or a shortage of the host (`EIO`, `ESTALE`, `EMFILE`, `ENOMEM`, ...), and the file may be intact.
#[must_use]
pub fn concerns_file(error: &io::Error) -> bool {
    const FILE_ERRORS: [Errno; 4] = [Errno::LOOP, Errno::NAMETOOLONG, Errno::NXIO, Errno::OVERFLOW];
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
    is_kind || FILE_ERRORS.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Returns whether an error means that the file is missing.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Returns the metadata of a path, following symbolic links; `None` if it does not exist.
///
/// # Errors
/// Returns [`Error::File`] if the path cannot be inspected.
pub fn metadata(path: &Path) -> Result<Option<Metadata>, Error> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if is_absence(&error) || is_errno(&error, Errno::LOOP) => Ok(None),
        Err(error) => Err(Error::file("access", path)(error)),
    }
}

/// Describes something that is not a regular file.
pub(crate) fn kind_of(metadata: &Metadata) -> UnusableFile {
    let kind = metadata.file_type();
    UnusableFile::NotRegular(match kind {
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_symlink() => "a symbolic link",
        _ => "a device",
    })
}

const NOT_REGULAR: &str = "a pipe, a socket or a device";

fn is_errno(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_regular_files_are_read_and_nothing_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "1234").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("circle", at("circle")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for name in ["file", "link"] {
            assert!(matches!(read(&at(name), 4), Ok(Lookup::Found(bytes)) if bytes == b"1234"), "{name}");
            assert!(
                matches!(read(&at(name), 3), Ok(Lookup::Unusable(problem)) if problem.to_string().contains("at most 3"))
            );
        }
        for name in ["nowhere", "file/below", "dangling"] {
            assert!(matches!(read(&at(name), 4), Ok(Lookup::Absent)), "{name}");
        }
        for (name, what) in [("pipe", "a pipe"), ("socket", "a socket"), (".", "a folder"), ("circle", "symlink loop")]
        {
            let problem = read(&at(name), 4).unwrap().usable().unwrap_err().to_string();
            assert!(problem.contains(what), "{name}: {problem}");
        }
        assert!(
            matches!(read(Path::new("/dev/zero"), 4), Ok(Lookup::Unusable(problem)) if problem.to_string().contains("a device"))
        );
        assert!(matches!(read(&at(&"x".repeat(300)), 4), Err(Error::File { .. })), "an error, not absent");
    }

    #[test]
    fn symbolic_links_and_pipes_are_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "1234").unwrap();
        symlink("file", at("link")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let write = |name: &str| open_to_write(OpenOptions::new().write(true).create(true).truncate(true), &at(name));
        for name in ["link", "pipe", "."] {
            assert!(write(name).is_err(), "{name}");
        }
        assert_eq!(std::fs::read(at("file")).unwrap(), b"1234");
        write("file").unwrap();
        write("new").unwrap();
    }

    #[test]
    fn failures_of_the_machine_are_not_about_the_file() {
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
