//! From pooled scores to probabilities.

use half::f16;

use super::cells::CellWeights;
use super::options::{Fill, Temperature};
use crate::shared::label_map::LabelMap;

/// Pooled scores of the classes that some cell holds, as differences to the one that all others share. Softmax takes
/// no notice of what all have in common.
#[derive(Debug)]
pub(super) struct ClassSums {
    /// Of each class.
    sums: Vec<f64>,
    is_touched: Vec<bool>,
    touched: Vec<u32>,
    /// The map's scores in float32.
    scores: Vec<f32>,
}

/// A number that targets are made of.
pub trait TargetValue: Copy + Default + Send {
    /// The nearest value.
    fn from_probability(probability: f64) -> Self;
}

impl TargetValue for f32 {
    fn from_probability(probability: f64) -> Self {
        probability as f32
    }
}

impl TargetValue for f64 {
    fn from_probability(probability: f64) -> Self {
        probability
    }
}

impl TargetValue for f16 {
    fn from_probability(probability: f64) -> Self {
        Self::from_f64(probability)
    }
}

/// A label without the classes that no cell of the crop holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SparseTarget {
    /// Class ids, by falling probability; the lower id first where two are equal.
    pub classes: Vec<u32>,
    /// Their probabilities.
    pub probs: Vec<f32>,
    /// Probability of all other classes together, in equal shares.
    pub rest: f32,
}

impl SparseTarget {
    /// Probability of one of `class_count` classes, held by a cell or not.
    #[must_use]
    pub fn prob_of(&self, class: u32, class_count: usize) -> f32 {
        let held = self.classes.iter().position(|held| *held == class);
        held.map_or(self.rest / self.absent_count(class_count).max(1) as f32, |at| self.probs[at])
    }

    /// Entropy over all `class_count` classes, in nats.
    #[must_use]
    pub fn entropy(&self, class_count: usize) -> f32 {
        let term = |prob: f64| if prob > 0.0 { -prob * prob.ln() } else { 0.0 };
        let absent = self.absent_count(class_count) as f64;
        let rest = absent * term(f64::from(self.rest) / absent.max(1.0));
        (self.probs.iter().map(|&prob| term(f64::from(prob))).sum::<f64>() + rest) as f32
    }

    fn absent_count(&self, class_count: usize) -> usize {
        class_count.saturating_sub(self.classes.len())
    }
}

impl ClassSums {
    pub(super) fn new(class_count: usize) -> Self {
        Self {
            sums: vec![0.0; class_count],
            is_touched: vec![false; class_count],
            touched: Vec::new(),
            scores: Vec::new(),
        }
    }

    pub(super) fn class_count(&self) -> usize {
        self.sums.len()
    }

    /// Adds the weighted scores of a map's cells. After an error everything is cleared.
    pub(super) fn add_map(&mut self, map: &LabelMap, weights: &CellWeights<'_>, fill: Fill) -> Result<(), String> {
        let added = self.try_add(map, weights, fill);
        if added.is_err() {
            self.clear();
        }
        added
    }

