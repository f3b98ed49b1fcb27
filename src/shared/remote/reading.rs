//! What lies in a place, read as the files of a store.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::{GetOptions, ObjectStore, ObjectStoreScheme};

use super::words::failure;
use super::{Remote, body};
use crate::shared::error::Error;
use crate::shared::store::Files;

impl Files for Remote {
    fn name(&self) -> &str {
        Remote::name(self)
    }

    fn read_up_to(&self, inside: &str, most_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let location = self.address.of_file(inside)?;
        let read = self.ask(&async |store: &dyn ObjectStore| {
            body::all(store.get_opts(&location, GetOptions::default()).await?, most_bytes).await
        })?;
        found(read).map_err(|error| failure(self, inside, "read it", &error))
    }

    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if !self.gives_ranges() {
            return self.part_of_whole(inside, range);
        }
        let location = self.address.of_file(inside)?;
        let options = GetOptions { range: Some(range.clone().into()), ..GetOptions::default() };
        let wanted = range.end - range.start;
        let read = self.ask(&async |store: &dyn ObjectStore| {
            body::all(store.get_opts(&location, options.clone()).await?, wanted).await
        })?;
        match read {
            Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
            Ok(bytes) => Err(self.too_short(inside, range.start + bytes.len() as u64, range.end)),
            // Small web servers give the whole file, whatever part of it was asked for.
            Err(error) if is_without_ranges(&error) => {
                self.gives_ranges.store(false, Ordering::Relaxed);
                self.part_of_whole(inside, range)
            }
            Err(error) => Err(failure(self, inside, "read a part of it", &error)),
        }
    }

    fn bytes_of(&self, inside: &str) -> Result<Option<u64>, Error> {
        let location = self.address.of_file(inside)?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        let asked =
            self.ask(&async |store: &dyn ObjectStore| Ok(store.get_opts(&location, options.clone()).await?.meta.size))?;
        found(asked).map_err(|error| failure(self, inside, "ask for its length", &error))
    }

    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error> {
        if self.address.scheme == ObjectStoreScheme::Http {
            return Ok(None);
        }
        let prefix = self.address.prefix();
        let listed = self.ask(&async |store: &dyn ObjectStore| {
            let mut bytes = 0;
            let list = store.list(prefix).try_take_while(|meta| {
                bytes += meta.location.as_ref().len() + LISTED_BYTES;
                std::future::ready(Ok(bytes <= MOST_LISTED_BYTES))
            });
            // A server may also say without end that there is more, and name nothing.
            let listed = tokio::time::timeout(LIST_PATIENCE, list.try_collect::<Vec<_>>()).await;
            Ok((listed, bytes))
        })?;
        let endless = |problem: String| Error::Remote { place: self.name().to_owned(), problem: problem.into() };
        let (listed, bytes) = listed.map_err(|error| failure(self, "", "list it", &error))?;
        let listed =
            listed.map_err(|_| endless(format!("its list did not end within {} s", LIST_PATIENCE.as_secs())))?;
        let listed = listed.map_err(|error| failure(self, "", "list it", &error))?;
        if bytes > MOST_LISTED_BYTES {
            return Err(endless(format!("its list has more than {MOST_LISTED_BYTES} bytes, which no release has")));
        }
        let named = listed.into_iter().filter_map(|meta| Some((self.address.name_of(&meta.location)?, meta.size)));
        let mut files: Vec<_> = named.collect();
        files.sort();
        Ok(Some(files))
    }
}

/// Most bytes of a list in memory: more than a store of the most shards has, six files each.
const MOST_LISTED_BYTES: usize = 1 << 30;
/// What a listed file takes besides its name.
const LISTED_BYTES: usize = 128;
/// Long enough for millions of files, a thousand a page.
const LIST_PATIENCE: Duration = Duration::from_mins(10);

impl Remote {
    /// A part of a file that is only given as a whole: what lies before it is thrown away, and what lies behind it is not
    /// waited for.
    fn part_of_whole(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let location = self.address.of_file(inside)?;
        let wanted = range.end - range.start;
        let read = self.ask(&async |store: &dyn ObjectStore| {
            body::part(store.get_opts(&location, GetOptions::default()).await?, range.start, wanted).await
        })?;
        let bytes = found(read).map_err(|error| failure(self, inside, "read it", &error))?;
        let bytes = bytes.ok_or_else(|| Error::Remote {
            place: format!("{}/{inside}", self.name()),
            problem: "it is not there".into(),
        })?;
        if bytes.len() as u64 == wanted {
            return Ok(bytes);
        }
        Err(self.too_short(inside, range.start + bytes.len() as u64, range.end))
    }

    fn too_short(&self, inside: &str, there: u64, wanted: u64) -> Error {
        Error::Remote {
            place: format!("{}/{inside}", self.name()),
            problem: format!(
                "it has {there} bytes, and bytes up to {wanted} were expected: it is not the file it should be"
            )
            .into(),
        }
    }
}

/// Whether a server has no parts of files to give.
fn is_without_ranges(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotSupported { .. }) || error.to_string().contains("non-partial")
}

/// `None` for what is not there.
fn found<T>(read: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
