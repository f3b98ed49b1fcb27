//! Finds the scores before a final activation: whatever stands behind a Softmax, a `LogSoftmax` or a Sigmoid, in one node
//! or spelled out, has its place on the scores too, or the teacher is refused.

use std::collections::{HashMap, HashSet};

use super::Refusal;
use super::head::in_words;
use crate::labelling::teacher::graph::{Graph, NodeProto, attribute_int, captured_names};

/// The raw scores of a teacher.
#[derive(Debug)]
pub(super) struct RawScores {
    /// The tensor that holds them: the output itself, or a copy of what leads to it that goes without activations.
    pub(super) tensor: String,
    /// The nodes that they go without, from the scores to the output, in words. Empty for an output that is raw.
    pub(super) left_out: Vec<String>,
}

/// Nodes that are followed from the output back to the activation; exporters write a handful.
const MOST_NODES: usize = 256;

/// Follows `output` back to the first activation behind the last weights, and makes it again without activations. What
/// moves, picks or reshapes classes behind the activation does so with the scores.
pub(super) fn raw_scores(graph: &mut Graph, input: &str, output: &str) -> Result<RawScores, Refusal> {
    let Some(Plan { activated, scores, skipped, left_out }) = plan(graph, input, output)? else {
        return Ok(RawScores { tensor: output.to_owned(), left_out: Vec::new() });
    };
    let tensor = graph.copy_between(&activated, output, &scores, &skipped);
    // Nothing that was to be left out may have been copied.
    let image = Image { graph, input, knowing: knowing(graph, input) };
    match image.hidden_activation(&tensor) {
        Some(index) => Err(hidden(graph, index, graph.producer(&tensor))),
        None => Ok(RawScores { tensor, left_out }),
    }
}

/// How an output is made again without activations.
struct Plan {
    /// What the first activation gives.
    activated: String,
    /// What it is fed.
    scores: String,
    /// The nodes that are left out, and what is read instead of them.
    skipped: HashMap<usize, String>,
    left_out: Vec<String>,
}

/// `None` for an output that is raw.
fn plan(graph: &Graph, input: &str, output: &str) -> Result<Option<Plan>, Refusal> {
    let image = Image { graph, input, knowing: knowing(graph, input) };
    let mut tensor = output.to_owned();
    // What is passed, from the output backwards, and how much of it lies behind an activation.
    let mut passed: Vec<(usize, Role)> = Vec::new();
    let mut skipped = HashMap::new();
    let (mut behind, mut found) = (0, None);
    for _ in 0..MOST_NODES {
        let Some(index) = graph.producer(&tensor) else { break };
        let Some(Step { before, role }) = image.step(index) else { break };
        passed.push((index, role));
        if role != Role::Moves {
            skipped.insert(index, before.clone());
        }
        if matches!(role, Role::Activation { .. }) {
            behind = passed.len();
            found = Some((tensor, before.clone()));
        }
        tensor = before;
    }
    let Some((activated, scores)) = found else {
        return match image.hidden_activation(output) {
            Some(index) => Err(hidden(graph, index, graph.producer(&tensor))),
            None => Ok(None),
        };
    };
    passed.truncate(behind);
    if let Some(&(changes, _)) = passed.iter().find(|(_, role)| *role == Role::Changes) {
        let activation = passed.last().map_or(changes, |&(index, _)| index);
        return Err(changed(graph.node(activation), graph.node(changes)));
    }
    if let Some(index) = image.hidden_activation(&scores) {
        return Err(hidden(graph, index, graph.producer(&scores)));
    }
    let word = |&(index, role): &(usize, Role)| match role {
        Role::Activation { word: Some(word) } => {
            Some(format!("{word} spelled out (node `{}`)", graph.node(index).name()))
        }
        Role::Activation { word: None } | Role::Monotone => Some(in_words(graph.node(index))),
        _ => None,
    };
    let left_out = passed.iter().rev().filter_map(word).collect();
    Ok(Some(Plan { activated, scores, skipped, left_out }))
}

