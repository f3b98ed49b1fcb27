//! Softmax and log-sum-exp, computed in float64.

pub(super) fn softmax(scores: &[f32]) -> Vec<f32> {
    let lse = f64::from(log_sum_exp(scores));
    scores.iter().map(|&score| (f64::from(score) - lse).exp() as f32).collect()
}

pub(super) fn log_sum_exp(scores: &[f32]) -> f32 {
    let largest = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = scores.iter().map(|&score| (f64::from(score) - largest).exp()).sum();
    (largest + sum.ln()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_sum_exp_neither_overflows_nor_underflows() {
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + 2.0_f32.ln())).abs() < 1e-3);
        assert!((log_sum_exp(&[-1000.0, -1000.0]) - (-1000.0 + 2.0_f32.ln())).abs() < 1e-3);
        assert!((softmax(&[0.0, 0.0])[0] - 0.5).abs() < 1e-6);
    }
}
