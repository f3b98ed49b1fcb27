//! Tells probabilities from scores in numbers, whatever the graph looks like, and holds the scores of a teacher that ends
//! in probabilities against these.

use super::log_sum_exp;
use crate::labelling::teacher::graph::element;
use crate::labelling::teacher::tail::{Ending, Layout, Refusal, Tail};
use crate::labelling::teacher::tensors::Floats;

/// Scores that are compared, a row for each image or cell.
pub(super) struct Rows<'a> {
    /// What a row is of: `image`, `cell`.
    pub(super) of: &'static str,
    pub(super) values: &'a [f32],
    pub(super) classes: usize,
    pub(super) half: bool,
}

impl Rows<'_> {
    /// Classes from which on it tells something that all values lie between 0 and 1: so do the few scores of a small
    /// network now and then.
    const CLASSES_OF_SIGMOIDS: usize = 5;

    /// Refuses rows of which every single one is made of probabilities. Scores that are raw do not sum to 1 in one row in a
    /// hundred, and never in all.
    pub(super) fn refuse_probabilities(&self, tail: &Tail) -> Result<(), Refusal> {
        let Some(what) = self.probabilities() else { return Ok(()) };
        Err(Refusal::new(
            format!(
                "its output `{}` holds probabilities, not scores: {what} in each of the {} {}s that were compared",
                tail.output,
                self.rows(),
                self.of
            ),
            "export it so that its output are the raw scores (logits): leave the Softmax, LogSoftmax or Sigmoid out of the \
             exported module",
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
            return Some("none is below 0, and they sum to 1, as behind a softmax,".to_owned());
        }
        if rows().all(|row| f64::from(log_sum_exp(row)).abs() <= accepted) {
            return Some("their exponentials sum to 1, as behind a log-softmax,".to_owned());
        }
        // Zeros are rather those of a Relu, unless other values reach 1, or float16 rounds small values to zero.
        let inside = self.values.iter().all(|value| (0.0..=1.0).contains(value));
        let largest = self.values.iter().copied().fold(0.0, f32::max);
        let zeros = self.values.contains(&0.0);
        if self.classes >= Self::CLASSES_OF_SIGMOIDS && inside && (!zeros || self.half || largest > 0.99) {
            return Some("all lie between 0 and 1, as behind a sigmoid,".to_owned());
        }
        self.same_sum(&sums)
            .filter(|_| none_below_zero)
            .map(|sum| format!("none is below 0, and they sum to {sum:.4}, as behind a softmax that is multiplied,"))
    }

    /// The sum that all rows have, although the rows differ.
    fn same_sum(&self, sums: &[f64]) -> Option<f64> {
        const FEWEST_ROWS: usize = 8;
        let spread = |values: &mut dyn Iterator<Item = f64>| {
            let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
            most - least
        };
        let of_sums = spread(&mut sums.iter().copied());
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        let of_classes = (0..self.classes)
            .map(|class| spread(&mut self.values.iter().skip(class).step_by(self.classes).copied().map(f64::from)))
            .fold(0.0, f64::max);
        let same = sums.len() >= FEWEST_ROWS && !self.half && of_sums <= 1e-4 * mean && of_sums * 100.0 < of_classes;
        same.then_some(mean)
    }
}

/// Refuses scores that rank the classes of an image, or of a cell, otherwise than the teacher's own output does: then what
/// was left out is not what it looked like.
pub(super) fn check_order(tail: &Tail, layout: Layout, own: &Floats, scores: &Floats) -> Result<(), Refusal> {
    let refused = |problem: String| {
        Refusal::new(
            problem,
            "export it so that its output are the raw scores (logits), without Softmax, Sigmoid or Log behind them",
        )
    };
    let left_out = tail.left_out.join(", ");
    if own.values.len() != scores.values.len() {
        return Err(refused(format!(
            "its output has the shape {:?}, but the scores before {left_out} have {:?}",
            own.dims, scores.dims
        )));
    }
    let (classes, inner) = match (&tail.ending, &scores.dims[..]) {
        (Ending::ScoreMap, [.., classes]) if layout.channels_last() => (*classes, 1),
        (Ending::ScoreMap, [_, classes, map @ ..]) => (*classes, map.iter().product::<usize>()),
        (_, [_, classes @ ..]) => (classes.iter().product(), 1),
        (_, []) => (1, 1),
    };
    let accepted = if own.element == element::FLOAT16 { 1e-2 } else { 1e-4 };
    for first in (0..scores.values.len() / classes.max(1)).map(|row| row / inner * inner * classes + row % inner) {
        let at = |class: usize| first + class * inner;
        let mut ranked: Vec<usize> = (0..classes).collect();
        ranked.sort_by(|&a, &b| scores.values[at(a)].total_cmp(&scores.values[at(b)]));
        let largest = ranked.iter().map(|&class| own.values[at(class)].abs()).fold(0.0_f32, f32::max);
        let falls = |pair: &[usize]| own.values[at(pair[0])] - own.values[at(pair[1])] > accepted * largest;
        if let Some(&[a, b]) = ranked.windows(2).find(|pair| falls(pair)) {
            return Err(refused(format!(
                "its output ranks class {a} before class {b}, and the scores before {left_out} rank them the other way round"
            )));
        }
    }
    Ok(())
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

    fn by_row(values: &[f32], classes: usize, of_row: impl Fn(&[f32]) -> Vec<f32>) -> Vec<f32> {
        values.chunks_exact(classes).flat_map(of_row).collect()
    }

    fn found(values: &[f32], classes: usize, half: bool) -> Option<String> {
        Rows { of: "cell", values, classes, half }.probabilities()
    }

    #[test]
    fn probabilities_of_every_kind_are_told_from_scores() {
        for (classes, scale) in [(10, 0.01), (10, 1.0), (10, 20.0), (1000, 1e-3), (1000, 8.0)] {
            let raw = scores(classes, scale);
            let softmax = by_row(&raw, classes, super::super::softmax);
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
        assert_eq!(found(&[0.0; 90], 9, false), None, "a network that gives nothing");
        assert_eq!(found(&[1.0; 9], 9, false), None, "a single row tells nothing");
    }
}
