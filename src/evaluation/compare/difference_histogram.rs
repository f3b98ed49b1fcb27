//! Quantiles of many differences in constant memory.

use half::f16;

/// Counts absolute differences by their nearest float16 number. A quantile is therefore exact to 11 bits, a relative error of
/// at most 0.05 % (an absolute one of 3e-8 below 6e-5); the maximum is exact.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DifferenceHistogram {
    /// By the bits of a float16 number without sign, up to infinity.
    counts: Vec<u64>,
    count: u64,
    max: f64,
}

const BINS: usize = f16::INFINITY.to_bits() as usize + 1;

impl Default for DifferenceHistogram {
    fn default() -> Self {
        Self { counts: vec![0; BINS], count: 0, max: 0.0 }
    }
}

impl DifferenceHistogram {
    /// Adds an absolute difference.
    pub(super) fn add(&mut self, difference: f64) {
        let bin = f16::from_f64(difference).to_bits() as usize;
        self.counts[bin.min(BINS - 1)] += 1;
        self.count += 1;
        self.max = self.max.max(difference);
    }

    /// Adds `count` differences of 0.
    pub(super) fn add_zeros(&mut self, count: u64) {
        self.counts[0] += count;
        self.count += count;
    }

    /// Adds the differences of another histogram, and clears it.
    pub(super) fn take(&mut self, other: &mut Self) {
        if other.count == 0 {
            return;
        }
        for (count, other) in self.counts.iter_mut().zip(&mut other.counts) {
            *count += std::mem::take(other);
        }
        self.count += std::mem::take(&mut other.count);
        self.max = self.max.max(std::mem::take(&mut other.max));
    }

    /// Number of differences.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Largest difference.
    pub(super) fn max(&self) -> f64 {
        self.max
    }

    /// Returns the smallest difference that is not exceeded by a fraction `share` of all; 0 without differences.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let wanted = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bits, count) in (0..).zip(&self.counts) {
            below += count;
            if below >= wanted {
                return f16::from_bits(bits).to_f64().min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::random::SplitMix64;

    #[test]
    fn quantiles_are_close_to_those_of_the_sorted_differences() {
        let mut random = SplitMix64::new(5);
        let mut differences: Vec<f64> = (0..20_000).map(|_| random.uniform(-9.0, 9.0).exp()).collect();
        let (mut all, mut part) = (DifferenceHistogram::default(), DifferenceHistogram::default());
        for chunk in differences.chunks(1_000) {
            for &difference in chunk {
                part.add(difference);
            }
            all.take(&mut part);
        }
        assert_eq!(part, DifferenceHistogram::default());
        differences.sort_by(f64::total_cmp);
        for share in [0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = differences[((share * 20_000.0) as usize).max(1) - 1];
            let found = all.quantile(share);
            assert!((found / exact - 1.0).abs() < 4.9e-4, "{share}: {found} instead of {exact}");
        }
        assert!((all.max() - differences[19_999]).abs() < f64::EPSILON);
    }

    #[test]
    fn zeros_and_overflows_are_counted() {
        let mut histogram = DifferenceHistogram::default();
        assert!(histogram.quantile(0.5).abs() < f64::EPSILON);
        histogram.add_zeros(3);
        histogram.add(120_000.0);
        assert_eq!((histogram.count(), histogram.quantile(0.75), histogram.quantile(0.99)), (4, 0.0, 120_000.0));
    }
}
