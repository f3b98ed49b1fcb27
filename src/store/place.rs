//! Where a store that is read lies: in a folder, or elsewhere.

use std::path::PathBuf;
use std::sync::Arc;

use super::files::Files;
use super::info::StoreInfo;
use super::names;
use super::seen::Seen;
use crate::error::Error;
use crate::manifest::{Manifest, read_known_manifest, read_known_manifest_bytes};

/// Where a store lies.
pub(super) enum Place {
    /// In a folder of this machine, with what is known of files that were compared before.
    Folder { path: PathBuf, seen: Seen },
    /// Anywhere else.
    Elsewhere { files: Arc<dyn Files> },
}

impl Place {
    pub(super) fn folder(path: PathBuf) -> Self {
        let seen = Seen::read(&path);
        Self::Folder { path, seen }
    }

    /// A small file of the store; `None` where it is not there.
    pub(super) fn read(&self, inside: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = match self {
            Self::Folder { path, .. } => path.join(inside),
            Self::Elsewhere { files } => return files.read(inside),
        };
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", &path)(error)),
        }
    }

    /// The list of images, which is the one that the store vouches for or none.
    pub(super) fn manifest(&self, info: &StoreInfo) -> Result<Manifest, Error> {
        match self {
            Self::Folder { path, .. } => read_known_manifest(&path.join(names::MANIFEST), &info.manifest_sha256),
            Self::Elsewhere { files } => {
                let bytes = files.read_known(names::MANIFEST, &info.manifest_sha256)?;
                let place = format!("{}/{}", files.name(), names::MANIFEST);
                read_known_manifest_bytes(bytes).map_err(|problem| Error::Remote { place, problem })
            }
        }
    }
}
