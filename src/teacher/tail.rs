//! Recognises how a classifier ends: where its last pooling is, and which nodes (the *head*) turn pooled features
//! into class scores. `docs/architecture.md` has the table of the endings that are known.

mod activation;
mod pooling;
mod head;
mod quantised;
mod refusal;

use std::collections::HashSet;

use self::activation::RawScores;
use super::graph::Graph;
pub use head::Linearity;
pub(crate) use head::in_words;
pub(crate) use pooling::{CellGrid, Layout};
pub(crate) use quantised::QuantisedHead;
pub(crate) use refusal::{Refusal, detector};

/// How a teacher ends.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Tensor of the raw scores, before a final activation.
    pub(crate) logits: String,
    /// The teacher's own output, which may be probabilities.
    pub(crate) output: String,
    /// The nodes behind the scores that the scores go without, in words: a Softmax, a Log, ...
    pub(crate) left_out: Vec<String>,
    pub(crate) ending: Ending,
    /// What is known of a head that rounds to whole numbers.
    pub(crate) quantised_head: Option<QuantisedHead>,
}

/// Where the cells are.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The features are averaged over the map, then the head runs once.
    Pooled(Pooling),
    /// No pooling: the scores are a map already, `[batch, class, y, x]` or `[batch, y, x, class]`.
    ScoreMap,
}

/// The last pooling and what follows it.
#[derive(Clone, Debug)]
pub(crate) struct Pooling {
    /// Index of the node that averages over the map, or the last of those that do so together.
    pub(crate) node: usize,
    /// The features before it, one vector a cell.
    pub(crate) features: String,
    /// The features after it, one vector an image.
    pub(crate) pooled: String,
    pub(crate) layout: Layout,
    /// Shape of the pooled features as a Reshape wants it: 0 keeps the first axis, -1 takes what is left.
    pub(crate) pooled_shape: Vec<i64>,
    /// Indices of the nodes that depend on the pooled features and lead to the scores, in order.
    pub(crate) head: Vec<usize>,
    pub(crate) linearity: Linearity,
}

impl Tail {
    /// What is made of the image before the head: the features, or the score map itself.
    pub(crate) fn shown(&self) -> &str {
        match &self.ending {
            Ending::Pooled(pooling) => &pooling.features,
            Ending::ScoreMap => &self.logits,
        }
    }

    /// Whether the mean of the cells' scores is the image's: see [`Linearity`].
    pub(crate) fn linearity(&self) -> Linearity {
        match &self.ending {
            Ending::Pooled(pooling) => pooling.linearity.clone(),
            // The image's scores are the mean by definition.
            Ending::ScoreMap => Linearity::Linear,
        }
    }
}

impl Pooling {
    /// Whether anything between the pooling and the scores has weights, as a classifier does. (SqueezeNet's come before.)
    pub(crate) fn has_classifier(&self, graph: &Graph) -> bool {
        const WITH_WEIGHTS: [&str; 4] = ["Gemm", "MatMul", "Conv", "Einsum"];
        let ops = self.head.iter().map(|&index| graph.node(index).op_type());
        ops.into_iter().any(|op| WITH_WEIGHTS.iter().any(|kind| op.contains(kind)))
    }
}

/// Poolings that are looked at, from the output backwards. The last one is among the first few; the others are there to
/// bound the time that a graph made to waste it can take.
const MOST_POOLINGS: usize = 256;

/// Finds the ending of `graph`, whose class scores come out at `output`, fed by `input`.
pub(crate) fn recognise(
    graph: &mut Graph,
    input: &str,
    output: &str,
    output_rank: Option<usize>,
) -> Result<Tail, Refusal> {
    let RawScores { tensor: logits, left_out } = activation::raw_scores(graph, input, output)?;
    refusal::unfit_nodes(graph, &logits)?;
    let ending = match last_pooling(graph, input, &logits) {
        Some(mut pooling) => {
            match quantised::refuse_integers(graph, &pooling).and_then(|()| head::examine(graph, &pooling)) {
                Ok(linearity) => {
                    pooling.linearity = linearity;
                    Ending::Pooled(pooling)
                }
                // An AveragePool in the middle of a network lets all of the image through too; then the reason lies behind it.
                Err(_) if graph.node(pooling.node).op_type() == "AveragePool" => {
                    return Err(refusal::why_not_pooled(graph, input, &logits));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        None if output_rank == Some(4) => Ending::ScoreMap,
        None => return Err(refusal::why_not_pooled(graph, input, &logits)),
    };
    let quantised_head = match &ending {
        Ending::Pooled(pooling) => quantised::examine(graph, pooling, &logits, output),
        Ending::ScoreMap => None,
    };
    Ok(Tail { logits, output: output.to_owned(), left_out, ending, quantised_head })
}

/// The pooling closest to the output through which everything flows that the scores know of the image.
/// (Squeeze-and-excitation blocks pool too, but their features also go around the pooling.)
fn last_pooling(graph: &Graph, input: &str, logits: &str) -> Option<Pooling> {
    let upstream = graph.ancestors(&[logits.to_owned()], &HashSet::new());
    let candidates = upstream.into_iter().rev().filter_map(|index| {
        let node = graph.node(index);
        Some((index, pooling::average_over_map(graph, node)?, node.output.first()?))
    });
    for (node, average, pooled) in candidates.take(MOST_POOLINGS) {
        if !graph.sees(logits, input, &[pooled]) {
            return Some(Pooling {
                node,
                features: average.features,
                pooled: pooled.clone(),
                layout: average.layout,
                pooled_shape: average.pooled_shape,
                head: head_nodes(graph, pooled, logits),
                linearity: Linearity::Linear,
            });
        }
    }
    None
}

fn head_nodes(graph: &Graph, pooled: &str, logits: &str) -> Vec<usize> {
    let given = HashSet::from([pooled.to_owned()]);
    let mut from_pooled: HashSet<&str> = HashSet::from([pooled]);
    let mut head = Vec::new();
    for index in graph.ancestors(&[logits.to_owned()], &given) {
        let node = graph.node(index);
        if node.input.iter().any(|input| from_pooled.contains(input.as_str())) {
            from_pooled.extend(node.output.iter().map(String::as_str));
            head.push(index);
        }
    }
    head
}
