//! What leaves the graph: the best classes of cells and images, averaged over views before they are ranked.

use super::build::{Build, int};
use super::{Wanted, port};
use crate::labelling::teacher::Views;
use crate::labelling::teacher::graph::{NodeProto, element};
use crate::labelling::teacher::tail::{Ending, Layout, Tail};

impl Build<'_> {
    /// From `scores`, `[view * batch * y * x, class]`.
    pub(super) fn top_of_cells(&mut self, scores: &str, wanted: &Wanted) {
        let (height, width) = (wanted.grid.size.height_cells() as i64, wanted.grid.size.width_cells() as i64);
        let mut scores = self.float("cell_scores_float", scores);
        if wanted.views == Views::ImageAndMirror {
            let map = [-1, height, width, wanted.class_count as i64];
            scores = self.average_views("cell", &scores, &map, Some(width));
        }
        let (top, places) = (self.graph.fresh_name("cell_top"), self.graph.fresh_name("cell_classes"));
        self.top_k("cell", &scores, wanted.k, &top, &places);
        let shape = self.ints("map_shape", &[-1, height, width, wanted.k as i64]);
        self.node("Reshape", &[&top, &shape], port::SCORES, vec![]);
        self.node("Reshape", &[&places, &shape], port::CLASSES, vec![]);
        if wanted.with_lse {
            let lse = self.log_sum_exp(&scores, &top);
            let shape = self.ints("lse_shape", &[-1, height, width]);
            self.node("Reshape", &[&lse, &shape], port::LSE, vec![]);
        }
    }

    pub(super) fn top_of_image(&mut self, tail: &Tail, wanted: &Wanted) {
        let logits = match tail.ending {
            Ending::Pooled(_) => tail.logits.clone(),
            // The mean over cells is what a pooled teacher with the same linear head would say.
            Ending::ScoreMap => {
                let map = match wanted.grid.layout {
                    Layout::Nhwc => self.add(
                        "classes_second",
                        "Transpose",
                        &[&tail.logits],
                        vec![super::build::ints("perm", &[0, 3, 1, 2])],
                    ),
                    _ => tail.logits.clone(),
                };
                self.add("mean_scores", "GlobalAveragePool", &[&map], vec![])
            }
        };
        let flat = self.reshape("image_scores", &logits, &[0, -1]);
        let mut scores = self.float("image_scores_float", &flat);
        if wanted.views == Views::ImageAndMirror {
            scores = self.average_views("image", &scores, &[-1, wanted.class_count as i64], None);
        }
        let probs = self.add("image_probs_all", "Softmax", &[&scores], vec![int("axis", 1)]);
        self.top_k("image", &probs, wanted.image_ranks, port::IMAGE_PROBS, port::IMAGE_CLASSES);
    }

    /// The mean of the two halves of `rows`, the second of which comes from mirrored images. `shape` is that of one half,
    /// classes last; where it is a map, `mirrored_width` is its width, and the second half is mirrored back.
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

    /// The logarithm of the sum of the exponentials of each row, `[row, 1]`, from the largest of each row on, so that it
    /// cannot overflow. `top` has the largest first.
    fn log_sum_exp(&mut self, rows: &str, top: &str) -> String {
        let first = self.ints("lse_first", &[0]);
        let largest = self.add("lse_largest", "Gather", &[top, &first], vec![int("axis", 1)]);
        let below = self.add("lse_below", "Sub", &[rows, &largest], vec![]);
        let exponentials = self.add("lse_exponentials", "Exp", &[&below], vec![]);
        let sum = if self.graph.opset() < 13 {
            let axes = super::build::ints("axes", &[1]);
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

    /// The `k` largest values of each float32 row, and their places as int32. Equal values: lower place first.
    fn top_k(&mut self, what: &str, rows: &str, k: usize, values: &str, places: &str) {
        let places_int64 = self.graph.fresh_name(&format!("{what}_places"));
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
            output: vec![values.to_owned(), places_int64.clone()],
            attribute: attributes,
            ..NodeProto::default()
        });
        self.node("Cast", &[&places_int64], places, vec![int("to", i64::from(element::INT32))]);
    }
}
