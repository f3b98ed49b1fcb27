//! Figures with their standard errors as text.

use relabel::evaluation::evaluation_file::Estimate;

/// `81.2 ± 0.3 %`
pub fn estimate(estimate: Estimate) -> String {
    let error = estimate.standard_error.map_or(String::new(), |error| format!(" ± {:.1}", error * 100.0));
    format!("{:.1}{error} %", estimate.value * 100.0)
}

/// `0.123 ± 0.004`
pub fn with_error(value: f64, standard_error: Option<f64>, decimals: usize) -> String {
    let error = standard_error.map_or(String::new(), |error| format!(" ± {error:.decimals$}"));
    format!("{value:.decimals$}{error}")
}

/// `81.2 %`
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
