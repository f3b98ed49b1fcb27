//! Parts of a store, so that several processes can fill one store.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::store_error::StoreError;

/// Part `index` of `count`: a range of shards. The parts of one count cover each shard once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    index: usize,
    count: usize,
}

impl Part {
    /// The entire store, for one process.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Part `index`, from 0, of `count`.
    ///
    /// # Errors
    /// Returns [`StoreError::PartIndex`] if `index` is not below `count`.
    pub fn new(index: usize, count: usize) -> Result<Self, StoreError> {
        if index < count { Ok(Self { index, count }) } else { Err(StoreError::PartIndex { index, count }) }
    }

    /// Returns the shards of this part of a store with `shards` shards. The sizes of parts differ by at most one; with
    /// more parts than shards some are empty.
    #[must_use]
    pub fn shards(self, shards: usize) -> Range<usize> {
        let from = |index: usize| (shards as u128 * index as u128 / self.count as u128) as usize;
        from(self.index)..from(self.index + 1)
    }

    /// Returns whether a shard belongs to both parts.
    #[must_use]
    pub fn overlaps(self, other: Self, shards: usize) -> bool {
        let (a, b) = (self.shards(shards), other.shards(shards));
        a.start.max(b.start) < a.end.min(b.end)
    }

    /// Returns whether this part is the entire store.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.count == 1
    }
}

impl Default for Part {
    fn default() -> Self {
        Self::WHOLE
    }
}

/// `3-of-8`
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-of-{}", self.index, self.count)
    }
}

impl FromStr for Part {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let numbers =
            text.split_once("-of-").and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let (index, count) = numbers.ok_or_else(|| StoreError::NotAPart(text.to_owned()))?;
        Self::new(index, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_count_cover_each_shard_once() {
        for (shards, count) in [(1, 1), (7, 3), (1252, 8), (3, 5), (10, 10)] {
            let parts: Vec<_> = (0..count).map(|index| Part::new(index, count).unwrap()).collect();
            let together: Vec<usize> = parts.iter().flat_map(|part| part.shards(shards)).collect();
            assert_eq!(together, (0..shards).collect::<Vec<_>>());
            let sizes: Vec<usize> = parts.iter().map(|part| part.shards(shards).len()).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            for (a, b) in parts.iter().flat_map(|a| parts.iter().map(move |b| (a, b))) {
                assert_eq!(a.overlaps(*b, shards), a == b && !a.shards(shards).is_empty());
            }
        }
    }

    #[test]
    fn parts_of_different_counts_overlap_where_they_share_a_shard() {
        let part = |text: &str| text.parse::<Part>().unwrap();
        assert!(part("0-of-2").overlaps(part("0-of-4"), 8));
        assert!(!part("0-of-2").overlaps(part("2-of-4"), 8));
        assert!(Part::WHOLE.overlaps(part("3-of-4"), 8));
        assert!(!Part::WHOLE.overlaps(part("1-of-9"), 3));
    }

    #[test]
    fn texts_that_are_not_parts_are_refused() {
        for bad in ["8-of-8", "0-of-0", "1", "a-of-b", "-1-of-3"] {
            assert!(bad.parse::<Part>().is_err(), "{bad}");
        }
        assert_eq!("3-of-8".parse::<Part>().unwrap().to_string(), "3-of-8");
    }
}
