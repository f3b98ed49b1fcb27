//! Brings a decoded model into the one form that the rest of the program knows: no calls of functions, no `If` whose
//! condition is constant, nodes in topological order, and a name of its own for every node and every tensor.
//!
//! The ONNX specification leaves exporters and converters more freedom than that, and ONNX Runtime loads all of it.

use super::super::tail::Refusal;
use super::{GraphProto, ModelProto, branches, functions, names, order};

/// Most nodes that are accepted, those inside `If`, `Loop` and `Scan` included; the largest classifiers have a few
/// thousand.
pub(super) const MAX_NODES: usize = 100_000;

/// Brings a model into normal form. It needs to have passed [`super::super::integrity::check`].
///
/// # Errors
/// In words, if the graph has a cycle, a tensor that nothing makes, or functions that cannot be inlined.
pub(super) fn normalise(model: &mut ModelProto) -> Result<(), Refusal> {
    let Some(mut graph) = model.graph.take() else { return Ok(()) };
    functions::inline(model, &mut graph)?;
    check_size(&graph)?;
    names::make_tensors_of_bodies_unique(&mut graph);
    branches::hoist_constants(&mut graph);
    branches::fold_constant_ifs(&mut graph);
    order::sort(&mut graph)?;
    names::name_every_node(&mut graph);
    model.graph = Some(graph);
    Ok(())
}

/// Counts nodes and depth again: functions multiply both.
fn check_size(graph: &GraphProto) -> Result<(), Refusal> {
    let mut open = vec![(graph, 0)];
    let mut nodes = 0;
    while let Some((graph, depth)) = open.pop() {
        if depth > super::super::wire::MOST_NESTED_GRAPHS {
            return Err(functions::nested_too_deep());
        }
        nodes += graph.node.len();
        if nodes > MAX_NODES {
            return Err(Refusal::new(
                format!("its graph has more than {MAX_NODES} nodes"),
                "use a classifier; the largest have a few thousand nodes",
            ));
        }
        open.extend(graph.node.iter().flat_map(super::scopes::bodies).map(|body| (body, depth + 1)));
    }
    Ok(())
}
