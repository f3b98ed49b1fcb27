//! Which tensors depend on a tensor, for all nodes at once.

use super::Graph;

/// For every node, whether what it makes depends on values of one tensor. Shapes are no values, as in [`Graph::sees`].
pub(crate) struct Reach<'a> {
    graph: &'a Graph,
    source: &'a str,
    nodes: Vec<bool>,
}

impl<'a> Reach<'a> {
    pub(crate) fn of(graph: &'a Graph, source: &'a str) -> Self {
        let mut reach = Self { graph, source, nodes: Vec::with_capacity(graph.nodes().len()) };
        // Nodes are sorted, so that those before are known.
        for (index, node) in graph.nodes().iter().enumerate() {
            let takes_values = !matches!(node.op_type(), "Shape" | "Size");
            let sees = takes_values && graph.taken_by(index).any(|taken| reach.has(taken));
            reach.nodes.push(sees);
        }
        reach
    }

    /// Whether a tensor depends on the source, or is it.
    pub(crate) fn has(&self, tensor: &str) -> bool {
        tensor == self.source
            || self.graph.producer(tensor).is_some_and(|index| self.nodes.get(index).copied().unwrap_or(false))
    }
}
