//! A release in a folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::Target;
use crate::release::{Content, ReleaseFile};
use crate::shared::digest::{Digest, digest_file};
use crate::shared::error::Error;
use crate::shared::regular_file;
use crate::shared::store::CHECKSUMS_BYTES;

/// A folder that a release goes to.
#[derive(Clone, Debug)]
pub struct FolderTarget {
    path: PathBuf,
    stored_as: StoredAs,
}

/// What becomes of the store's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoredAs {
    /// Copies.
    #[default]
    Copies,
    /// Other names of the same files, where the file system can; what changes one in place changes both.
    Links,
}

impl FolderTarget {
    /// A folder, which need not exist.
    #[must_use]
    pub fn new(path: PathBuf, stored_as: StoredAs) -> Self {
        Self { path, stored_as }
    }

    /// Writes a file beside its place.
    fn draft(&self, file: &ReleaseFile, draft: &Path) -> io::Result<()> {
        match &file.content {
            Content::Made(bytes) => File::create_new(draft)?.write_all(bytes)?,
            Content::Stored(path) => {
                // The second name of a link is a link, too, and leads out of the release.
                let is_file = fs::symlink_metadata(path)?.is_file();
                if self.stored_as == StoredAs::Links && is_file && fs::hard_link(path, draft).is_ok() {
                    return Ok(());
                }
                // Its permissions may be those of a store that nobody may write to.
                io::copy(&mut File::open(path)?, &mut File::create_new(draft)?)?;
            }
        }
        File::open(draft)?.sync_all()
    }
}

impl Target for FolderTarget {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn list(&self) -> Result<BTreeMap<String, u64>, Error> {
        let mut files = BTreeMap::new();
        if regular_file::look_at(&self.path)?.is_some() {
            list_below(&self.path, "", &mut files)?;
        }
        Ok(files)
    }

    fn check_room(&self, bytes: u64) -> Result<(), Error> {
        fs::create_dir_all(&self.path).map_err(Error::file("create", &self.path))?;
        let system = rustix::fs::statvfs(&self.path).map_err(io::Error::from);
        let system = system.map_err(Error::file("look at", &self.path))?;
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        if self.stored_as == StoredAs::Links || bytes <= free {
            return Ok(());
        }
        Err(Error::Release {
            place: self.name(),
            problem: format!(
                "{} MB have to be written, and its disk has {} MB left. Make room, name another place, or give --link if \
                 the store lies on the same disk",
                bytes / 1_000_000,
                free / 1_000_000
            ).into(),
        })
    }

    fn read(&self, inside: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path.join(inside);
        regular_file::read(&path, CHECKSUMS_BYTES)?.or_none("read", &path)
    }

    fn has(&self, inside: &str, sha256: &Digest) -> Result<bool, Error> {
        Ok(digest_file(&self.path.join(inside))?.0 == *sha256)
    }

    fn put(&self, file: &ReleaseFile) -> Result<(), Error> {
        let place = self.path.join(&file.path);
        let folder = place.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        let draft = place.with_file_name(format!("{DRAFT}{}", file.path.rsplit('/').next().unwrap_or_default()));
        // One that a killed delivery left may be a link to the store's file: writing into it would change that.
        let _ = fs::remove_file(&draft);
        let drafted = self.draft(file, &draft);
        if drafted.is_err() {
            let _ = fs::remove_file(&draft);
        }
        drafted.map_err(Error::file("write", &place))?;
        fs::rename(&draft, &place).map_err(Error::file("move into place", &place))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file("flush", folder))
    }

    fn digest_of(&self, file: &ReleaseFile) -> Result<Digest, Error> {
        Ok(digest_file(&self.path.join(&file.path))?.0)
    }

    fn remove(&self, inside: &str) -> Result<(), Error> {
        let path = self.path.join(inside);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::file("remove", &path)(error)),
        }
        // A folder that has become empty is of no older release any more.
        let folder = path.parent().filter(|folder| *folder != self.path);
        let _ = folder.map(fs::remove_dir);
        Ok(())
    }
}

/// What a file is called while it is written.
const DRAFT: &str = ".relabel-";

fn list_below(folder: &Path, inside: &str, files: &mut BTreeMap<String, u64>) -> Result<(), Error> {
    let listed = fs::read_dir(folder).map_err(Error::file("list", folder))?;
    for entry in listed {
        let entry = entry.map_err(Error::file("list", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, inside) = (entry.path(), if inside.is_empty() { name.clone() } else { format!("{inside}/{name}") });
        // What a link to a folder leads to is not the release's: it is listed as a file, which belongs to none.
        let metadata = fs::symlink_metadata(&path).map_err(Error::file("look at", &path))?;
        if metadata.is_dir() {
            list_below(&path, &inside, files)?;
        } else if !name.starts_with(DRAFT) {
            // Drafts are of a delivery that was killed; the next one writes them anew.
            let there = regular_file::look_at(&path)?.filter(fs::Metadata::is_file);
            files.insert(inside, there.map_or(0, |there| there.len()));
        }
    }
    Ok(())
}
