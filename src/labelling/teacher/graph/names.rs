//! Gives every node, and every tensor inside a body, a unique name. ONNX requires neither.

use std::collections::{HashMap, HashSet};

use super::scopes::{self, Scopes};
use crate::labelling::teacher::onnx_proto::{GraphProto, NodeProto, bodies, bodies_mut};

/// Renames tensors that bodies define under a name of the graph or of a different body.
pub(super) fn make_body_tensors_unique(graph: &mut GraphProto) {
    let mut taken: HashSet<String> = scopes::defined(graph).map(str::to_owned).collect();
    let mut next = HashMap::new();
    let reserved = HashSet::new();
    let mut fresh = |name: &str| unique(name, &reserved, &mut taken, &mut next);
    let mut scopes = Scopes::new(HashMap::new());
    for body in graph.node.iter_mut().flat_map(bodies_mut) {
        scopes.rename_body(body, &mut fresh);
    }
}

/// Names unnamed nodes after their operator and index, and renames nodes whose name is used twice.
pub(super) fn name_every_node(graph: &mut GraphProto) {
    // A generated name never equals one of the file, so nodes keep their names where possible.
    let mut given = HashSet::new();
    collect_names(&graph.node, &mut given);
    let (mut taken, mut next) = (HashSet::new(), HashMap::new());
    name_nodes(&mut graph.node, "", &given, &mut taken, &mut next);
}

fn collect_names(nodes: &[NodeProto], given: &mut HashSet<String>) {
    for node in nodes {
        given.insert(node.name().to_owned());
        bodies(node).for_each(|body| collect_names(&body.node, given));
    }
}

fn name_nodes(
    nodes: &mut [NodeProto],
    prefix: &str,
    given: &HashSet<String>,
    taken: &mut HashSet<String>,
    next: &mut HashMap<String, usize>,
) {
    for (index, node) in nodes.iter_mut().enumerate() {
        let own = node.name();
        let is_free = !own.is_empty() && !taken.contains(own);
        let name = if is_free {
            taken.insert(own.to_owned());
            own.to_owned()
        } else {
            let base = if own.is_empty() { format!("{prefix}{}_{index}", node.op_type()) } else { own.to_owned() };
            unique(&base, given, taken, next)
        };
        // Names of nodes inside begin with the name of the node, unless that is too long to read.
        let inside = if name.len() > MAX_PREFIX_BYTES { String::new() } else { format!("{name}/") };
        for body in bodies_mut(node) {
            name_nodes(&mut body.node, &inside, given, taken, next);
        }
        node.name = Some(name);
    }
}

/// Longest name of a node that becomes part of other names.
pub(super) const MAX_PREFIX_BYTES: usize = 256;

/// Returns `wanted`, with the first number appended that makes it neither reserved nor taken if it is either, and takes it.
fn unique(
    wanted: &str,
    reserved: &HashSet<String>,
    taken: &mut HashSet<String>,
    next: &mut HashMap<String, usize>,
) -> String {
    if !reserved.contains(wanted) && taken.insert(wanted.to_owned()) {
        return wanted.to_owned();
    }
    let number = next.entry(wanted.to_owned()).or_insert(2);
    loop {
        let name = format!("{wanted}.{number}");
        *number += 1;
        if !reserved.contains(&name) && taken.insert(name.clone()) {
            return name;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_keep_their_names_and_generated_names_are_unique() {
        let node = |name: &str| NodeProto {
            op_type: Some("Relu".to_owned()),
            name: Some(name.to_owned()),
            ..NodeProto::default()
        };
        let mut graph =
            GraphProto { node: ["", "same", "same", "Relu_0", "same.2"].map(node).to_vec(), ..GraphProto::default() };
        name_every_node(&mut graph);
        let names: Vec<_> = graph.node.iter().map(NodeProto::name).collect();
        assert_eq!(names, ["Relu_0.2", "same", "same.3", "Relu_0", "same.2"]);
    }
}
