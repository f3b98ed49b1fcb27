//! Follows the places of the image through a graph, node by node: where the elements of each tensor lie.
//!
//! Nodes that only move values move their places too. Nodes that make a value of its neighbours (convolutions, poolings,
//! resizes) put it where its window has its centre. Products of matrices keep the places of the rows that remain. What is
//! not known to do any of this has no known place, and what follows it is settled by looking: see `locality/probe.rs`.

use std::collections::HashMap;

use super::coordinate::{Coordinate, EVERYWHERE, UNKNOWN};
use super::geometry::{self, Window};
use super::shapes::Shapes;
use crate::labelling::teacher::graph::{Graph, NodeProto, attribute_int, attribute_ints, attribute_text};
use crate::labelling::teacher::rewrite::{ImageInput, InputLayout};

/// Where the elements of a tensor lie.
#[derive(Clone, Debug)]
pub(super) struct Traced {
    pub(super) dims: Vec<usize>,
    /// From the top of the image to its bottom.
    pub(super) y: Coordinate,
    /// From its left to its right.
    pub(super) x: Coordinate,
    /// The first node behind which the place is not known.
    pub(super) unsettled_by: Option<usize>,
    /// How much of the image was cut away, down and across, and the node that did so last.
    pub(super) lost: [f32; 2],
    pub(super) cut_by: Option<usize>,
}

/// Follows the image to the tensor `wanted`.
pub(super) fn trace(graph: &Graph, input: &ImageInput, wanted: &str, shapes: &Shapes) -> Option<Traced> {
    let mut tracer = Tracer { graph, shapes, traced: HashMap::from([(input.name.clone(), of_image(input, shapes)?)]) };
    for index in graph.ancestors(&[wanted.to_owned()], &std::iter::once(input.name.clone()).collect()) {
        tracer.follow(index);
    }
    tracer.traced.remove(wanted)
}

fn of_image(input: &ImageInput, shapes: &Shapes) -> Option<Traced> {
    let dims = shapes.dims(&input.name)?.to_vec();
    let (y_axis, x_axis) = match input.layout {
        InputLayout::Nchw => (2, 3),
        InputLayout::Nhwc => (1, 2),
    };
    let centres = |count: usize| (0..count).map(|at| (at as f32 + 0.5) / count as f32).collect();
    Some(Traced {
        y: Coordinate::along(4, y_axis, centres(*dims.get(y_axis)?)),
        x: Coordinate::along(4, x_axis, centres(*dims.get(x_axis)?)),
        dims,
        unsettled_by: None,
        lost: [0.0; 2],
        cut_by: None,
    })
}

struct Tracer<'a> {
    graph: &'a Graph,
    shapes: &'a Shapes,
    traced: HashMap<String, Traced>,
}

