//! Means with standard errors.

use serde::{Deserialize, Serialize};

/// A mean and its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub value: f64,
    /// Its standard error; `None` for fewer than two images.
    pub standard_error: Option<f64>,
}

/// Computes the mean of numbers and its standard error, with the updates of Welford (1962) and of Chan, Golub and
/// `LeVeque` (1983), which do not lose digits where the numbers are nearly equal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanAccumulator {
    count: usize,
    mean: f64,
    /// Sum of the squared differences to the mean.
    squares: f64,
}

impl MeanAccumulator {
    /// Adds a number.
    pub fn add(&mut self, number: f64) {
        self.count += 1;
        let difference = number - self.mean;
        self.mean += difference / self.count as f64;
        self.squares += difference * (number - self.mean);
    }

    /// Adds the numbers of another accumulator.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (own, added) = (self.count as f64, other.count as f64);
        let difference = other.mean - self.mean;
        self.count += other.count;
        self.mean += difference * added / (own + added);
        self.squares += other.squares + difference * difference * own * added / (own + added);
    }

    /// Number of added numbers.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the mean; 0 without numbers.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Returns the mean, and its standard error: the standard deviation (with n - 1) divided by √n.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        let count = self.count as f64;
        let standard_error = (self.count >= 2).then(|| (self.squares / (count - 1.0) / count).sqrt());
        Estimate { value: self.mean, standard_error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accumulated(numbers: &[f64]) -> MeanAccumulator {
        let mut accumulator = MeanAccumulator::default();
        for &number in numbers {
            accumulator.add(number);
        }
        accumulator
    }

    #[test]
    fn the_standard_error_is_that_of_the_mean() {
        // Squared differences to 3: 4, 1, 0, 1, 4. Variance 10 / 4, divided by 5.
        let estimate = accumulated(&[1.0, 2.0, 3.0, 4.0, 5.0]).estimate();
        assert!((estimate.value - 3.0).abs() < 1e-12);
        assert!((estimate.standard_error.unwrap() - 0.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(accumulated(&[7.0]).estimate(), Estimate { value: 7.0, standard_error: None });
        assert_eq!(accumulated(&[]).estimate(), Estimate { value: 0.0, standard_error: None });
    }

    #[test]
    fn merged_parts_equal_the_numbers_together() {
        let numbers: Vec<f64> = (0..100).map(|at| 1e6 + (f64::from(at) * 0.7).sin()).collect();
        for split in [0, 1, 37, 100] {
            let mut merged = accumulated(&numbers[..split]);
            merged.merge(&accumulated(&numbers[split..]));
            let (merged, together) = (merged.estimate(), accumulated(&numbers).estimate());
            assert!((merged.value - together.value).abs() < 1e-9);
            assert!((merged.standard_error.unwrap() - together.standard_error.unwrap()).abs() < 1e-9);
        }
    }
}
