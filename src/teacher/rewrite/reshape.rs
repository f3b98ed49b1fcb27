//! What becomes of a head's node that changes shapes, once cells stand in the place of the batch.

use std::collections::HashSet;

use crate::teacher::graph::{Graph, NodeProto, attribute_int};

/// What becomes of a head's node that changes shapes, once cells stand in the place of the batch.
pub(super) enum ReshapeOnCells {
    Keep,
    /// It becomes a Reshape to this.
    To(Vec<i64>),
    /// The node changes nothing: its output is its input.
    Skip,
}

pub(super) fn reshape_on_cells(
    graph: &Graph,
    node: &NodeProto,
    head: &HashSet<usize>,
    fixed_batch: Option<usize>,
) -> ReshapeOnCells {
    match node.op_type() {
        "Reshape" => {}
        // As in `Build::reshape`.
        "Flatten" if attribute_int(node, "axis").unwrap_or(1) == 1 => return ReshapeOnCells::To(ONE_ROW_EACH.to_vec()),
        // The second half of the dynamo exporter's way to write a pooling: flatten to one axis, then gather the same
        // values in the same order into the pooled shape.
        "Gather" if gathers_flattened(graph, node) => return ReshapeOnCells::Skip,
        _ => return ReshapeOnCells::Keep,
    }
    if flattens_for_gather(graph, node) {
        return ReshapeOnCells::Skip;
    }
    let Some(target) = node.input.get(1) else { return ReshapeOnCells::Keep };
    if let Some(mut shape) = graph.constant_ints(target) {
        // `[1, -1]`: the exporter wrote the batch as a number. 0 takes it from the data.
        let fixes_batch =
            shape.first().is_some_and(|&first| first > 0 && fixed_batch.is_none_or(|batch| first as usize == batch));
        if fixes_batch && shape.len() > 1 {
            shape[0] = 0;
            return ReshapeOnCells::To(shape);
        }
        return ReshapeOnCells::Keep;
    }
    if shape_comes_from_head(graph, target, head) {
        ReshapeOnCells::Keep
    } else {
        ReshapeOnCells::To(ONE_ROW_EACH.to_vec())
    }
}

/// The first axis stays, the others become one.
const ONE_ROW_EACH: [i64; 2] = [0, -1];

/// A Reshape to `[-1]` that only Gathers of single values read.
fn flattens_for_gather(graph: &Graph, node: &NodeProto) -> bool {
    let to_one_axis = node.input.get(1).and_then(|shape| graph.constant_ints(shape)).is_some_and(|shape| shape == [-1]);
    let readers = graph.consumers(&node.output[0]);
    to_one_axis && !readers.is_empty() && readers.iter().all(|&reader| graph.node(reader).op_type() == "Gather")
}

fn gathers_flattened(graph: &Graph, node: &NodeProto) -> bool {
    attribute_int(node, "axis").unwrap_or(0) == 0
        && node.input.first().and_then(|data| graph.producer(data)).is_some_and(|index| {
            let flatten = graph.node(index);
            flatten.op_type() == "Reshape" && flattens_for_gather(graph, flatten)
        })
}

/// True when every shape that `target` is computed from is the shape of a tensor inside the head, which has the
/// cells where the batch was.
fn shape_comes_from_head(graph: &Graph, target: &str, head: &HashSet<usize>) -> bool {
    let mut open = vec![target];
    while let Some(tensor) = open.pop() {
        let Some(index) = graph.producer(tensor) else { continue };
        let node = graph.node(index);
        if node.op_type() == "Shape" {
            if !head.contains(&index) {
                return false;
            }
        } else {
            open.extend(node.input.iter().map(String::as_str));
        }
    }
    true
}