/// The tensors that depend on the values of `input`. Shapes are no values.
fn knowing<'a>(graph: &'a Graph, input: &'a str) -> HashSet<&'a str> {
    let mut knowing = HashSet::from([input]);
    for node in graph.nodes() {
        let mut read = node.input.iter().map(String::as_str).chain(captured_names(node));
        if !matches!(node.op_type(), "Shape" | "Size") && read.any(|tensor| knowing.contains(tensor)) {
            knowing.extend(node.output.iter().map(String::as_str).filter(|output| !output.is_empty()));
        }
    }
    knowing
}

/// A graph, and what of it depends on the image.
struct Image<'a> {
    graph: &'a Graph,
    input: &'a str,
    knowing: HashSet<&'a str>,
}

/// What a node behind the scores does to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Makes probabilities of scores; where several nodes do it, what they spell out.
    Activation { word: Option<&'static str> },
    /// Moves values, or picks some of them: it does the same with the scores.
    Moves,
    /// Another type of number, or nothing.
    Nothing,
    /// Changes values, but not their order, and all classes alike.
    Monotone,
    /// Changes classes differently, or their order.
    Changes,
}

/// One step back from the output.
struct Step {
    before: String,
    role: Role,
}

impl Image<'_> {
    fn knows(&self, tensor: &str) -> bool {
        self.knowing.contains(tensor)
    }

    fn step(&self, index: usize) -> Option<Step> {
        let graph = self.graph;
        let node = graph.node(index);
        let step = |before: &str, role| Some(Step { before: before.to_owned(), role });
        if let Some((before, word)) = self.spelled_out(node) {
            return step(&before, Role::Activation { word: Some(word) });
        }
        let knowing: Vec<usize> = (0..node.input.len()).filter(|&at| self.knows(&node.input[at])).collect();
        let [at] = knowing[..] else { return None };
        let before = node.input[at].as_str();
        if at > 0 && !matches!(node.op_type(), "Add" | "Mul" | "Sub" | "Div" | "Min" | "Max" | "Pow") {
            return None;
        }
        let other = node.input.get(1 - at.min(1)).and_then(|other| graph.constant_float(other));
        let role = match node.op_type() {
            "Softmax" | "LogSoftmax" | "Sigmoid" | "HardSigmoid" | "Hardmax" => Role::Activation { word: None },
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Slice" | "Gather" | "Split" => Role::Moves,
            "Identity" | "Dropout" | "CastLike" => Role::Nothing,
            // To float, float16, double or bfloat16; the nearest whole number of a probability is something else.
            "Cast" if matches!(attribute_int(node, "to"), Some(1 | 10 | 11 | 16)) => Role::Nothing,
            "QuantizeLinear" | "DequantizeLinear" | "Log" | "Exp" | "Clip" | "Min" | "Max" => Role::Monotone,
            "Add" if other.is_some() => Role::Monotone,
            "Sub" if other.is_some() && at == 0 => Role::Monotone,
            "Mul" | "Div" if other.is_some_and(|factor| factor > 0.0) && (at == 0 || node.op_type() == "Mul") => {
                Role::Monotone
            }
            "Add" | "Sub" | "Mul" | "Div" | "Neg" | "Pow" | "Sqrt" | "Reciprocal" | "Abs" | "Round" | "Floor"
            | "Ceil" | "Cast" | "Softplus" | "Softsign" | "Tanh" | "Erf" | "Relu" | "ThresholdedRelu" | "Pad"
            | "Sign" | "LpNormalization" => Role::Changes,
            _ => return None,
        };
        step(before, role)
    }

    /// A softmax, a log-softmax or a sigmoid in several nodes, of which `node` is the last: the scores that it is fed, and
    /// what it is.
    fn spelled_out(&self, node: &NodeProto) -> Option<(String, &'static str)> {
        let (graph, input) = (self.graph, self.input);
        let producer = |tensor: &str| graph.producer(plain(graph, tensor)).map(|index| graph.node(index));
        let knows = |tensor: &str| self.knows(tensor);
        match node.op_type() {
            // exp(x) / sum(exp(x)), and exp(x) * (1 / sum(exp(x)))
            "Div" | "Mul" if node.input.len() == 2 && node.input.iter().all(|tensor| knows(tensor)) => {
                let both = [(&node.input[0], &node.input[1]), (&node.input[1], &node.input[0])];
                let ways = if node.op_type() == "Mul" { &both[..] } else { &both[..1] };
                ways.iter().find_map(|(numerator, sum)| {
                    let exp = producer(numerator).filter(|node| node.op_type() == "Exp")?;
                    let exponential = exp.output.first()?.as_str();
                    let normalises = !graph.sees(sum, input, &[exponential])
                        && reaches(graph, sum, exponential, |node| matches!(node.op_type(), "ReduceSum" | "ReduceL1"));
                    normalises.then(|| Some((exp.input.first()?.clone(), "Softmax")))?
                })
            }
            // 1 / (1 + exp(-x))
            "Div" | "Reciprocal" => {
                let sum = match node.op_type() {
                    "Div" if knows(node.input.first()?) => return None,
                    "Div" => node.input.get(1)?,
                    _ => node.input.first()?,
                };
                let add = producer(sum).filter(|node| node.op_type() == "Add")?;
                let exp = add.input.iter().find(|tensor| knows(tensor))?;
                let exp = producer(exp).filter(|node| node.op_type() == "Exp")?;
                let negated = producer(exp.input.first()?)?;
                let data = negated.input.iter().find(|tensor| knows(tensor))?;
                let is_negated = match negated.op_type() {
                    "Neg" => true,
                    "Mul" => negated.input.iter().any(|factor| graph.constant_float(factor) == Some(-1.0)),
                    "Sub" => negated.input.get(1) == Some(data),
                    _ => false,
                };
                is_negated.then(|| (data.clone(), "Sigmoid"))
            }
            // x - log(sum(exp(x))), and x - max(x)
            "Sub" if node.input.len() == 2 && node.input.iter().all(|tensor| knows(tensor)) => {
                let (scores, taken) = (node.input[0].as_str(), node.input[1].as_str());
                let mut before = vec![plain(graph, scores)];
                // The maximum may have been taken away from the scores already.
                before.extend(producer(scores).filter(|node| node.op_type() == "Sub").and_then(|node| {
                    let unshifted = node.input.first()?;
                    Some(plain(graph, unshifted))
                }));
                let blocked: Vec<&str> = before.iter().copied().chain([scores]).collect();
                let of_scores_alone = !graph.sees(taken, input, &blocked);
                let is = |wanted: &'static [&'static str]| {
                    before.iter().any(|from| reaches(graph, taken, from, |node| wanted.contains(&node.op_type())))
                };
                if !of_scores_alone {
                    return None;
                }
                if is(&["ReduceLogSumExp", "ReduceLogSum"]) || (is(&["Exp"]) && is(&["Log"])) {
                    return Some((scores.to_owned(), "LogSoftmax"));
                }
                is(&["ReduceMax"]).then(|| (scores.to_owned(), "the difference from the largest score,"))
            }
            _ => None,
        }
    }

    /// An activation that stands behind the last weights although no chain of known nodes leads to it: what it gives is
    /// multiplied with no weights and gates nothing, so that it can only have made something else of the scores.
    fn hidden_activation(&self, scores: &str) -> Option<usize> {
        let graph = self.graph;
        let mut seen = HashSet::new();
        let mut open = vec![scores];
        while let Some(tensor) = open.pop() {
            let Some(index) = graph.producer(tensor).filter(|_| seen.len() < MOST_NODES) else { continue };
            if !seen.insert(index) {
                continue;
            }
            let node = graph.node(index);
            let read = || node.input.iter().map(String::as_str).chain(captured_names(node));
            let knowing = || read().filter(|tensor| self.knows(tensor));
            if makes_no_scores(node) && knowing().next().is_some() {
                return Some(index);
            }
            let inside = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
            if inside.flat_map(|body| &body.node).any(makes_no_scores) {
                return Some(index);
            }
            let weighs = matches!(node.op_type(), "Shape" | "Size" | "Einsum")
                || ["MatMul", "Gemm", "Conv", "Attention"].iter().any(|kind| node.op_type().contains(kind));
            // A gate, as in x * sigmoid(x) and in squeeze and excitation.
            let gates = node.op_type() == "Mul" && knowing().count() > 1;
            if !weighs && !gates {
                open.extend(knowing());
            }
        }
        None
    }
}

