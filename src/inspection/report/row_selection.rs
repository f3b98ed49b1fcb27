//! Selection of the rows of a report.

use std::collections::HashMap;

use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::geometry::UnitBox;
use crate::shared::manifest::Manifest;
use crate::shared::random::SplitMix64;
use crate::shared::store::StoreReader;

/// Query for rows. All conditions apply together.
#[derive(Clone, Debug, PartialEq)]
pub struct RowQuery {
    /// Which of the matching rows to take.
    pub mode: SampleMode,
    /// Folder classes; any if empty.
    pub folder_classes: Vec<u32>,
    /// Substring of the id.
    pub matching: Option<String>,
}

/// Which of the matching rows to take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SampleMode {
    /// A random sample.
    Sample {
        /// Maximum number of rows.
        count: usize,
        /// Seed of the sample.
        seed: u64,
    },
    /// All rows.
    All,
    /// One row; the other conditions do not apply.
    One {
        /// Row to show.
        row: usize,
        /// Initial crop of its full view.
        crop: Option<UnitBox>,
    },
}

/// The selected rows, and how many rows matched.
#[derive(Clone, Debug)]
pub struct RowSelection {
    query: RowQuery,
    rows: Vec<usize>,
    finished: usize,
    to_do: usize,
}

impl RowSelection {
    /// Selects rows of a store. Rows that are not done are skipped.
    ///
    /// # Errors
    /// Returns [`Error::Store`] if a record is damaged or no row is selected.
    pub fn new(store: &StoreReader, manifest: &Manifest, query: RowQuery) -> Result<Self, Error> {
        let classes: ClassList = (&store.info().classes).into();
        let by_label = classes.by_folder_class();
        let matches = |row: usize| {
            if let SampleMode::One { row: one, .. } = query.mode {
                return row == one;
            }
            let has_folder_class = || {
                let class = manifest.folder_class(row).and_then(|label| by_label.get(label));
                class.is_some_and(|class| query.folder_classes.contains(class))
            };
            query.matching.as_ref().is_none_or(|text| manifest.id(row).contains(text))
                && (query.folder_classes.is_empty() || has_folder_class())
        };
        let (mut rows, mut to_do) = (Vec::new(), 0);
        for shard in 0..store.info().shards() {
            let matching: Vec<usize> = store.info().shard_rows(shard).filter(|row| matches(*row)).collect();
            if matching.is_empty() {
                continue;
            }
            if store.record(shard)?.is_some() {
                rows.extend(matching);
            } else {
                to_do += matching.len();
            }
        }
        let finished = rows.len();
        if let SampleMode::Sample { count, seed } = query.mode {
            keep_random(&mut rows, count, seed);
        }
        if rows.is_empty() {
            let problem = match to_do {
                0 => "no image matches the filters\n  help: check --class and --matching".to_owned(),
                _ => format!("cannot show any image: {to_do} are not labelled yet\n  help: resume with `relabel run`"),
            };
            return Err(Error::Store { path: store.path().to_path_buf(), problem: problem.into() });
        }
        Ok(Self { query, rows, finished, to_do })
    }

    /// Returns the rows, in order.
    #[must_use]
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// Returns the query.
    #[must_use]
    pub fn query(&self) -> &RowQuery {
        &self.query
    }

    /// Returns the number of finished rows that match the query, selected or not.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// Returns the number of matching rows that are not done.
    #[must_use]
    pub fn to_do(&self) -> usize {
        self.to_do
    }
}

/// Keeps `count` of the sorted `rows`: those with the lowest random numbers, which depend on seed and row only. So a larger
/// sample contains a smaller one, and the probability of a row does not depend on the others.
fn keep_random(rows: &mut Vec<usize>, count: usize, seed: u64) {
    if count < rows.len() {
        let drawn: HashMap<usize, u64> = rows.iter().map(|&row| (row, SplitMix64::nth(seed, row as u64))).collect();
        rows.select_nth_unstable_by_key(count, |row| (drawn[row], *row));
        rows.truncate(count);
        rows.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(rows: usize, count: usize, seed: u64) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..rows).collect();
        keep_random(&mut rows, count, seed);
        rows
    }

    #[test]
    fn a_sample_is_sorted_and_the_same_for_the_same_seed() {
        let rows = kept(10_000, 50, 7);
        assert!(rows.len() == 50 && rows.is_sorted_by(|a, b| a < b), "{rows:?}");
        assert_eq!(rows, kept(10_000, 50, 7));
        assert_ne!(rows, kept(10_000, 50, 8));
        assert_eq!(kept(5, 100, 7), [0, 1, 2, 3, 4]);
        let larger = kept(10_000, 200, 7);
        assert!(rows.iter().all(|row| larger.contains(row)), "a larger sample contains the smaller one");
    }

    #[test]
    fn every_row_has_the_same_probability() {
        let mut times = [0_u32; 20];
        for seed in 0..4000 {
            for row in kept(20, 5, seed) {
                times[row] += 1;
            }
        }
        // 1,000 each; the standard deviation is 27.
        assert!(times.iter().all(|times| (860..1140).contains(times)), "{times:?}");
    }
}
