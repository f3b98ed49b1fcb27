//! Figures as text, the same in charts and tables.

use crate::evaluation::evaluation_file::{Accuracy, TruthDescription};
use crate::shared::numbers::thousands;

/// `81.2 %`
pub(super) fn percent(fraction: f64) -> String {
    format!("{} %", plain_percent(fraction, 1))
}

/// `81.2 ± 0.3 %`: a fraction and its standard error.
pub(super) fn percent_with_error(fraction: f64, standard_error: Option<f64>) -> String {
    let Some(error) = standard_error else { return percent(fraction) };
    let decimals = if error > 0.0 && error < 0.000_95 { 2 } else { 1 };
    format!("{} ± {} %", plain_percent(fraction, decimals), plain_percent(error, decimals))
}

fn plain_percent(fraction: f64, decimals: usize) -> String {
    format!("{:.decimals$}", 100.0 * fraction + 0.0)
}

/// `0.123`: three significant digits, but at most three decimals, or four for the smallest figures.
pub(super) fn number(value: f64) -> String {
    format!("{:.*}", decimals(value), value + 0.0)
}

/// `0.123 ± 0.004`: a value and its standard error.
pub(super) fn number_with_error(value: f64, standard_error: Option<f64>) -> String {
    let Some(error) = standard_error else { return number(value) };
    let decimals = decimals(value);
    format!("{:.decimals$} ± {error:.decimals$}", value + 0.0)
}

fn decimals(value: f64) -> usize {
    if value.abs() < 1e-9 {
        return 2;
    }
    let most = if value.abs() < 0.01 { 4.0 } else { 3.0 };
    (2.0 - value.abs().log10().floor()).clamp(0.0, most) as usize
}

/// `50,000 images`
pub(super) fn images(count: usize) -> String {
    counted(count, "image", "images")
}

/// `1 crop`, `5,000 crops`
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

/// Returns the name of a truth in sentences: that of its file, or `the folder classes`.
#[must_use]
pub fn truth_name(truth: &TruthDescription) -> String {
    if truth.format == "folder" { "the folder classes".to_owned() } else { truth.name.clone() }
}

/// `expected calibration error 0.043`
pub(super) fn calibration(accuracy: &Accuracy) -> String {
    format!("expected calibration error {}", number(accuracy.expected_calibration_error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_significant_digits() {
        assert_eq!([0.8119, 1.0, 0.0, -0.0].map(percent), ["81.2 %", "100.0 %", "0.0 %", "0.0 %"]);
        assert_eq!(percent_with_error(0.8119, Some(0.0031)), "81.2 ± 0.3 %");
        assert_eq!(percent_with_error(0.8119, Some(0.0004)), "81.19 ± 0.04 %");
        assert_eq!(percent_with_error(0.8119, None), "81.2 %");
        let numbers = [0.12345, 0.03, 1.2345, 123.45, 0.001_234, 0.0].map(number);
        assert_eq!(numbers, ["0.123", "0.030", "1.23", "123", "0.0012", "0.00"]);
        assert_eq!(number_with_error(0.4321, Some(0.0123)), "0.432 ± 0.012");
    }
}
