//! Tells which nodes average over the map, in all the ways in which exporters write it.

use crate::labelling::teacher::graph::{Graph, NodeProto, attribute_int, attribute_ints};
use crate::labelling::teacher::tensors::Floats;
use crate::shared::geometry::MapSize;

/// The order of a feature tensor's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[batch, channel, y, x]`
    Nchw,
    /// `[batch, y, x, channel]`
    Nhwc,
    /// `[batch, cell, channel]`
    Tokens,
    /// `[batch, channel, cell]`
    ChannelTokens,
}

impl Layout {
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Nchw => "[batch, channel, y, x]",
            Self::Nhwc => "[batch, y, x, channel]",
            Self::Tokens => "[batch, cell, channel]",
            Self::ChannelTokens => "[batch, channel, cell]",
        }
    }

    pub(crate) fn channels_last(self) -> bool {
        matches!(self, Self::Nhwc | Self::Tokens)
    }

    /// The axes along which cells lie, rows first.
    pub(crate) fn cell_axes(self) -> &'static [usize] {
        match self {
            Self::Nchw => &[2, 3],
            Self::Nhwc => &[1, 2],
            Self::Tokens => &[1],
            Self::ChannelTokens => &[2],
        }
    }

    /// Number of axes.
    pub(crate) fn rank(self) -> usize {
        self.cell_axes().len() + 2
    }

    /// The values of features as one vector a cell: `[image, cell, channel]`, cells in the order of the features.
    pub(crate) fn cells_last(self, features: &Floats) -> Vec<f32> {
        if self.channels_last() {
            return features.values.clone();
        }
        let channels = self.channels_of(&features.dims);
        let cells: usize = self.cell_axes().iter().map(|&axis| features.dims[axis]).product();
        let mut vectors = vec![0.0; features.values.len()];
        for (at, plane) in features.values.chunks_exact(cells.max(1)).enumerate() {
            let (image, channel) = (at / channels, at % channels);
            for (cell, &value) in plane.iter().enumerate() {
                vectors[(image * cells + cell) * channels + channel] = value;
            }
        }
        vectors
    }

    /// Channels of features with these sides.
    pub(crate) fn channels_of(self, dims: &[usize]) -> usize {
        let side = if self.channels_last() { dims.last() } else { dims.get(1) };
        side.copied().unwrap_or(1)
    }

    /// Shape of the pooled tensor as a Reshape wants it (0 keeps the first axis, -1 takes what is left), when
    /// `kept_axes` of the averaged axes stay with length 1.
    fn pooled_shape(self, kept_axes: usize) -> Vec<i64> {
        let mut shape = vec![1; kept_axes + 2];
        shape[0] = 0;
        let channel = if self.channels_last() { kept_axes + 1 } else { 1 };
        shape[channel] = -1;
        shape
    }
}

/// The cells that a teacher averages, as a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CellGrid {
    pub(crate) layout: Layout,
    pub(crate) size: MapSize,
    /// Which of the averaged vectors each cell is, row by row; `None` where they are in this order already.
    pub(crate) order: Option<Vec<usize>>,
}

impl CellGrid {
    pub(crate) fn raster(layout: Layout, size: MapSize) -> Self {
        Self { layout, size, order: None }
    }

    /// Vectors of `length` values in the order of the cells, image after image.
    pub(crate) fn in_order(&self, vectors: Vec<f32>, length: usize) -> Vec<f32> {
        let Some(order) = &self.order else { return vectors };
        let images = vectors.chunks_exact((order.len() * length).max(1));
        let ordered = images.flat_map(|image| order.iter().flat_map(move |&at| &image[at * length..(at + 1) * length]));
        ordered.copied().collect()
    }
}

/// An average over the whole map: one node, or a few that do it together.
#[derive(Debug)]
pub(super) struct Average {
    pub(super) features: String,
    pub(super) layout: Layout,
    pub(super) pooled_shape: Vec<i64>,
}

/// What `node` averages over all cells, if it does.
pub(super) fn average_over_map(graph: &Graph, node: &NodeProto) -> Option<Average> {
    let features = node.input.first()?.clone();
    let average = |layout: Layout, kept_axes| {
        Some(Average { features: features.clone(), layout, pooled_shape: layout.pooled_shape(kept_axes) })
    };
    match node.op_type() {
        "GlobalAveragePool" if known_rank(graph, &features) == Some(3) => average(Layout::ChannelTokens, 1),
        // Whether an AveragePool covers the whole map shows when it runs: the proof looks at its output's shape.
        "GlobalAveragePool" => average(Layout::Nchw, 2),
        // An adaptive pooling to the size the map already has (VGG, AlexNet) is exported as one of 1 x 1: it averages
        // nothing.
        "AveragePool" => {
            let averages = attribute_ints(node, "kernel_shape").is_some_and(|sides| sides.iter().any(|&side| side > 1));
            averages.then(|| average(Layout::Nchw, 2))?
        }
        "ReduceMean" => reduction(graph, node),
        // A sum, divided by the number of cells. That it is this number shows in the proof.
        "Div" | "Mul" => {
            let sum = graph.node(graph.producer(&features)?);
            let divisor = node.input.get(1)?;
            let is_mean = sum.op_type() == "ReduceSum" && !graph.sees(divisor, sum.input.first()?, &[]);
            if is_mean { reduction(graph, sum) } else { None }
        }
        _ => None,
    }
}

/// A reduction over the axes of the map, in one node or in two that take an axis each.
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
            let left: Vec<i64> = (0..4).filter(|&axis| axis != first).collect();
            left[positive(*second, 3)? as usize]
        };
        let layout = match (first.min(second), first.max(second)) {
            (2, 3) => Layout::Nchw,
            (1, 2) => Layout::Nhwc,
            _ => return None,
        };
        let kept_axes = usize::from(keeps_axes) + usize::from(last.keeps_axes);
        let pooled_shape = layout.pooled_shape(kept_axes);
        return Some(Average { features: before.input.first()?.clone(), layout, pooled_shape });
    }
    let layout = match last.axes[..] {
        [2, 3] | [-2, -1] => Layout::Nchw,
        [1, 2] | [-3, -2] => Layout::Nhwc,
        [1 | -2] => Layout::Tokens,
        [2 | -1] => Layout::ChannelTokens,
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

/// The axes of a reduction, an attribute in older operator sets and an input in newer ones.
pub(super) fn reduced_axes(graph: &Graph, node: &NodeProto) -> Option<Vec<i64>> {
    match attribute_ints(node, "axes") {
        Some(axes) => Some(axes.to_vec()),
        None => graph.constant_ints(node.input.get(1)?),
    }
}

/// An axis of a tensor with `rank` axes, counted from the front.
fn positive(axis: i64, rank: i64) -> Option<i64> {
    (-rank..rank).contains(&axis).then(|| axis.rem_euclid(rank))
}

/// How many axes a tensor has, where the node that makes it says so.
fn known_rank(graph: &Graph, tensor: &str) -> Option<usize> {
    let node = graph.node(graph.producer(tensor)?);
    match node.op_type() {
        "Transpose" => attribute_ints(node, "perm").map(<[i64]>::len),
        "Reshape" => graph.constant_ints(node.input.get(1)?).map(|shape| shape.len()),
        "Identity" | "Cast" | "LayerNormalization" => known_rank(graph, node.input.first()?),
        _ => None,
    }
}
