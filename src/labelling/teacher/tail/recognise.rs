//! Finds the last pooling of a graph and the head after it.

use std::collections::HashSet;

use super::activation::{self, RawScores};
use super::ending::{Ending, Linearity, Pooling, Tail};
use super::layout::FeatureLayout;
use super::{attention, average, head, quantised_head, single_tokens, unsupported};
use crate::labelling::teacher::graph::{Graph, Reachability};
use crate::labelling::teacher::refusal::Refusal;

/// Largest number of poolings examined, from the output backwards. The last one is among the first few; the limit bounds
/// the time for malicious graphs.
const MAX_POOLINGS: usize = 256;

/// Finds the ending of `graph`, which takes images at `input` and returns class scores at `output`.
pub(crate) fn recognise(
    graph: &mut Graph,
    input: &str,
    output: &str,
    output_rank: Option<usize>,
) -> Result<Tail, Refusal> {
    let RawScores { tensor: logits, output, left_out } = recognise_scores(graph, input, output)?;
    let reach = Reachability::from_source(graph, input);
    let pooling = last_pooling(graph, &reach, input, &logits);
    if let Some(refusal) = pooling.as_ref().and_then(|pooling| unsupported::pooling(graph, &reach, input, pooling)) {
        return Err(refusal);
    }
    let ending = match pooling {
        Some(mut pooling) => {
            match quantised_head::refuse_integers(graph, &pooling).and_then(|()| head::linearity(graph, &pooling)) {
                Ok(linearity) => {
                    // Attention pooling is not linear, whatever its head is.
                    if pooling.linearity == Linearity::Linear {
                        pooling.linearity = linearity;
                    }
                    Ending::Pooled(pooling)
                }
                // All of the image also passes through an AveragePool in the middle of a network; the cause then comes after it.
                Err(_) if graph.node(pooling.node).op_type() == "AveragePool" => {
                    return Err(unsupported::no_pooling(graph, &reach, input, &logits));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        None if output_rank == Some(4) => Ending::ScoreMap,
        None => return Err(unsupported::no_pooling(graph, &reach, input, &logits)),
    };
    let quantised_head = match &ending {
        Ending::Pooled(pooling) => quantised_head::find(graph, pooling, &logits, &output),
        Ending::ScoreMap => None,
    };
    Ok(Tail { logits, output, left_out, ending, quantised_head })
}

/// Finds the raw scores of `graph` alone, for classifiers of which no cells are needed.
pub(crate) fn recognise_scores(graph: &mut Graph, input: &str, output: &str) -> Result<RawScores, Refusal> {
    let scores = activation::raw_scores(graph, input, output)?;
    unsupported::check_nodes(graph, &scores.tensor)?;
    Ok(scores)
}

/// The pooling closest to the output through which the scores depend on the image, apart from single tokens such as a
/// class token. (The features of squeeze-and-excitation blocks also bypass their pooling.)
fn last_pooling(graph: &Graph, reach: &Reachability<'_>, input: &str, logits: &str) -> Option<Pooling> {
    let upstream = graph.ancestors(&[logits.to_owned()], &HashSet::new());
    let tokens = single_tokens::find(graph, reach, &upstream);
    let candidates = upstream.into_iter().rev().filter_map(|index| {
        let node = graph.node(index);
        let average = average::average_over_map(graph, node);
        (average.is_some() || attention::is_weighted_sum(graph, node)).then_some((index, average))
    });
    let mut last: Option<Pooling> = None;
    for (node, average) in candidates.take(MAX_POOLINGS) {
        let Some(pooled) = graph.node(node).output.first() else { continue };
        // Once an average is found, only an attention before it matters: its results have no positions.
        let attention = match average {
            Some(_) if last.is_some() => continue,
            Some(_) => None,
            None => match attention::learned_query(graph, reach, input, graph.node(node)) {
                None => continue,
                attention => attention,
            },
        };
        let covers_all = !graph.depends_on(logits, input, &[pooled]);
        let is_enough = attention.is_none() && single_tokens::complete(graph, input, logits, pooled, &tokens);
        if !covers_all && !is_enough {
            continue;
        }
        let head = head::nodes_between(graph, pooled, logits);
        let mut pooling = Pooling {
            node,
            features: String::new(),
            attention_values: None,
            image_parts: if covers_all { Vec::new() } else { single_tokens::image_parts(graph, reach, &head, pooled) },
            pooled: pooled.clone(),
            layout: FeatureLayout::Tokens,
            pooled_shape: Vec::new(),
            head,
            linearity: Linearity::Linear,
        };
        if let Some(average) = average {
            (pooling.features, pooling.layout) = (average.features, average.layout);
            pooling.pooled_shape = average.pooled_shape;
            last = Some(pooling);
        } else if let Some(attention) = attention {
            (pooling.features, pooling.attention_values) = (attention.features, Some(attention.values));
            pooling.linearity = Linearity::NotLinear { because_of: head::describe_node(graph.node(attention.softmax)) };
            return Some(pooling);
        }
    }
    last
}
