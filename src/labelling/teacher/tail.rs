//! Recognises how a classifier ends: where its last pooling is, and which nodes (the *head*) turn pooled features
//! into class scores. `docs/teacher-endings.md` has the table of known endings.

mod activation;
mod pooling;
mod attention;
mod tokens;
mod head;
mod quantised;
mod refusal;

use std::collections::HashSet;

use self::activation::RawScores;
use super::graph::{Graph, Reach};
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
    /// Where it is an attention: the values that it weighs, `[.., cell, channel]`. A cell's vector after the pooling is its
    /// own value then, and not what the features have there.
    pub(crate) attention_values: Option<String>,
    /// What the head takes of an image besides the pooled features, such as its class token: one vector an image, which is
    /// repeated for each of its cells.
    pub(crate) image_parts: Vec<String>,
    /// The features after it, one vector an image.
    pub(crate) pooled: String,
    pub(crate) layout: Layout,
    /// Shape of the pooled features as a Reshape wants it: 0 keeps the first axis, -1 takes what is left.
    pub(crate) pooled_shape: Vec<i64>,
    /// Indices of the nodes that depend on the pooled features and lead to the scores, in order.
    pub(crate) head: Vec<usize>,
    pub(crate) linearity: Linearity,
}

impl Pooling {
    /// The tensors that a proof looks at: features, pooled features, an attention's values (where it is none, the features
    /// again), and the other parts of the image.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &str> {
        let values = self.attention_values.as_ref().unwrap_or(&self.features);
        [&self.features, &self.pooled, values].into_iter().chain(&self.image_parts).map(String::as_str)
    }

    /// What is unusual about it, one sentence each.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.attention_values.is_some() {
            remarks.push(
                "a cell's score is what the attention pooling and the head give for this cell alone: of a single token every \
                 attention gives the token's own value"
                    .to_owned(),
            );
        }
        if !self.image_parts.is_empty() {
            remarks.push(format!(
                "its head also takes parts of the image that do not come through the pooling, such as a class token ({}): \
                 each cell gets those of its image, so that only the share of the pooled features varies from cell to cell",
                self.image_parts.iter().map(|part| format!("`{part}`")).collect::<Vec<_>>().join(", ")
            ));
        }
        remarks
    }
}

impl Tail {
    /// What is made of the image before the head: the features, or the score map itself.
    pub(crate) fn shown(&self) -> &str {
        match &self.ending {
            Ending::Pooled(pooling) => &pooling.features,
            Ending::ScoreMap => &self.logits,
        }
    }

    /// Whether that is all that the head takes of the image, besides shapes.
    pub(crate) fn shows_all(&self) -> bool {
        match &self.ending {
            Ending::Pooled(pooling) => pooling.attention_values.is_none() && pooling.image_parts.is_empty(),
            Ending::ScoreMap => true,
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
    let reach = Reach::of(graph, input);
    let pooling = last_pooling(graph, &reach, input, &logits);
    if let Some(refusal) = pooling.as_ref().and_then(|pooling| refusal::of_pooling(graph, &reach, input, pooling)) {
        return Err(refusal);
    }
    let ending = match pooling {
        Some(mut pooling) => {
            match quantised::refuse_integers(graph, &pooling).and_then(|()| head::examine(graph, &pooling)) {
                Ok(linearity) => {
                    // An attention pooling bends before any node of its head does.
                    if pooling.linearity == Linearity::Linear {
                        pooling.linearity = linearity;
                    }
                    Ending::Pooled(pooling)
                }
                // An AveragePool in the middle of a network lets all of the image through too; then the reason lies behind it.
                Err(_) if graph.node(pooling.node).op_type() == "AveragePool" => {
                    return Err(refusal::why_not_pooled(graph, &reach, input, &logits));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        None if output_rank == Some(4) => Ending::ScoreMap,
        None => return Err(refusal::why_not_pooled(graph, &reach, input, &logits)),
    };
    let quantised_head = match &ending {
        Ending::Pooled(pooling) => quantised::examine(graph, pooling, &logits, output),
        Ending::ScoreMap => None,
    };
    Ok(Tail { logits, output: output.to_owned(), left_out, ending, quantised_head })
}

/// The pooling closest to the output through which everything flows that the scores know of the image, except single
/// tokens such as a class token. (Squeeze-and-excitation blocks pool too, but their features also go around the pooling.)
fn last_pooling(graph: &Graph, reach: &Reach<'_>, input: &str, logits: &str) -> Option<Pooling> {
    let upstream = graph.ancestors(&[logits.to_owned()], &HashSet::new());
    let tokens = tokens::single_tokens(graph, reach, &upstream);
    let candidates = upstream.into_iter().rev().filter_map(|index| {
        let node = graph.node(index);
        let average = pooling::average_over_map(graph, node);
        (average.is_some() || attention::is_weighted_sum(graph, node)).then_some((index, average))
    });
    let mut last: Option<Pooling> = None;
    for (node, average) in candidates.take(MOST_POOLINGS) {
        let Some(pooled) = graph.node(node).output.first() else { continue };
        // Where an average is known, only an attention in front of it matters: what it gives has no places.
        let attention = match average {
            Some(_) if last.is_some() => continue,
            Some(_) => None,
            None => match attention::learned_query(graph, reach, input, graph.node(node)) {
                None => continue,
                attention => attention,
            },
        };
        let covers_all = !graph.sees(logits, input, &[pooled]);
        let is_enough = attention.is_none() && tokens::complete(graph, input, logits, pooled, &tokens);
        if !covers_all && !is_enough {
            continue;
        }
        let head = head_nodes(graph, pooled, logits);
        let mut pooling = Pooling {
            node,
            features: String::new(),
            attention_values: None,
            image_parts: if covers_all { Vec::new() } else { tokens::image_parts(graph, reach, &head, pooled) },
            pooled: pooled.clone(),
            layout: Layout::Tokens,
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
            pooling.linearity = Linearity::NotLinear { because_of: head::in_words(graph.node(attention.softmax)) };
            return Some(pooling);
        }
    }
    last
}

fn head_nodes(graph: &Graph, pooled: &str, logits: &str) -> Vec<usize> {
    let given = HashSet::from([pooled.to_owned()]);
    let mut from_pooled: HashSet<&str> = HashSet::from([pooled]);
    let mut head = Vec::new();
    for index in graph.ancestors(&[logits.to_owned()], &given) {
        if graph.taken_by(index).any(|taken| from_pooled.contains(taken)) {
            from_pooled.extend(graph.node(index).output.iter().map(String::as_str));
            head.push(index);
        }
    }
    head
}
