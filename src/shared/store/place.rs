//! Where a store that is read lies: in a folder, or elsewhere.

use std::path::PathBuf;
use std::sync::Arc;

use super::files::{Files, SMALL_FILE_BYTES};
use super::info::StoreInfo;
use super::names;
use super::seen::Seen;
use crate::shared::error::Error;
use crate::shared::manifest::{Manifest, read_known_manifest, read_known_manifest_bytes};
use crate::shared::regular_file;

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
        regular_file::read(&path, SMALL_FILE_BYTES)?.or_none("read", &path)
    }

    /// The list of images, which is the one that the store vouches for or none.
    pub(super) fn manifest(&self, info: &StoreInfo) -> Result<Manifest, Error> {
        match self {
            Self::Folder { path, .. } => {
                let path = path.join(names::MANIFEST);
                read_known_manifest(&path, &info.manifest_sha256, info.most_manifest_bytes(), info.images)
            }
            Self::Elsewhere { files } => {
                let bytes = files.read_known(names::MANIFEST, &info.manifest_sha256, info.most_manifest_bytes())?;
                let place = format!("{}/{}", files.name(), names::MANIFEST);
                read_known_manifest_bytes(bytes, info.images)
                    .map_err(|problem| Error::Remote { place, problem: problem.into() })
            }
        }
    }
}
