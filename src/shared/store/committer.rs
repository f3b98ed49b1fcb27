//! Writes files into a store. No other code does.
//!
//! A file is written in `.staging/`, flushed to disk and then renamed to its final path; then its folder is flushed too.
//! A file at its final path is therefore complete even after a power cut
//! (tests `kill::a_killed_run_resumes_to_the_same_bytes`, `faults::a_failure_at_any_step_of_a_commit_loses_nothing`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::layout;
use super::part::Part;
use crate::shared::digest::{Digest, DigestBuilder, digest_file};
use crate::shared::error::Error;
use crate::shared::regular_file;

/// Writes the files of one writer.
#[derive(Debug)]
pub(super) struct Committer {
    store: PathBuf,
    staging: PathBuf,
    faults: FaultInjection,
}

impl Committer {
    /// Creates the committer of a writer, which has a staging folder of its own: concurrent writers never share a staged
    /// name. That of a part of a run is named after the part.
    pub(super) fn new(store: &Path, writer: &str, faults: FaultInjection) -> Result<Self, Error> {
        let staging = store.join(layout::STAGING).join(writer);
        create_own_folder(&staging)?;
        Ok(Self { store: store.to_path_buf(), staging, faults })
    }

    /// Writes `bytes` to the path `inside` the store, atomically.
    pub(super) fn write_file(&self, inside: &str, bytes: &[u8]) -> Result<(), Error> {
        let staged = self.staging.join(inside.replace('/', "~"));
        let result = self.stage_and_move(inside, &staged, bytes);
        if result.is_err() {
            // Its space may be needed on a full disk.
            let _ = fs::remove_file(&staged);
        }
        result
    }

    /// Copies or links the file `from` to the path `inside` the store, atomically. The file is read either way, and must
    /// have this digest. Returns the mode that was used: a file is copied if the file systems do not allow a link.
    pub(super) fn copy_file(
        &self,
        inside: &str,
        from: &Path,
        sha256: &Digest,
        mode: CopyMode,
    ) -> Result<CopyMode, Error> {
        let staged = self.staging.join(inside.replace('/', "~"));
        let result = self.stage_copy_or_link(from, &staged, mode).and_then(|(done, digest)| {
            if digest != *sha256 {
                return Err(Error::File {
                    action: "copy",
                    path: from.to_path_buf(),
                    source: io::Error::other(format!("sha256 {digest}, its record lists {sha256}")),
                });
            }
            self.move_into_place(inside, &staged)?;
            Ok(done)
        });
        // A rename between two links to one file does nothing, and the space may be needed on a full disk.
        let _ = fs::remove_file(&staged);
        result
    }

    /// Removes a file from the store durably, if it exists.
    pub(super) fn remove(&self, inside: &str) -> Result<(), Error> {
        let path = self.store.join(inside);
        match self.faults.step().and_then(|()| fs::remove_file(&path)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::file("remove", &path)(error)),
        }
        let folder = path.parent().unwrap_or(&self.store);
        self.faults.step().and_then(|()| flush_folder(folder)).map_err(Error::file("flush", folder))
    }

    fn stage_and_move(&self, inside: &str, staged: &Path, bytes: &[u8]) -> Result<(), Error> {
        let created = self.faults.step().and_then(|()| create_staged(staged));
        let mut file = created.map_err(Error::file("create", staged))?;
        self.write(&mut file, bytes).map_err(Error::file("write", staged))?;
        self.faults.step().and_then(|()| file.sync_all()).map_err(Error::file("flush", staged))?;
        self.move_into_place(inside, staged)
    }

    /// Renames a complete, flushed file to its final path.
    fn move_into_place(&self, inside: &str, staged: &Path) -> Result<(), Error> {
        let path = self.store.join(inside);
        self.faults.step().and_then(|()| fs::rename(staged, &path)).map_err(Error::file("write", &path))?;
        let folder = path.parent().unwrap_or(&self.store);
        self.faults.step().and_then(|()| flush_folder(folder)).map_err(Error::file("flush", folder))
    }

    /// Returns the mode that was used, and the digest of the staged file.
    fn stage_copy_or_link(&self, from: &Path, staged: &Path, mode: CopyMode) -> Result<(CopyMode, Digest), Error> {
        let mode = match mode {
            CopyMode::Link => self.link(from, staged)?,
            CopyMode::Copy => CopyMode::Copy,
        };
        if mode == CopyMode::Link {
            let (digest, _) = digest_file(staged)?;
            let flushed = self.faults.step().and_then(|()| File::open(staged)?.sync_all());
            flushed.map_err(Error::file("flush", staged))?;
            return Ok((mode, digest));
        }
        let missing = || Error::file("open", from)(ErrorKind::NotFound.into());
        let (mut source, _) = regular_file::open(from)?.or_none("open", from)?.ok_or_else(missing)?;
        let created = self.faults.step().and_then(|()| create_staged(staged));
        let mut file = created.map_err(Error::file("create", staged))?;
        let (mut digest, mut piece) = (DigestBuilder::default(), vec![0; 1 << 20]);
        loop {
            let read = source.read(&mut piece).map_err(Error::file("read", from))?;
            if read == 0 {
                break;
            }
            digest.add(&piece[..read]);
            let written = self.faults.step().and_then(|()| file.write_all(&piece[..read]));
            written.map_err(Error::file("write", staged))?;
        }
        self.faults.step().and_then(|()| file.sync_all()).map_err(Error::file("flush", staged))?;
        Ok((mode, digest.finish()))
    }

    fn link(&self, from: &Path, staged: &Path) -> Result<CopyMode, Error> {
        let _ = fs::remove_file(staged);
        match self.faults.step().and_then(|()| fs::hard_link(from, staged)) {
            // A hard link to a symbolic link is a symbolic link too, and may resolve outside the store.
            Ok(()) if !fs::symlink_metadata(staged).map_err(Error::file("inspect", staged))?.is_file() => {
                fs::remove_file(staged).map_err(Error::file("remove", staged))?;
                Ok(CopyMode::Copy)
            }
            Ok(()) => Ok(CopyMode::Link),
            // Two file systems, one without hard links, a file of another user, or one with too many links.
            Err(error) if LINK_REFUSALS.contains(&error.kind()) => Ok(CopyMode::Copy),
            Err(error) => Err(Error::file("link", from)(error)),
        }
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        self.faults.step()?;
        file.write_all(second)
    }
}

