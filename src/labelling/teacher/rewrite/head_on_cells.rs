//! A copy of the head that runs on every cell.

use std::collections::{HashMap, HashSet};

use super::batch_shapes::BatchShapes;
use super::builder::{GraphBuilder, int, ints};
use super::reshape::{ReshapeOnCells, reshape_of_query_first, reshape_on_cells};
use super::spec::HeadDims;
use crate::labelling::teacher::graph::{Graph, NodeProto, Scopes, bodies_mut};
use crate::labelling::teacher::tail::{CellGrid, Ending, FeatureLayout, Pooling, Tail};

impl GraphBuilder<'_> {
    /// Adds the scores of every cell, `[batch * y * x, class]`.
    pub(super) fn cell_scores(
        &mut self,
        graph: &Graph,
        tail: &Tail,
        input: &str,
        fixed_batch: Option<usize>,
        head_dims: HeadDims,
        grid: &CellGrid,
    ) -> String {
        match &tail.ending {
            Ending::Pooled(pooling) => {
                let (cells, rows) = if let Some(values) = &pooling.attention_values {
                    self.cell_values(values, head_dims, grid)
                } else {
                    let cells = self.cell_vectors(pooling, head_dims.channels, grid);
                    (cells.clone(), cells)
                };
                let mut head = HeadOnCells {
                    graph,
                    head: pooling.head.iter().copied().collect(),
                    fixed_batch,
                    pools_by_attention: pooling.attention_values.is_some(),
                    batch_shapes: BatchShapes::new(graph, input, &rows),
                    renamed: Scopes::new(HashMap::from([(pooling.pooled.clone(), cells)])),
                };
                for part in &pooling.image_parts {
                    let repeated = self.repeated(part, head_dims.cells);
                    head.renamed.insert(part.clone(), repeated);
                }
                pooling.head.iter().for_each(|&index| self.node_on_cells(&mut head, index));
                let scores = head.renamed.get(&tail.logits).cloned().unwrap_or_default();
                self.reshape("cell_scores", &scores, &[0, -1])
            }
            Ending::ScoreMap => {
                let last = self.channels_last(&tail.logits, grid.layout);
                let last = self.cells_in_order(last, head_dims.channels, grid);
                self.reshape("cell_scores", &last, &[-1, head_dims.channels as i64])
            }
        }
    }

    /// Clones a node of the head so that it runs on every cell.
    fn node_on_cells(&mut self, head: &mut HeadOnCells<'_>, index: usize) {
        let original = head.graph.node(index);
        let mut node = original.clone();
        // Shapes computed outside the head count images; the copy needs the number of cells.
        for taken in head.graph.inputs_of(index) {
            let made_in_head = head.graph.producer(taken).is_some_and(|producer| head.head.contains(&producer));
            let is_known = made_in_head || head.renamed.get(taken).is_some();
            if !is_known && let Some(name) = self.shape_on_cells(&mut head.batch_shapes, taken) {
                head.renamed.insert(taken.to_owned(), name);
            }
        }
        for input in &mut node.input {
            if let Some(name) = head.renamed.get(input) {
                input.clone_from(name);
            }
        }
        let query_first = reshape_of_query_first(head.graph, original).filter(|_| head.pools_by_attention);
        let change = query_first.map(ReshapeOnCells::To);
        match change.unwrap_or_else(|| reshape_on_cells(head.graph, original, head.fixed_batch)) {
            ReshapeOnCells::Keep => {}
            ReshapeOnCells::Skip => {
                if let (Some(output), Some(input)) = (original.output.first(), node.input.first()) {
                    head.renamed.insert(output.clone(), input.clone());
                }
                return;
            }
            change => self.change(&mut node, change, index),
        }
        if bodies_mut(&mut node).next().is_some() {
            head.renamed.rename_captured(&mut node);
            self.bodies_on_cells(&mut node, head, index);
        }
        for output in node.output.iter_mut().filter(|output| !output.is_empty()) {
            let name = head.graph.fresh_name(&format!("cells/{output}"));
            head.renamed.insert(std::mem::replace(output, name.clone()), name);
        }
        node.name = Some(format!("relabel/cells/{}", original.name()));
        self.nodes.push(node);
    }

    /// Changes constant shapes in the bodies of `If`, `Loop` and `Scan`. `wire` bounds the depth.
    fn bodies_on_cells(&mut self, node: &mut NodeProto, head: &HeadOnCells<'_>, index: usize) {
        for inner in bodies_mut(node).flat_map(|body| &mut body.node) {
            // Nodes that could be skipped may stay: they only cost time.
            let change = reshape_on_cells(head.graph, inner, head.fixed_batch);
            if !matches!(change, ReshapeOnCells::Keep | ReshapeOnCells::Skip) {
                self.change(inner, change, index);
            }
            self.bodies_on_cells(inner, head, index);
        }
    }

    fn change(&mut self, node: &mut NodeProto, change: ReshapeOnCells, index: usize) {
        let (op, shape) = match change {
            ReshapeOnCells::To(shape) => ("Reshape", shape),
            ReshapeOnCells::ExpandTo(shape) => ("Expand", shape),
            ReshapeOnCells::Keep | ReshapeOnCells::Skip => return,
        };
        node.op_type = Some(op.to_owned());
        node.input.truncate(1);
        node.input.push(self.ints(&format!("shape_{index}"), &shape));
        // With `allowzero`, which the dynamo exporter sets, 0 would mean an empty axis.
        node.attribute.clear();
    }

    /// Adds one vector per cell, in the shape in which the head takes one vector per image.
    fn cell_vectors(&mut self, pooling: &Pooling, channels: usize, grid: &CellGrid) -> String {
        let channels_last = self.channels_last(&pooling.features, pooling.layout);
        let channels_last = self.cells_in_order(channels_last, channels, grid);
        let shape = pooling.pooled_shape.iter().map(|&side| match side {
            // The batch axis holds all cells.
            0 => -1,
            -1 => channels as i64,
            kept => kept,
        });
        self.reshape("cell_vectors", &channels_last, &shape.collect::<Vec<_>>())
    }

    fn channels_last(&mut self, tensor: &str, layout: FeatureLayout) -> String {
        match layout {
            FeatureLayout::Nchw => self.add("cells_last", "Transpose", &[tensor], vec![ints("perm", &[0, 2, 3, 1])]),
            FeatureLayout::ChannelTokens => {
                self.add("cells_last", "Transpose", &[tensor], vec![ints("perm", &[0, 2, 1])])
            }
            FeatureLayout::Nhwc | FeatureLayout::Tokens => tensor.to_owned(),
        }
    }

    /// Sorts the vectors of `channels_last` into row-major order if needed.
    fn cells_in_order(&mut self, channels_last: String, channels: usize, grid: &CellGrid) -> String {
        let Some(order) = &grid.order else { return channels_last };
        let vectors = self.reshape("cells_unordered", &channels_last, &[0, order.len() as i64, channels as i64]);
        let order: Vec<i64> = order.iter().map(|&at| at as i64).collect();
        let order = self.ints("cell_order", &order);
        self.add("cells_in_order", "Gather", &[&vectors, &order], vec![int("axis", 1)])
    }

    /// Adds the result of an attention over a single token for every cell: the value of that token, since its weight is 1.
    /// Values are `[.., cell, channel]` with the batch and possibly heads in front, and the result has as many axes. The
    /// second result is the same with one row per cell.
    fn cell_values(&mut self, values: &str, head_dims: HeadDims, grid: &CellGrid) -> (String, String) {
        let [cells, heads, channels] = [head_dims.cells, head_dims.heads, head_dims.channels].map(|side| side as i64);
        let mut split = self.reshape("attention_values", values, &[-1, heads, cells, channels]);
        if let Some(order) = &grid.order {
            let order = self.ints("cell_order", &order.iter().map(|&at| at as i64).collect::<Vec<_>>());
            split = self.add("attention_values_in_order", "Gather", &[&split, &order], vec![int("axis", 2)]);
        }
        let cells_first = self.add("attention_cells", "Transpose", &[&split], vec![ints("perm", &[0, 2, 1, 3])]);
        let rows = self.reshape("attention_rows", &cells_first, &[-1, heads, channels]);
        // One query before the channels.
        let shape: &[i64] = if head_dims.value_axes == 3 { &[-1, 1, channels] } else { &[-1, heads, 1, channels] };
        (self.reshape("cell_vectors", &cells_first, shape), rows)
    }

    /// Repeats a per-image vector, `[batch, ...]`, for each cell, `[batch * y * x, ...]`.
    fn repeated(&mut self, part: &str, cells: usize) -> String {
        let name = |what: &str| format!("part/{part}/{what}");
        let shape = self.add(&name("shape"), "Shape", &[part], vec![]);
        let rest = self.all_but_first(&name("rest"), &shape);
        let (one, all) = (self.ints(&name("one"), &[0, 1]), self.ints(&name("all"), &[-1]));
        let with_cells = self.add(&name("with_cells"), "Concat", &[&one, &rest], vec![int("axis", 0)]);
        let with_cells = self.add(&name("repeatable"), "Reshape", &[part, &with_cells], vec![]);
        let first = self.ints(&name("first"), &vec![0; cells]);
        let each = self.add(&name("each"), "Gather", &[&with_cells, &first], vec![int("axis", 1)]);
        let rows = self.add(&name("rows"), "Concat", &[&all, &rest], vec![int("axis", 0)]);
        self.add(&name("cells"), "Reshape", &[&each, &rows], vec![])
    }
}

/// State of the copy of a head.
struct HeadOnCells<'a> {
    graph: &'a Graph,
    head: HashSet<usize>,
    fixed_batch: Option<usize>,
    pools_by_attention: bool,
    batch_shapes: BatchShapes<'a>,
    /// Tensors of the original head and their names in the copy.
    renamed: Scopes,
}