/// The tensor that `tensor` is another name or another precision of.
fn plain<'a>(graph: &'a Graph, tensor: &'a str) -> &'a str {
    let mut tensor = tensor;
    for _ in 0..MOST_NODES {
        let node = graph.producer(tensor).map(|index| graph.node(index));
        let before = node.filter(|node| matches!(node.op_type(), "Identity" | "Cast" | "Dropout"));
        let Some(before) = before.and_then(|node| node.input.first()) else { break };
        tensor = before;
    }
    tensor
}

/// Whether a node that is `wanted` stands between `from` and `to`.
fn reaches(graph: &Graph, to: &str, from: &str, wanted: impl Fn(&NodeProto) -> bool) -> bool {
    let nodes = graph.ancestors(&[to.to_owned()], &HashSet::from([from.to_owned()]));
    nodes
        .into_iter()
        .rev()
        .take(MOST_NODES)
        .map(|index| graph.node(index))
        .any(|node| wanted(node) && node.output.first().is_some_and(|output| graph.sees(output, from, &[])))
}

fn makes_no_scores(node: &NodeProto) -> bool {
    matches!(
        node.op_type(),
        "Softmax"
            | "LogSoftmax"
            | "Sigmoid"
            | "HardSigmoid"
            | "Hardmax"
            | "Exp"
            | "Log"
            | "ReduceLogSumExp"
            | "ArgMax"
            | "ArgMin"
            | "TopK"
            | "OneHot"
    )
}

