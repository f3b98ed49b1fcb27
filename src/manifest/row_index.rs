//! Rows by id.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Manifest;

/// Finds the row of an id. It holds row numbers and looks ids up in the list: about 5 bytes an image.
#[derive(Debug)]
pub struct RowIndex {
    hasher: DefaultHashBuilder,
    rows: HashTable<u32>,
}

impl RowIndex {
    /// The index of a list in which no id stands twice, as in the manifest of every store.
    #[must_use]
    pub fn new(manifest: &Manifest) -> Self {
        let hasher = DefaultHashBuilder::default();
        let hash = |row: u32| hasher.hash_one(manifest.id(row as usize));
        let mut rows = HashTable::with_capacity(manifest.len());
        for row in 0..manifest.len() as u32 {
            rows.insert_unique(hash(row), row, |&other| hash(other));
        }
        Self { hasher, rows }
    }

    /// The row of an id, in the list from which the index was made.
    #[must_use]
    pub fn row(&self, manifest: &Manifest, id: &str) -> Option<usize> {
        let found = self.rows.find(self.hasher.hash_one(id), |&row| manifest.id(row as usize) == id);
        found.map(|&row| row as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Entry;
    use super::*;

    #[test]
    fn every_id_has_its_row_and_no_other_has_one() {
        let paths = ["a/x.JPEG", "a/y.png", "b/x.JPEG", "top.jpg"];
        let entries = paths.map(|path| Entry { path: path.into(), ..Entry::default() });
        let manifest = Manifest::from_entries(entries.to_vec()).unwrap();
        let index = RowIndex::new(&manifest);
        let rows = ["a/x", "a/y", "b/x", "top", "a/x.JPEG", ""].map(|id| index.row(&manifest, id));
        assert_eq!(rows, [Some(0), Some(1), Some(2), Some(3), None, None]);
    }
}
