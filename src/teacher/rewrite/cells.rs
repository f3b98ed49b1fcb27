//! The head, once more, on every cell.

use std::collections::{HashMap, HashSet};

use super::build::{Build, ints};
use super::reshape::{ReshapeOnCells, reshape_on_cells};
use crate::teacher::graph::Graph;
use crate::teacher::tail::{Ending, Layout, Pooling, Tail};

impl Build<'_> {
    /// The scores of every cell, `[batch * y * x, class]`. `channels` are those of the features, or the classes of a score
    /// map.
    pub(super) fn cell_scores(
        &mut self,
        graph: &Graph,
        tail: &Tail,
        fixed_batch: Option<usize>,
        channels: usize,
    ) -> String {
        match &tail.ending {
            Ending::Pooled(pooling) => {
                let cells = self.cell_vectors(pooling, channels);
                self.head_on_cells(graph, pooling, tail, fixed_batch, cells)
            }
            Ending::ScoreMap => {
                let logits = tail.logits.as_str();
                let last = self.add("classes_last", "Transpose", &[logits], vec![ints("perm", &[0, 2, 3, 1])]);
                self.reshape("cell_scores", &last, &[-1, channels as i64])
            }
        }
    }

    /// Clones the head so that it runs on every cell. Returns the scores, `[batch * y * x, class]`.
    fn head_on_cells(
        &mut self,
        graph: &Graph,
        pooling: &Pooling,
        tail: &Tail,
        fixed_batch: Option<usize>,
        cells: String,
    ) -> String {
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
                ReshapeOnCells::To(shape) => {
                    node.op_type = Some("Reshape".to_owned());
                    node.input.truncate(1);
                    node.input.push(self.ints(&format!("shape_{index}"), &shape));
                    // With `allowzero`, which the dynamo exporter sets, 0 would mean an empty axis.
                    node.attribute.clear();
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
        self.reshape("cell_scores", &scores, &[0, -1])
    }

    /// One vector a cell, in the shape in which the head expects one vector an image.
    fn cell_vectors(&mut self, pooling: &Pooling, channels: usize) -> String {
        let features = pooling.features.as_str();
        let channels_last = match pooling.layout {
            Layout::Nchw => self.add("cells_last", "Transpose", &[features], vec![ints("perm", &[0, 2, 3, 1])]),
            Layout::ChannelTokens => self.add("cells_last", "Transpose", &[features], vec![ints("perm", &[0, 2, 1])]),
            Layout::Nhwc | Layout::Tokens => features.to_owned(),
        };
        let shape = pooling.pooled_shape.iter().map(|&side| match side {
            // The batch, which becomes all cells.
            0 => -1,
            -1 => channels as i64,
            kept => kept,
        });
        self.reshape("cell_vectors", &channels_last, &shape.collect::<Vec<_>>())
    }
}
