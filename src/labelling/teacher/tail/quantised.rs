//! Quantisers between the pooling and the scores: their ranges were found on means over the map, which cells exceed.

use std::collections::HashMap;

use super::head::in_words;
use super::{Ending, Pooling, Refusal, Tail, head_nodes};
use crate::labelling::teacher::graph::Graph;
use crate::labelling::teacher::quantisation::on_integers;

/// A head with quantisers.
#[derive(Debug)]
pub(crate) struct QuantisedHead {
    /// Indices of the nodes that round.
    pub(crate) quantisers: Vec<usize>,
    /// Indices of pooling and head, as they should stay in float.
    pub(crate) float_nodes: Vec<usize>,
    /// The same ending without quantisers.
    pub(crate) without: Box<Tail>,
}

/// Refuses a head that runs on whole numbers.
pub(super) fn refuse_integers(graph: &Graph, pooling: &Pooling) -> Result<(), Refusal> {
    match pooling.head.iter().map(|&index| graph.node(index)).find(|node| on_integers(node)) {
        Some(node) => Err(Refusal::new(
            format!(
                "{} between its pooling and its scores rounds to a range that was calibrated on means over the map, and would \
                 cut cells off, which are stronger",
                in_words(node)
            ),
            "quantise it again in the QDQ format and leave the pooling and all behind it in float (nodes_to_exclude of ONNX \
             Runtime's quantize_static)",
        )),
        None => Ok(()),
    }
}

/// Copies a head that has quantisers, without them.
pub(super) fn examine(graph: &mut Graph, pooling: &Pooling, logits: &str, output: &str) -> Option<QuantisedHead> {
    let rounds = |index: &&usize| matches!(graph.node(**index).op_type(), "QuantizeLinear" | "DequantizeLinear");
    let (skipped, float): (Vec<&usize>, Vec<&usize>) = pooling.head.iter().partition(rounds);
    let data = |index: usize| Some((index, graph.node(index).input.first()?.clone()));
    let skipped: HashMap<usize, String> = skipped.into_iter().filter_map(|&index| data(index)).collect();
    let float_nodes: Vec<usize> = std::iter::once(pooling.node).chain(float.into_iter().copied()).collect();
    let quantisers: Vec<usize> =
        pooling.head.iter().copied().filter(|&index| graph.node(index).op_type() == "QuantizeLinear").collect();
    if quantisers.is_empty() {
        return None;
    }
    let scores = graph.copy_between(&pooling.pooled, logits, &pooling.pooled, &skipped);
    let pooling = Pooling { head: head_nodes(graph, &pooling.pooled, &scores), ..pooling.clone() };
    let without = Tail {
        logits: scores,
        output: output.to_owned(),
        left_out: Vec::new(),
        ending: Ending::Pooled(pooling),
        quantised_head: None,
    };
    Some(QuantisedHead { quantisers, float_nodes, without: Box::new(without) })
}
