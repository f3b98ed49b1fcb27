//! Gives every node, and every tensor inside a body, a name that nothing else has. ONNX asks for neither.

use std::collections::{HashMap, HashSet};

use super::scopes::{self, Scopes, bodies_mut};
use super::{GraphProto, NodeProto};

/// Renames what bodies define wherever the graph, or another body, has the name already.
pub(super) fn make_tensors_of_bodies_unique(graph: &mut GraphProto) {
    let mut taken: HashSet<String> = scopes::defined(graph).map(str::to_owned).collect();
    let mut next = HashMap::new();
    let reserved = HashSet::new();
    let mut fresh = |name: &str| unique(name, &reserved, &mut taken, &mut next);
    let mut scopes = Scopes::new(HashMap::new());
    for body in graph.node.iter_mut().flat_map(bodies_mut) {
        scopes.rename_body(body, &mut fresh);
    }
}

/// Names unnamed nodes after their operator and index, and tells nodes of one name apart.
pub(super) fn name_every_node(graph: &mut GraphProto) {
    // Nodes keep their names where they can: a name that is made never takes one from the file.
    let mut given = HashSet::new();
    gather(&graph.node, &mut given);
    let (mut taken, mut next) = (HashSet::new(), HashMap::new());
    name_nodes(&mut graph.node, "", &given, &mut taken, &mut next);
}

fn gather(nodes: &[NodeProto], given: &mut HashSet<String>) {
    for node in nodes {
        given.insert(node.name().to_owned());
        scopes::bodies(node).for_each(|body| gather(&body.node, given));
    }
}

fn name_nodes(
    nodes: &mut [NodeProto],
    around: &str,
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
            let base = if own.is_empty() { format!("{around}{}_{index}", node.op_type()) } else { own.to_owned() };
            unique(&base, given, taken, next)
        };
        // A name of a node inside begins with the node's; what is too long to read is left out.
        let inside = if name.len() > LONGEST_AROUND_BYTES { String::new() } else { format!("{name}/") };
        for body in bodies_mut(node) {
            name_nodes(&mut body.node, &inside, given, taken, next);
        }
        node.name = Some(name);
    }
}

/// Longest name of a node that becomes part of other names.
pub(super) const LONGEST_AROUND_BYTES: usize = 256;

/// `wanted`, or with the first number behind it that makes it a name that is neither reserved nor taken. It is taken then.
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
    fn names_are_kept_where_they_can_be_and_never_taken_from_another_node() {
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
