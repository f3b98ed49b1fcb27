//! Quantisers between the pooling and the scores: their ranges were calibrated on means over the map, which cells exceed.

use std::collections::HashMap;

use super::ending::{Ending, Pooling, QuantisedHead, Tail};
use super::head::{describe_node, nodes_between};
use crate::labelling::teacher::graph::Graph;
use crate::labelling::teacher::onnx_proto::computes_on_integers;
use crate::labelling::teacher::refusal::Refusal;

/// Refuses a head that runs on integers.
pub(super) fn refuse_integers(graph: &Graph, pooling: &Pooling) -> Result<(), Refusal> {
    match pooling.head.iter().map(|&index| graph.node(index)).find(|node| computes_on_integers(node)) {
        Some(node) => Err(Refusal::no_cells(
            &format!(
                "{} between the pooling and the scores rounds to a range calibrated on means over the map, and would clip the \
                 larger values of single cells",
                describe_node(node)
            ),
            "quantise it again in the QDQ format and keep the pooling and everything after it in float (nodes_to_exclude of \
             ONNX Runtime's quantize_static)",
        )),
        None => Ok(()),
    }
}

/// Finds the quantisers of a head and adds a copy of the head without them to the graph; `None` if it has none.
pub(super) fn find(graph: &mut Graph, pooling: &Pooling, logits: &str, output: &str) -> Option<QuantisedHead> {
    let is_quantiser = |index: &&usize| matches!(graph.node(**index).op_type(), "QuantizeLinear" | "DequantizeLinear");
    let (skipped, float): (Vec<&usize>, Vec<&usize>) = pooling.head.iter().partition(is_quantiser);
    let data = |index: usize| Some((index, graph.node(index).input.first()?.clone()));
    let skipped: HashMap<usize, String> = skipped.into_iter().filter_map(|&index| data(index)).collect();
    let float_nodes: Vec<usize> = std::iter::once(pooling.node).chain(float.into_iter().copied()).collect();
    let quantisers: Vec<usize> =
        pooling.head.iter().copied().filter(|&index| graph.node(index).op_type() == "QuantizeLinear").collect();
    if quantisers.is_empty() {
        return None;
    }
    let scores = graph.copy_between(&pooling.pooled, logits, &pooling.pooled, &skipped);
    let pooling = Pooling { head: nodes_between(graph, &pooling.pooled, &scores), ..pooling.clone() };
    let without = Tail {
        logits: scores,
        output: output.to_owned(),
        left_out: Vec::new(),
        ending: Ending::Pooled(pooling),
        quantised_head: None,
    };
    Some(QuantisedHead { quantisers, float_nodes, without: Box::new(without) })
}
