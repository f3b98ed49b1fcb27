//! Opening files that others made. A pipe in the place of a file would block for ever, and a device may give bytes without
//! end: only regular files are read, links to them included, and never more of them than was expected. A failure of the
//! machine is never taken for a file that is missing.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::shared::error::Error;

/// What is in the place of a file. That the system could not look is none of these, but an error.
#[derive(Debug)]
pub(crate) enum Found<T> {
    /// A regular file.
    There(T),
    /// Nothing.
    Absent,
    /// Something that cannot be the file, with the reason.
    Unusable(String),
}

impl<T> Found<T> {
    /// Returns the file, or why it cannot be used.
    pub(crate) fn or_problem(self) -> Result<T, String> {
        match self {
            Self::There(found) => Ok(found),
            Self::Absent => Err("it is not there".to_owned()),
            Self::Unusable(problem) => Err(problem),
        }
    }

    /// Returns the file; `None` where nothing is in its place.
    ///
    /// # Errors
    /// Returns [`Error::File`] if something else is.
    pub(crate) fn or_none(self, action: &'static str, path: &Path) -> Result<Option<T>, Error> {
        match self {
            Self::There(found) => Ok(Some(found)),
            Self::Absent => Ok(None),
            Self::Unusable(problem) => Err(Error::file(action, path)(io::Error::new(ErrorKind::InvalidData, problem))),
        }
    }
}

/// Opens a file to read it.
///
/// # Errors
/// Returns [`Error::File`] if the system fails to say what is there.
pub(crate) fn open(path: &Path) -> Result<Found<(File, Metadata)>, Error> {
    let nonblocking = OFlags::NONBLOCK.bits() as i32;
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if is_absence(&error) => return Ok(Found::Absent),
        Err(error) if is_errno(&error, Errno::NXIO) => return Ok(Found::Unusable(NOT_REGULAR.to_owned())),
        Err(error) if is_errno(&error, Errno::LOOP) => {
            return Ok(Found::Unusable("it is a link that leads in circles".to_owned()));
        }
        Err(error) => return Err(Error::file("open", path)(error)),
    };
    let metadata = file.metadata().map_err(Error::file("look at", path))?;
    Ok(if metadata.is_file() { Found::There((file, metadata)) } else { Found::Unusable(kind_of(&metadata)) })
}

/// Returns the bytes of a file that has at most `most_bytes`.
///
/// # Errors
/// Returns [`Error::File`] if the file cannot be read.
pub(crate) fn read(path: &Path, most_bytes: u64) -> Result<Found<Vec<u8>>, Error> {
    let (file, metadata) = match open(path)? {
        Found::There(there) => there,
        Found::Absent => return Ok(Found::Absent),
        Found::Unusable(problem) => return Ok(Found::Unusable(problem)),
    };
    if metadata.len() > most_bytes {
        return Ok(Found::Unusable(too_long(metadata.len(), most_bytes)));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(most_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::file("read", path))?;
    if bytes.len() as u64 > most_bytes {
        return Ok(Found::Unusable(too_long(bytes.len() as u64, most_bytes)));
    }
    Ok(Found::There(bytes))
}

/// Opens a file of this program's own to write to it. Links are not followed: what they lead to is another's.
///
/// # Errors
/// Returns the system's reason, or that something other than a regular file is there.
pub(crate) fn open_to_write(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = options.custom_flags(flags).open(path).map_err(|error| {
        let is_link = is_errno(&error, Errno::LOOP);
        let what = if is_link { "it is a link, which is not written through" } else { NOT_REGULAR };
        if is_link || is_errno(&error, Errno::NXIO) { io::Error::new(ErrorKind::InvalidInput, what) } else { error }
    })?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok(file) } else { Err(io::Error::new(ErrorKind::InvalidInput, kind_of(&metadata))) }
}

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

/// Whether an error means that the file is missing.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Returns the metadata of what is there, links followed; `None` where nothing is.
///
/// # Errors
/// Returns [`Error::File`] if the system fails to say what is there.
pub fn look_at(path: &Path) -> Result<Option<Metadata>, Error> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if is_absence(&error) || is_errno(&error, Errno::LOOP) => Ok(None),
        Err(error) => Err(Error::file("look at", path)(error)),
    }
}

/// Describes what is not a regular file.
pub(crate) fn kind_of(metadata: &Metadata) -> String {
    let kind = metadata.file_type();
    let what = match kind {
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a pipe",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_symlink() => "a link",
        _ => "a device",
    };
    format!("it is {what}, not a regular file")
}

/// Describes a file that has too many bytes to be what it should be.
pub(crate) fn too_long(bytes: u64, most_bytes: u64) -> String {
    format!("it has {bytes} bytes, and at most {most_bytes} were expected")
}

const NOT_REGULAR: &str = "it is a pipe, a socket or a device, not a regular file";

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
            assert!(matches!(read(&at(name), 4), Ok(Found::There(bytes)) if bytes == b"1234"), "{name}");
            assert!(matches!(read(&at(name), 3), Ok(Found::Unusable(problem)) if problem.contains("at most 3")));
        }
        for name in ["nowhere", "file/below", "dangling"] {
            assert!(matches!(read(&at(name), 4), Ok(Found::Absent)), "{name}");
        }
        for (name, what) in [("pipe", "a pipe"), ("socket", "a socket"), (".", "a folder"), ("circle", "in circles")] {
            let problem = read(&at(name), 4).unwrap().or_problem().unwrap_err();
            assert!(problem.contains(what), "{name}: {problem}");
        }
        assert!(
            matches!(read(Path::new("/dev/zero"), 4), Ok(Found::Unusable(problem)) if problem.contains("a device"))
        );
        assert!(matches!(read(&at(&"x".repeat(300)), 4), Err(Error::File { .. })), "no absence, but a failure");
    }

    #[test]
    fn nothing_is_written_through_a_link_or_into_a_pipe() {
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
