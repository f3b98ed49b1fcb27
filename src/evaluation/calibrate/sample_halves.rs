//! Which images parameters are fitted on, and which are held out.

use crate::shared::random::SplitMix64;

/// Rows of the images of a sample, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SampleHalves {
    /// Images that parameters are fitted on.
    pub(super) fit: Vec<usize>,
    /// Images that are held out.
    pub(super) held_out: Vec<usize>,
}

/// Separates the random numbers of this file from those of the sample.
const HALF_STREAM: u64 = 0x6861_6c66;

impl SampleHalves {
    /// Divides images in a random order, alternately. The order of `rows` has no effect.
    pub(super) fn new(rows: &[usize], seed: u64) -> Self {
        let mut shuffled: Vec<(u64, usize)> =
            rows.iter().map(|&row| (SplitMix64::nth(seed ^ HALF_STREAM, row as u64), row)).collect();
        shuffled.sort_unstable();
        shuffled.dedup();
        let half = |first: usize| {
            let mut rows: Vec<usize> = shuffled.iter().skip(first).step_by(2).map(|&(_, row)| row).collect();
            rows.sort_unstable();
            rows
        };
        Self { fit: half(0), held_out: half(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_disjoint_complete_and_seeded() {
        let rows: Vec<usize> = (0..101).map(|at| at * 5).collect();
        let halves = SampleHalves::new(&rows, 3);
        assert_eq!((halves.fit.len(), halves.held_out.len()), (51, 50));
        let mut all = [halves.fit.clone(), halves.held_out.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, rows);
        assert!(halves.fit.is_sorted() && halves.held_out.is_sorted());
        let backwards: Vec<usize> = rows.iter().rev().chain([&0]).copied().collect();
        assert_eq!(SampleHalves::new(&backwards, 3), halves);
        assert_ne!(SampleHalves::new(&rows, 4), halves);
        let below_250 = halves.fit.iter().filter(|&&row| row < 250).count();
        assert!((15..36).contains(&below_250), "both halves are spread over the rows: {below_250}");
    }
}
