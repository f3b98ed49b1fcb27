//! Follows image positions through a graph, node by node.
//!
//! Nodes that move values move their positions. Nodes that compute a value from its neighbours (convolutions, poolings,
//! resizes) place it at the centre of its window. Matrix products keep the positions of the rows that remain. Results of
//! all other nodes have unknown positions, and the teacher must be probed: see `locality/probe.rs`.

use std::collections::HashMap;

use super::coordinate::{Coordinate, EVERYWHERE, UNKNOWN};
use super::elementwise::is_elementwise;
use super::shapes::Shapes;
use super::traced::Traced;
use super::window::{self, Window};
use crate::labelling::teacher::graph::{
    Graph, NodeProto, attribute_int, attribute_ints, attribute_text, captured_names,
};
use crate::labelling::teacher::rewrite::{ImageInput, InputLayout};

/// Traces positions from the image to the tensor `wanted`.
pub(super) fn trace(graph: &Graph, input: &ImageInput, wanted: &str, shapes: &Shapes) -> Option<Traced> {
    let mut tracer =
        Tracer { graph, shapes, traced: HashMap::from([(input.name.clone(), image_positions(input, shapes)?)]) };
    for index in graph.ancestors(&[wanted.to_owned()], &std::iter::once(input.name.clone()).collect()) {
        tracer.follow(index);
    }
    tracer.traced.remove(wanted)
}

