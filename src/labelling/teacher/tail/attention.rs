//! Recognises attention pooling: a learned query, the same for every image, weights the tokens of a map.

use crate::labelling::teacher::graph::{Graph, NodeProto, Reachability, attribute_int, attribute_ints};

/// Largest number of nodes between two parts of an attention.
const MAX_STEPS: usize = 64;

/// Matrix products: the standard operator, and ONNX Runtime's with a factor and transpositions.
const PRODUCTS: [&str; 2] = ["MatMul", "FusedMatMul"];
/// Attributes of [`PRODUCTS`] that transpose.
const TRANSPOSING: [&str; 4] = ["transA", "transB", "transBatchA", "transBatchB"];

/// An attention over all cells with one learned query.
pub(super) struct LearnedQuery {
    /// The tokens from which keys and values are computed, `[batch, cell, channel]`.
    pub(super) features: String,
    /// The weighted values, `[.., cell, channel]`.
    pub(super) values: String,
    /// The node that normalises the weights.
    pub(super) softmax: usize,
}

/// Whether `node` multiplies the result of a Softmax with a different tensor.
pub(super) fn is_weighted_sum(graph: &Graph, node: &NodeProto) -> bool {
    softmax_of(graph, node).is_some()
}

fn softmax_of(graph: &Graph, node: &NodeProto) -> Option<usize> {
    let [weights, _] = &node.input[..] else { return None };
    let transposes = TRANSPOSING.iter().any(|name| attribute_int(node, name) == Some(1));
    if !PRODUCTS.contains(&node.op_type()) || transposes {
        return None;
    }
    let softmax = through(graph, weights, &["Cast", "Identity", "Dropout"])?;
    let is_softmax = graph.node(softmax).op_type() == "Softmax" && is_along_last_axis(graph, graph.node(softmax));
    is_softmax.then_some(softmax)
}

/// The attention pooling that `node` completes, if any: it multiplies the result of a Softmax with values, and the query
/// does not depend on the image.
///
/// That the weights sum to 1 over the cells is verified later, on maps with the same vector in all cells.
pub(super) fn learned_query(
    graph: &Graph,
    reach: &Reachability<'_>,
    input: &str,
    node: &NodeProto,
) -> Option<LearnedQuery> {
    let softmax = softmax_of(graph, node)?;
    let values = node.input.get(1)?;
    let product = product_of_query_and_keys(graph, reach, graph.node(softmax).input.first()?)?;
    let [query, keys] = &graph.node(product).input[..] else { return None };
    if reach.contains(query) == reach.contains(keys) {
        return None;
    }
    let features = features_of(graph, reach, input, node.output.first()?, values)?;
    Some(LearnedQuery { features: features.to_owned(), values: values.clone(), softmax })
}

/// The node that adds positions to tokens just before they are pooled, if any: `features` is then the sum of tokens and a
/// weight that differs between cells, and the score of a token depends on its position.
pub(super) fn adds_positions<'a>(
    graph: &'a Graph,
    reach: &Reachability<'_>,
    features: &'a str,
) -> Option<&'a NodeProto> {
    let mut tensor = features;
    for _ in 0..MAX_STEPS {
        let node = graph.node(graph.producer(tensor)?);
        match node.op_type() {
            "Add" => {
                let differs = |dims: &[i64]| dims.len() >= 2 && dims[dims.len() - 2] > 1;
                let (known, other): (Vec<&String>, Vec<&String>) =
                    node.input.iter().partition(|&side| reach.contains(side));
                let positions = other.iter().any(|side| graph.weight_dims(side).is_some_and(differs));
                match (&known[..], positions) {
                    ([_], true) => return Some(node),
                    // A bias.
                    ([one], false) => tensor = one.as_str(),
                    _ => return None,
                }
            }
            "Identity" | "Cast" | "Transpose" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
                tensor = node.input.first()?;
            }
            _ => return None,
        }
    }
    None
}

/// The node that makes a tensor, skipping nodes of the given kinds.
fn through(graph: &Graph, tensor: &str, kinds: &[&str]) -> Option<usize> {
    let mut index = graph.producer(tensor)?;
    for _ in 0..MAX_STEPS {
        if !kinds.contains(&graph.node(index).op_type()) {
            return Some(index);
        }
        index = graph.producer(graph.node(index).input.first()?)?;
    }
    None
}

fn is_along_last_axis(graph: &Graph, softmax: &NodeProto) -> bool {
    match attribute_int(softmax, "axis") {
        Some(axis) => axis == -1 || axis > 1,
        None => graph.opset() >= 13,
    }
}

/// The matrix product whose scaled and masked result a Softmax takes.
fn product_of_query_and_keys(graph: &Graph, reach: &Reachability<'_>, tensor: &str) -> Option<usize> {
    let mut tensor = tensor;
    for _ in 0..MAX_STEPS {
        let index = graph.producer(tensor)?;
        let node = graph.node(index);
        match node.op_type() {
            op if PRODUCTS.contains(&op) => return Some(index),
            "Mul" | "Div" | "Add" | "Sub" | "Cast" | "Identity" | "Where" | "Reshape" | "Squeeze" | "Unsqueeze" => {
                tensor = only_image_input(reach, node)?;
            }
            _ => return None,
        }
    }
    None
}

/// The tokens from which values are computed: the input of their projection, if there is one. Keys must depend on the image
/// only through them, too.
fn features_of<'a>(
    graph: &'a Graph,
    reach: &Reachability<'_>,
    input: &str,
    pooled: &str,
    values: &'a str,
) -> Option<&'a str> {
    let mut tensor = values;
    for _ in 0..MAX_STEPS {
        let node = graph.node(graph.producer(tensor)?);
        match node.op_type() {
            "Transpose" | "Reshape" | "Gather" | "Split" | "Slice" | "Squeeze" | "Unsqueeze" | "Identity" | "Cast"
            | "Add" | "Mul" | "Div" | "Flatten" => tensor = only_image_input(reach, node)?,
            "MatMul" | "FusedMatMul" | "Gemm" => {
                tensor = only_image_input(reach, node)?;
                break;
            }
            // Not projected.
            _ => {
                tensor = values;
                break;
            }
        }
    }
    // Exporters write sequence-first layouts as a transposition of batch-first ones.
    for _ in 0..8 {
        let made_by = graph.producer(tensor).map(|index| graph.node(index));
        let is_transposed = made_by.is_some_and(|node| attribute_ints(node, "perm") == Some(&[1, 0, 2]));
        if !is_transposed && !graph.depends_on(pooled, input, &[tensor]) {
            return Some(tensor);
        }
        let node = made_by?;
        if !matches!(node.op_type(), "Transpose" | "Identity" | "Cast" | "Reshape") {
            return None;
        }
        tensor = node.input.first()?;
    }
    None
}

/// The only input of a node that depends on the image.
fn only_image_input<'a>(reach: &Reachability<'_>, node: &'a NodeProto) -> Option<&'a str> {
    let mut dependent = node.input.iter().filter(|taken| reach.contains(taken));
    let one = dependent.next()?;
    dependent.next().is_none().then_some(one)
}
