//! The only code that puts files into a store.
//!
//! A file is written under `.staging/`, flushed to the disk, and only then renamed to its place; then the folder that
//! now names it is flushed too. So a file that is in its place is whole, whenever the machine stops
//! (tests `kill::a_killed_run_resumes_to_the_same_bytes`, `faults::a_failure_at_any_step_of_a_commit_loses_nothing`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::names;
use super::part::Part;
use crate::shared::digest::{Digest, DigestBuilder, digest_file};
use crate::shared::error::Error;
use crate::shared::regular_file;

/// Puts the files of one writer into their places.
#[derive(Debug)]
pub(super) struct Committer {
    store: PathBuf,
    staging: PathBuf,
    faults: Faults,
}

impl Committer {
    /// For the writer of a part, in a folder of its own: writers beside each other never share a staged name.
    pub(super) fn new(store: &Path, part: Part, faults: Faults) -> Result<Self, Error> {
        let staging = store.join(names::STAGING).join(part.to_string());
        create_own_folder(&staging)?;
        Ok(Self { store: store.to_path_buf(), staging, faults })
    }

    /// Puts `bytes` into the store at `inside`, a path relative to it, whole or not at all.
    pub(super) fn file(&self, inside: &str, bytes: &[u8]) -> Result<(), Error> {
        let staged = self.staging.join(inside.replace('/', "~"));
        let result = self.stage_and_move(inside, &staged, bytes);
        if result.is_err() {
            // On a full disk its space is wanted.
            let _ = fs::remove_file(&staged);
        }
        result
    }

    /// Puts a file that lies elsewhere into the store at `inside`, whole or not at all. It is read on the way, also where
    /// it is linked, and must have this digest. Gives what was done: a link becomes a copy where the file systems do not
    /// allow it.
    pub(super) fn place(&self, inside: &str, from: &Path, sha256: &Digest, by: PlaceBy) -> Result<PlaceBy, Error> {
        let staged = self.staging.join(inside.replace('/', "~"));
        let result = self.stage_copy_or_link(from, &staged, by).and_then(|(done, digest)| {
            if digest != *sha256 {
                return Err(Error::File {
                    action: "take over",
                    path: from.to_path_buf(),
                    source: io::Error::other(format!("its sha256 is {digest}, {sha256} when it was written")),
                });
            }
            self.move_into_place(inside, &staged)?;
            Ok(done)
        });
        // Between two names of one file, a rename does nothing. And on a full disk its space is wanted.
        let _ = fs::remove_file(&staged);
        result
    }

