//! Positions of the elements of a tensor along both axes of the image.

use super::coordinate::{Coordinate, EVERYWHERE, UNKNOWN};

/// Positions of the elements of a tensor.
#[derive(Clone, Debug)]
pub(super) struct Traced {
    pub(super) dims: Vec<usize>,
    /// From top to bottom of the image.
    pub(super) y: Coordinate,
    /// From left to right.
    pub(super) x: Coordinate,
    /// Index of the first node after which positions are unknown.
    pub(super) inconclusive_node: Option<usize>,
    /// Fraction of the image that was cut away, vertically and horizontally.
    pub(super) lost: [f32; 2],
    /// Index of the node that cut it away.
    pub(super) cut_by: Option<usize>,
}

impl Traced {
    pub(super) fn varies_along(&self, axis: usize) -> bool {
        self.y.varies_along(axis) || self.x.varies_along(axis)
    }

    pub(super) fn has_unknown(&self) -> bool {
        self.y.has_unknown() || self.x.has_unknown()
    }

    /// Fraction of the image that the positions span, vertically and horizontally.
    pub(super) fn extent(&self) -> [f32; 2] {
        [&self.y, &self.x].map(|side| side.range().map_or(0.0, |(low, high)| high - low))
    }

    /// The same positions for a tensor of other dimensions with the same axes.
    pub(super) fn with_dims(&self, dims: &[usize]) -> Self {
        Self { dims: dims.to_vec(), ..self.clone() }
    }

    /// Applies `f` to both coordinates.
    pub(super) fn mapped(&self, dims: &[usize], f: impl Fn(Coordinate) -> Option<Coordinate>) -> Option<Self> {
        Some(Self { dims: dims.to_vec(), y: f(self.y.clone())?, x: f(self.x.clone())?, ..self.clone() })
    }

    /// Selects the elements `picked` along an axis.
    pub(super) fn taken(&self, axis: usize, picked: &[usize]) -> Self {
        let length = self.dims[axis];
        let mut dims = self.dims.clone();
        dims[axis] = picked.len();
        let mut taken =
            Self { y: self.y.take(axis, length, picked), x: self.x.take(axis, length, picked), dims, ..self.clone() };
        // A stride that omits the last element does not cut anything away.
        let step = picked.windows(2).map(|pair| pair[0].abs_diff(pair[1])).min().unwrap_or(1).max(1);
        for (at, spacing) in [self.y.spacing(), self.x.spacing()].into_iter().enumerate() {
            let lost = self.extent()[at] - taken.extent()[at] - (step - 1) as f32 * spacing;
            taken.lost[at] += if lost > 1e-5 { lost } else { 0.0 };
        }
        taken
    }

    /// The mean along axes, which keep length 1.
    pub(super) fn averaged(&self, axes: &[usize], dims: &[usize]) -> Self {
        let side = |side: &Coordinate| side.averaged(axes, EVERYWHERE);
        Self { y: side(&self.y), x: side(&self.x), dims: dims.to_vec(), ..self.clone() }
    }

    /// The weighted sum along axes, which keep length 1. A weighted sum over all positions has an unknown position.
    pub(super) fn contracted(&self, axes: &[usize]) -> Option<Self> {
        if axes.iter().any(|&axis| axis >= self.dims.len()) {
            return None;
        }
        let side = |side: &Coordinate| side.averaged(axes, UNKNOWN);
        Some(Self { y: side(&self.y), x: side(&self.x), ..self.clone() })
    }

    /// Positions of an element-wise operation on two tensors, with broadcasting.
    pub(super) fn joined(&self, other: &Self) -> Option<Self> {
        let side = |a: &Coordinate, b: &Coordinate| a.joined(b, a.spacing().max(b.spacing()));
        let rank = self.dims.len().max(other.dims.len());
        let length = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |at| dims[at]);
        let dims = (0..rank).map(|axis| length(&self.dims, axis).max(length(&other.dims, axis))).collect();
        Some(Self {
            dims,
            y: side(&self.y, &other.y)?,
            x: side(&self.x, &other.x)?,
            inconclusive_node: self.inconclusive_node.or(other.inconclusive_node),
            lost: [0, 1].map(|at| self.lost[at].min(other.lost[at])),
            cut_by: self.cut_by.and(other.cut_by),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_lose_nothing_and_slices_do() {
        let rows = |count: usize| (0..count).map(|row| (row as f32 + 0.5) / count as f32).collect();
        let traced = Traced {
            y: Coordinate::along(3, 1, rows(8)),
            x: Coordinate::constant(3, 0.5),
            dims: vec![1, 8, 4],
            inconclusive_node: None,
            lost: [0.0; 2],
            cut_by: None,
        };
        for first in [0, 1] {
            let halved = traced.taken(1, &[first, first + 2, first + 4, first + 6]);
            assert!(halved.lost.iter().all(|&lost| lost <= 0.0), "{:?}", halved.lost);
        }
        assert!((traced.taken(1, &[0, 1, 2, 3]).lost[0] - 0.5).abs() < 1e-5);
    }
}
