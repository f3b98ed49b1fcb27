//! Reachability: which tensors depend on a given tensor.

use super::Graph;

/// Whether the results of each node depend on values of one tensor. Shapes are not values, as in [`Graph::depends_on`].
pub(crate) struct Reachability<'a> {
    graph: &'a Graph,
    source: &'a str,
    nodes: Vec<bool>,
}

impl<'a> Reachability<'a> {
    pub(crate) fn from_source(graph: &'a Graph, source: &'a str) -> Self {
        let mut reach = Self { graph, source, nodes: Vec::with_capacity(graph.nodes().len()) };
        // Nodes are sorted, so the producers of all inputs are done already.
        for (index, node) in graph.nodes().iter().enumerate() {
            let takes_values = !matches!(node.op_type(), "Shape" | "Size");
            let depends = takes_values && graph.inputs_of(index).any(|input| reach.contains(input));
            reach.nodes.push(depends);
        }
        reach
    }

    /// Whether a tensor is the source or depends on it.
    pub(crate) fn contains(&self, tensor: &str) -> bool {
        tensor == self.source
            || self.graph.producer(tensor).is_some_and(|index| self.nodes.get(index).copied().unwrap_or(false))
    }
}