    /// Takes a file out of the store, if it is there, for good.
    pub(super) fn remove(&self, inside: &str) -> Result<(), Error> {
        let place = self.store.join(inside);
        match self.faults.step().and_then(|()| fs::remove_file(&place)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::file("remove", &place)(error)),
        }
        let folder = place.parent().unwrap_or(&self.store);
        self.faults.step().and_then(|()| flush_folder(folder)).map_err(Error::file("flush", folder))
    }

    fn stage_and_move(&self, inside: &str, staged: &Path, bytes: &[u8]) -> Result<(), Error> {
        let created = self.faults.step().and_then(|()| create_staged(staged));
        let mut file = created.map_err(Error::file("create", staged))?;
        self.write(&mut file, bytes).map_err(Error::file("write", staged))?;
        self.faults.step().and_then(|()| file.sync_all()).map_err(Error::file("flush", staged))?;
        self.move_into_place(inside, staged)
    }

    /// Names a whole, flushed file as the store knows it.
    fn move_into_place(&self, inside: &str, staged: &Path) -> Result<(), Error> {
        let place = self.store.join(inside);
        self.faults.step().and_then(|()| fs::rename(staged, &place)).map_err(Error::file("move into place", &place))?;
        let folder = place.parent().unwrap_or(&self.store);
        self.faults.step().and_then(|()| flush_folder(folder)).map_err(Error::file("flush", folder))
    }

    /// Gives what was done, and the digest of what now lies at `staged`.
    fn stage_copy_or_link(&self, from: &Path, staged: &Path, by: PlaceBy) -> Result<(PlaceBy, Digest), Error> {
        let by = match by {
            PlaceBy::Link => self.link(from, staged)?,
            PlaceBy::Copy => PlaceBy::Copy,
        };
        if by == PlaceBy::Link {
            let (digest, _) = digest_file(staged)?;
            let flushed = self.faults.step().and_then(|()| File::open(staged)?.sync_all());
            flushed.map_err(Error::file("flush", staged))?;
            return Ok((by, digest));
        }
        let absent = || Error::file("open", from)(ErrorKind::NotFound.into());
        let (mut source, _) = regular_file::open(from)?.or_none("open", from)?.ok_or_else(absent)?;
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
        Ok((by, digest.finish()))
    }

    fn link(&self, from: &Path, staged: &Path) -> Result<PlaceBy, Error> {
        let _ = fs::remove_file(staged);
        match self.faults.step().and_then(|()| fs::hard_link(from, staged)) {
            // The second name of a link is a link, too, and leads out of the store.
            Ok(()) if !fs::symlink_metadata(staged).map_err(Error::file("look at", staged))?.is_file() => {
                fs::remove_file(staged).map_err(Error::file("remove", staged))?;
                Ok(PlaceBy::Copy)
            }
            Ok(()) => Ok(PlaceBy::Link),
            // Two file systems, one that has no links, a file that is another user's, or one that has all it may have.
            Err(error) if LINKS_ARE_REFUSED.contains(&error.kind()) => Ok(PlaceBy::Copy),
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

/// How a file that lies elsewhere gets into a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceBy {
    /// As a copy of its own.
    Copy,
    /// As a second name of the same file. Takes no space; who changed one of them in place would change both.
    Link,
}

const LINKS_ARE_REFUSED: [ErrorKind; 4] =
    [ErrorKind::CrossesDevices, ErrorKind::Unsupported, ErrorKind::PermissionDenied, ErrorKind::TooManyLinks];

/// Failures on purpose, for tests: a commit's nth step fails as a full disk would.
#[derive(Debug, Default)]
pub struct Faults {
    /// Steps that still go well; `None` where all do.
    left: Option<AtomicUsize>,
}

impl Faults {
    /// Lets so many steps go well; the next one and all after it fail.
    #[must_use]
    pub fn after_steps(steps: usize) -> Self {
        Self { left: Some(AtomicUsize::new(steps)) }
    }

    fn step(&self) -> io::Result<()> {
        let Some(left) = &self.left else { return Ok(()) };
        let went_well = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok();
        if went_well { Ok(()) } else { Err(io::Error::other("failed on purpose")) }
    }
}

fn create_staged(staged: &Path) -> io::Result<File> {
    regular_file::open_to_write(OpenOptions::new().write(true).create(true).truncate(true), staged)
}

/// Creates a folder inside the store, if it is not there. A link to a folder is refused: what is behind it is not the
/// store's to write to.
pub(super) fn create_own_folder(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => Ok(()),
        Ok(there) if there.is_symlink() => Err(Error::File {
            action: "write to",
            path: path.to_path_buf(),
            source: io::Error::new(
                ErrorKind::InvalidInput,
                "it is a link, and a store's folders are its own\n  help: move the folder that it leads to into its place",
            ),
        }),
        Ok(_) => Err(Error::file("create", path)(ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => create_folder(path),
        Err(error) => Err(Error::file("look at", path)(error)),
    }
}

/// Creates a folder, if it is not there.
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

/// Makes a rename in a folder last through a power cut.
fn flush_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes what interrupted writers of this part, or of parts that share shards with it, left in `.staging/`.
/// The caller holds the lock of its part, so that none of them is alive.
pub(super) fn clear_staging(store: &Path, part: Part, shards: usize) -> Result<(), Error> {
    let staging = store.join(names::STAGING);
    for left in fs::read_dir(&staging).map_err(Error::file("list", &staging))? {
        let left = left.map_err(Error::file("list", &staging))?;
        let owner = left.file_name().to_str().and_then(|name| name.parse::<Part>().ok());
        if owner.is_some_and(|owner| owner == part || owner.overlaps(part, shards)) {
            let is_folder = left.file_type().map_err(Error::file("look at", &left.path()))?.is_dir();
            let removed = if is_folder { fs::remove_dir_all(left.path()) } else { fs::remove_file(left.path()) };
            removed.map_err(Error::file("remove", &left.path()))?;
        }
    }
    Ok(())
}
