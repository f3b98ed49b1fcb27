//! Which images a page shows.

use std::collections::HashMap;

use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::geometry::UnitBox;
use crate::shared::manifest::Manifest;
use crate::shared::random::SplitMix64;
use crate::shared::store::StoreReader;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// How many of those that the rest leaves.
    pub which: Which,
    /// Only images in these classes' folders; of any where there are none.
    pub classes: Vec<u32>,
    /// Only images whose id holds this text.
    pub matching: Option<String>,
}

/// How many images are shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Which {
    /// Random ones.
    Sample {
        /// At most so many.
        count: usize,
        /// The same seed gives the same ones.
        seed: u64,
    },
    /// All.
    All,
    /// One row, whatever else is asked for.
    One {
        /// The row.
        row: usize,
        /// The crop that its full view begins with.
        crop: Option<UnitBox>,
    },
}

/// Rows that are shown, and what they were chosen from.
#[derive(Clone, Debug)]
pub struct Choice {
    query: Query,
    rows: Vec<usize>,
    finished: usize,
    to_do: usize,
}

impl Choice {
    /// Chooses among the rows of a store. Those that are still to do are passed over.
    ///
    /// # Errors
    /// When a record is damaged, or there is nothing to show.
    pub fn make(store: &StoreReader, manifest: &Manifest, query: Query) -> Result<Self, Error> {
        let classes: ClassList = (&store.info().classes).into();
        let by_label = classes.by_label();
        let is_wanted = |row: usize| {
            if let Which::One { row: one, .. } = query.which {
                return row == one;
            }
            let is_in_class = || {
                let class = manifest.label(row).and_then(|label| by_label.get(label));
                class.is_some_and(|class| query.classes.contains(class))
            };
            query.matching.as_ref().is_none_or(|text| manifest.id(row).contains(text))
                && (query.classes.is_empty() || is_in_class())
        };
        let (mut rows, mut to_do) = (Vec::new(), 0);
        for shard in 0..store.info().shards() {
            let wanted: Vec<usize> = store.info().shard_rows(shard).filter(|row| is_wanted(*row)).collect();
            if wanted.is_empty() {
                continue;
            }
            if store.record(shard)?.is_some() {
                rows.extend(wanted);
            } else {
                to_do += wanted.len();
            }
        }
        let finished = rows.len();
        if let Which::Sample { count, seed } = query.which {
            keep_random(&mut rows, count, seed);
        }
        if rows.is_empty() {
            let problem = match to_do {
                0 => "no image is like that: look at --class and --matching".to_owned(),
                _ => format!("nothing can be shown yet: {to_do} images are still to do. The run command goes on"),
            };
            return Err(Error::Store { path: store.path().to_path_buf(), problem: problem.into() });
        }
        Ok(Self { query, rows, finished, to_do })
    }

    /// The rows, in order.
    #[must_use]
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// What was asked for.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// Finished images that the query leaves, shown or not.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// Images that the query leaves and that are still to do.
    #[must_use]
    pub fn to_do(&self) -> usize {
        self.to_do
    }
}

/// Keeps `count` of `rows`, which stand in order. Each row has a number drawn from seed and row, and the lowest are kept:
/// so a larger sample holds the smaller one, and a row's chance does not depend on the others.
fn keep_random(rows: &mut Vec<usize>, count: usize, seed: u64) {
    if count < rows.len() {
        let drawn: HashMap<usize, u64> = rows.iter().map(|&row| (row, SplitMix64::number(seed, row as u64))).collect();
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
        assert!(rows.iter().all(|row| larger.contains(row)), "a larger sample holds the smaller one");
    }

    #[test]
    fn every_row_has_the_same_chance() {
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
