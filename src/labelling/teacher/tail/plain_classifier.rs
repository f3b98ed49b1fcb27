//! Checks of a graph of which no cells are needed.

use std::collections::HashSet;

use super::activation::RawScores;
use super::ending::has_weights;
use super::unsupported::{OTHER_TEACHER, detector};
use crate::labelling::teacher::graph::{Graph, Reachability};
use crate::labelling::teacher::refusal::Refusal;

/// Largest number of nodes examined, from the output backwards; bounds the time for malicious graphs.
const MAX_NODES: usize = 256;

/// Refuses graphs that are not image classifiers, whatever their ending is.
pub(crate) fn check_plain_classifier(graph: &Graph, input: &str, scores: &RawScores) -> Result<(), Refusal> {
    if let Some(detector) = detector(graph) {
        return Err(detector);
    }
    if !graph.depends_on(&scores.tensor, input, &[]) {
        return Err(Refusal::new("the scores do not depend on the input", OTHER_TEACHER));
    }
    Ok(())
}

/// Whether the scores come from layers with weights, and only sums, moves and poolings follow. Features of a network without
/// its classifier usually come from a norm or an activation instead.
pub(crate) fn end_in_layer_with_weights(graph: &Graph, input: &str, scores: &RawScores) -> bool {
    let reach = Reachability::from_source(graph, input);
    let (mut open, mut seen) = (vec![scores.tensor.as_str()], HashSet::new());
    let mut found = false;
    while let Some(tensor) = open.pop() {
        let Some(index) = graph.producer(tensor) else { return false };
        if !seen.insert(index) {
            continue;
        }
        let node = graph.node(index);
        if seen.len() > MAX_NODES || !(has_weights(node) || passes_scores_on(node.op_type())) {
            return false;
        }
        if has_weights(node) {
            found = true;
        } else {
            open.extend(node.input.iter().map(String::as_str).filter(|taken| reach.contains(taken)));
        }
    }
    found
}

fn passes_scores_on(op: &str) -> bool {
    matches!(
        op,
        "Identity"
            | "Cast"
            | "Dropout"
            | "Reshape"
            | "Flatten"
            | "Squeeze"
            | "Unsqueeze"
            | "Transpose"
            | "Slice"
            | "Gather"
            | "Split"
            | "Concat"
            | "Add"
            | "Sub"
            | "Mul"
            | "Div"
            | "Sum"
            | "Mean"
            | "BiasAdd"
            | "ReduceMean"
            | "ReduceMax"
            | "ReduceSum"
            | "GlobalAveragePool"
            | "GlobalMaxPool"
            | "AveragePool"
            | "MaxPool"
            | "QuantizeLinear"
            | "DequantizeLinear"
    )
}
