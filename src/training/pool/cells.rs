//! How much each cell of a map counts for one label.

use std::borrow::Cow;
use std::ops::Range;

use super::axis::Axis;
use crate::shared::geometry::UnitBox;

/// Weights of cells: a product of one for the row and one for the column, less another such product.
#[derive(Debug)]
pub(super) struct CellWeights<'a> {
    y: Cow<'a, [f64]>,
    x: Cow<'a, [f64]>,
    /// Rows and columns of what is hidden.
    less: Option<[Vec<f64>; 2]>,
}

impl<'a> CellWeights<'a> {
    /// Of a box.
    pub(super) fn product(y: &'a [f64], x: &'a [f64]) -> Self {
        Self { y: y.into(), x: x.into(), less: None }
    }

    /// Of what `hidden`, in 0..1 of the box, leaves visible: each sample counts by the visible share of its stretch of
    /// the box, and the shares are brought to a sum of 1. Where nothing is visible, as if nothing were hidden: the
    /// label's share of a target is 0 then.
    pub(super) fn visible(y: &Axis, x: &Axis, hidden: UnitBox) -> Self {
        let side = |from: f64, to: f64| to.clamp(0.0, 1.0) - from.clamp(0.0, 1.0);
        let visible_share = 1.0 - side(hidden.y0(), hidden.y1()) * side(hidden.x0(), hidden.x1());
        let (whole_y, whole_x) = (y.part_weights(0), x.part_weights(0));
        if visible_share < 1e-9 {
            return Self { y: whole_y.into(), x: whole_x.into(), less: None };
        }
        let scaled = |weights: Vec<f64>, by: f64| weights.into_iter().map(|weight| weight * by).collect::<Vec<_>>();
        let all_samples = (y.samples() * x.samples()) as f64;
        let less_y = scaled(y.covered_weights(hidden.y0(), hidden.y1()), 1.0 / (visible_share * all_samples));
        let less_x = x.covered_weights(hidden.x0(), hidden.x1());
        Self { y: scaled(whole_y, 1.0 / visible_share).into(), x: whole_x.into(), less: Some([less_y, less_x]) }
    }

    /// Rows that count.
    pub(super) fn rows(&self) -> Range<usize> {
        nonzero(&self.y)
    }

    /// Columns that count.
    pub(super) fn columns(&self) -> Range<usize> {
        nonzero(&self.x)
    }

    /// The weight of a cell.
    pub(super) fn at(&self, y: usize, x: usize) -> f64 {
        let weight = self.y[y] * self.x[x];
        match &self.less {
            None => weight,
            Some([less_y, less_x]) => weight - less_y[y] * less_x[x],
        }
    }
}

fn nonzero(weights: &[f64]) -> Range<usize> {
    let first = weights.iter().position(|&weight| weight != 0.0).unwrap_or(weights.len());
    let last = weights.iter().rposition(|&weight| weight != 0.0).map_or(first, |last| last + 1);
    first..last
}
