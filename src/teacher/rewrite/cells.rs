//! The head, once more, on every cell.

use std::collections::{HashMap, HashSet};

use super::build::{Build, int, ints};
use super::reshape::{ReshapeOnCells, reshape_on_cells};
use crate::teacher::graph::Graph;
use crate::teacher::tail::{CellGrid, Ending, Layout, Pooling, Tail};

impl Build<'_> {
    /// The scores of every cell, `[batch * y * x, class]`. `channels` are those of the features, or the classes of a score
    /// map.
    pub(super) fn cell_scores(
        &mut self,
        graph: &Graph,
        tail: &Tail,
        fixed_batch: Option<usize>,
        channels: usize,
        grid: &CellGrid,
    ) -> String {
        match &tail.ending {
            Ending::Pooled(pooling) => {
                let cells = self.cell_vectors(pooling, channels, grid);
                self.head_on_cells(graph, pooling, tail, fixed_batch, cells)
            }
            Ending::ScoreMap => {
                let last = self.channels_last(&tail.logits, grid.layout);
                let last = self.cells_in_order(last, channels, grid);
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
    fn cell_vectors(&mut self, pooling: &Pooling, channels: usize, grid: &CellGrid) -> String {
        let channels_last = self.channels_last(&pooling.features, pooling.layout);
        let channels_last = self.cells_in_order(channels_last, channels, grid);
        let shape = pooling.pooled_shape.iter().map(|&side| match side {
            // The batch, which becomes all cells.
            0 => -1,
            -1 => channels as i64,
            kept => kept,
        });
        self.reshape("cell_vectors", &channels_last, &shape.collect::<Vec<_>>())
    }

    fn channels_last(&mut self, tensor: &str, layout: Layout) -> String {
        match layout {
            Layout::Nchw => self.add("cells_last", "Transpose", &[tensor], vec![ints("perm", &[0, 2, 3, 1])]),
            Layout::ChannelTokens => self.add("cells_last", "Transpose", &[tensor], vec![ints("perm", &[0, 2, 1])]),
            Layout::Nhwc | Layout::Tokens => tensor.to_owned(),
        }
    }

    /// The vectors of `channels_last` row by row, where they are in another order.
    fn cells_in_order(&mut self, channels_last: String, channels: usize, grid: &CellGrid) -> String {
        let Some(order) = &grid.order else { return channels_last };
        let vectors = self.reshape("cells_unordered", &channels_last, &[0, order.len() as i64, channels as i64]);
        let order: Vec<i64> = order.iter().map(|&at| at as i64).collect();
        let order = self.ints("cell_order", &order);
        self.add("cells_in_order", "Gather", &[&vectors, &order], vec![int("axis", 1)])
    }
}