impl Tracer<'_> {
    /// Notes where the results of a node lie, if it computes anything from the image.
    fn follow(&mut self, index: usize) {
        let node = self.graph.node(index);
        if matches!(node.op_type(), "Shape" | "Size") || !node.input.iter().any(|input| self.traced.contains_key(input))
        {
            if node.attribute.iter().any(|attribute| attribute.g.is_some()) && self.captures_image(node) {
                self.unsettle(index, node);
            }
            return;
        }
        if node.op_type() == "Split" {
            return self.split(index, node);
        }
        let Some(output) = node.output.first().filter(|output| !output.is_empty()) else { return };
        let dims = self.shapes.dims(output).map(<[usize]>::to_vec).or_else(|| self.same_dims(node));
        let followed = dims.and_then(|dims| self.result(node, &dims));
        let fits = |traced: &Traced| {
            let rank = traced.dims.len();
            traced.y.rank() == rank && traced.x.rank() == rank
        };
        match followed.filter(fits) {
            Some(mut traced) => {
                if traced.unsettled_by.is_none() && (traced.y.has_unknown() || traced.x.has_unknown()) {
                    traced.unsettled_by = Some(index);
                }
                if traced.cut_by.is_none() && traced.lost.iter().any(|&lost| lost > 0.0) {
                    traced.cut_by = Some(index);
                }
                self.traced.insert(output.clone(), traced);
            }
            None => self.unsettle(index, node),
        }
    }

    fn captures_image(&self, node: &NodeProto) -> bool {
        crate::labelling::teacher::graph::captured_names(node).into_iter().any(|name| self.traced.contains_key(name))
    }

    /// Results whose places are not known.
    fn unsettle(&mut self, index: usize, node: &NodeProto) {
        let before = self.inputs(node).next().map(|(_, traced)| traced);
        let unsettled_by = before.and_then(|traced| traced.unsettled_by).or(Some(index));
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            let dims = self.shapes.dims(output).unwrap_or_default().to_vec();
            let unknown = Coordinate::constant(dims.len(), UNKNOWN);
            let traced = Traced { y: unknown.clone(), x: unknown, dims, unsettled_by, lost: [0.0; 2], cut_by: None };
            self.traced.insert(output.clone(), traced);
        }
    }

    /// Inputs that depend on the image, with their positions.
    fn inputs<'n>(&'n self, node: &'n NodeProto) -> impl Iterator<Item = (usize, &'n Traced)> {
        let traced = node.input.iter().enumerate();
        traced.filter_map(|(at, name)| Some((at, self.traced.get(name)?)))
    }

    /// The dimensions of the first input, for results that the run did not show: nodes that ONNX Runtime takes apart.
    fn same_dims(&self, node: &NodeProto) -> Option<Vec<usize>> {
        is_elementwise(node.op_type()).then(|| self.inputs(node).next().map(|(_, traced)| traced.dims.clone()))?
    }

    fn ints(&self, node: &NodeProto, at: usize) -> Option<Vec<i64>> {
        self.shapes.control(node.input.get(at)?)
    }

    /// Where the elements of a node's first result lie. `None` where that is not known.
    fn result(&self, node: &NodeProto, dims: &[usize]) -> Option<Traced> {
        let rank = dims.len();
        let (at, first) = self.inputs(node).next()?;
        let same_rank = first.dims.len() == rank;
        match node.op_type() {
            op if is_elementwise(op) => self.joined(node, dims),
            "Softmax"
            | "LogSoftmax"
            | "Hardmax"
            | "LayerNormalization"
            | "SimplifiedLayerNormalization"
            | "RMSNormalization"
            | "LpNormalization"
            | "InstanceNormalization"
            | "GroupNormalization"
            | "LRN"
            | "BatchNormalization"
            | "MeanVarianceNormalization"
            | "QuantizeLinear"
            | "DequantizeLinear"
                if at == 0 && same_rank =>
            {
                Some(first.at_same_places(dims))
            }
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" if at == 0 => {
                first.mapped(dims, |side| side.reshaped(&first.dims, dims))
            }
            "Transpose" => {
                let order: Vec<usize> = match attribute_ints(node, "perm") {
                    Some(order) => geometry::axes(order, rank)?,
                    None => (0..rank).rev().collect(),
                };
                (order.len() == rank).then(|| first.mapped(dims, |side| Some(side.transposed(&order))))?
            }
            "Expand" if at == 0 => first.mapped(dims, |side| Some(side.with_rank(rank))),
            "Tile" if at == 0 && same_rank => first.mapped(dims, |side| {
                (0..rank).try_fold(side.clone(), |side, axis| {
                    let picked: Vec<usize> = (0..dims[axis]).map(|at| at % first.dims[axis].max(1)).collect();
                    Some(side.take(axis, first.dims[axis], &picked))
                })
            }),
            "Concat" => self.concatenated(node, dims),
            "Slice" if at == 0 => self.sliced(node, first, dims),
            "Gather" if at == 0 => self.gathered(node, first, dims),
            "Pad" if at == 0 => self.padded(node, first, dims),
            "Conv" | "ConvInteger" | "QLinearConv" | "FusedConv" if at == 0 => {
                let window = Window::of(self.graph, node, first, dims)?;
                window.slid(&first.contracted(&[1])?, dims)
            }
            "MaxPool" | "AveragePool" | "LpPool" | "QLinearAveragePool" if at == 0 => {
                Window::of(self.graph, node, first, dims)?.slid(first, dims)
            }
            "Resize" | "Upsample" if at == 0 && same_rank => geometry::resized(first, dims),
            "ConvTranspose" | "SpaceToDepth" | "DepthToSpace" if at == 0 && same_rank => {
                geometry::resized(&first.contracted(&[1])?, dims)
            }
            "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" | "QLinearGlobalAveragePool" if at == 0 => {
                let axes: Vec<usize> = (2..first.dims.len()).collect();
                same_rank.then(|| first.averaged(&axes, dims))
            }
            op if op.starts_with("Reduce") && at == 0 => {
                let axes = match attribute_ints(node, "axes").map(<[i64]>::to_vec).or_else(|| self.ints(node, 1)) {
                    Some(axes) => geometry::axes(&axes, first.dims.len())?,
                    None if node.input.len() < 2 => (0..first.dims.len()).collect(),
                    None => return None,
                };
                let averaged = first.averaged(&axes, &first.dims);
                if attribute_int(node, "keepdims") == Some(0) {
                    averaged.mapped(dims, |side| Some(side.without_axes(&axes)))
                } else {
                    Some(Traced { dims: dims.to_vec(), ..averaged })
                }
            }
            "MatMul" | "FusedMatMul" | "Gemm" | "MatMulInteger" | "QLinearMatMul" => self.product(node, dims),
            "Einsum" => self.einsum(node, dims),
            // The results have the places of the queries.
            "Attention" | "MultiHeadAttention" if at == 0 && same_rank => {
                Some(first.contracted(&[rank - 1])?.at_same_places(dims))
            }
            "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => self.joined(node, dims),
            _ => None,
        }
    }

    /// The places of all inputs that have any, one beside the other.
    fn joined(&self, node: &NodeProto, dims: &[usize]) -> Option<Traced> {
        let mut inputs = self.inputs(node).map(|(_, traced)| traced);
        let first = inputs.next()?.clone();
        let joined = inputs.try_fold(first, |joined, next| joined.joined(next))?;
        joined.mapped(dims, |side| Some(side.with_rank(dims.len())))
    }

    fn concatenated(&self, node: &NodeProto, dims: &[usize]) -> Option<Traced> {
        let [axis] = geometry::axes(&[attribute_int(node, "axis").unwrap_or(1)], dims.len())?[..] else { return None };
        let traced: Vec<Option<&Traced>> = node.input.iter().map(|name| self.traced.get(name)).collect();
        let known: Vec<&Traced> = traced.iter().flatten().copied().collect();
        let first = *known.first()?;
        if known.iter().any(|part| part.dims.len() != dims.len()) {
            return None;
        }
        // Branches that saw the same places: their channels stand side by side.
        if known.len() == node.input.len() && known.iter().all(|part| !part.varies_along(axis)) {
            let joined = known.iter().skip(1).try_fold(first.clone(), |joined, part| joined.joined(part));
            if let Some(joined) = joined.filter(|joined| !joined.has_unknown()) {
                return Some(Traced { dims: dims.to_vec(), ..joined });
            }
        }
        let rest = dims[axis].checked_sub(known.iter().map(|part| part.dims[axis]).sum())?;
        let absent = traced.iter().filter(|part| part.is_none()).count();
        let side = |pick: fn(&Traced) -> &Coordinate| {
            let mut parts = Vec::with_capacity(traced.len());
            for (part, name) in traced.iter().zip(&node.input) {
                parts.push(if let Some(part) = part {
                    (pick(part).clone(), part.dims.clone())
                } else {
                    // A weight, such as the class token.
                    let mut dims = dims.to_vec();
                    dims[axis] = if absent == 1 { rest } else { *self.shapes.dims(name)?.get(axis)? };
                    (Coordinate::constant(dims.len(), EVERYWHERE), dims)
                });
            }
            Coordinate::concatenated(&parts, axis)
        };
        let mut whole = Traced {
            y: side(|part| &part.y)?,
            x: side(|part| &part.x)?,
            dims: dims.to_vec(),
            unsettled_by: known.iter().find_map(|part| part.unsettled_by),
            lost: [0.0; 2],
            cut_by: known.iter().find_map(|part| part.cut_by),
        };
        // What one part lacks another may have, as where an image is rolled.
        let had = |at: usize| known.iter().map(|part| part.lost[at] + part.extent()[at]).fold(0.0, f32::max);
        whole.lost = [0, 1].map(|at| (had(at) - whole.extent()[at]).max(0.0));
        if whole.lost.iter().all(|&lost| lost <= 0.0) {
            whole.cut_by = None;
        }
        Some(whole)
    }

    fn sliced(&self, node: &NodeProto, first: &Traced, dims: &[usize]) -> Option<Traced> {
        let ints =
            |name: &str, at: usize| attribute_ints(node, name).map(<[i64]>::to_vec).or_else(|| self.ints(node, at));
        let (starts, ends) = (ints("starts", 1)?, ints("ends", 2)?);
        let axes = match ints("axes", 3) {
            Some(axes) => geometry::axes(&axes, first.dims.len())?,
            None => (0..starts.len()).collect(),
        };
        let steps = self.ints(node, 4).unwrap_or_else(|| vec![1; starts.len()]);
        let mut sliced = first.clone();
        for (at, &axis) in axes.iter().enumerate() {
            let picked = geometry::slice(*first.dims.get(axis)?, *starts.get(at)?, *ends.get(at)?, *steps.get(at)?)?;
            sliced = sliced.taken(axis, &picked);
        }
        (sliced.dims == dims).then_some(sliced)
    }

    fn gathered(&self, node: &NodeProto, first: &Traced, dims: &[usize]) -> Option<Traced> {
        let [axis] = geometry::axes(&[attribute_int(node, "axis").unwrap_or(0)], first.dims.len())?[..] else {
            return None;
        };
        let length = first.dims[axis];
        let count: usize = dims.get(axis..(axis + dims.len() + 1).checked_sub(first.dims.len())?)?.iter().product();
        let picked: Vec<usize> = if first.varies_along(axis) {
            let indices = self.ints(node, 1)?;
            let at = |index: i64| usize::try_from(if index < 0 { index + length as i64 } else { index }).ok();
            indices.into_iter().map(|index| at(index).filter(|&at| at < length)).collect::<Option<_>>()?
        } else {
            vec![0; count]
        };
        if picked.len() != count {
            return None;
        }
        let taken = first.taken(axis, &picked);
        let from = taken.dims.clone();
        taken.mapped(dims, |side| side.reshaped(&from, dims))
    }

    /// Coordinates are extrapolated around the image.
    fn padded(&self, node: &NodeProto, first: &Traced, dims: &[usize]) -> Option<Traced> {
        let rank = dims.len();
        let pads = attribute_ints(node, "pads").map(<[i64]>::to_vec).or_else(|| self.ints(node, 1))?;
        let axes = match node.input.get(3).filter(|name| !name.is_empty()) {
            Some(_) => geometry::axes(&self.ints(node, 3)?, rank)?,
            None => (0..rank).collect(),
        };
        let mut padded = first.clone();
        for (at, &axis) in axes.iter().enumerate() {
            let positions: Vec<f32> =
                (0..dims[axis]).map(|position| position as f32 - *pads.get(at).unwrap_or(&0) as f32).collect();
            padded = padded.mapped(dims, |side| Some(side.resampled(axis, &positions)))?;
        }
        padded.mapped(dims, Some)
    }

    /// A product of matrices: the rows of the first factor and the columns of the second remain, what they share is summed.
    fn product(&self, node: &NodeProto, dims: &[usize]) -> Option<Traced> {
        let flag = |name: &str| attribute_int(node, name).unwrap_or(0) != 0;
        let second = if node.op_type() == "QLinearMatMul" { 3 } else { 1 };
        let factor = |at: usize, transposed: bool, summed_from_end: usize| {
            let traced = self.traced.get(node.input.get(at)?)?;
            let rank = traced.dims.len();
            if rank < 2 {
                return None;
            }
            let mut order: Vec<usize> = (0..rank).collect();
            if transposed {
                order.swap(rank - 1, rank - 2);
            }
            let moved: Vec<usize> = order.iter().map(|&axis| traced.dims[axis]).collect();
            let traced = traced.mapped(&moved, |side| Some(side.transposed(&order)))?;
            traced.contracted(&[rank - summed_from_end])
        };
        let (a, b) = (factor(0, flag("transA"), 1), factor(second, flag("transB"), 2));
        let is_traced = |at: usize| node.input.get(at).is_some_and(|name| self.traced.contains_key(name));
        // A factor that depends on the image and could not be followed spoils the product.
        if (is_traced(0) && a.is_none()) || (is_traced(second) && b.is_none()) {
            return None;
        }
        remaining(&[a, b], dims)
    }

    fn einsum(&self, node: &NodeProto, dims: &[usize]) -> Option<Traced> {
        let equation = attribute_text(node, "equation")?.replace(' ', "");
        let (left, right) = equation.split_once("->")?;
        let mut factors = Vec::new();
        for (labels, name) in left.split(',').zip(&node.input) {
            let Some(traced) = self.traced.get(name) else { continue };
            let labels: Vec<char> = labels.chars().collect();
            if labels.len() != traced.dims.len() || labels.contains(&'.') || right.contains('.') {
                return None;
            }
            let summed: Vec<usize> = (0..labels.len()).filter(|&axis| !right.contains(labels[axis])).collect();
            let kept = traced.contracted(&summed)?;
            // In the order of the result: first those that remain, then new ones of length 1 for the others.
            let of_result: Vec<Option<usize>> =
                right.chars().map(|label| labels.iter().position(|&other| other == label)).collect();
            let order: Vec<usize> = of_result.iter().flatten().copied().collect();
            let with_ones: Vec<usize> = of_result.iter().map(|axis| axis.map_or(1, |axis| traced.dims[axis])).collect();
            let ordered: Vec<usize> = order.iter().map(|&axis| traced.dims[axis]).collect();
            let side = |side: Coordinate| {
                let all: Vec<usize> = order.iter().chain(&summed).copied().collect();
                let last: Vec<usize> = (order.len()..all.len()).collect();
                side.transposed(&all).without_axes(&last).reshaped(&ordered, &with_ones)
            };
            factors.push(Some(kept.mapped(&with_ones, side)?));
        }
        remaining(&factors, dims)
    }

    fn split(&mut self, index: usize, node: &NodeProto) {
        let split = self.inputs(node).next().and_then(|(at, traced)| {
            let [axis] = geometry::axes(&[attribute_int(node, "axis").unwrap_or(0)], traced.dims.len())?[..] else {
                return None;
            };
            let mut begin = 0;
            let parts = node.output.iter().map(|output| {
                let length = *self.shapes.dims(output)?.get(axis)?;
                let picked: Vec<usize> = (begin..begin + length).collect();
                begin += length;
                (begin <= traced.dims[axis]).then(|| (output.clone(), traced.taken(axis, &picked)))
            });
            (at == 0).then(|| parts.collect::<Option<Vec<_>>>())?
        });
        match split {
            Some(parts) => self.traced.extend(parts),
            None => self.unsettle(index, node),
        }
    }
}

