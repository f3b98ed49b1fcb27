//! Arithmetic of windows, slices and axes as defined by the ONNX operators.

use super::coordinate::Coordinate;
use super::traced::Traced;
use crate::labelling::teacher::graph::{Graph, NodeProto, attribute_ints, attribute_text};

/// The windows of a convolution or pooling, one entry for each spatial axis (axes 2 and up).
pub(super) struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    pads_before: Vec<i64>,
}

impl Window {
    pub(super) fn of(graph: &Graph, node: &NodeProto, input: &Traced, output_dims: &[usize]) -> Option<Self> {
        let axes = input.dims.len().checked_sub(2)?;
        if output_dims.len() != input.dims.len() {
            return None;
        }
        let sides = |name: &str| match attribute_ints(node, name) {
            None => Some(vec![1; axes]),
            Some(sides) if sides.len() == axes => sides.iter().map(|&side| usize::try_from(side).ok()).collect(),
            Some(_) => None,
        };
        let kernel = if attribute_ints(node, "kernel_shape").is_some() {
            sides("kernel_shape")?
        } else {
            let weight = node.input.get(if node.op_type() == "QLinearConv" { 3 } else { 1 })?;
            let sides = graph.weight_dims(weight)?.get(2..)?.iter().map(|&side| usize::try_from(side).ok());
            sides.collect::<Option<_>>()?
        };
        let (strides, dilations) = (sides("strides")?, sides("dilations")?);
        if kernel.len() != axes
            || kernel.iter().chain(&strides).chain(&dilations).any(|side| !(1..=1 << 20).contains(side))
        {
            return None;
        }
        let span = |axis: usize| (kernel[axis] - 1) * dilations[axis] + 1;
        let pads_before = match attribute_text(node, "auto_pad").unwrap_or("NOTSET") {
            kind @ ("SAME_UPPER" | "SAME_LOWER") => (0..axes)
                .map(|axis| {
                    let covered = (output_dims[axis + 2].max(1) - 1) * strides[axis] + span(axis);
                    let total = covered.saturating_sub(input.dims[axis + 2]);
                    (if kind == "SAME_UPPER" { total / 2 } else { total.div_ceil(2) }) as i64
                })
                .collect(),
            "VALID" => vec![0; axes],
            _ => match attribute_ints(node, "pads") {
                Some(pads) if pads.len() == 2 * axes => pads[..axes].to_vec(),
                Some(_) => return None,
                None => vec![0; axes],
            },
        };
        Some(Self { kernel, strides, dilations, pads_before })
    }

    /// Places each result at the centre of its window.
    pub(super) fn slid(&self, input: &Traced, dims: &[usize]) -> Option<Traced> {
        let slide = |side: Coordinate| {
            (0..self.kernel.len()).fold(side, |side, axis| {
                let centre =
                    ((self.kernel[axis] - 1) * self.dilations[axis]) as f32 / 2.0 - self.pads_before[axis] as f32;
                let positions: Vec<f32> =
                    (0..dims[axis + 2]).map(|at| (at * self.strides[axis]) as f32 + centre).collect();
                side.resampled(axis + 2, &positions)
            })
        };
        input.mapped(dims, |side| Some(slide(side)))
    }
}

/// Resizes a map to other dimensions.
pub(super) fn resized(input: &Traced, dims: &[usize]) -> Option<Traced> {
    input.mapped(dims, |side| {
        let resize = |side: Coordinate, axis: usize| {
            let (from, to) = (input.dims[axis] as f32, dims[axis] as f32);
            let positions: Vec<f32> = (0..dims[axis]).map(|at| (at as f32 + 0.5) * from / to - 0.5).collect();
            side.resampled(axis, &positions)
        };
        Some((2..dims.len()).fold(side, resize))
    })
}

/// Converts axes to non-negative ones. `None` if one is out of range.
pub(super) fn axes(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    let rank = rank as i64;
    axes.iter().map(|&axis| (-rank..rank).contains(&axis).then(|| axis.rem_euclid(rank) as usize)).collect()
}

/// Indices that a slice selects from an axis of `length` elements.
pub(super) fn slice(length: usize, start: i64, end: i64, step: i64) -> Option<Vec<usize>> {
    let length = length as i64;
    let from_front = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
    match step {
        0 | i64::MIN => None,
        1.. => {
            let (start, end) = (from_front(start).clamp(0, length), from_front(end).clamp(0, length));
            Some((start..end).step_by(step as usize).map(|at| at as usize).collect())
        }
        _ => {
            let (start, end) = (from_front(start).clamp(-1, length - 1), from_front(end).clamp(-1, length - 1));
            Some((end + 1..=start).rev().step_by(step.unsigned_abs() as usize).map(|at| at as usize).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_follow_numpy() {
        assert_eq!(slice(5, 1, i64::MAX, 1).unwrap(), [1, 2, 3, 4]);
        assert_eq!(slice(5, -3, -1, 1).unwrap(), [2, 3]);
        assert_eq!(slice(5, 0, 9, 2).unwrap(), [0, 2, 4]);
        assert_eq!(slice(5, -1, i64::MIN, -1).unwrap(), [4, 3, 2, 1, 0]);
        assert_eq!(slice(5, 4, 0, -2).unwrap(), [4, 2]);
        assert_eq!(slice(5, 0, 5, 0), None);
        assert_eq!(axes(&[-1, 0], 4), Some(vec![3, 0]));
        assert_eq!(axes(&[4], 4), None);
    }
}
