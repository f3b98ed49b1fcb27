//! Reads remote files.

use std::ops::Range;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::{GetOptions, ObjectStore, ObjectStoreScheme};

use super::remote_files::RemoteFiles;
use super::response_body;
use crate::shared::error::Error;
use crate::shared::store::Files;

impl Files for RemoteFiles {
    fn name(&self) -> &str {
        RemoteFiles::name(self)
    }

    fn read_up_to(&self, inside: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let location = self.address.location(inside)?;
        let read = self.request(&async |store: &dyn ObjectStore| {
            response_body::read_all(store.get_opts(&location, GetOptions::default()).await?, max_bytes).await
        })?;
        found(read).map_err(|error| self.failure(inside, "read the file", &error))
    }

    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if !self.supports_ranges() {
            return self.read_range_of_entire(inside, range);
        }
        let location = self.address.location(inside)?;
        let options = GetOptions { range: Some(range.clone().into()), ..GetOptions::default() };
        let wanted = range.end - range.start;
        let read = self.request(&async |store: &dyn ObjectStore| {
            response_body::read_all(store.get_opts(&location, options.clone()).await?, wanted).await
        })?;
        match read {
            Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
            Ok(bytes) => Err(self.too_short(inside, range.start + bytes.len() as u64, range.end)),
            // Simple web servers ignore the range and send the entire file.
            Err(error) if lacks_ranges(&error) => {
                self.set_without_ranges();
                self.read_range_of_entire(inside, range)
            }
            Err(error) => Err(self.failure(inside, "read a range of the file", &error)),
        }
    }

    fn file_bytes(&self, inside: &str) -> Result<Option<u64>, Error> {
        let location = self.address.location(inside)?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        let response = self.request(&async |store: &dyn ObjectStore| {
            Ok(store.get_opts(&location, options.clone()).await?.meta.size)
        })?;
        found(response).map_err(|error| self.failure(inside, "read the length of the file", &error))
    }

    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error> {
        if self.address.scheme == ObjectStoreScheme::Http {
            return Ok(None);
        }
        let prefix = self.address.prefix();
        let listed = self.request(&async |store: &dyn ObjectStore| {
            let mut bytes = 0;
            let list = store.list(prefix).try_take_while(|meta| {
                bytes += meta.location.as_ref().len() + ENTRY_BYTES;
                std::future::ready(Ok(bytes <= MAX_LIST_BYTES))
            });
            // A server could send pages without files forever.
            let listed = tokio::time::timeout(LIST_TIMEOUT, list.try_collect::<Vec<_>>()).await;
            Ok((listed, bytes))
        })?;
        let endless = |problem: String| Error::Remote { location: self.name().to_owned(), problem: problem.into() };
        let (listed, bytes) = listed.map_err(|error| self.failure("", "list the files", &error))?;
        let listed = listed
            .map_err(|_| endless(format!("the list of files was not complete after {} s", LIST_TIMEOUT.as_secs())))?;
        let listed = listed.map_err(|error| self.failure("", "list the files", &error))?;
        if bytes > MAX_LIST_BYTES {
            return Err(endless(format!(
                "the list of files takes more than {MAX_LIST_BYTES} bytes, more than that of any release"
            )));
        }
        let named = listed.into_iter().filter_map(|meta| Some((self.address.name_inside(&meta.location)?, meta.size)));
        let mut files: Vec<_> = named.collect();
        files.sort();
        Ok(Some(files))
    }
}

/// Largest list in memory: more than a store with the largest number of shards needs, with six files each.
const MAX_LIST_BYTES: usize = 1 << 30;
/// Memory of a list entry without its name.
const ENTRY_BYTES: usize = 128;
/// Long enough for millions of files, a thousand a page.
const LIST_TIMEOUT: Duration = Duration::from_mins(10);

impl RemoteFiles {
    /// Reads a range of a file from a server without range requests: skips the bytes before it, and does not await those
    /// after it.
    fn read_range_of_entire(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let location = self.address.location(inside)?;
        let wanted = range.end - range.start;
        let read = self.request(&async |store: &dyn ObjectStore| {
            response_body::read_range(store.get_opts(&location, GetOptions::default()).await?, range.start, wanted)
                .await
        })?;
        let bytes = found(read).map_err(|error| self.failure(inside, "read the file", &error))?;
        let bytes = bytes.ok_or_else(|| Error::Remote {
            location: format!("{}/{inside}", self.name()),
            problem: "missing".into(),
        })?;
        if bytes.len() as u64 == wanted {
            return Ok(bytes);
        }
        Err(self.too_short(inside, range.start + bytes.len() as u64, range.end))
    }

    fn too_short(&self, inside: &str, there: u64, wanted: u64) -> Error {
        Error::Remote {
            location: format!("{}/{inside}", self.name()),
            problem: format!("{there} bytes, expected at least {wanted}: the file was replaced").into(),
        }
    }
}

/// Returns whether the server does not support range requests.
fn lacks_ranges(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotSupported { .. }) || error.to_string().contains("non-partial")
}

/// Converts a missing file to `None`.
fn found<T>(read: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
