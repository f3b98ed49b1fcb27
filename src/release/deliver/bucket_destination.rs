//! Delivers a release to an object store.

use std::collections::BTreeMap;

use super::destination::ReleaseDestination;
use crate::release::checksums::digest_of;
use crate::release::release_file::{FileContent, ReleaseFile};
use crate::shared::digest::Digest;
use crate::shared::error::Error;
use crate::shared::remote::{RemoteFiles, UploadSource};
use crate::shared::store::{CHECKSUMS_BYTES, Files as _};

/// A prefix in a bucket.
#[derive(Debug)]
pub struct BucketDestination {
    remote: RemoteFiles,
}

impl BucketDestination {
    /// Wraps a prefix that was opened for writing.
    #[must_use]
    pub fn new(remote: RemoteFiles) -> Self {
        Self { remote }
    }
}

impl ReleaseDestination for BucketDestination {
    fn name(&self) -> String {
        self.remote.name().to_owned()
    }

    fn list(&self) -> Result<BTreeMap<String, u64>, Error> {
        Ok(self.remote.list()?.unwrap_or_default().into_iter().collect())
    }

    fn check_space(&self, _bytes: u64) -> Result<(), Error> {
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        self.remote.read_up_to(path, CHECKSUMS_BYTES)
    }

    fn has(&self, path: &str, sha256: &Digest) -> Result<bool, Error> {
        Ok(self.remote.stored_digest(path)?.is_some_and(|noted| noted == sha256.as_str()))
    }

    fn put(&self, file: &ReleaseFile) -> Result<(), Error> {
        let sent = match &file.content {
            FileContent::Memory(bytes) => UploadSource::Bytes(bytes),
            FileContent::Disk(path) => UploadSource::File(path),
        };
        self.remote.put(&file.path, sent, &file.sha256)
    }

    fn digest_of(&self, file: &ReleaseFile) -> Result<Digest, Error> {
        // A file that became longer is found by its listed length, a shorter one by this read.
        digest_of(&self.remote, &file.path, file.bytes)
    }

    fn remove(&self, path: &str) -> Result<(), Error> {
        self.remote.remove(path)
    }
}