    fn try_add(&mut self, map: &LabelMap, weights: &CellWeights<'_>, fill: Fill) -> Result<(), String> {
        use half::slice::HalfFloatSliceExt as _;

        let (k, cells, width) = (map.k(), map.size().cells(), map.size().width_cells());
        self.scores.resize(map.scores().len(), 0.0);
        map.scores().convert_to_f32_slice(&mut self.scores);
        let absent = self.sums.len().saturating_sub(k);
        let lse = match fill {
            Fill::Constant(_) => None,
            Fill::Rest => Some(map.lse().ok_or("it has no log-sum-exp, which the fill needs")?),
        };
        for y in weights.rows() {
            for x in weights.columns() {
                let (cell, weight) = (y * width + x, weights.at(y, x));
                if weight == 0.0 {
                    continue;
                }
                let fill_score = match (fill, lse) {
                    (Fill::Rest, Some(lse)) => {
                        let kept = (0..k).map(|rank| self.scores[rank * cells + cell]);
                        rest_score(lse[cell].to_f32(), kept, absent)
                    }
                    (Fill::Rest, None) => 0.0,
                    (Fill::Constant(score), _) => f64::from(score),
                };
                for rank in 0..k {
                    let at = rank * cells + cell;
                    let class = map.classes()[at];
                    let Some(sum) = self.sums.get_mut(class as usize) else {
                        return Err(format!("it holds class {class}, but there are {} classes", self.is_touched.len()));
                    };
                    *sum += weight * (f64::from(self.scores[at]) - fill_score);
                    if !self.is_touched[class as usize] {
                        self.is_touched[class as usize] = true;
                        self.touched.push(class);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        for class in self.touched.drain(..) {
            self.sums[class as usize] = 0.0;
            self.is_touched[class as usize] = false;
        }
    }

    /// Writes softmax over all classes to every `parts`-th value of `target` from `part` on.
    pub(super) fn write_dense<T: TargetValue>(
        &self,
        temperature: Temperature,
        target: &mut [T],
        part: usize,
        parts: usize,
    ) {
        let softmax = self.softmax(temperature);
        let absent = T::from_probability(softmax.absent);
        if parts == 1 {
            target.fill(absent);
        } else {
            target[part..].iter_mut().step_by(parts).for_each(|value| *value = absent);
        }
        for &class in &self.touched {
            target[class as usize * parts + part] = T::from_probability(softmax.of(self.sums[class as usize]));
        }
    }

    pub(super) fn sparse(&self, temperature: Temperature) -> SparseTarget {
        let softmax = self.softmax(temperature);
        let mut classes = self.touched.clone();
        let sum = |class: u32| self.sums[class as usize];
        classes.sort_by(|&a, &b| sum(b).total_cmp(&sum(a)).then(a.cmp(&b)));
        let probs = classes.iter().map(|&class| softmax.of(sum(class)) as f32).collect();
        SparseTarget { classes, probs, rest: (softmax.absent * self.absent_count()) as f32 }
    }

    fn softmax(&self, temperature: Temperature) -> Softmax {
        let absent_count = self.absent_count();
        // Differences to an absent class's score.
        let nothing = if absent_count > 0.0 { 0.0 } else { f64::NEG_INFINITY };
        let top = self.touched.iter().map(|&class| self.sums[class as usize]).fold(nothing, f64::max);
        let mut softmax = Softmax { top, temperature: temperature.get(), total: 1.0, absent: 0.0 };
        let absent = softmax.exponential(0.0);
        let present: f64 = self.touched.iter().map(|&class| softmax.exponential(self.sums[class as usize])).sum();
        softmax.total = present + absent * absent_count;
        softmax.absent = absent / softmax.total;
        softmax
    }

    fn absent_count(&self) -> f64 {
        (self.sums.len() - self.touched.len()) as f64
    }
}

/// Softmax of scores that are given as differences to an absent class's.
struct Softmax {
    top: f64,
    temperature: f64,
    total: f64,
    /// Probability of an absent class.
    absent: f64,
}

impl Softmax {
    fn exponential(&self, sum: f64) -> f64 {
        ((sum - self.top) / self.temperature).exp()
    }

    fn of(&self, sum: f64) -> f64 {
        self.exponential(sum) / self.total
    }
}

/// The score at which `absent` classes together have the probability that the kept ones leave.
fn rest_score(lse: f32, kept: impl Iterator<Item = f32>, absent: usize) -> f64 {
    let lse = f64::from(lse);
    let kept: f64 = kept.map(|score| (f64::from(score) - lse).exp()).sum();
    lse + ((1.0 - kept).max(LEAST_REST) / absent.max(1) as f64).ln()
}

/// Scores and log-sum-exp are rounded to float16, so that a smaller rest cannot be told from none.
const LEAST_REST: f64 = 1e-3;
