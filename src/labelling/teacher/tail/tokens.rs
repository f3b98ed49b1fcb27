//! Single tokens of a sequence, such as a class token: a vector of the image, not of a cell.

use std::collections::HashSet;

use crate::labelling::teacher::graph::{Graph, NodeProto, Reach, attribute_int, attribute_ints};

/// Tokens that are looked at; networks have one or a few.
const MOST_TOKENS: usize = 256;

/// Tokens that a head may take; heads on the last four layers take four.
const MOST_PARTS: usize = 16;

/// Names of the tensors that hold one token of a sequence of features `[batch, token, channel]`, among those that the
/// nodes of `upstream` make.
pub(super) fn single_tokens<'a>(graph: &'a Graph, reach: &Reach<'_>, upstream: &[usize]) -> HashSet<&'a str> {
    let tokens = upstream.iter().rev().flat_map(|&index| tokens_of(graph, graph.node(index)));
    let of_features = tokens.filter(|(data, _)| reach.has(data) && is_computed(graph, data));
    of_features.take(MOST_TOKENS).map(|(_, token)| token).collect()
}

/// Whether the scores know of the image only what comes through `pooled` and through single tokens beside it.
pub(super) fn complete(graph: &Graph, input: &str, logits: &str, pooled: &str, tokens: &HashSet<&str>) -> bool {
    if tokens.is_empty() || tokens.contains(pooled) {
        return false;
    }
    let mut stops = tokens.clone();
    stops.insert(pooled);
    let Some(met) = graph.boundary(logits, input, &stops) else { return false };
    let parts: Vec<&str> = met.iter().copied().filter(|&tensor| tensor != pooled).collect();
    if parts.len() > MOST_PARTS {
        return false;
    }
    // A mean of the token itself, as in a norm, is no pooling; and a token that knows the mean is no part besides it.
    met.contains(pooled)
        && graph.sees(pooled, input, &parts)
        && parts.iter().all(|&part| !graph.sees(part, pooled, &[]))
}

/// What nodes of the head take that knows the image and does not come through the pooling.
pub(super) fn image_parts(graph: &Graph, reach: &Reach<'_>, head: &[usize], pooled: &str) -> Vec<String> {
    let inside: HashSet<&str> =
        head.iter().flat_map(|&index| &graph.node(index).output).map(String::as_str).chain([pooled]).collect();
    let mut parts: Vec<String> = Vec::new();
    let mut known = HashSet::new();
    for &index in head {
        if matches!(graph.node(index).op_type(), "Shape" | "Size") {
            continue;
        }
        for taken in graph.taken_by(index) {
            if !inside.contains(taken) && known.insert(taken) && reach.has(taken) {
                parts.push(taken.to_owned());
            }
        }
    }
    parts
}

/// Pairs of a sequence and a single token that a node takes out of it.
fn tokens_of<'a>(graph: &'a Graph, node: &'a NodeProto) -> Vec<(&'a str, &'a str)> {
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
            // Pieces of one size are channels or heads, not tokens.
            if sizes.iter().all(|&size| size == 1) {
                return Vec::new();
            }
            let pieces = node.output.iter().zip(sizes);
            pieces.filter(|(_, size)| *size == 1).map(|(piece, _)| (data.as_str(), piece.as_str())).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a tensor comes out of a layer with weights: single channels of the image itself are no tokens.
fn is_computed(graph: &Graph, tensor: &str) -> bool {
    const NEARBY: usize = 10_000;
    let (mut open, mut seen) = (vec![tensor], HashSet::new());
    while let Some(tensor) = open.pop() {
        if seen.len() > NEARBY {
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
