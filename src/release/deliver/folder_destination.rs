//! Delivers a release to a folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::destination::{DeliveryError, ReleaseDestination};
use crate::release::release_file::{FileContent, ReleaseFile};
use crate::shared::digest::{Digest, digest_file};
use crate::shared::error::Error;
use crate::shared::regular_file;
use crate::shared::store::CHECKSUMS_BYTES;

/// A folder.
#[derive(Clone, Debug)]
pub struct FolderDestination {
    path: PathBuf,
    link_mode: LinkMode,
}

/// How files of the store are added to the release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkMode {
    /// They are copied.
    #[default]
    Copy,
    /// They are hard-linked if the file system allows it. Changing one in place then changes both.
    Hardlink,
}

impl FolderDestination {
    /// Creates the destination of a folder, which may not exist yet.
    #[must_use]
    pub fn new(path: PathBuf, link_mode: LinkMode) -> Self {
        Self { path, link_mode }
    }

    /// Writes a file under a temporary name.
    fn write_draft(&self, file: &ReleaseFile, draft: &Path) -> io::Result<()> {
        match &file.content {
            FileContent::Memory(bytes) => File::create_new(draft)?.write_all(bytes)?,
            FileContent::Disk(path) => {
                // A hard link to a symbolic link is a symbolic link, which points outside the release.
                let is_file = fs::symlink_metadata(path)?.is_file();
                if self.link_mode == LinkMode::Hardlink && is_file && fs::hard_link(path, draft).is_ok() {
                    return Ok(());
                }
                // Permissions are not copied: the store may be read-only.
                io::copy(&mut File::open(path)?, &mut File::create_new(draft)?)?;
            }
        }
        File::open(draft)?.sync_all()
    }
}

impl ReleaseDestination for FolderDestination {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn list(&self) -> Result<BTreeMap<String, u64>, Error> {
        let mut files = BTreeMap::new();
        if regular_file::metadata(&self.path)?.is_some() {
            list_below(&self.path, "", &mut files)?;
        }
        Ok(files)
    }

    fn check_space(&self, bytes: u64) -> Result<(), Error> {
        fs::create_dir_all(&self.path).map_err(Error::file("create", &self.path))?;
        let system = rustix::fs::statvfs(&self.path).map_err(io::Error::from);
        let system = system.map_err(Error::file("inspect", &self.path))?;
        let available = system.f_bavail.saturating_mul(system.f_frsize);
        if self.link_mode == LinkMode::Hardlink || bytes <= available {
            return Ok(());
        }
        Err(DeliveryError::NoSpace { needed: bytes, available }.at(self))
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let file = self.path.join(path);
        regular_file::read(&file, CHECKSUMS_BYTES)?.or_none("read", &file)
    }

    fn has(&self, path: &str, sha256: &Digest) -> Result<bool, Error> {
        Ok(digest_file(&self.path.join(path))?.0 == *sha256)
    }

    fn put(&self, file: &ReleaseFile) -> Result<(), Error> {
        let destination = self.path.join(&file.path);
        let folder = destination.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        let draft = destination.with_file_name(format!("{DRAFT}{}", file.path.rsplit('/').next().unwrap_or_default()));
        // A draft of a killed delivery may be a hard link to the store's file, which writing to it would change.
        let _ = fs::remove_file(&draft);
        let written = self.write_draft(file, &draft);
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written.map_err(Error::file("write", &destination))?;
        fs::rename(&draft, &destination).map_err(Error::file("create", &destination))?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file("flush", folder))
    }

    fn digest_of(&self, file: &ReleaseFile) -> Result<Digest, Error> {
        Ok(digest_file(&self.path.join(&file.path))?.0)
    }

    fn remove(&self, path: &str) -> Result<(), Error> {
        let file = self.path.join(path);
        match fs::remove_file(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::file("remove", &file)(error)),
        }
        // Removes the folder if it is now empty.
        let folder = file.parent().filter(|folder| *folder != self.path);
        let _ = folder.map(fs::remove_dir);
        Ok(())
    }
}

/// Prefix of the temporary names of files that are being written.
const DRAFT: &str = ".relabel-";

fn list_below(folder: &Path, inside: &str, files: &mut BTreeMap<String, u64>) -> Result<(), Error> {
    let listed = fs::read_dir(folder).map_err(Error::file("list", folder))?;
    for entry in listed {
        let entry = entry.map_err(Error::file("list", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, inside) = (entry.path(), if inside.is_empty() { name.clone() } else { format!("{inside}/{name}") });
        // A link to a folder is not followed, but listed as a file, which does not belong to the release.
        let metadata = fs::symlink_metadata(&path).map_err(Error::file("inspect", &path))?;
        if metadata.is_dir() {
            list_below(&path, &inside, files)?;
        } else if !name.starts_with(DRAFT) {
            // Drafts are left by a killed delivery; the next one overwrites them.
            let found = regular_file::metadata(&path)?.filter(fs::Metadata::is_file);
            files.insert(inside, found.map_or(0, |found| found.len()));
        }
    }
    Ok(())
}
