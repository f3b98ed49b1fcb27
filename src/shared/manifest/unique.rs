//! Which rows of a list have the same name.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

/// All rows whose name another row has too, in order, beginning with two that share one; `None` when all names are
/// different.
///
/// The table holds row numbers and looks names up in the list: a map of texts would take several times the memory.
pub(super) fn rows_that_share<'a>(rows: usize, name: impl Fn(usize) -> &'a str) -> Option<Vec<usize>> {
    let hasher = DefaultHashBuilder::default();
    let hash = |row: usize| hasher.hash_one(name(row));
    let mut first_rows: HashTable<u32> = HashTable::with_capacity(rows);
    let mut shared = Vec::new();
    for row in 0..rows {
        let here = hash(row);
        match first_rows.find(here, |&first| name(first as usize) == name(row)) {
            Some(&first) => shared.extend([first as usize, row]),
            None => drop(first_rows.insert_unique(here, row as u32, |&other| hash(other as usize))),
        }
    }
    let [first, again, ..] = shared[..] else { return None };
    shared.sort_unstable();
    shared.dedup();
    // A pair comes first, so that a refusal can name both.
    let pair = [first, again];
    Some(pair.into_iter().chain(shared.into_iter().filter(|row| !pair.contains(row))).collect())
}
