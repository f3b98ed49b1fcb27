//! Finds the raw scores before a final activation: a Softmax, `LogSoftmax` or Sigmoid, as one node or as separate operators.
//! The nodes after the activation must apply to raw scores as well, or the teacher is refused.

use std::collections::{HashMap, HashSet};

use super::head::describe_node;
use crate::labelling::teacher::graph::{Graph, NodeProto, attribute_int, captured_names};
use crate::labelling::teacher::refusal::Refusal;

/// The raw scores of a teacher.
#[derive(Debug)]
pub(crate) struct RawScores {
    /// The tensor that holds them: the output itself, or the output of a copy of its nodes without activations.
    pub(crate) tensor: String,
    /// The teacher's own output, which may be probabilities.
    pub(crate) output: String,
    /// Descriptions of the nodes left out, from the scores to the output. Empty if the output is raw.
    pub(crate) left_out: Vec<String>,
}

/// Largest number of nodes from the output back to the activation; exporters write a handful.
const MAX_NODES: usize = 256;

/// Follows `output` back to the first activation after the last weights, and copies the nodes after it to run on the raw
/// scores. Nodes that move, select or reshape classes are kept.
pub(super) fn raw_scores(graph: &mut Graph, input: &str, output: &str) -> Result<RawScores, Refusal> {
    let Some(Plan { activated, scores, skipped, left_out }) = plan(graph, input, output)? else {
        return Ok(RawScores { tensor: output.to_owned(), output: output.to_owned(), left_out: Vec::new() });
    };
    let tensor = graph.copy_between(&activated, output, &scores, &skipped);
    // The copy must contain no activation.
    let image = ImageDependence { graph, input, dependent: dependent_tensors(graph, input) };
    match image.hidden_activation(&tensor) {
        Some(index) => Err(hidden(graph, index, graph.producer(&tensor))),
        None => Ok(RawScores { tensor, output: output.to_owned(), left_out }),
    }
}

/// How to recompute an output without activations.
struct Plan {
    /// Output of the first activation.
    activated: String,
    /// Input of the first activation.
    scores: String,
    /// The nodes left out, each with the tensor that replaces its output.
    skipped: HashMap<usize, String>,
    left_out: Vec<String>,
}

