//! Single tokens of a sequence, such as a class token: vectors of an image, not of a cell.

use std::collections::HashSet;

use crate::labelling::teacher::graph::{Graph, NodeProto, Reachability, attribute_int, attribute_ints};

/// Largest number of tokens examined; networks have a few.
const MAX_TOKENS: usize = 256;

/// Largest number of tokens that a head may take; heads on the last four layers take four.
const MAX_PARTS: usize = 16;

/// Names of the tensors made by the nodes of `upstream` that hold a single token of a sequence `[batch, token, channel]`.
pub(super) fn find<'a>(graph: &'a Graph, reach: &Reachability<'_>, upstream: &[usize]) -> HashSet<&'a str> {
    let tokens = upstream.iter().rev().flat_map(|&index| tokens_selected_by(graph, graph.node(index)));
    let of_features = tokens.filter(|(data, _)| reach.contains(data) && is_computed(graph, data));
    of_features.take(MAX_TOKENS).map(|(_, token)| token).collect()
}

/// Whether the scores depend on the image only through `pooled` and single tokens next to it.
pub(super) fn complete(graph: &Graph, input: &str, logits: &str, pooled: &str, tokens: &HashSet<&str>) -> bool {
    if tokens.is_empty() || tokens.contains(pooled) {
        return false;
    }
    let mut stops = tokens.clone();
    stops.insert(pooled);
    let Some(reached) = graph.boundary(logits, input, &stops) else { return false };
    let parts: Vec<&str> = reached.iter().copied().filter(|&tensor| tensor != pooled).collect();
    if parts.len() > MAX_PARTS {
        return false;
    }
    // The mean of a token itself, as in a norm, is not a pooling; a token that depends on the mean is not separate from it.
    reached.contains(pooled)
        && graph.depends_on(pooled, input, &parts)
        && parts.iter().all(|&part| !graph.depends_on(part, pooled, &[]))
}

/// The inputs of the head that depend on the image but not on the pooling.
pub(super) fn image_parts(graph: &Graph, reach: &Reachability<'_>, head: &[usize], pooled: &str) -> Vec<String> {
    let inside: HashSet<&str> =
        head.iter().flat_map(|&index| &graph.node(index).output).map(String::as_str).chain([pooled]).collect();
    let mut parts: Vec<String> = Vec::new();
    let mut known = HashSet::new();
    for &index in head {
        if matches!(graph.node(index).op_type(), "Shape" | "Size") {
            continue;
        }
        for taken in graph.inputs_of(index) {
            if !inside.contains(taken) && known.insert(taken) && reach.contains(taken) {
                parts.push(taken.to_owned());
            }
        }
    }
    parts
}

/// Pairs of a sequence and a single token that a node selects from it.
fn tokens_selected_by<'a>(graph: &'a Graph, node: &'a NodeProto) -> Vec<(&'a str, &'a str)> {
    let (Some(data), Some(first)) = (node.input.first(), node.output.first()) else { return Vec::new() };
    let ints = |attribute: &str, at: usize| {
        let given = attribute_ints(node, attribute).map(<[i64]>::to_vec);
        given.or_else(|| node.input.get(at).and_then(|tensor| graph.constant_ints(tensor)))
    };
    let is_sequence_axis = |axis: i64| matches!(axis, 1 | -2);
    match node.op_type() {
        "Gather" => {
            let indices = node.input.get(1).and_then(|tensor| graph.constant_ints(tensor));
            let one = indices.is_some_and(|indices| indices.len() == 1);
            let takes = one && is_sequence_axis(attribute_int(node, "axis").unwrap_or(0));
            if takes { vec![(data, first)] } else { Vec::new() }
        }
        "Slice" => {
            let (axes, starts, ends) = (ints("axes", 3), ints("starts", 1), ints("ends", 2));
            let takes = match (axes.as_deref(), starts.as_deref(), ends.as_deref()) {
                (Some(&[axis]), Some(&[start]), Some(&[end])) => {
                    is_sequence_axis(axis)
                        && (end.checked_sub(start) == Some(1) || start == -1 && end > i64::from(i32::MAX) - 1)
                }
                _ => false,
            };
            if takes { vec![(data, first)] } else { Vec::new() }
        }
        "Split" if is_sequence_axis(attribute_int(node, "axis").unwrap_or(0)) => {
            let sizes = ints("split", 1).unwrap_or_default();
            // Parts of equal size are channels or heads, not tokens.
            if sizes.iter().all(|&size| size == 1) {
                return Vec::new();
            }
            let parts = node.output.iter().zip(sizes);
            parts.filter(|(_, size)| *size == 1).map(|(part, _)| (data.as_str(), part.as_str())).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a tensor is computed by a layer with weights: single channels of the image itself are not tokens.
fn is_computed(graph: &Graph, tensor: &str) -> bool {
    const MAX_NODES: usize = 10_000;
    let (mut open, mut seen) = (vec![tensor], HashSet::new());
    while let Some(tensor) = open.pop() {
        if seen.len() > MAX_NODES {
            return true;
        }
        let Some(index) = graph.producer(tensor) else { continue };
        if !seen.insert(index) {
            continue;
        }
        if matches!(
            graph.node(index).op_type(),
            "Conv" | "FusedConv" | "NhwcFusedConv" | "MatMul" | "FusedMatMul" | "Gemm"
        ) {
            return true;
        }
        open.extend(graph.node(index).input.iter().map(String::as_str));
    }
    false
}