const RAW_SCORES: &str = "export it so that its output are the raw scores (logits), before any Softmax, Sigmoid, Log or ArgMax: \
     leave the activation out of the exported module, and apply it where the output is used";

fn changed(activation: &NodeProto, changes: &NodeProto) -> Refusal {
    let what = if std::ptr::eq(activation, changes) {
        in_words(changes)
    } else {
        format!("{} behind its final {}", in_words(changes), in_words(activation))
    };
    Refusal::new(
        format!("{what} changes the classes' values so that the scores before it cannot be kept in their place"),
        RAW_SCORES,
    )
}

fn hidden(graph: &Graph, activation: usize, end: Option<usize>) -> Refusal {
    let node = graph.node(activation);
    let what = match node.op_type() {
        "ArgMax" | "ArgMin" | "TopK" | "OneHot" => "picks classes, so that its output holds no scores",
        "Log" | "Exp" | "ReduceLogSumExp" => "stands behind its last weights, as in a softmax that is spelled out",
        "If" | "Loop" | "Scan" => "holds an activation that stands behind its last weights",
        _ => "stands behind its last weights and makes probabilities of scores",
    };
    let between = match end.filter(|&end| end != activation) {
        Some(end) => format!("; {} between it and the output hides which scores it is fed", in_words(graph.node(end))),
        None => String::new(),
    };
    Refusal::new(format!("{} {what}{between}", in_words(node)), RAW_SCORES)
}
