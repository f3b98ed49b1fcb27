//! Recognises a pooling by attention: a learned query, the same for every image, weighs the tokens of a map.

use crate::labelling::teacher::graph::{Graph, NodeProto, Reach, attribute_int, attribute_ints};

/// Nodes that are walked over between the parts of an attention.
const MOST_STEPS: usize = 64;

/// Products of matrices: the standard one, and ONNX Runtime's with a factor and transpositions.
const PRODUCTS: [&str; 2] = ["MatMul", "FusedMatMul"];
/// Attributes of [`PRODUCTS`] that change the order of axes.
const TURNS: [&str; 4] = ["transA", "transB", "transBatchA", "transBatchB"];

/// An attention over all cells with one learned query.
pub(super) struct LearnedQuery {
    /// The tokens that keys and values are made of, `[batch, cell, channel]`.
    pub(super) features: String,
    /// What is weighed, `[.., cell, channel]`.
    pub(super) values: String,
    /// The node that makes weights which sum to 1.
    pub(super) softmax: usize,
}

/// Whether `node` multiplies the result of a Softmax with something.
pub(super) fn is_weighted_sum(graph: &Graph, node: &NodeProto) -> bool {
    softmax_of(graph, node).is_some()
}

fn softmax_of(graph: &Graph, node: &NodeProto) -> Option<usize> {
    let [weights, _] = &node.input[..] else { return None };
    let is_turned = TURNS.iter().any(|turn| attribute_int(node, turn) == Some(1));
    if !PRODUCTS.contains(&node.op_type()) || is_turned {
        return None;
    }
    let softmax = through(graph, weights, &["Cast", "Identity", "Dropout"])?;
    let is_softmax = graph.node(softmax).op_type() == "Softmax" && is_along_last_axis(graph, graph.node(softmax));
    is_softmax.then_some(softmax)
}

/// What `node` pools by a learned query, if it does: it multiplies the result of a Softmax with values, and the query knows
/// nothing of the image.
///
/// That the weights sum to 1 over the cells shows in the proof, where all cells hold the same vector.
pub(super) fn learned_query(graph: &Graph, reach: &Reach<'_>, input: &str, node: &NodeProto) -> Option<LearnedQuery> {
    let softmax = softmax_of(graph, node)?;
    let values = node.input.get(1)?;
    let product = product_of_query_and_keys(graph, reach, graph.node(softmax).input.first()?)?;
    let [query, keys] = &graph.node(product).input[..] else { return None };
    if reach.has(query) == reach.has(keys) {
        return None;
    }
    let features = features_of(graph, reach, input, node.output.first()?, values)?;
    Some(LearnedQuery { features: features.to_owned(), values: values.clone(), softmax })
}

/// Whether tokens get positions right before they are pooled: `features` is the sum of something and of a weight that
/// differs from cell to cell. Then a token has no score of its own without its place.
pub(super) fn adds_positions<'a>(graph: &'a Graph, reach: &Reach<'_>, features: &'a str) -> Option<&'a NodeProto> {
    let mut tensor = features;
    for _ in 0..MOST_STEPS {
        let node = graph.node(graph.producer(tensor)?);
        match node.op_type() {
            "Add" => {
                let differs = |dims: &[i64]| dims.len() >= 2 && dims[dims.len() - 2] > 1;
                let (known, other): (Vec<&String>, Vec<&String>) = node.input.iter().partition(|&side| reach.has(side));
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

/// The node that makes a tensor, behind nodes of the given kinds.
fn through(graph: &Graph, tensor: &str, kinds: &[&str]) -> Option<usize> {
    let mut index = graph.producer(tensor)?;
    for _ in 0..MOST_STEPS {
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

/// The product whose scaled and masked result a Softmax takes.
fn product_of_query_and_keys(graph: &Graph, reach: &Reach<'_>, tensor: &str) -> Option<usize> {
    let mut tensor = tensor;
    for _ in 0..MOST_STEPS {
        let index = graph.producer(tensor)?;
        let node = graph.node(index);
        match node.op_type() {
            op if PRODUCTS.contains(&op) => return Some(index),
            "Mul" | "Div" | "Add" | "Sub" | "Cast" | "Identity" | "Where" | "Reshape" | "Squeeze" | "Unsqueeze" => {
                tensor = the_one_that_sees(reach, node)?;
            }
            _ => return None,
        }
    }
    None
}

/// The tokens that values are made of: in front of their projection, if there is one, and such that keys see the image
/// only through them, too.
fn features_of<'a>(graph: &'a Graph, reach: &Reach<'_>, input: &str, pooled: &str, values: &'a str) -> Option<&'a str> {
    let mut tensor = values;
    for _ in 0..MOST_STEPS {
        let node = graph.node(graph.producer(tensor)?);
        match node.op_type() {
            "Transpose" | "Reshape" | "Gather" | "Split" | "Slice" | "Squeeze" | "Unsqueeze" | "Identity" | "Cast"
            | "Add" | "Mul" | "Div" | "Flatten" => tensor = the_one_that_sees(reach, node)?,
            "MatMul" | "FusedMatMul" | "Gemm" => {
                tensor = the_one_that_sees(reach, node)?;
                break;
            }
            // Not projected.
            _ => {
                tensor = values;
                break;
            }
        }
    }
    // Sequences that come first are written as a transposition of those that come second.
    for _ in 0..8 {
        let made_by = graph.producer(tensor).map(|index| graph.node(index));
        let is_turned = made_by.is_some_and(|node| attribute_ints(node, "perm") == Some(&[1, 0, 2]));
        if !is_turned && !graph.sees(pooled, input, &[tensor]) {
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

/// The only input of a node that knows the image.
fn the_one_that_sees<'a>(reach: &Reach<'_>, node: &'a NodeProto) -> Option<&'a str> {
    let mut seeing = node.input.iter().filter(|taken| reach.has(taken));
    let one = seeing.next()?;
    seeing.next().is_none().then_some(one)
}