/// `None` if the output is raw.
fn plan(graph: &Graph, input: &str, output: &str) -> Result<Option<Plan>, Refusal> {
    let image = ImageDependence { graph, input, dependent: dependent_tensors(graph, input) };
    let mut tensor = output.to_owned();
    // Nodes passed, from the output backwards, and the number of them up to the first activation.
    let mut passed: Vec<(usize, Role)> = Vec::new();
    let mut skipped = HashMap::new();
    let (mut up_to_activation, mut found) = (0, None);
    for _ in 0..MAX_NODES {
        let Some(index) = graph.producer(&tensor) else { break };
        let Some(Step { before, role }) = image.step(index) else { break };
        passed.push((index, role));
        if role != Role::Moves {
            skipped.insert(index, before.clone());
        }
        if matches!(role, Role::Activation { .. }) {
            up_to_activation = passed.len();
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
    passed.truncate(up_to_activation);
    if let Some(&(changes, _)) = passed.iter().find(|(_, role)| *role == Role::Changes) {
        let activation = passed.last().map_or(changes, |&(index, _)| index);
        return Err(changes_order(graph.node(activation), graph.node(changes)));
    }
    if let Some(index) = image.hidden_activation(&scores) {
        return Err(hidden(graph, index, graph.producer(&scores)));
    }
    let describe = |&(index, role): &(usize, Role)| match role {
        Role::Activation { composed: Some(what) } => {
            Some(format!("{what} as separate operators (last node `{}`)", graph.node(index).name()))
        }
        Role::Activation { composed: None } | Role::Monotone => Some(describe_node(graph.node(index))),
        _ => None,
    };
    let left_out = passed.iter().rev().filter_map(describe).collect();
    Ok(Some(Plan { activated, scores, skipped, left_out }))
}

/// The tensors that depend on the values of `input`, not only on its shape.
fn dependent_tensors<'a>(graph: &'a Graph, input: &'a str) -> HashSet<&'a str> {
    let mut dependent = HashSet::from([input]);
    for node in graph.nodes() {
        let mut read = node.input.iter().map(String::as_str).chain(captured_names(node));
        if !matches!(node.op_type(), "Shape" | "Size") && read.any(|tensor| dependent.contains(tensor)) {
            dependent.extend(node.output.iter().map(String::as_str).filter(|output| !output.is_empty()));
        }
    }
    dependent
}

/// A graph and the tensors that depend on the image.
struct ImageDependence<'a> {
    graph: &'a Graph,
    input: &'a str,
    dependent: HashSet<&'a str>,
}

/// Effect of a node after the scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Turns scores into probabilities. `composed` names the activation if separate operators compute it.
    Activation { composed: Option<&'static str> },
    /// Moves or selects values, and applies to raw scores as well.
    Moves,
    /// Changes at most the number type.
    Nothing,
    /// Changes the values of all classes alike and keeps their order.
    Monotone,
    /// May change the order of the classes.
    Changes,
}

/// One step back from the output.
struct Step {
    before: String,
    role: Role,
}

impl ImageDependence<'_> {
    fn depends(&self, tensor: &str) -> bool {
        self.dependent.contains(tensor)
    }

    fn step(&self, index: usize) -> Option<Step> {
        let graph = self.graph;
        let node = graph.node(index);
        let step = |before: &str, role| Some(Step { before: before.to_owned(), role });
        if let Some((before, what)) = self.composed_activation(node) {
            return step(&before, Role::Activation { composed: Some(what) });
        }
        let dependent: Vec<usize> = (0..node.input.len()).filter(|&at| self.depends(&node.input[at])).collect();
        let [at] = dependent[..] else { return None };
        let before = node.input[at].as_str();
        if at > 0 && !matches!(node.op_type(), "Add" | "Mul" | "Sub" | "Div" | "Min" | "Max" | "Pow") {
            return None;
        }
        let other = node.input.get(1 - at.min(1)).and_then(|other| graph.constant_float(other));
        let role = match node.op_type() {
            "Softmax" | "LogSoftmax" | "Sigmoid" | "HardSigmoid" | "Hardmax" => Role::Activation { composed: None },
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Slice" | "Gather" | "Split" => Role::Moves,
            "Identity" | "Dropout" | "CastLike" => Role::Nothing,
            // To float, float16, double or bfloat16; rounding a probability to an integer is not harmless.
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

    /// A softmax, log-softmax or sigmoid composed of several nodes, of which `node` is the last: its input scores, and its
    /// name.
    fn composed_activation(&self, node: &NodeProto) -> Option<(String, &'static str)> {
        let (graph, input) = (self.graph, self.input);
        let producer = |tensor: &str| graph.producer(uncast(graph, tensor)).map(|index| graph.node(index));
        let depends = |tensor: &str| self.depends(tensor);
        match node.op_type() {
            // exp(x) / sum(exp(x)), and exp(x) * (1 / sum(exp(x)))
            "Div" | "Mul" if node.input.len() == 2 && node.input.iter().all(|tensor| depends(tensor)) => {
                let both = [(&node.input[0], &node.input[1]), (&node.input[1], &node.input[0])];
                let ways = if node.op_type() == "Mul" { &both[..] } else { &both[..1] };
                ways.iter().find_map(|(numerator, sum)| {
                    let exp = producer(numerator).filter(|node| node.op_type() == "Exp")?;
                    let exponential = exp.output.first()?.as_str();
                    let normalises = !graph.depends_on(sum, input, &[exponential])
                        && reaches(graph, sum, exponential, |node| matches!(node.op_type(), "ReduceSum" | "ReduceL1"));
                    normalises.then(|| Some((exp.input.first()?.clone(), "Softmax")))?
                })
            }
            // 1 / (1 + exp(-x))
            "Div" | "Reciprocal" => {
                let sum = match node.op_type() {
                    "Div" if depends(node.input.first()?) => return None,
                    "Div" => node.input.get(1)?,
                    _ => node.input.first()?,
                };
                let add = producer(sum).filter(|node| node.op_type() == "Add")?;
                let exp = add.input.iter().find(|tensor| depends(tensor))?;
                let exp = producer(exp).filter(|node| node.op_type() == "Exp")?;
                let negated = producer(exp.input.first()?)?;
                let data = negated.input.iter().find(|tensor| depends(tensor))?;
                let is_negated = match negated.op_type() {
                    "Neg" => true,
                    "Mul" => negated.input.iter().any(|factor| graph.constant_float(factor) == Some(-1.0)),
                    "Sub" => negated.input.get(1) == Some(data),
                    _ => false,
                };
                is_negated.then(|| (data.clone(), "Sigmoid"))
            }
            // x - log(sum(exp(x))), and x - max(x)
            "Sub" if node.input.len() == 2 && node.input.iter().all(|tensor| depends(tensor)) => {
                let (scores, taken) = (node.input[0].as_str(), node.input[1].as_str());
                let mut before = vec![uncast(graph, scores)];
                // The maximum may already be subtracted from the scores.
                before.extend(producer(scores).filter(|node| node.op_type() == "Sub").and_then(|node| {
                    let unshifted = node.input.first()?;
                    Some(uncast(graph, unshifted))
                }));
                let blocked: Vec<&str> = before.iter().copied().chain([scores]).collect();
                let depends_on_scores_only = !graph.depends_on(taken, input, &blocked);
                let is = |wanted: &'static [&'static str]| {
                    before.iter().any(|from| reaches(graph, taken, from, |node| wanted.contains(&node.op_type())))
                };
                if !depends_on_scores_only {
                    return None;
                }
                if is(&["ReduceLogSumExp", "ReduceLogSum"]) || (is(&["Exp"]) && is(&["Log"])) {
                    return Some((scores.to_owned(), "LogSoftmax"));
                }
                is(&["ReduceMax"]).then(|| (scores.to_owned(), "subtraction of the largest score"))
            }
            _ => None,
        }
    }

    /// An activation after the last weights that no chain of known nodes reaches. Its result is neither multiplied with
    /// weights nor used as a gate, so it must have transformed the scores.
    fn hidden_activation(&self, scores: &str) -> Option<usize> {
        let graph = self.graph;
        let mut seen = HashSet::new();
        let mut open = vec![scores];
        while let Some(tensor) = open.pop() {
            let Some(index) = graph.producer(tensor).filter(|_| seen.len() < MAX_NODES) else { continue };
            if !seen.insert(index) {
                continue;
            }
            let node = graph.node(index);
            let read = || node.input.iter().map(String::as_str).chain(captured_names(node));
            let dependent = || read().filter(|tensor| self.depends(tensor));
            if is_activation(node) && dependent().next().is_some() {
                return Some(index);
            }
            let inside = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
            if inside.flat_map(|body| &body.node).any(is_activation) {
                return Some(index);
            }
            let has_weights = matches!(node.op_type(), "Shape" | "Size" | "Einsum")
                || ["MatMul", "Gemm", "Conv", "Attention"].iter().any(|kind| node.op_type().contains(kind));
            // A gate, as in x * sigmoid(x) and squeeze-and-excitation.
            let gates = node.op_type() == "Mul" && dependent().count() > 1;
            if !has_weights && !gates {
                open.extend(dependent());
            }
        }
        None
    }
}

/// The tensor of which `tensor` is a copy, possibly in a different precision.
fn uncast<'a>(graph: &'a Graph, tensor: &'a str) -> &'a str {
    let mut tensor = tensor;
    for _ in 0..MAX_NODES {
        let node = graph.producer(tensor).map(|index| graph.node(index));
        let before = node.filter(|node| matches!(node.op_type(), "Identity" | "Cast" | "Dropout"));
        let Some(before) = before.and_then(|node| node.input.first()) else { break };
        tensor = before;
    }
    tensor
}

/// Whether a `wanted` node is on a path from `from` to `to`.
fn reaches(graph: &Graph, to: &str, from: &str, wanted: impl Fn(&NodeProto) -> bool) -> bool {
    let nodes = graph.ancestors(&[to.to_owned()], &HashSet::from([from.to_owned()]));
    nodes
        .into_iter()
        .rev()
        .take(MAX_NODES)
        .map(|index| graph.node(index))
        .any(|node| wanted(node) && node.output.first().is_some_and(|output| graph.depends_on(output, from, &[])))
}

fn is_activation(node: &NodeProto) -> bool {
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

const EXPORT_LOGITS: &str = "export raw scores (logits) as the output: leave the final Softmax, Sigmoid, Log or ArgMax out of the \
     exported module, and apply it where the output is used";

fn changes_order(activation: &NodeProto, changes: &NodeProto) -> Refusal {
    let what = if std::ptr::eq(activation, changes) {
        describe_node(changes)
    } else {
        format!("{} after the final {}", describe_node(changes), describe_node(activation))
    };
    Refusal::new(
        format!("cannot recover raw scores (logits): {what} may change the order of the classes"),
        EXPORT_LOGITS,
    )
}

fn hidden(graph: &Graph, activation: usize, end: Option<usize>) -> Refusal {
    let node = graph.node(activation);
    let what = match node.op_type() {
        "ArgMax" | "ArgMin" | "TopK" | "OneHot" => "selects classes, so the output contains no scores",
        "Log" | "Exp" | "ReduceLogSumExp" => "follows the last weights, as in a softmax written as separate operators",
        "If" | "Loop" | "Scan" => "contains an activation that follows the last weights",
        _ => "follows the last weights and turns scores into probabilities",
    };
    let between = match end.filter(|&end| end != activation) {
        Some(end) => format!("; {} between it and the output hides its input", describe_node(graph.node(end))),
        None => String::new(),
    };
    Refusal::new(format!("cannot recover raw scores (logits): {} {what}{between}", describe_node(node)), EXPORT_LOGITS)
}
