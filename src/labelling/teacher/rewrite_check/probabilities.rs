//! Tells probabilities from scores by their values, whatever the graph looks like, and compares recovered raw scores with
//! the probabilities that the teacher returns.

use crate::labelling::teacher::graph::element;
use crate::labelling::teacher::refusal::Refusal;
use crate::labelling::teacher::tail::FeatureLayout;
use crate::labelling::teacher::tensors::FloatTensor;

/// Scores, one row per image or cell.
pub(crate) struct ScoreRows<'a> {
    /// Unit of a row: `image` or `cell`.
    pub(crate) unit: &'static str,
    pub(crate) values: &'a [f32],
    pub(crate) classes: usize,
    pub(crate) half: bool,
}

impl ScoreRows<'_> {
    /// Smallest number of classes for which values between 0 and 1 indicate a sigmoid: a few scores may be in this range by chance.
    const MIN_SIGMOID_CLASSES: usize = 5;

    /// Refuses rows that all contain probabilities. Raw scores sum to 1 in less than one row of a hundred, and never in
    /// all.
    pub(crate) fn refuse_probabilities(&self, output: &str) -> Result<(), Refusal> {
        let Some(what) = self.probabilities() else { return Ok(()) };
        Err(Refusal::new(
            format!(
                "the output `{output}` contains probabilities, not scores: {what} in each of the {} {}s compared",
                self.rows(),
                self.unit
            ),
            "export raw scores (logits) as the output: leave the Softmax, LogSoftmax or Sigmoid out of the exported module",
        ))
    }

    fn rows(&self) -> usize {
        self.values.len() / self.classes.max(1)
    }

    fn probabilities(&self) -> Option<String> {
        // float16 rounds each value to one part in 2,048.
        let accepted = if self.half { 1e-2 } else { 1e-3 };
        let rows = || self.values.chunks_exact(self.classes);
        if self.rows() < 2 || self.classes < 2 || !self.values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let none_below_zero = self.values.iter().all(|&value| value >= -1e-6);
        let sums: Vec<f64> = rows().map(|row| row.iter().copied().map(f64::from).sum()).collect();
        if none_below_zero && sums.iter().all(|sum| (sum - 1.0).abs() <= accepted) {
            return Some("values are non-negative and sum to 1, as after a softmax,".to_owned());
        }
        if rows().all(|row| f64::from(log_sum_exp(row)).abs() <= accepted) {
            return Some("exponentials of the values sum to 1, as after a log-softmax,".to_owned());
        }
        // Zeros suggest a Relu, unless other values reach 1 or float16 rounds small values to zero.
        let inside = self.values.iter().all(|value| (0.0..=1.0).contains(value));
        let largest = self.values.iter().copied().fold(0.0, f32::max);
        let zeros = self.values.contains(&0.0);
        if self.classes >= Self::MIN_SIGMOID_CLASSES && inside && (!zeros || self.half || largest > 0.99) {
            return Some("all values are between 0 and 1, as after a sigmoid,".to_owned());
        }
        self.same_sum(&sums)
            .filter(|_| none_below_zero)
            .map(|sum| format!("values are non-negative and sum to {sum:.4}, as after a scaled softmax,"))
    }

    /// The common sum of all rows, if the rows differ.
    fn same_sum(&self, sums: &[f64]) -> Option<f64> {
        const MIN_ROWS: usize = 8;
        let spread = |values: &mut dyn Iterator<Item = f64>| {
            let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
            most - least
        };
        let sum_spread = spread(&mut sums.iter().copied());
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        let class_spread = (0..self.classes)
            .map(|class| spread(&mut self.values.iter().skip(class).step_by(self.classes).copied().map(f64::from)))
            .fold(0.0, f64::max);
        let same =
            sums.len() >= MIN_ROWS && !self.half && sum_spread <= 1e-4 * mean && sum_spread * 100.0 < class_spread;
        same.then_some(mean)
    }
}

