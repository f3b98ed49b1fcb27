//! A release in an object store.

use std::collections::BTreeMap;

use super::Target;
use crate::release::verify::digest_of;
use crate::release::{Content, ReleaseFile};
use crate::shared::digest::Digest;
use crate::shared::error::Error;
use crate::shared::remote::{RemoteFiles, UploadSource};
use crate::shared::store::{CHECKSUMS_BYTES, Files as _};

/// A prefix in a bucket that a release goes to.
#[derive(Debug)]
pub struct BucketTarget {
    remote: RemoteFiles,
}

impl BucketTarget {
    /// A place that was opened for writing.
    #[must_use]
    pub fn new(remote: RemoteFiles) -> Self {
        Self { remote }
    }
}

impl Target for BucketTarget {
    fn name(&self) -> String {
        self.remote.name().to_owned()
    }

    fn list(&self) -> Result<BTreeMap<String, u64>, Error> {
        Ok(self.remote.list()?.unwrap_or_default().into_iter().collect())
    }

    fn check_room(&self, _bytes: u64) -> Result<(), Error> {
        Ok(())
    }

    fn read(&self, inside: &str) -> Result<Option<Vec<u8>>, Error> {
        self.remote.read_up_to(inside, CHECKSUMS_BYTES)
    }

    fn has(&self, inside: &str, sha256: &Digest) -> Result<bool, Error> {
        Ok(self.remote.stored_digest(inside)?.is_some_and(|noted| noted == sha256.as_str()))
    }

    fn put(&self, file: &ReleaseFile) -> Result<(), Error> {
        let sent = match &file.content {
            Content::Made(bytes) => UploadSource::Bytes(bytes),
            Content::Stored(path) => UploadSource::File(path),
        };
        self.remote.put(&file.path, sent, &file.sha256)
    }

    fn digest_of(&self, file: &ReleaseFile) -> Result<Digest, Error> {
        // A file that has become longer shows in the list, a shorter one here.
        digest_of(&self.remote, &file.path, file.bytes)
    }

    fn remove(&self, inside: &str) -> Result<(), Error> {
        self.remote.remove(inside)
    }
}