/// The places of the factors' axes that remain. Where more than one factor has places, as the scores of an attention have
/// those of queries and keys, the first factor's are kept: softmax goes over the keys.
fn remaining(factors: &[Option<Traced>], dims: &[usize]) -> Option<Traced> {
    let known = || factors.iter().flatten();
    let kept = known()
        .find(|factor| factor.y.has_places() || factor.x.has_places())
        .or_else(|| known().find(|factor| factor.has_unknown()))
        .or_else(|| known().next())?;
    kept.mapped(dims, |side| Some(side.with_rank(dims.len())))
}

impl Traced {
    pub(super) fn varies_along(&self, axis: usize) -> bool {
        self.y.varies_along(axis) || self.x.varies_along(axis)
    }

    pub(super) fn has_unknown(&self) -> bool {
        self.y.has_unknown() || self.x.has_unknown()
    }

    /// How much of the image its places span, down and across.
    fn extent(&self) -> [f32; 2] {
        [&self.y, &self.x].map(|side| side.range().map_or(0.0, |(low, high)| high - low))
    }

    fn at_same_places(&self, dims: &[usize]) -> Self {
        Self { dims: dims.to_vec(), ..self.clone() }
    }

    pub(super) fn mapped(&self, dims: &[usize], f: impl Fn(Coordinate) -> Option<Coordinate>) -> Option<Self> {
        Some(Self { dims: dims.to_vec(), y: f(self.y.clone())?, x: f(self.x.clone())?, ..self.clone() })
    }

