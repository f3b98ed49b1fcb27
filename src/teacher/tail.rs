//! Recognises how a classifier ends: where its last pooling is, and which nodes (the *head*) turn pooled features
//! into class scores. `docs/architecture.md` has the table of the endings that are known.

use std::collections::HashSet;

use super::graph::{Graph, NodeProto, attribute_int, attribute_ints};

/// How a teacher ends.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Tensor of the raw scores, before a final activation.
    pub(crate) logits: String,
    /// The activation that turned scores into probabilities, which the score map goes without: `Softmax`, ...
    pub(crate) final_activation: Option<String>,
    pub(crate) ending: Ending,
}

/// Where the cells are.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The features are averaged over the map, then the head runs once.
    Pooled(Pooling),
    /// No pooling: the scores are a map `[batch, class, y, x]` already.
    ScoreMap,
}

/// The last pooling and what follows it.
#[derive(Debug)]
pub(crate) struct Pooling {
    /// Index of the node that averages over the map.
    pub(crate) node: usize,
    /// The features before it, one vector a cell.
    pub(crate) features: String,
    /// The features after it, one vector an image.
    pub(crate) pooled: String,
    pub(crate) layout: Layout,
    /// Whether the averaged axes stay, with length 1.
    pub(crate) keeps_axes: bool,
    /// Indices of the nodes that depend on the pooled features and lead to the scores, in order.
    pub(crate) head: Vec<usize>,
}

/// The order of a feature tensor's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[batch, channel, y, x]`
    Nchw,
    /// `[batch, y, x, channel]`
    Nhwc,
    /// `[batch, cell, channel]`
    Tokens,
    /// `[batch, channel, cell]`
    ChannelTokens,
}

impl Layout {
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Nchw => "[batch, channel, y, x]",
            Self::Nhwc => "[batch, y, x, channel]",
            Self::Tokens => "[batch, cell, channel]",
            Self::ChannelTokens => "[batch, channel, cell]",
        }
    }
}

/// Why a graph is refused, and what its owner can do.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) problem: String,
    pub(crate) advice: String,
}

impl Refusal {
    fn new(problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { problem: problem.into(), advice: advice.into() }
    }
}

/// Finds the ending of `graph`, whose class scores come out at `output`, fed by `input`.
pub(crate) fn recognise(graph: &Graph, input: &str, output: &str, output_rank: Option<usize>) -> Result<Tail, Refusal> {
    let (logits, final_activation) = strip_final_activation(graph, output);
    let ending = match last_pooling(graph, input, &logits) {
        Some(pooling) => {
            check_head(graph, &pooling)?;
            Ending::Pooled(pooling)
        }
        None if output_rank == Some(4) => Ending::ScoreMap,
        None => return Err(why_not_pooled(graph, input, &logits)),
    };
    Ok(Tail { logits, final_activation, ending })
}

/// Walks back over activations that only turn scores into probabilities.
fn strip_final_activation(graph: &Graph, output: &str) -> (String, Option<String>) {
    let mut tensor = output.to_owned();
    let mut activation = None;
    while let Some(node) = graph.producer(&tensor).map(|index| graph.node(index)) {
        match node.op_type() {
            "Softmax" | "LogSoftmax" | "Sigmoid" if activation.is_none() => {
                activation = Some(node.op_type().to_owned());
            }
            "Identity" | "Cast" => {}
            _ => break,
        }
        tensor.clone_from(&node.input[0]);
    }
    // Casts are passed only on the way to an activation: otherwise the output itself is the scores.
    if activation.is_none() { (output.to_owned(), None) } else { (tensor, activation) }
}

/// The pooling closest to the output through which everything flows that the scores know of the image.
/// (Squeeze-and-excitation blocks pool too, but their features also go around the pooling.)
fn last_pooling(graph: &Graph, input: &str, logits: &str) -> Option<Pooling> {
    let upstream = graph.ancestors(&[logits.to_owned()], &HashSet::new());
    upstream.into_iter().rev().find_map(|index| {
        let node = graph.node(index);
        let (layout, keeps_axes) = averages_over_map(graph, node)?;
        let pooled = node.output.first()?.clone();
        if sees_around(graph, input, logits, &pooled) {
            return None;
        }
        let head = head_nodes(graph, &pooled, logits);
        Some(Pooling { node: index, features: node.input.first()?.clone(), pooled, layout, keeps_axes, head })
    })
}

/// Whether a node averages over all cells, and how its features are laid out.
fn averages_over_map(graph: &Graph, node: &NodeProto) -> Option<(Layout, bool)> {
    match node.op_type() {
        // Whether an AveragePool covers the whole map shows when it runs: the proof looks at its output's shape.
        "GlobalAveragePool" => Some((Layout::Nchw, true)),
        // An adaptive pooling to the size the map already has (VGG, AlexNet) is exported as one of 1 x 1: it averages
        // nothing.
        "AveragePool" => {
            let averages = attribute_ints(node, "kernel_shape").is_some_and(|sides| sides.iter().any(|&side| side > 1));
            averages.then_some((Layout::Nchw, true))
        }
        "ReduceMean" => {
            let axes = match attribute_ints(node, "axes") {
                Some(axes) => axes.to_vec(),
                None => graph.constant_ints(node.input.get(1)?)?,
            };
            let mut axes: Vec<i64> = axes;
            axes.sort_unstable();
            let layout = match axes[..] {
                [2, 3] | [-2, -1] => Layout::Nchw,
                [1, 2] | [-3, -2] => Layout::Nhwc,
                [1 | -2] => Layout::Tokens,
                [2] => Layout::ChannelTokens,
                _ => return None,
            };
            Some((layout, attribute_int(node, "keepdims") != Some(0)))
        }
        _ => None,
    }
}

