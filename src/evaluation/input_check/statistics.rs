//! Means, their standard errors, and the significance of paired differences.

use crate::evaluation::evaluation_file::Estimate;

/// Returns the mean and its standard error.
pub(super) fn estimate(values: &[f64]) -> Estimate {
    let count = values.len() as f64;
    let value = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|one| (one - value).powi(2)).sum();
    let standard_error = (values.len() > 1).then(|| (squares / (count - 1.0) / count).sqrt());
    Estimate { value, standard_error }
}

/// Returns the mean of `one - other` over the images that both have, and its standard error. Pairs are compared, since images
/// differ much more than preparations do.
pub(super) fn paired(one: &[f64], other: &[f64]) -> Estimate {
    estimate(&one.iter().zip(other).map(|(one, other)| one - other).collect::<Vec<_>>())
}

/// Returns the mean in units of its standard error, as the normal deviate with the same probability as Student's t with
/// `count - 1` degrees of freedom (Wallace, 1959); 0 for fewer than three values.
pub(super) fn deviate(estimate: &Estimate, count: usize) -> f64 {
    let Some(error) = estimate.standard_error.filter(|_| count > 2) else { return 0.0 };
    if estimate.value.abs() <= f64::EPSILON {
        return 0.0;
    }
    let freedom = (count - 1) as f64;
    let t = estimate.value / error.max(1e-12);
    let correction = (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0);
    (correction * (freedom * (t * t / freedom).ln_1p()).sqrt()).copysign(t)
}

/// Returns the deviate that the best of `tried` equal alternatives exceeds by chance with a probability of at most 0.05
/// (Bonferroni). Abramowitz and Stegun, 26.2.23.
pub(super) fn critical_deviate(tried: usize) -> f64 {
    let root = (-2.0 * (0.05 / tried.max(1) as f64).ln()).sqrt();
    let numerator = 2.515_517 + root * (0.802_853 + root * 0.010_328);
    let denominator = 1.0 + root * (1.432_788 + root * (0.189_269 + root * 0.001_308));
    root - numerator / denominator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_errors_are_those_of_the_mean() {
        let found = estimate(&[1.0, 2.0, 3.0, 6.0]);
        assert!((found.value - 3.0).abs() < 1e-12);
        assert!((found.standard_error.unwrap() - (14.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!((estimate(&[5.0]).standard_error, estimate(&[]).value), (None, 0.0));
    }

    #[test]
    fn deviates_have_the_probability_of_students_t() {
        // t with 5 degrees of freedom exceeds 4.032 with a probability of 0.005, as a normal deviate does 2.576.
        let of_t = |t: f64, count| deviate(&Estimate { value: t, standard_error: Some(1.0) }, count);
        assert!((of_t(4.032, 6) - 2.576).abs() < 0.02, "{}", of_t(4.032, 6));
        assert!((of_t(-2.576, 100_000) + 2.576).abs() < 0.001);
        assert!(
            deviate(&Estimate { value: 1.0, standard_error: Some(0.0) }, 2).abs() < 1e-12,
            "two values show nothing"
        );
        assert!(of_t(1e9, 6) < 20.0);
    }

    #[test]
    fn more_alternatives_need_more_evidence() {
        // scipy.stats.norm.isf([0.05, 0.05 / 45])
        assert!((critical_deviate(1) - 1.6449).abs() < 1e-3 && (critical_deviate(45) - 3.0588).abs() < 2e-3);
    }
}