/// Refuses scores that rank the classes of an image or cell differently than the teacher's own output: the nodes left out
/// were then not a final activation. `map` is the layout of scores that form a map.
pub(crate) fn check_order(
    left_out: &[String],
    map: Option<FeatureLayout>,
    own: &FloatTensor,
    scores: &FloatTensor,
) -> Result<(), Refusal> {
    let refused = |problem: String| {
        Refusal::new(problem, "export raw scores (logits) as the output, without Softmax, Sigmoid or Log after them")
    };
    let left_out = left_out.join(", ");
    if own.values.len() != scores.values.len() {
        return Err(refused(format!(
            "the output has shape {:?}, but the scores before {left_out} have shape {:?}",
            own.dims, scores.dims
        )));
    }
    let (classes, inner) = match (map, &scores.dims[..]) {
        (Some(layout), [.., classes]) if layout.channels_last() => (*classes, 1),
        (Some(_), [_, classes, sides @ ..]) => (*classes, sides.iter().product::<usize>()),
        (_, [_, classes @ ..]) => (classes.iter().product(), 1),
        (_, []) => (1, 1),
    };
    let accepted = if own.element == element::FLOAT16 { 1e-2 } else { 1e-4 };
    for first in (0..scores.values.len() / classes.max(1)).map(|row| row / inner * inner * classes + row % inner) {
        let at = |class: usize| first + class * inner;
        let mut ranked: Vec<usize> = (0..classes).collect();
        ranked.sort_by(|&a, &b| scores.values[at(a)].total_cmp(&scores.values[at(b)]));
        let largest = ranked.iter().map(|&class| own.values[at(class)].abs()).fold(0.0_f32, f32::max);
        let is_reversed = |pair: &[usize]| own.values[at(pair[0])] - own.values[at(pair[1])] > accepted * largest;
        if let Some(&[a, b]) = ranked.windows(2).find(|pair| is_reversed(pair)) {
            return Err(refused(format!(
                "the output ranks class {a} above class {b}, but the scores before {left_out} rank them in the opposite order"
            )));
        }
    }
    Ok(())
}

/// Returns the softmax, computed in float64.
pub(super) fn softmax(scores: &[f32]) -> Vec<f32> {
    let lse = f64::from(log_sum_exp(scores));
    scores.iter().map(|&score| (f64::from(score) - lse).exp() as f32).collect()
}

/// Returns the log-sum-exp, computed in float64.
pub(super) fn log_sum_exp(scores: &[f32]) -> f32 {
    let largest = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = scores.iter().map(|&score| (f64::from(score) - largest).exp()).sum();
    (largest + sum.ln()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::random::SplitMix64;

    /// Random scores of 100 rows: sums of a few uniform numbers.
    fn scores(classes: usize, scale: f32) -> Vec<f32> {
        let mut random = SplitMix64::new(7);
        let mut next = || (random.next_u64() >> 40) as f32 / (1 << 24) as f32 - 0.5;
        (0..100 * classes).map(|_| scale * (next() + next() + next())).collect()
    }

    fn by_row(values: &[f32], classes: usize, f: impl Fn(&[f32]) -> Vec<f32>) -> Vec<f32> {
        values.chunks_exact(classes).flat_map(f).collect()
    }

    fn found(values: &[f32], classes: usize, half: bool) -> Option<String> {
        ScoreRows { unit: "cell", values, classes, half }.probabilities()
    }

    #[test]
    fn probabilities_of_every_kind_are_recognised() {
        for (classes, scale) in [(10, 0.01), (10, 1.0), (10, 20.0), (1000, 1e-3), (1000, 8.0)] {
            let raw = scores(classes, scale);
            let softmax = by_row(&raw, classes, softmax);
            let logs: Vec<f32> = by_row(&raw, classes, |row| {
                let lse = log_sum_exp(row);
                row.iter().map(|score| score - lse).collect()
            });
            let sigmoid: Vec<f32> = raw.iter().map(|score| 1.0 / (1.0 + (-score).exp())).collect();
            let percent: Vec<f32> = softmax.iter().map(|prob| prob * 100.0).collect();
            for (name, values) in [("softmax", &softmax), ("log", &logs), ("sigmoid", &sigmoid), ("percent", &percent)]
            {
                assert!(found(values, classes, false).is_some(), "{name} of {classes} classes, scale {scale}");
            }
            for values in [&softmax, &logs, &sigmoid] {
                let half: Vec<f32> = values.iter().map(|&value| half::f16::from_f32(value).to_f32()).collect();
                assert!(found(&half, classes, true).is_some(), "float16 of {classes} classes, scale {scale}");
            }
            let relu: Vec<f32> = raw.iter().map(|score| score.max(0.0)).collect();
            for (name, values) in [("raw", &raw), ("relu", &relu)] {
                assert_eq!(found(values, classes, false), None, "{name} of {classes} classes, scale {scale}");
            }
        }
        assert_eq!(found(&[0.0; 90], 9, false), None, "all zero");
        assert_eq!(found(&[1.0; 9], 9, false), None, "a single row is not enough");
    }

    #[test]
    fn log_sum_exp_neither_overflows_nor_underflows() {
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + 2.0_f32.ln())).abs() < 1e-3);
        assert!((log_sum_exp(&[-1000.0, -1000.0]) - (-1000.0 + 2.0_f32.ln())).abs() < 1e-3);
        assert!((softmax(&[0.0, 0.0])[0] - 0.5).abs() < 1e-6);
    }
}