    /// The elements `picked` along an axis.
    fn taken(&self, axis: usize, picked: &[usize]) -> Self {
        let length = self.dims[axis];
        let mut dims = self.dims.clone();
        dims[axis] = picked.len();
        let mut taken =
            Self { y: self.y.take(axis, length, picked), x: self.x.take(axis, length, picked), dims, ..self.clone() };
        // A stride that leaves out the last element does not cut anything away.
        let step = picked.windows(2).map(|pair| pair[0].abs_diff(pair[1])).min().unwrap_or(1).max(1);
        for (at, spacing) in [self.y.spacing(), self.x.spacing()].into_iter().enumerate() {
            let lost = self.extent()[at] - taken.extent()[at] - (step - 1) as f32 * spacing;
            taken.lost[at] += if lost > 1e-5 { lost } else { 0.0 };
        }
        taken
    }

    /// A mean along axes that keeps them with length 1.
    fn averaged(&self, axes: &[usize], dims: &[usize]) -> Self {
        let side = |side: &Coordinate| side.averaged(axes, EVERYWHERE);
        Self { y: side(&self.y), x: side(&self.x), dims: dims.to_vec(), ..self.clone() }
    }

    /// A sum with weights along axes that keeps them with length 1. A weighted sum over all places lies nowhere.
    fn contracted(&self, axes: &[usize]) -> Option<Self> {
        if axes.iter().any(|&axis| axis >= self.dims.len()) {
            return None;
        }
        let side = |side: &Coordinate| side.averaged(axes, UNKNOWN);
        Some(Self { y: side(&self.y), x: side(&self.x), ..self.clone() })
    }