/// How a merge transfers files into the new store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyMode {
    /// Copy the file.
    Copy,
    /// Create a hard link, which takes no space. A change in place would change both stores.
    Link,
}

const LINK_REFUSALS: [ErrorKind; 4] =
    [ErrorKind::CrossesDevices, ErrorKind::Unsupported, ErrorKind::PermissionDenied, ErrorKind::TooManyLinks];

/// Injected failures, for tests: the nth step of a commit fails as on a full disk.
#[derive(Debug, Default)]
pub struct FaultInjection {
    /// Steps that still succeed; `None` if all do.
    left: Option<AtomicUsize>,
}

impl FaultInjection {
    /// Lets `steps` steps succeed; the next one and all after it fail.
    #[must_use]
    pub fn after_steps(steps: usize) -> Self {
        Self { left: Some(AtomicUsize::new(steps)) }
    }

    fn step(&self) -> io::Result<()> {
        let Some(left) = &self.left else { return Ok(()) };
        let succeeds = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok();
        if succeeds { Ok(()) } else { Err(io::Error::other("failed on purpose")) }
    }
}

fn create_staged(staged: &Path) -> io::Result<File> {
    regular_file::open_to_write(OpenOptions::new().write(true).create(true).truncate(true), staged)
}

/// Creates a folder inside the store if it does not exist. A link to a folder is refused, since its target does not belong
/// to the store.
pub(super) fn create_own_folder(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(there) if there.is_symlink() => Err(Error::File {
            action: "write to",
            path: path.to_path_buf(),
            source: io::Error::new(
                ErrorKind::InvalidInput,
                "a symbolic link, and the folders of a store must not be links\n  help: replace the link by the folder that it points to",
            ),
        }),
        Ok(_) => Err(Error::file("create", path)(ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => create_folder(path),
        Err(error) => Err(Error::file("inspect", path)(error)),
    }
}

/// Creates a folder if it does not exist.
pub(super) fn create_folder(path: &Path) -> Result<(), Error> {
    if regular_file::metadata(path)?.is_some_and(|there| there.is_dir()) {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(Error::file("create", path))?;
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => flush_folder(parent).map_err(Error::file("flush", parent)),
        None => Ok(()),
    }
}

/// Makes renames in a folder durable.
fn flush_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes the files that interrupted writers of this part, or of parts that share shards with it, left in `.staging/`.
/// The caller holds the lock of its part, so that none of these writers is running.
pub(super) fn clear_staging(store: &Path, part: Part, shards: usize) -> Result<(), Error> {
    let staging = store.join(layout::STAGING);
    for left in fs::read_dir(&staging).map_err(Error::file("list", &staging))? {
        let left = left.map_err(Error::file("list", &staging))?;
        let owner = left.file_name().to_str().and_then(|name| name.parse::<Part>().ok());
        if owner.is_some_and(|owner| owner == part || owner.overlaps(part, shards)) {
            let is_folder = left.file_type().map_err(Error::file("inspect", &left.path()))?.is_dir();
            let removed = if is_folder { fs::remove_dir_all(left.path()) } else { fs::remove_file(left.path()) };
            removed.map_err(Error::file("remove", &left.path()))?;
        }
    }
    Ok(())
}
