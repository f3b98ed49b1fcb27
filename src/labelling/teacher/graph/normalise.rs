//! Brings a decoded model into normal form: functions are inlined, an `If` with a constant condition is replaced by its
//! branch, nodes are in topological order, and every node and every tensor has a unique name.
//!
//! The ONNX specification gives exporters and converters more freedom, and ONNX Runtime loads all of it.

use super::functions::{MAX_NODES, check_depth};
use super::{branches, functions, names, topological_order};
use crate::labelling::teacher::onnx_proto::{GraphProto, ModelProto, bodies};
use crate::labelling::teacher::refusal::Refusal;

/// Brings a model into normal form. It needs to have passed `integrity::check`.
///
/// # Errors
/// Returns a [`Refusal`] if the graph has a cycle, a tensor that no node produces, or functions that cannot be inlined.
pub(super) fn normalise(model: &mut ModelProto) -> Result<(), Refusal> {
    let Some(mut graph) = model.graph.take() else { return Ok(()) };
    functions::inline(model, &mut graph)?;
    check_size(&graph)?;
    names::make_body_tensors_unique(&mut graph);
    branches::hoist_constants(&mut graph);
    branches::fold_constant_ifs(&mut graph);
    topological_order::sort(&mut graph)?;
    names::name_every_node(&mut graph);
    model.graph = Some(graph);
    Ok(())
}

/// Checks the number of nodes and the depth again: functions multiply both.
fn check_size(graph: &GraphProto) -> Result<(), Refusal> {
    let mut open = vec![(graph, 0)];
    let mut nodes = 0;
    while let Some((graph, depth)) = open.pop() {
        check_depth(depth)?;
        nodes += graph.node.len();
        if nodes > MAX_NODES {
            return Err(Refusal::new(
                format!("the graph has more than {MAX_NODES} nodes"),
                "use a classifier; the largest have a few thousand nodes",
            ));
        }
        open.extend(graph.node.iter().flat_map(bodies).map(|body| (body, depth + 1)));
    }
    Ok(())
}
