//! The part of a store that one process does, so that many can fill one store.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Part `index` of `count`: a range of shards. All parts of one count together are all shards, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    index: usize,
    count: usize,
}

impl Part {
    /// The whole store, done by one process.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Part `index`, from 0, of `count`.
    ///
    /// # Errors
    /// When `index` is not below `count`.
    pub fn new(index: usize, count: usize) -> Result<Self, String> {
        if index < count {
            Ok(Self { index, count })
        } else {
            Err(format!("there is no task {index} of {count}: tasks are counted from 0 to {}", count.saturating_sub(1)))
        }
    }

    /// The shards of this part, of `shards` in all. Sizes differ by at most one; with more parts than shards some have
    /// none.
    #[must_use]
    pub fn shards(self, shards: usize) -> Range<usize> {
        let from = |index: usize| (shards as u128 * index as u128 / self.count as u128) as usize;
        from(self.index)..from(self.index + 1)
    }

    /// True when a shard belongs to both.
    #[must_use]
    pub fn overlaps(self, other: Self, shards: usize) -> bool {
        let (a, b) = (self.shards(shards), other.shards(shards));
        a.start.max(b.start) < a.end.min(b.end)
    }

    /// True when it is all there is.
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
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers =
            text.split_once("-of-").and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let (index, count) = numbers.ok_or_else(|| format!("`{text}` is no part: 3-of-8"))?;
        Self::new(index, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_count_are_all_shards_each_once() {
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
    fn what_is_no_part_is_refused() {
        for bad in ["8-of-8", "0-of-0", "1", "a-of-b", "-1-of-3"] {
            assert!(bad.parse::<Part>().is_err(), "{bad}");
        }
        assert_eq!("3-of-8".parse::<Part>().unwrap().to_string(), "3-of-8");
    }
}
