//! The outputs of the rewritten graph: the top classes of cells and images, averaged over views before ranking.

use super::builder::{GraphBuilder, int, ints};
use super::spec::{RewriteSpec, port};
use crate::labelling::teacher::Views;
use crate::labelling::teacher::graph::{NodeProto, element};
use crate::labelling::teacher::tail::{Ending, FeatureLayout, Tail};

impl GraphBuilder<'_> {
    /// Adds the top classes of every cell from `scores`, `[view * batch * y * x, class]`.
    pub(super) fn top_of_cells(&mut self, scores: &str, spec: &RewriteSpec) {
        let (height, width) = (spec.grid.size.height_cells() as i64, spec.grid.size.width_cells() as i64);
        let mut scores = self.float("cell_scores_float", scores);
        if spec.views == Views::ImageAndMirror {
            let map = [-1, height, width, spec.class_count as i64];
            scores = self.average_views("cell", &scores, &map, Some(width));
        }
        let (top, indices) = (self.graph.fresh_name("cell_top"), self.graph.fresh_name("cell_classes"));
        self.top_k("cell", &scores, spec.k, &top, &indices);
        let shape = self.ints("map_shape", &[-1, height, width, spec.k as i64]);
        self.node("Reshape", &[&top, &shape], port::SCORES, vec![]);
        self.node("Reshape", &[&indices, &shape], port::CLASSES, vec![]);
        if spec.with_lse {
            let lse = self.log_sum_exp(&scores, &top);
            let shape = self.ints("lse_shape", &[-1, height, width]);
            self.node("Reshape", &[&lse, &shape], port::LSE, vec![]);
        }
    }

    /// Adds the prediction for the image.
    pub(super) fn top_of_image(&mut self, tail: &Tail, spec: &RewriteSpec) {
        let logits = match tail.ending {
            Ending::Pooled(_) => tail.logits.clone(),
            // The mean over cells is the score of a pooled teacher with the same linear head.
            Ending::ScoreMap => {
                let map = match spec.grid.layout {
                    FeatureLayout::Nhwc => {
                        self.add("classes_second", "Transpose", &[&tail.logits], vec![ints("perm", &[0, 3, 1, 2])])
                    }
                    _ => tail.logits.clone(),
                };
                self.add("mean_scores", "GlobalAveragePool", &[&map], vec![])
            }
        };
        let flat = self.reshape("image_scores", &logits, &[0, -1]);
        let mut scores = self.float("image_scores_float", &flat);
        if spec.views == Views::ImageAndMirror {
            scores = self.average_views("image", &scores, &[-1, spec.class_count as i64], None);
        }
        let probs = self.add("image_probs_all", "Softmax", &[&scores], vec![int("axis", 1)]);
        self.top_k("image", &probs, spec.image_ranks, port::IMAGE_PROBS, port::IMAGE_CLASSES);
    }

    /// Adds the mean of the two halves of `rows`, the second of which comes from mirrored images. `shape` is that of one
    /// half, classes last; for a map, `mirrored_width` is its width, and the second half is mirrored back.
    fn average_views(&mut self, what: &str, rows: &str, shape: &[i64], mirrored_width: Option<i64>) -> String {
        let name = |part: &str| format!("{what}_{part}");
        let both: Vec<i64> = std::iter::once(2).chain(shape.iter().copied()).collect();
        let both = self.ints(&name("views_shape"), &both);
        let views = self.add(&name("views"), "Reshape", &[rows, &both], vec![]);
        let (zero, one) = (self.ints(&name("first"), &[0]), self.ints(&name("second"), &[1]));
        let straight = self.add(&name("straight"), "Gather", &[&views, &zero], vec![int("axis", 0)]);
        let mut mirrored = self.add(&name("mirrored"), "Gather", &[&views, &one], vec![int("axis", 0)]);
        if let Some(width) = mirrored_width {
            let backwards = self.ints(&name("backwards"), &(0..width).rev().collect::<Vec<_>>());
            mirrored = self.add(&name("mirrored_back"), "Gather", &[&mirrored, &backwards], vec![int("axis", 3)]);
        }
        let sum = self.add(&name("views_sum"), "Add", &[&straight, &mirrored], vec![]);
        let half = self.floats(&name("half"), &[1], &[0.5]);
        let mean = self.add(&name("views_mean"), "Mul", &[&sum, &half], vec![]);
        let rows_shape = self.ints(&name("rows_shape"), &[-1, shape[shape.len() - 1]]);
        self.add(&name("mean_rows"), "Reshape", &[&mean, &rows_shape], vec![])
    }

    /// Adds the log-sum-exp of each row, `[row, 1]`, relative to the maximum so that it cannot overflow. `top` has the maximum
    /// first.
    fn log_sum_exp(&mut self, rows: &str, top: &str) -> String {
        let first = self.ints("lse_first", &[0]);
        let largest = self.add("lse_largest", "Gather", &[top, &first], vec![int("axis", 1)]);
        let below = self.add("lse_below", "Sub", &[rows, &largest], vec![]);
        let exponentials = self.add("lse_exponentials", "Exp", &[&below], vec![]);
        let sum = if self.graph.opset() < 13 {
            let axes = ints("axes", &[1]);
            self.add("lse_sum", "ReduceSum", &[&exponentials], vec![axes, int("keepdims", 1)])
        } else {
            let axes = self.ints("lse_axes", &[1]);
            self.add("lse_sum", "ReduceSum", &[&exponentials, &axes], vec![int("keepdims", 1)])
        };
        let logarithm = self.add("lse_logarithm", "Log", &[&sum], vec![]);
        self.add("lse", "Add", &[&logarithm, &largest], vec![])
    }

    fn float(&mut self, output: &str, tensor: &str) -> String {
        self.add(output, "Cast", &[tensor], vec![int("to", i64::from(element::FLOAT))])
    }

    /// Adds the `k` largest values of each float32 row and their indices as int32; of equal values, the lower index first.
    fn top_k(&mut self, what: &str, rows: &str, k: usize, values: &str, indices: &str) {
        let indices_int64 = self.graph.fresh_name(&format!("{what}_indices"));
        let (mut inputs, mut attributes) = (vec![rows.to_owned()], vec![int("axis", -1)]);
        if self.graph.opset() < 10 {
            attributes.push(int("k", k as i64));
        } else {
            inputs.push(self.ints(&format!("{what}_k"), &[k as i64]));
        }
        self.nodes.push(NodeProto {
            op_type: Some("TopK".to_owned()),
            name: Some(format!("relabel/{what}_top_k")),
            input: inputs,
            output: vec![values.to_owned(), indices_int64.clone()],
            attribute: attributes,
            ..NodeProto::default()
        });
        self.node("Cast", &[&indices_int64], indices, vec![int("to", i64::from(element::INT32))]);
    }
}