/// Positions of the pixels of the input.
fn image_positions(input: &ImageInput, shapes: &Shapes) -> Option<Traced> {
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
        inconclusive_node: None,
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
    /// Records the positions of the results of a node if it depends on the image.
    fn follow(&mut self, index: usize) {
        let node = self.graph.node(index);
        if matches!(node.op_type(), "Shape" | "Size") || !node.input.iter().any(|input| self.traced.contains_key(input))
        {
            if node.attribute.iter().any(|attribute| attribute.g.is_some()) && self.captures_image(node) {
                self.lose_positions(index, node);
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
                if traced.inconclusive_node.is_none() && (traced.y.has_unknown() || traced.x.has_unknown()) {
                    traced.inconclusive_node = Some(index);
                }
                if traced.cut_by.is_none() && traced.lost.iter().any(|&lost| lost > 0.0) {
                    traced.cut_by = Some(index);
                }
                self.traced.insert(output.clone(), traced);
            }
            None => self.lose_positions(index, node),
        }
    }

    fn captures_image(&self, node: &NodeProto) -> bool {
        captured_names(node).into_iter().any(|name| self.traced.contains_key(name))
    }

    /// Records unknown positions for the results of a node.
    fn lose_positions(&mut self, index: usize, node: &NodeProto) {
        let before = self.inputs(node).next().map(|(_, traced)| traced);
        let inconclusive_node = before.and_then(|traced| traced.inconclusive_node).or(Some(index));
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            let dims = self.shapes.dims(output).unwrap_or_default().to_vec();
            let unknown = Coordinate::constant(dims.len(), UNKNOWN);
            let traced =
                Traced { y: unknown.clone(), x: unknown, dims, inconclusive_node, lost: [0.0; 2], cut_by: None };
            self.traced.insert(output.clone(), traced);
        }
    }

    /// Inputs that depend on the image, with their indices.
    fn inputs<'n>(&'n self, node: &'n NodeProto) -> impl Iterator<Item = (usize, &'n Traced)> {
        let traced = node.input.iter().enumerate();
        traced.filter_map(|(at, name)| Some((at, self.traced.get(name)?)))
    }

    /// The dimensions of the first input, for results missing in the profile: nodes that ONNX Runtime decomposes.
    fn same_dims(&self, node: &NodeProto) -> Option<Vec<usize>> {
        is_elementwise(node.op_type()).then(|| self.inputs(node).next().map(|(_, traced)| traced.dims.clone()))?
    }

    fn ints(&self, node: &NodeProto, at: usize) -> Option<Vec<i64>> {
        self.shapes.parameter(node.input.get(at)?)
    }

    /// Positions of the first result of a node; `None` if unknown.
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
                Some(first.with_dims(dims))
            }
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" if at == 0 => {
                first.mapped(dims, |side| side.reshaped(&first.dims, dims))
            }
            "Transpose" => {
                let order: Vec<usize> = match attribute_ints(node, "perm") {
                    Some(order) => window::axes(order, rank)?,
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
            "Resize" | "Upsample" if at == 0 && same_rank => window::resized(first, dims),
            "ConvTranspose" | "SpaceToDepth" | "DepthToSpace" if at == 0 && same_rank => {
                window::resized(&first.contracted(&[1])?, dims)
            }
            "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" | "QLinearGlobalAveragePool" if at == 0 => {
                let axes: Vec<usize> = (2..first.dims.len()).collect();
                same_rank.then(|| first.averaged(&axes, dims))
            }
            op if op.starts_with("Reduce") && at == 0 => {
                let axes = match attribute_ints(node, "axes").map(<[i64]>::to_vec).or_else(|| self.ints(node, 1)) {
                    Some(axes) => window::axes(&axes, first.dims.len())?,
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
            // The results have the positions of the queries.
            "Attention" | "MultiHeadAttention" if at == 0 && same_rank => {
                Some(first.contracted(&[rank - 1])?.with_dims(dims))
            }
            "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => self.joined(node, dims),
            _ => None,
        }
    }

    /// Joins the positions of all inputs that have any.
    fn joined(&self, node: &NodeProto, dims: &[usize]) -> Option<Traced> {
        let mut inputs = self.inputs(node).map(|(_, traced)| traced);
        let first = inputs.next()?.clone();
        let joined = inputs.try_fold(first, |joined, next| joined.joined(next))?;
        joined.mapped(dims, |side| Some(side.with_rank(dims.len())))
    }

    fn concatenated(&self, node: &NodeProto, dims: &[usize]) -> Option<Traced> {
        let [axis] = window::axes(&[attribute_int(node, "axis").unwrap_or(1)], dims.len())?[..] else { return None };
        let traced: Vec<Option<&Traced>> = node.input.iter().map(|name| self.traced.get(name)).collect();
        let known: Vec<&Traced> = traced.iter().flatten().copied().collect();
        let first = *known.first()?;
        if known.iter().any(|part| part.dims.len() != dims.len()) {
            return None;
        }
        // Branches with the same positions, concatenated along the channels.
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
                    // A weight, such as a class token.
                    let mut dims = dims.to_vec();
                    dims[axis] = if absent == 1 { rest } else { *self.shapes.dims(name)?.get(axis)? };
                    (Coordinate::constant(dims.len(), EVERYWHERE), dims)
                });
            }
            Coordinate::concatenated(&parts, axis)
        };
        let mut concatenated = Traced {
            y: side(|part| &part.y)?,
            x: side(|part| &part.x)?,
            dims: dims.to_vec(),
            inconclusive_node: known.iter().find_map(|part| part.inconclusive_node),
            lost: [0.0; 2],
            cut_by: known.iter().find_map(|part| part.cut_by),
        };
        // Another part may contain what one part lacks, as when an image is rolled.
        let before = |at: usize| known.iter().map(|part| part.lost[at] + part.extent()[at]).fold(0.0, f32::max);
        concatenated.lost = [0, 1].map(|at| (before(at) - concatenated.extent()[at]).max(0.0));
        if concatenated.lost.iter().all(|&lost| lost <= 0.0) {
            concatenated.cut_by = None;
        }
        Some(concatenated)
    }

    fn sliced(&self, node: &NodeProto, first: &Traced, dims: &[usize]) -> Option<Traced> {
        let ints =
            |name: &str, at: usize| attribute_ints(node, name).map(<[i64]>::to_vec).or_else(|| self.ints(node, at));
        let (starts, ends) = (ints("starts", 1)?, ints("ends", 2)?);
        let axes = match ints("axes", 3) {
            Some(axes) => window::axes(&axes, first.dims.len())?,
            None => (0..starts.len()).collect(),
        };
        let steps = self.ints(node, 4).unwrap_or_else(|| vec![1; starts.len()]);
        let mut sliced = first.clone();
        for (at, &axis) in axes.iter().enumerate() {
            let picked = window::slice(*first.dims.get(axis)?, *starts.get(at)?, *ends.get(at)?, *steps.get(at)?)?;
            sliced = sliced.taken(axis, &picked);
        }
        (sliced.dims == dims).then_some(sliced)
    }

    fn gathered(&self, node: &NodeProto, first: &Traced, dims: &[usize]) -> Option<Traced> {
        let [axis] = window::axes(&[attribute_int(node, "axis").unwrap_or(0)], first.dims.len())?[..] else {
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

    /// Extrapolates positions around the image.
    fn padded(&self, node: &NodeProto, first: &Traced, dims: &[usize]) -> Option<Traced> {
        let rank = dims.len();
        let pads = attribute_ints(node, "pads").map(<[i64]>::to_vec).or_else(|| self.ints(node, 1))?;
        let axes = match node.input.get(3).filter(|name| !name.is_empty()) {
            Some(_) => window::axes(&self.ints(node, 3)?, rank)?,
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

    /// A matrix product: the rows of the first factor and the columns of the second remain, the common axis is summed.
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
        // If a factor depends on the image and its positions are unknown, so are those of the product.
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
            // In the order of the result, with new axes of length 1.
            let result_axes: Vec<Option<usize>> =
                right.chars().map(|label| labels.iter().position(|&other| other == label)).collect();
            let order: Vec<usize> = result_axes.iter().flatten().copied().collect();
            let with_ones: Vec<usize> =
                result_axes.iter().map(|axis| axis.map_or(1, |axis| traced.dims[axis])).collect();
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
            let [axis] = window::axes(&[attribute_int(node, "axis").unwrap_or(0)], traced.dims.len())?[..] else {
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
            None => self.lose_positions(index, node),
        }
    }
}

/// Positions of the remaining axes of the factors. If several factors have positions, as queries and keys of an attention
/// do, those of the first are kept: softmax goes over the keys.
fn remaining(factors: &[Option<Traced>], dims: &[usize]) -> Option<Traced> {
    let known = || factors.iter().flatten();
    let kept = known()
        .find(|factor| factor.y.has_positions() || factor.x.has_positions())
        .or_else(|| known().find(|factor| factor.has_unknown()))
        .or_else(|| known().next())?;
    kept.mapped(dims, |side| Some(side.with_rank(dims.len())))
}