/// True when `logits` depends on values of `input` in a way that does not pass through `pooled`.
/// Shapes are no values: a path through `Shape` carries nothing of the image.
fn sees_around(graph: &Graph, input: &str, logits: &str, pooled: &str) -> bool {
    let mut seen: HashSet<&str> = HashSet::from([pooled]);
    let mut open = vec![logits];
    while let Some(tensor) = open.pop() {
        if tensor == input {
            return true;
        }
        if !seen.insert(tensor) {
            continue;
        }
        let Some(index) = graph.producer(tensor) else { continue };
        let node = graph.node(index);
        if !matches!(node.op_type(), "Shape" | "Size") {
            open.extend(node.input.iter().map(String::as_str));
        }
    }
    false
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

/// A head is accepted when each of its nodes is linear in the features and treats every vector by itself.
fn check_head(graph: &Graph, pooling: &Pooling) -> Result<(), Refusal> {
    let mut of_features: HashSet<&str> = HashSet::from([pooling.pooled.as_str()]);
    for &index in &pooling.head {
        let node = graph.node(index);
        let op = node.op_type();
        let from_features = node.input.iter().filter(|input| of_features.contains(input.as_str())).count();
        if from_features == 0 || matches!(op, "Shape" | "Size") {
            continue; // arithmetic on shapes
        }
        let linear = match op {
            "Identity" | "Cast" | "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" | "Dropout"
            | "Gather" | "Conv" | "BatchNormalization" => true,
            "Gemm" | "MatMul" | "Mul" | "Add" | "Sub" => from_features == 1,
            "Div" => from_features == 1 && of_features.contains(node.input[0].as_str()),
            _ => false,
        };
        if !linear {
            return Err(not_linear(node));
        }
        of_features.extend(node.output.iter().map(String::as_str));
    }
    Ok(())
}

fn not_linear(node: &NodeProto) -> Refusal {
    let op = node.op_type();
    Refusal::new(
        format!(
            "its head is not linear: {op} (node `{}`) stands between the pooling and the scores, so that scores of \
             single cells do not average to the scores of the image",
            node.name()
        ),
        "use a teacher whose pooling is followed by one linear layer (EfficientNet, ResNet, RegNet, DenseNet, \
         MobileNetV2, Swin, MLP-Mixer, ...), or export a graph that ends in a score map [batch, class, y, x]",
    )
}

/// Says why no pooling was found, as exactly as the graph allows.
fn why_not_pooled(graph: &Graph, input: &str, logits: &str) -> Refusal {
    const ADVICE: &str = "use a teacher that averages its features over the map before one linear layer \
         (EfficientNet, ResNet, RegNet, DenseNet, Swin, ...), or export a graph that ends in a score map \
         [batch, class, y, x]";
    let upstream = graph.ancestors(&[logits.to_owned()], &HashSet::new());
    if !sees_around(graph, input, logits, "") {
        return Refusal::new("its scores do not depend on its input", ADVICE);
    }
    for &index in upstream.iter().rev() {
        let node = graph.node(index);
        match node.op_type() {
            "GlobalMaxPool" | "ReduceMax" if !sees_around(graph, input, logits, &node.output[0]) => {
                return Refusal::new(
                    "it keeps the maximum over the map, not the mean: no cell has scores of its own",
                    ADVICE,
                );
            }
            "Gather" | "Slice"
                if takes_one_token(graph, node) && !sees_around(graph, input, logits, &node.output[0]) =>
            {
                return Refusal::new(
                    format!(
                        "it classifies from its class token ({} `{}` takes one token of the sequence), and the other \
                         tokens never meet the head",
                        node.op_type(),
                        node.name()
                    ),
                    "export it with mean pooling if it was trained so (timm: global_pool='avg'), or use another teacher",
                );
            }
            "Flatten" | "Reshape"
                if !sees_around(graph, input, logits, &node.output[0]) && has_spatial_source(graph, node) =>
            {
                return Refusal::new(
                    format!(
                        "it flattens the whole map into one vector ({} `{}`) and mixes the cells in its first linear \
                         layer, as VGG and AlexNet do",
                        node.op_type(),
                        node.name()
                    ),
                    ADVICE,
                );
            }
            _ => {}
        }
    }
    Refusal::new("no average over the map was found through which all of the image reaches the scores", ADVICE)
}

fn takes_one_token(graph: &Graph, node: &NodeProto) -> bool {
    let ints = |at: usize| node.input.get(at).and_then(|tensor| graph.constant_ints(tensor));
    match node.op_type() {
        "Gather" => attribute_int(node, "axis") == Some(1) && ints(1).is_some_and(|indices| indices.len() == 1),
        _ => match (ints(1), ints(2)) {
            (Some(starts), Some(ends)) => {
                starts.iter().zip(&ends).any(|(start, end)| end.checked_sub(*start) == Some(1))
            }
            _ => false,
        },
    }
}

/// True when the flattened tensor comes from a pooling that left a map, or straight from a convolution.
fn has_spatial_source(graph: &Graph, node: &NodeProto) -> bool {
    let mut tensor = node.input.first();
    while let Some(producer) = tensor.and_then(|name| graph.producer(name)).map(|index| graph.node(index)) {
        match producer.op_type() {
            "MaxPool" | "AveragePool" | "Conv" => return true,
            "Relu" | "Identity" | "Dropout" | "Cast" => tensor = producer.input.first(),
            _ => return false,
        }
    }
    false
}
