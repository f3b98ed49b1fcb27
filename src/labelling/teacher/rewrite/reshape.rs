//! Nodes of a head that change shapes, and their counterparts once cells take the place of the batch.

use crate::labelling::teacher::graph::{Graph, NodeProto, attribute_int, attribute_ints};

/// Counterpart of a shape-changing node of the head in the copy on cells.
pub(super) enum ReshapeOnCells {
    /// The unchanged node.
    Keep,
    /// A Reshape to this shape.
    To(Vec<i64>),
    /// An Expand to this shape.
    ExpandTo(Vec<i64>),
    /// No node: the output is the input.
    Skip,
}

pub(super) fn reshape_on_cells(graph: &Graph, node: &NodeProto, fixed_batch: Option<usize>) -> ReshapeOnCells {
    let target = || node.input.get(1).and_then(|shape| graph.constant_ints(shape));
    let is_batch = |side: i64| side > 0 && fixed_batch.is_none_or(|batch| side as usize == batch);
    match node.op_type() {
        // See `GraphBuilder::reshape`.
        "Flatten" if attribute_int(node, "axis").unwrap_or(1) == 1 => ReshapeOnCells::To(ONE_ROW_EACH.to_vec()),
        // The second half of a pooling as the dynamo exporter writes it: flatten to one axis, then gather the same values
        // in the same order into the pooled shape.
        "Gather" if gathers_flattened(graph, node) => ReshapeOnCells::Skip,
        "Reshape" if flattens_for_gather(graph, node) => ReshapeOnCells::Skip,
        "Reshape" => match target() {
            // `[1, -1]`: the exporter wrote the batch as a constant; 0 takes it from the data.
            Some(mut shape) if shape.len() > 1 && is_batch(shape[0]) => {
                shape[0] = 0;
                ReshapeOnCells::To(shape)
            }
            _ => ReshapeOnCells::Keep,
        },
        // A dimension of 1 keeps that of the data.
        "Expand" => match target() {
            Some(mut shape)
                if fixed_batch.is_some_and(|batch| batch > 1) && shape.first().is_some_and(|&side| is_batch(side)) =>
            {
                shape[0] = 1;
                ReshapeOnCells::ExpandTo(shape)
            }
            _ => ReshapeOnCells::Keep,
        },
        _ => ReshapeOnCells::Keep,
    }
}

/// Target shape for a Reshape of `torch.nn.MultiheadAttention`, which temporarily puts the single query before the batch,
/// `[1, batch, channel]`, between transpositions of the first two axes. The batch is inferred.
pub(super) fn reshape_of_query_first(graph: &Graph, node: &NodeProto) -> Option<Vec<i64>> {
    const SWAPPED: Option<&[i64]> = Some(&[1, 0, 2]);
    if node.op_type() != "Reshape" {
        return None;
    }
    let is_swap = |index: usize| {
        let other = graph.node(index);
        other.op_type() == "Transpose" && attribute_ints(other, "perm") == SWAPPED
    };
    let comes_from_swap = graph.producer(node.input.first()?).is_some_and(is_swap);
    let goes_to_swap = graph.consumers(node.output.first()?).iter().any(|&user| is_swap(user));
    match graph.constant_ints(node.input.get(1)?)?[..] {
        [_, channels] if channels > 0 && comes_from_swap => Some(vec![-1, channels]),
        [1, _, channels] if channels > 0 && goes_to_swap => Some(vec![1, -1, channels]),
        _ => None,
    }
}

/// Keeps the first axis and flattens the others.
const ONE_ROW_EACH: [i64; 2] = [0, -1];

/// Whether a node is a Reshape to `[-1]` whose result only Gathers of single values take.
fn flattens_for_gather(graph: &Graph, node: &NodeProto) -> bool {
    let to_one_axis = node.input.get(1).and_then(|shape| graph.constant_ints(shape)).is_some_and(|shape| shape == [-1]);
    let readers = node.output.first().map_or(&[][..], |output| graph.consumers(output));
    to_one_axis && !readers.is_empty() && readers.iter().all(|&reader| graph.node(reader).op_type() == "Gather")
}

fn gathers_flattened(graph: &Graph, node: &NodeProto) -> bool {
    attribute_int(node, "axis").unwrap_or(0) == 0
        && node.input.first().and_then(|data| graph.producer(data)).is_some_and(|index| {
            let flatten = graph.node(index);
            flatten.op_type() == "Reshape" && flattens_for_gather(graph, flatten)
        })
}
