//! Weights of a map's cells in one target.

use std::borrow::Cow;
use std::ops::Range;

use super::axis_samples::AxisSamples;
use super::mask_weights::MaskWeights;
use crate::shared::geometry::UnitBox;

/// Weights of cells.
#[derive(Debug)]
pub(super) enum CellWeights<'a> {
    /// The product of a row weight and a column weight, minus another such product.
    Box {
        y: Cow<'a, [f64]>,
        x: Cow<'a, [f64]>,
        /// Row and column weights of the hidden box.
        hidden: Option<[Vec<f64>; 2]>,
    },
    /// The cells under a mask.
    Mask(&'a MaskWeights),
}

impl<'a> CellWeights<'a> {
    /// Creates the weights of a box.
    pub(super) fn product(y: &'a [f64], x: &'a [f64]) -> Self {
        Self::Box { y: y.into(), x: x.into(), hidden: None }
    }

    /// Creates the weights of the part of a box that remains visible next to `hidden`, in 0..1 of the box: each sample counts
    /// by the visible fraction of its interval, and the weights are normalised to a sum of 1. If nothing is visible, the
    /// entire box counts: its share of a target is 0 then.
    pub(super) fn visible(y: &AxisSamples, x: &AxisSamples, hidden: UnitBox) -> Self {
        let side = |from: f64, to: f64| to.clamp(0.0, 1.0) - from.clamp(0.0, 1.0);
        let visible_share = 1.0 - side(hidden.y0(), hidden.y1()) * side(hidden.x0(), hidden.x1());
        let (all_y, all_x) = (y.part_weights(0), x.part_weights(0));
        if visible_share < 1e-9 {
            return Self::Box { y: all_y.into(), x: all_x.into(), hidden: None };
        }
        let scaled = |weights: Vec<f64>, by: f64| weights.into_iter().map(|weight| weight * by).collect::<Vec<_>>();
        let all_samples = (y.samples() * x.samples()) as f64;
        let hidden_y = scaled(y.covered_weights(hidden.y0(), hidden.y1()), 1.0 / (visible_share * all_samples));
        let hidden_x = x.covered_weights(hidden.x0(), hidden.x1());
        let y = scaled(all_y, 1.0 / visible_share).into();
        Self::Box { y, x: all_x.into(), hidden: Some([hidden_y, hidden_x]) }
    }

    /// Rows that contain all nonzero weights.
    pub(super) fn rows(&self) -> Range<usize> {
        match self {
            Self::Box { y, .. } => nonzero(y),
            Self::Mask(mask) => 0..mask.size().height_cells(),
        }
    }

    /// Columns that contain all nonzero weights.
    pub(super) fn columns(&self) -> Range<usize> {
        match self {
            Self::Box { x, .. } => nonzero(x),
            Self::Mask(mask) => 0..mask.size().width_cells(),
        }
    }

    /// Returns the weight of a cell.
    pub(super) fn at(&self, row: usize, column: usize) -> f64 {
        match self {
            Self::Box { y, x, hidden: None } => y[row] * x[column],
            Self::Box { y, x, hidden: Some([hidden_y, hidden_x]) } => {
                y[row] * x[column] - hidden_y[row] * hidden_x[column]
            }
            Self::Mask(mask) => mask.weights()[row * mask.size().width_cells() + column],
        }
    }
}

fn nonzero(weights: &[f64]) -> Range<usize> {
    let first = weights.iter().position(|&weight| weight != 0.0).unwrap_or(weights.len());
    let last = weights.iter().rposition(|&weight| weight != 0.0).map_or(first, |last| last + 1);
    first..last
}
