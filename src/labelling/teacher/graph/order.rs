//! Sorts the nodes so that each comes after those that it depends on. ONNX Runtime sorts for itself, and some of its own
//! tools (the float16 converter) leave nodes at the end.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::super::tail::Refusal;
use super::scopes::{bodies_mut, captured_names};
use super::{GraphProto, NodeProto, TensorProto, ValueInfoProto};

/// Sorts a graph and all bodies inside it. Nodes that are in order stay where they are.
///
/// # Errors
/// In words, if nodes depend on each other in a cycle, a tensor is made twice, or nothing makes a tensor of the
/// outermost graph.
pub(super) fn sort(graph: &mut GraphProto) -> Result<(), Refusal> {
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    let weights = graph.initializer.iter().chain(sparse).map(TensorProto::name);
    let given: HashSet<String> =
        weights.chain(graph.input.iter().map(ValueInfoProto::name)).map(str::to_owned).collect();
    sort_nodes(&mut graph.node, Some(&given))?;
    for body in graph.node.iter_mut().flat_map(bodies_mut) {
        sort_body(body)?;
    }
    Ok(())
}

/// What nothing inside makes comes from outside.
fn sort_body(body: &mut GraphProto) -> Result<(), Refusal> {
    sort_nodes(&mut body.node, None)?;
    body.node.iter_mut().flat_map(bodies_mut).try_for_each(sort_body)
}

fn sort_nodes(nodes: &mut Vec<NodeProto>, given: Option<&HashSet<String>>) -> Result<(), Refusal> {
    let mut producers: HashMap<&str, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if given.is_some_and(|given| given.contains(output)) || producers.insert(output, index).is_some() {
                return Err(broken(format!("its graph makes `{output}` twice")));
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
                    return Err(broken(format!(
                        "node {index} of its graph ({} `{}`) takes `{name}`, which is not an input, a weight or made by \
                         another node",
                        node.op_type(),
                        node.name()
                    )));
                }
                (None, _) => {}
            }
        }
    }
    // Of the nodes that may come next, the one that came first in the file.
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
        return Err(broken(format!("its graph has a cycle: {}", cycle(nodes, &producers, &waits_for))));
    }
    if order.iter().enumerate().any(|(at, &index)| at != index) {
        let mut unsorted: Vec<NodeProto> = std::mem::take(nodes);
        *nodes = order.into_iter().map(|index| std::mem::take(&mut unsorted[index])).collect();
    }
    Ok(())
}

/// What a node and its bodies take, without what is left out.
fn inputs(node: &NodeProto) -> impl Iterator<Item = &str> {
    node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).chain(captured_names(node))
}

/// The nodes of one cycle, each of which takes what the next one makes.
fn cycle(nodes: &[NodeProto], producers: &HashMap<&str, usize>, waits_for: &[usize]) -> String {
    const MOST_SHOWN: usize = 5;
    let before = |index: usize| {
        let waiting = |&producer: &usize| waits_for[producer] > 0;
        inputs(&nodes[index]).filter_map(|name| producers.get(name).copied()).find(waiting)
    };
    let Some(mut index) = waits_for.iter().position(|&count| count > 0) else { return String::new() };
    // Each node that waits has one before it that waits too, so that the walk ends where it has been.
    let mut walked = Vec::new();
    let mut seen = HashMap::new();
    while let Entry::Vacant(place) = seen.entry(index) {
        place.insert(walked.len());
        walked.push(index);
        index = before(index).unwrap_or(index);
    }
    let in_cycle = &walked[seen[&index]..];
    let shown = in_cycle.iter().take(MOST_SHOWN).map(|&at| {
        let node = &nodes[at];
        format!("{} `{}`", node.op_type(), if node.name().is_empty() { first_output(node) } else { node.name() })
    });
    let more = if in_cycle.len() > MOST_SHOWN { " ← ..." } else { "" };
    format!("{}{more}", shown.collect::<Vec<_>>().join(" ← "))
}

fn first_output(node: &NodeProto) -> &str {
    node.output.first().map_or("", String::as_str)
}

fn broken(problem: String) -> Refusal {
    Refusal::new(problem, "export it again; `onnx.checker.check_model` lists what is wrong with it")
}
