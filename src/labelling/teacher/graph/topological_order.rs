//! Sorts nodes topologically. ONNX Runtime sorts on its own, and some of its tools (the float16 converter) append nodes out
//! of order.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::scopes::captured_names;
use crate::labelling::teacher::onnx_proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto, bodies_mut};
use crate::labelling::teacher::refusal::Refusal;

/// Reason the nodes of a graph cannot be sorted.
#[derive(Debug, thiserror::Error)]
enum OrderError {
    /// Two nodes, or a node and an input, produce the same tensor.
    #[error("the graph produces `{tensor}` twice")]
    ProducedTwice { tensor: String },
    /// A node of the outermost graph consumes a tensor that nothing produces.
    #[error(
        "node {index} of the graph ({op} `{node}`) reads `{tensor}`, which is neither an input nor a weight nor produced by \
         another node"
    )]
    NotProduced { index: usize, op: String, node: String, tensor: String },
    /// Nodes depend on each other.
    #[error("the graph has a cycle: {nodes}")]
    Cycle { nodes: String },
}

impl From<OrderError> for Refusal {
    fn from(error: OrderError) -> Self {
        Self::new(error, "export it again; `onnx.checker.check_model` lists what is wrong with it")
    }
}

/// Sorts a graph and all bodies inside it. Nodes that are in order keep their position.
///
/// # Errors
/// Returns a [`Refusal`] if nodes depend on each other in a cycle, a tensor is produced twice, or nothing produces a tensor
/// of the outermost graph.
pub(super) fn sort(graph: &mut GraphProto) -> Result<(), Refusal> {
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    let weights = graph.initializer.iter().chain(sparse).map(TensorProto::name);
    let given: HashSet<String> =
        weights.chain(graph.input.iter().map(ValueInfoProto::name)).map(str::to_owned).collect();
    sort_nodes(&mut graph.node, Some(&given))?;
    Ok(graph.node.iter_mut().flat_map(bodies_mut).try_for_each(sort_body)?)
}

/// Sorts a body. It captures from the graph around it what it does not produce.
fn sort_body(body: &mut GraphProto) -> Result<(), OrderError> {
    sort_nodes(&mut body.node, None)?;
    body.node.iter_mut().flat_map(bodies_mut).try_for_each(sort_body)
}

fn sort_nodes(nodes: &mut Vec<NodeProto>, given: Option<&HashSet<String>>) -> Result<(), OrderError> {
    let mut producers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if given.is_some_and(|given| given.contains(output)) || producers.insert(output, index).is_some() {
                return Err(OrderError::ProducedTwice { tensor: output.clone() });
            }
        }
    }
    let mut waits_for = vec![0_usize; nodes.len()];
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        for name in inputs(node) {
            match (producers.get(name), given) {
                (Some(&producer), _) => {
                    users[producer].push(index);
                    waits_for[index] += 1;
                }
                (None, Some(given)) if !given.contains(name) => {
                    return Err(OrderError::NotProduced {
                        index,
                        op: node.op_type().to_owned(),
                        node: node.name().to_owned(),
                        tensor: name.to_owned(),
                    });
                }
                (None, _) => {}
            }
        }
    }
    // Among the nodes that may come next, the first in the file does.
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..nodes.len()).filter(|&index| waits_for[index] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &user in &users[index] {
            waits_for[user] -= 1;
            if waits_for[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    if order.len() < nodes.len() {
        return Err(OrderError::Cycle { nodes: describe_cycle(nodes, &producers, &waits_for) });
    }
    if order.iter().enumerate().any(|(at, &index)| at != index) {
        let mut unsorted: Vec<NodeProto> = std::mem::take(nodes);
        *nodes = order.into_iter().map(|index| std::mem::take(&mut unsorted[index])).collect();
    }
    Ok(())
}

/// Names of the inputs of a node and of its bodies, without omitted optional ones.
fn inputs(node: &NodeProto) -> impl Iterator<Item = &str> {
    node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).chain(captured_names(node))
}

/// Lists the nodes of one cycle, each of which consumes a result of the next one.
fn describe_cycle(nodes: &[NodeProto], producers: &HashMap<&str, usize>, waits_for: &[usize]) -> String {
    const MAX_SHOWN: usize = 5;
    let before = |index: usize| {
        let waiting = |&producer: &usize| waits_for[producer] > 0;
        inputs(&nodes[index]).filter_map(|name| producers.get(name).copied()).find(waiting)
    };
    let Some(mut index) = waits_for.iter().position(|&count| count > 0) else { return String::new() };
    // Each node that waits has a predecessor that waits too, so the walk returns to a node it has visited.
    let mut walked = Vec::new();
    let mut seen = HashMap::new();
    while let Entry::Vacant(entry) = seen.entry(index) {
        entry.insert(walked.len());
        walked.push(index);
        index = before(index).unwrap_or(index);
    }
    let in_cycle = &walked[seen[&index]..];
    let shown = in_cycle.iter().take(MAX_SHOWN).map(|&at| {
        let node = &nodes[at];
        format!("{} `{}`", node.op_type(), if node.name().is_empty() { first_output(node) } else { node.name() })
    });
    let more = if in_cycle.len() > MAX_SHOWN { " ← ..." } else { "" };
    format!("{}{more}", shown.collect::<Vec<_>>().join(" ← "))
}

fn first_output(node: &NodeProto) -> &str {
    node.output.first().map_or("", String::as_str)
}
