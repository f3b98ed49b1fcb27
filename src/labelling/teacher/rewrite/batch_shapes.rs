//! Shapes that a head takes from other parts of the graph, with the number of cells in place of the batch.

use std::collections::{HashMap, HashSet};

use super::builder::{GraphBuilder, int, ints};
use crate::labelling::teacher::graph::{Graph, Reachability, Scopes, attribute_int, bodies_mut};

/// Tensors outside the head that are computed from the batch size.
pub(super) struct BatchShapes<'a> {
    graph: &'a Graph,
    reach: Reachability<'a>,
    /// For every node, whether it is computed from the shape of a tensor with a batch axis.
    follows_batch: Vec<bool>,
    /// A tensor with one row per cell.
    rows: String,
    /// Tensors and their names in the copy on cells.
    renamed: Scopes,
}

impl<'a> BatchShapes<'a> {
    pub(super) fn new(graph: &'a Graph, input: &'a str, rows: &str) -> Self {
        let reach = Reachability::from_source(graph, input);
        let mut follows_batch: Vec<bool> = Vec::with_capacity(graph.nodes().len());
        for (index, node) in graph.nodes().iter().enumerate() {
            let is_shape = matches!(node.op_type(), "Shape" | "Size");
            let follows = graph.inputs_of(index).any(|taken| {
                let producer = graph.producer(taken);
                is_shape && reach.contains(taken) || producer.is_some_and(|at| follows_batch.get(at) == Some(&true))
            });
            follows_batch.push(follows);
        }
        Self { graph, reach, follows_batch, rows: rows.to_owned(), renamed: Scopes::new(HashMap::new()) }
    }

    /// Indices of the nodes to clone for a tensor, in order.
    fn nodes_for(&self, tensor: &str) -> Vec<usize> {
        let mut needed = HashSet::new();
        let mut open: Vec<usize> = self.graph.producer(tensor).into_iter().collect();
        while let Some(index) = open.pop() {
            let made = self.graph.node(index).output.iter().any(|output| self.renamed.get(output).is_some());
            if made || !self.follows_batch[index] || !needed.insert(index) {
                continue;
            }
            if !self.is_shape_of_batch(index) {
                open.extend(self.graph.inputs_of(index).filter_map(|taken| self.graph.producer(taken)));
            }
        }
        let mut needed: Vec<usize> = needed.into_iter().collect();
        needed.sort_unstable();
        needed
    }

    /// Whether a node takes the shape of a tensor that depends on the image and thus begins with the batch axis.
    fn is_shape_of_batch(&self, index: usize) -> bool {
        let node = self.graph.node(index);
        node.op_type() == "Shape" && node.input.first().is_some_and(|data| self.reach.contains(data))
    }
}

impl GraphBuilder<'_> {
    /// Adds the counterpart on cells of a tensor from outside the head; `None` if it is the same.
    pub(super) fn shape_on_cells(&mut self, shapes: &mut BatchShapes<'_>, tensor: &str) -> Option<String> {
        // A tensor that depends on the values of the image is not a shape.
        if shapes.reach.contains(tensor) {
            return None;
        }
        let graph = shapes.graph;
        for index in shapes.nodes_for(tensor) {
            let mut node = graph.node(index).clone();
            if shapes.is_shape_of_batch(index) {
                let (Some(data), Some(output)) = (node.input.first(), node.output.first()) else { continue };
                let name = |what: &str| format!("cells/{output}/{what}");
                let shape = self.add(&name("shape"), "Shape", &[data], vec![]);
                let rest = self.all_but_first(&name("rest"), &shape);
                let rows = self.add(&name("rows"), "Shape", &[&shapes.rows], vec![]);
                let first = self.ints(&name("first"), &[0]);
                let rows = self.add(&name("count"), "Gather", &[&rows, &first], vec![int("axis", 0)]);
                let mut on_cells = self.add(&name("on_cells"), "Concat", &[&rows, &rest], vec![int("axis", 0)]);
                // Since operator set 15, a Shape may cover only some axes.
                let start = attribute_int(&node, "start").unwrap_or(0);
                let end = attribute_int(&node, "end").unwrap_or(i64::MAX);
                if start != 0 || end != i64::MAX {
                    on_cells = self.slice(&name("part"), &on_cells, start, end);
                }
                shapes.renamed.insert(output.clone(), on_cells);
                continue;
            }
            for input in &mut node.input {
                if let Some(name) = shapes.renamed.get(input) {
                    input.clone_from(name);
                }
            }
            if bodies_mut(&mut node).next().is_some() {
                shapes.renamed.rename_captured(&mut node);
            }
            for output in node.output.iter_mut().filter(|output| !output.is_empty()) {
                let name = graph.fresh_name(&format!("cells/{output}"));
                shapes.renamed.insert(std::mem::replace(output, name.clone()), name);
            }
            node.name = Some(format!("relabel/cells/{}", node.name()));
            self.nodes.push(node);
        }
        shapes.renamed.get(tensor).cloned()
    }

    /// Adds a shape without its first axis.
    pub(super) fn all_but_first(&mut self, output: &str, shape: &str) -> String {
        self.slice(output, shape, 1, i64::MAX)
    }

    /// Adds elements `start` to `end` of a vector.
    fn slice(&mut self, output: &str, vector: &str, start: i64, end: i64) -> String {
        if self.graph.opset() < 10 {
            let attributes = vec![ints("axes", &[0]), ints("starts", &[start]), ints("ends", &[end])];
            return self.add(output, "Slice", &[vector], attributes);
        }
        let bounds = [("starts", start), ("ends", end), ("axes", 0)];
        let bounds = bounds.map(|(what, value)| self.ints(&format!("{output}/{what}"), &[value]));
        self.add(output, "Slice", &[vector, &bounds[0], &bounds[1], &bounds[2]], vec![])
    }
}
