//! The head, once more, on every cell.

use std::collections::{HashMap, HashSet};

use super::build::{Build, int, ints};
use super::reshape::{ReshapeOnCells, reshape_on_cells};
use crate::teacher::graph::Graph;
use crate::teacher::tail::{Ending, Layout, Pooling, Tail};

impl Build<'_> {
    /// The scores of every cell, `[batch * y * x, class]`.
    pub(super) fn cell_scores(&mut self, graph: &Graph, tail: &Tail, fixed_batch: Option<usize>) -> String {
        match &tail.ending {
            Ending::Pooled(pooling) => self.head_on_cells(graph, pooling, tail, fixed_batch),
            Ending::ScoreMap => self.flatten_score_map(&tail.logits),
        }
    }

    /// Clones the head so that it runs on every cell. Returns the scores, `[batch * y * x, class]`.
    fn head_on_cells(&mut self, graph: &Graph, pooling: &Pooling, tail: &Tail, fixed_batch: Option<usize>) -> String {
        let cells = self.cell_vectors(pooling);
        let mut renamed: HashMap<String, String> = HashMap::from([(pooling.pooled.clone(), cells)]);
        let head: HashSet<usize> = pooling.head.iter().copied().collect();
        for &index in &pooling.head {
            let original = graph.node(index);
            let mut node = original.clone();
            for input in &mut node.input {
                if let Some(name) = renamed.get(input) {
                    input.clone_from(name);
                }
            }
            match reshape_on_cells(graph, original, &head, fixed_batch) {
                ReshapeOnCells::Keep => {}
                ReshapeOnCells::Flatten => {
                    node.op_type = Some("Flatten".to_owned());
                    node.input.truncate(1);
                    node.attribute = vec![int("axis", 1)];
                }
                ReshapeOnCells::To(shape) => {
                    node.input[1] = self.ints(&format!("shape_{index}"), &shape);
                    // With `allowzero`, which the dynamo exporter sets, 0 would mean an empty axis.
                    node.attribute.retain(|attribute| attribute.name() != "allowzero");
                }
                ReshapeOnCells::Skip => {
                    renamed.insert(original.output[0].clone(), node.input[0].clone());
                    continue;
                }
            }
            for output in node.output.iter_mut().filter(|output| !output.is_empty()) {
                let name = graph.fresh_name(&format!("cells/{output}"));
                renamed.insert(std::mem::replace(output, name.clone()), name);
            }
            node.name = Some(format!("relabel/cells/{}", original.name()));
            self.nodes.push(node);
        }
        let scores = renamed.get(&tail.logits).cloned().unwrap_or_default();
        self.add("cell_scores", "Flatten", &[&scores], vec![int("axis", 1)])
    }

    /// One vector a cell, in the shape in which the head expects one vector an image.
    fn cell_vectors(&mut self, pooling: &Pooling) -> String {
        let features = pooling.features.as_str();
        let (last_channel, spatial_axes) = match pooling.layout {
            Layout::Nchw => (self.add("cells_last", "Transpose", &[features], vec![ints("perm", &[0, 2, 3, 1])]), 2),
            Layout::ChannelTokens => {
                (self.add("cells_last", "Transpose", &[features], vec![ints("perm", &[0, 2, 1])]), 1)
            }
            Layout::Nhwc => (features.to_owned(), 2),
            Layout::Tokens => (features.to_owned(), 1),
        };
        let vectors = self.add("cell_vectors", "Flatten", &[&last_channel], vec![int("axis", spatial_axes + 1)]);
        if pooling.pooled_shape.len() == 2 {
            return vectors;
        }
        let shape = self.ints("pooled_shape", &pooling.pooled_shape);
        self.add("cell_pooled", "Reshape", &[&vectors, &shape], vec![])
    }

    /// `[batch, class, y, x]` to `[batch * y * x, class]`.
    fn flatten_score_map(&mut self, logits: &str) -> String {
        let last = self.add("classes_last", "Transpose", &[logits], vec![ints("perm", &[0, 2, 3, 1])]);
        self.add("cell_scores", "Flatten", &[&last], vec![int("axis", 3)])
    }
}
