//! The only code that puts files into a store.
//!
//! A file is written under `.staging/`, flushed to the disk, and only then renamed to its place; then the folder that
//! now names it is flushed too. So a file that is in its place is whole, whenever the machine stops
//! (tests `kill::a_killed_run_resumes_to_the_same_bytes`, `mishaps::a_failure_at_any_step_of_a_commit_loses_nothing`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::names;
use super::part::Part;
use crate::error::Error;

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
        create_folder(&staging)?;
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
        let place = self.store.join(inside);
        let created =
            self.faults.step().and_then(|()| OpenOptions::new().write(true).create(true).truncate(true).open(staged));
        let mut file = created.map_err(Error::file("create", staged))?;
        self.write(&mut file, bytes).map_err(Error::file("write", staged))?;
        self.faults.step().and_then(|()| file.sync_all()).map_err(Error::file("flush", staged))?;
        self.faults.step().and_then(|()| fs::rename(staged, &place)).map_err(Error::file("move into place", &place))?;
        let folder = place.parent().unwrap_or(&self.store);
        self.faults.step().and_then(|()| flush_folder(folder)).map_err(Error::file("flush", folder))
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        self.faults.step()?;
        file.write_all(second)
    }
}

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

/// Creates a folder of the store, if it is not there.
pub(super) fn create_folder(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
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
    for left in fs::read_dir(&staging).map_err(Error::file("list", &staging))?.filter_map(Result::ok) {
        let owner = left.file_name().to_str().and_then(|name| name.parse::<Part>().ok());
        if owner.is_some_and(|owner| owner == part || owner.overlaps(part, shards)) {
            fs::remove_dir_all(left.path()).map_err(Error::file("remove", &left.path()))?;
        }
    }
    Ok(())
}