    /// Two tensors element by element, one broadcast over the other where it is smaller.
    fn joined(&self, other: &Self) -> Option<Self> {
        let side = |a: &Coordinate, b: &Coordinate| a.joined(b, a.spacing().max(b.spacing()));
        let rank = self.dims.len().max(other.dims.len());
        let length = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |at| dims[at]);
        let dims = (0..rank).map(|axis| length(&self.dims, axis).max(length(&other.dims, axis))).collect();
        Some(Self {
            dims,
            y: side(&self.y, &other.y)?,
            x: side(&self.x, &other.x)?,
            unsettled_by: self.unsettled_by.or(other.unsettled_by),
            lost: [0, 1].map(|at| self.lost[at].min(other.lost[at])),
            cut_by: self.cut_by.and(other.cut_by),
        })
    }
}

/// Operators that compute each element of their result from the elements at the same place.
fn is_elementwise(op: &str) -> bool {
    const OPS: &[&str] = &[
        "Abs",
        "Add",
        "And",
        "BiasGelu",
        "BitShift",
        "Cast",
        "CastLike",
        "Ceil",
        "Celu",
        "Clip",
        "Cos",
        "Div",
        "Dropout",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "FastGelu",
        "Floor",
        "Gelu",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "IsInf",
        "IsNaN",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mish",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "QLinearAdd",
        "QLinearMul",
        "QuickGelu",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Shrink",
        "Sigmoid",
        "Sign",
        "Sin",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Sum",
        "Swish",
        "Tan",
        "Tanh",
        "ThresholdedRelu",
        "Where",
        "Xor",
    ];
    OPS.binary_search(&op).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_row_is_no_loss_and_a_part_is() {
        let rows = |count: usize| (0..count).map(|row| (row as f32 + 0.5) / count as f32).collect();
        let traced = Traced {
            y: Coordinate::along(3, 1, rows(8)),
            x: Coordinate::constant(3, 0.5),
            dims: vec![1, 8, 4],
            unsettled_by: None,
            lost: [0.0; 2],
            cut_by: None,
        };
        for first in [0, 1] {
            let halved = traced.taken(1, &[first, first + 2, first + 4, first + 6]);
            assert!(halved.lost.iter().all(|&lost| lost <= 0.0), "{:?}", halved.lost);
        }
        assert!((traced.taken(1, &[0, 1, 2, 3]).lost[0] - 0.5).abs() < 1e-5);
    }

    #[test]
    fn operators_are_sorted_for_the_search() {
        for op in ["Add", "Relu", "Where", "Sigmoid", "Gelu", "Xor", "Abs", "Mul"] {
            assert!(is_elementwise(op), "{op}");
        }
        assert!(!is_elementwise("Conv"));
    }
}
