//! From pooled scores to probabilities.

use super::cell_weights::CellWeights;
use super::options::{Fill, Temperature};
use super::pool_error::PoolError;
use super::softmax::Softmax;
use super::target::{SparseTarget, TargetValue};
use crate::shared::label_map::LabelMap;

/// Pooled scores of the classes that some cell has, as differences to the score that all others share. Softmax does not
/// depend on a common summand.
#[derive(Debug)]
pub(super) struct ClassSums {
    /// Pooled score of each class.
    sums: Vec<f64>,
    is_touched: Vec<bool>,
    touched: Vec<u32>,
    /// The map's scores in float32, `[y, x, k]`.
    scores: Vec<f32>,
    ranked: Vec<RankedClass>,
}

/// A class of a sparse target.
#[derive(Clone, Copy, Debug)]
struct RankedClass {
    class: u32,
    score: f64,
    /// Exponential of the score, as softmax computes it.
    exponential: f64,
}

impl ClassSums {
    pub(super) fn new(class_count: usize) -> Self {
        Self {
            sums: vec![0.0; class_count],
            is_touched: vec![false; class_count],
            touched: Vec::new(),
            scores: Vec::new(),
            ranked: Vec::new(),
        }
    }

    pub(super) fn class_count(&self) -> usize {
        self.sums.len()
    }

    /// Adds the weighted scores of a map's cells. Clears everything after an error.
    pub(super) fn add_map(&mut self, map: &LabelMap, weights: &CellWeights<'_>, fill: Fill) -> Result<(), PoolError> {
        let added = self.try_add(map, weights, fill);
        if added.is_err() {
            self.clear();
        }
        added
    }

    fn try_add(&mut self, map: &LabelMap, weights: &CellWeights<'_>, fill: Fill) -> Result<(), PoolError> {
        use half::slice::HalfFloatSliceExt as _;

        let (k, width) = (map.k(), map.size().width_cells());
        self.scores.resize(map.cell_scores().len(), 0.0);
        map.cell_scores().convert_to_f32_slice(&mut self.scores);
        let absent = self.sums.len().saturating_sub(k);
        let lse = match fill {
            Fill::Constant(_) => None,
            Fill::Rest => Some(map.lse().ok_or(PoolError::NoLse)?),
        };
        for y in weights.rows() {
            for x in weights.columns() {
                let (cell, weight) = (y * width + x, weights.at(y, x));
                if weight == 0.0 {
                    continue;
                }
                let scores = &self.scores[cell * k..(cell + 1) * k];
                let fill_score = match (fill, lse) {
                    (Fill::Rest, Some(lse)) => rest_score(lse[cell].to_f32(), scores, absent),
                    (Fill::Rest, None) => 0.0,
                    (Fill::Constant(score), _) => f64::from(score),
                };
                for (&score, &class) in scores.iter().zip(map.cell(cell).1) {
                    let Some(sum) = self.sums.get_mut(class as usize) else {
                        return Err(PoolError::ClassId { class, class_count: self.is_touched.len() });
                    };
                    *sum += weight * (f64::from(score) - fill_score);
                    if !self.is_touched[class as usize] {
                        self.is_touched[class as usize] = true;
                        self.touched.push(class);
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the classes that some cell has, in the order in which they were met, and their scores.
    pub(super) fn class_scores(&self) -> impl Iterator<Item = (u32, f64)> {
        self.touched.iter().map(|&class| (class, self.sums[class as usize]))
    }

    pub(super) fn clear(&mut self) {
        for class in self.touched.drain(..) {
            self.sums[class as usize] = 0.0;
            self.is_touched[class as usize] = false;
        }
    }

    /// Writes softmax over all classes to every `parts`-th value of `target`, beginning at `part`.
    pub(super) fn write_dense<T: TargetValue>(
        &self,
        temperature: Temperature,
        target: &mut [T],
        part: usize,
        parts: usize,
    ) {
        let softmax = self.softmax(temperature);
        let absent = T::from_probability(softmax.absent());
        if parts == 1 {
            target.fill(absent);
        } else {
            target[part..].iter_mut().step_by(parts).for_each(|value| *value = absent);
        }
        for &class in &self.touched {
            target[class as usize * parts + part] = T::from_probability(softmax.of(self.sums[class as usize]));
        }
    }

    /// Replaces `target` with the best `top` classes that some cell has. The probability of the others is added to the rest.
    pub(super) fn write_sparse(&mut self, temperature: Temperature, top: usize, target: &mut SparseTarget) {
        let (sums, ranked) = (&self.sums, &mut self.ranked);
        let absent_count = sums.len() - self.touched.len();
        let scores = self.touched.iter().map(|&class| sums[class as usize]);
        ranked.clear();
        let mut classes = self.touched.iter();
        let softmax = Softmax::visiting(scores, absent_count, temperature.get(), |exponential| {
            ranked.extend(classes.next().map(|&class| RankedClass { class, score: sums[class as usize], exponential }));
        });
        let by_rank = |a: &RankedClass, b: &RankedClass| b.score.total_cmp(&a.score).then(a.class.cmp(&b.class));
        let prob = |ranked: RankedClass| softmax.of_exponential(ranked.exponential);
        let mut rest = softmax.absent() * absent_count as f64;
        if top < ranked.len() {
            ranked.select_nth_unstable_by(top, by_rank);
            rest += ranked.drain(top..).map(prob).sum::<f64>();
        }
        ranked.sort_unstable_by(by_rank);
        target.classes.clear();
        target.classes.extend(ranked.iter().map(|ranked| ranked.class));
        target.probs.clear();
        target.probs.extend(ranked.iter().map(|&ranked| prob(ranked) as f32));
        target.rest = rest as f32;
    }

    fn softmax(&self, temperature: Temperature) -> Softmax {
        let scores = self.touched.iter().map(|&class| self.sums[class as usize]);
        Softmax::new(scores, self.absent_count(), temperature.get())
    }

    fn absent_count(&self) -> usize {
        self.sums.len() - self.touched.len()
    }
}

/// Returns the score at which `absent` classes together have the probability that remains after the kept ones.
fn rest_score(lse: f32, kept: &[f32], absent: usize) -> f64 {
    let lse = f64::from(lse);
    let kept: f64 = kept.iter().map(|&score| (f64::from(score) - lse).exp()).sum();
    lse + ((1.0 - kept).max(MIN_REST) / absent.max(1) as f64).ln()
}

/// Smallest distinguishable rest, since scores and log-sum-exp are rounded to float16.
const MIN_REST: f64 = 1e-3;
