//! Simplifies bodies without changing results: constants of a body are moved into the graph, and an `If` with a constant
//! condition is replaced by its branch.

use std::collections::{HashMap, HashSet};

use crate::labelling::teacher::onnx_proto::{
    GraphProto, NodeProto, TensorProto, ValueInfoProto, bodies_mut, element, is_standard_domain,
};

/// Moves weights and constants out of all bodies into the graph. Names need to be unique.
pub(super) fn hoist_constants(graph: &mut GraphProto) {
    let (mut nodes, mut weights) = (Vec::new(), Vec::new());
    for body in graph.node.iter_mut().flat_map(bodies_mut) {
        take_constants(body, &mut nodes, &mut weights);
    }
    graph.initializer.extend(weights);
    graph.node.splice(0..0, nodes);
}

fn take_constants(body: &mut GraphProto, nodes: &mut Vec<NodeProto>, weights: &mut Vec<TensorProto>) {
    for inner in body.node.iter_mut().flat_map(bodies_mut) {
        take_constants(inner, nodes, weights);
    }
    // The outputs of a body must be produced in it, and the default value of an input is not a constant.
    let ports: HashSet<&str> = body.input.iter().chain(&body.output).map(ValueInfoProto::name).collect();
    weights.extend(body.initializer.extract_if(.., |weight| !ports.contains(weight.name())));
    let moves = |node: &mut NodeProto| {
        is_constant(node) && node.input.is_empty() && node.output.iter().all(|output| !ports.contains(output.as_str()))
    };
    nodes.extend(body.node.extract_if(.., moves));
}

fn is_constant(node: &NodeProto) -> bool {
    node.op_type() == "Constant" && is_standard_domain(node.domain())
}

/// Replaces each `If` with a constant condition by the branch that is always taken.
pub(super) fn fold_constant_ifs(graph: &mut GraphProto) {
    let constants = graph.node.iter().filter(|node| is_constant(node));
    let constants = constants
        .filter_map(|node| Some((node.output.first()?.clone(), bool_value(node.attribute.first()?.t.as_ref()?)?)));
    let weights = graph.initializer.iter().filter_map(|weight| Some((weight.name().to_owned(), bool_value(weight)?)));
    let known: HashMap<String, bool> = constants.chain(weights).collect();
    let mut open: Vec<NodeProto> = std::mem::take(&mut graph.node);
    open.reverse();
    while let Some(mut node) = open.pop() {
        let condition = node.input.first().and_then(|name| known.get(name));
        let branch = condition.and_then(|&condition| take_branch(&mut node, condition));
        let Some(branch) = branch else {
            graph.node.push(node);
            continue;
        };
        graph.initializer.extend(branch.initializer);
        graph.sparse_initializer.extend(branch.sparse_initializer);
        let copies = branch.output.iter().zip(&node.output).filter(|(_, output)| !output.is_empty());
        open.extend(copies.map(|(inner, output)| NodeProto {
            op_type: Some("Identity".to_owned()),
            name: Some(format!("{}/{output}", node.name())),
            input: vec![inner.name().to_owned()],
            output: vec![output.clone()],
            ..NodeProto::default()
        }));
        open.extend(branch.node.into_iter().rev());
    }
}

/// Takes the branch that `condition` selects out of an `If`; `None` for other nodes and for an invalid `If`.
fn take_branch(node: &mut NodeProto, condition: bool) -> Option<GraphProto> {
    if node.op_type() != "If" || !is_standard_domain(node.domain()) {
        return None;
    }
    let wanted = if condition { "then_branch" } else { "else_branch" };
    let attribute = node.attribute.iter_mut().find(|attribute| attribute.name() == wanted)?;
    let fits = attribute.g.as_ref()?.output.len() == node.output.len() && attribute.g.as_ref()?.input.is_empty();
    fits.then(|| attribute.g.take())?
}

/// Returns the value of a tensor that contains a single bool.
fn bool_value(tensor: &TensorProto) -> Option<bool> {
    if tensor.data_type() != element::BOOL || tensor.dims.iter().any(|&dim| dim != 1) {
        return None;
    }
    let value = tensor.raw_data().first().map(|&byte| i32::from(byte)).or(tensor.int32_data.first().copied());
    value.map(|value| value != 0)
}
