//! Recognises averages over the feature map, in all forms that exporters write.

use super::layout::FeatureLayout;
use crate::labelling::teacher::graph::{Graph, NodeProto, attribute_int, attribute_ints};

/// An average over the entire map, by one node or several.
#[derive(Debug)]
pub(super) struct Average {
    pub(super) features: String,
    pub(super) layout: FeatureLayout,
    pub(super) pooled_shape: Vec<i64>,
}

/// The average over all cells that `node` computes, if it does.
pub(super) fn average_over_map(graph: &Graph, node: &NodeProto) -> Option<Average> {
    let features = node.input.first()?.clone();
    let average = |layout: FeatureLayout, kept_axes| {
        Some(Average { features: features.clone(), layout, pooled_shape: layout.pooled_shape(kept_axes) })
    };
    match node.op_type() {
        "GlobalAveragePool" if known_rank(graph, &features) == Some(3) => average(FeatureLayout::ChannelTokens, 1),
        // Whether an AveragePool covers the entire map is checked when it runs, by the shape of its output.
        "GlobalAveragePool" => average(FeatureLayout::Nchw, 2),
        // Adaptive pooling to the size of the map (VGG, AlexNet) is exported with a 1 x 1 kernel and averages nothing.
        "AveragePool" => {
            let averages = attribute_ints(node, "kernel_shape").is_some_and(|sides| sides.iter().any(|&side| side > 1));
            averages.then(|| average(FeatureLayout::Nchw, 2))?
        }
        "ReduceMean" => reduction(graph, node),
        // A sum divided by the number of cells. That the divisor is this number is verified when it runs.
        "Div" | "Mul" => {
            let sum = graph.node(graph.producer(&features)?);
            let divisor = node.input.get(1)?;
            let is_mean = sum.op_type() == "ReduceSum" && !graph.depends_on(divisor, sum.input.first()?, &[]);
            if is_mean { reduction(graph, sum) } else { None }
        }
        _ => None,
    }
}

/// A reduction over the axes of the map, by one node or by two that reduce one axis each.
fn reduction(graph: &Graph, node: &NodeProto) -> Option<Average> {
    let features = node.input.first()?;
    let last = Reduction::of(graph, node)?;
    let before = graph.producer(features).map(|index| graph.node(index));
    let before = before.filter(|before| before.op_type() == node.op_type());
    if let (Some(before), [second]) = (before, &last.axes[..])
        && let Some(Reduction { axes, keeps_axes }) = Reduction::of(graph, before)
        && let [first] = axes[..]
    {
        let first = positive(first, 4)?;
        let second = if keeps_axes {
            positive(*second, 4)?
        } else {
            let remaining: Vec<i64> = (0..4).filter(|&axis| axis != first).collect();
            remaining[positive(*second, 3)? as usize]
        };
        let layout = match (first.min(second), first.max(second)) {
            (2, 3) => FeatureLayout::Nchw,
            (1, 2) => FeatureLayout::Nhwc,
            _ => return None,
        };
        let kept_axes = usize::from(keeps_axes) + usize::from(last.keeps_axes);
        let pooled_shape = layout.pooled_shape(kept_axes);
        return Some(Average { features: before.input.first()?.clone(), layout, pooled_shape });
    }
    let layout = match last.axes[..] {
        [2, 3] | [-2, -1] => FeatureLayout::Nchw,
        [1, 2] | [-3, -2] => FeatureLayout::Nhwc,
        [1 | -2] => FeatureLayout::Tokens,
        [2 | -1] => FeatureLayout::ChannelTokens,
        _ => return None,
    };
    let kept_axes = if last.keeps_axes { last.axes.len() } else { 0 };
    Some(Average { features: features.clone(), layout, pooled_shape: layout.pooled_shape(kept_axes) })
}

struct Reduction {
    /// Sorted.
    axes: Vec<i64>,
    keeps_axes: bool,
}

impl Reduction {
    fn of(graph: &Graph, node: &NodeProto) -> Option<Self> {
        let mut axes = reduced_axes(graph, node)?;
        axes.sort_unstable();
        Some(Self { axes, keeps_axes: attribute_int(node, "keepdims") != Some(0) })
    }
}

/// The axes of a reduction: an attribute in older operator sets, an input in newer ones.
pub(super) fn reduced_axes(graph: &Graph, node: &NodeProto) -> Option<Vec<i64>> {
    match attribute_ints(node, "axes") {
        Some(axes) => Some(axes.to_vec()),
        None => graph.constant_ints(node.input.get(1)?),
    }
}

/// Converts an axis of a tensor with `rank` axes to a non-negative one.
fn positive(axis: i64, rank: i64) -> Option<i64> {
    (-rank..rank).contains(&axis).then(|| axis.rem_euclid(rank))
}

/// Number of axes of a tensor, if the node that makes it determines it.
fn known_rank(graph: &Graph, tensor: &str) -> Option<usize> {
    let node = graph.node(graph.producer(tensor)?);
    match node.op_type() {
        "Transpose" => attribute_ints(node, "perm").map(<[i64]>::len),
        "Reshape" => graph.constant_ints(node.input.get(1)?).map(|shape| shape.len()),
        "Identity" | "Cast" | "LayerNormalization" => known_rank(graph, node.input.first()?),
        _ => None,
    }
}
