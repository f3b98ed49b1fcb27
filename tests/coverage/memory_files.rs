use std::collections::BTreeMap;
use std::ops::Range;

use relabel::shared::error::Error;
use relabel::shared::store::Files;

/// Files in memory.
#[derive(Clone, Default)]
pub(super) struct MemoryFiles {
    files: BTreeMap<String, Vec<u8>>,
}

impl MemoryFiles {
    pub(super) fn put(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.insert(name.to_owned(), bytes);
    }

    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

impl Files for MemoryFiles {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn read_up_to(&self, inside: &str, most_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.files.get(inside) {
            Some(bytes) if bytes.len() as u64 > most_bytes => {
                let problem = format!("it has {} bytes; at most {most_bytes} are read", bytes.len());
                Err(Error::Remote { location: format!("memory/{inside}"), problem: problem.into() })
            }
            found => Ok(found.cloned()),
        }
    }

    fn read_range(&self, inside: &str, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let part = self.files.get(inside).and_then(|bytes| bytes.get(range.start as usize..range.end as usize));
        let problem = || Error::Remote { location: format!("memory/{inside}"), problem: "no such bytes".into() };
        part.map(<[u8]>::to_vec).ok_or_else(problem)
    }

    fn file_bytes(&self, inside: &str) -> Result<Option<u64>, Error> {
        Ok(self.files.get(inside).map(|bytes| bytes.len() as u64))
    }

    fn list(&self) -> Result<Option<Vec<(String, u64)>>, Error> {
        Ok(Some(self.files.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect()))
    }
}
