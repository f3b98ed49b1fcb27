//! A remote location for tests: a folder, with at most one fault.

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;

use relabel::shared::error::Error;
use relabel::shared::store::{Files, FolderFiles};

pub struct FaultyFiles {
    pub files: FolderFiles,
    /// Whether it can list its files; ordinary web servers cannot.
    pub lists: bool,
    pub missing: Option<&'static str>,
    /// A file that lost its last byte.
    pub short: Option<&'static str>,
    /// A file with a changed bit.
    pub flipped: Option<&'static str>,
    pub unreachable: Option<&'static str>,
    pub read: Mutex<Vec<String>>,
}

impl FaultyFiles {
    pub fn new(folder: &Path) -> Self {
        let (files, read) = (FolderFiles::new(folder), Mutex::default());
        Self { files, lists: true, missing: None, short: None, flipped: None, unreachable: None, read }
    }

    /// Names of the files that were read, completely or in part, in order.
    pub fn was_read(&self) -> Vec<String> {
        self.read.lock().unwrap().clone()
    }

    fn bytes(&self, inside: &str) -> Result<Option<Vec<u8>>, Error> {
        if self.unreachable == Some(inside) {
            return Err(Error::Remote { location: format!("remote/{inside}"), problem: "no answer".into() });
        }
        if self.missing == Some(inside) {
            return Ok(None);
        }
        let Some(mut bytes) = self.files.read(inside)? else { return Ok(None) };
        if self.short == Some(inside) {
            bytes.pop();
        }
        if self.flipped == Some(inside) {
            let at = bytes.len() / 3;
            bytes[at] ^= 1;
        }
        Ok(Some(bytes))
    }
}

impl Files for FaultyFiles {
    fn name(&self) -> &'static str {
        "remote"
    }

    fn read_up_to(&self, inside: &str, _most_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let bytes = self.bytes(inside)?;
        if bytes.is_some() {
            self.read.lock().unwrap().push(inside.to_owned());
        }
        Ok(bytes)
    }

    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.read.lock().unwrap().push(inside.to_owned());
        let bytes = self.bytes(inside)?.unwrap_or_default();
        bytes.get(range.start as usize..range.end as usize).map(<[u8]>::to_vec).ok_or_else(|| Error::Remote {
            location: format!("remote/{inside}"),
            problem: format!("it has no bytes {range:?}").into(),
        })
    }

    fn file_bytes(&self, inside: &str) -> Result<Option<u64>, Error> {
        Ok(self.bytes(inside)?.map(|bytes| bytes.len() as u64))
    }

    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error> {
        if !self.lists {
            return Ok(None);
        }
        let names = self.files.list()?.unwrap_or_default().into_iter().map(|(name, _)| name);
        let there = names.filter(|name| self.missing != Some(name.as_str()));
        let with_length = |name: String| {
            let bytes = self.files.file_bytes(&name)?.unwrap_or_default();
            Ok((name.clone(), bytes - u64::from(self.short == Some(name.as_str()))))
        };
        there.map(with_length).collect::<Result<Vec<_>, Error>>().map(Some)
    }
}
