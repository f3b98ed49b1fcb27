//! Rewrites a classifier in memory: pixels come in as u8, the head runs on every cell beside the whole image, top-k
//! runs inside, and only `k` scores and classes leave the graph.
//!
//! The unmodified path from input to scores stays as it is and gives the whole-image prediction. Beside it the head
//! is cloned, and the clone is fed one vector a cell instead of one a image: `[batch * y * x, channel]`. Since the
//! cells stand where the head expects the batch, no knowledge of channels or classes is needed.

use std::collections::{HashMap, HashSet};

use super::card::{ChannelOrder, TeacherCard};
use super::graph::{
    AttributeProto, Graph, NodeProto, TensorProto, attribute_int, declare, declare_untyped, element, proto,
    without_dead_nodes,
};
use super::tail::{Ending, Layout, Pooling, Tail};
use crate::geometry::{InputSize, MapSize};

/// Names of the rewritten graph's input and outputs.
pub(crate) mod port {
    /// u8 `[batch, y, x, channel]`
    pub(crate) const PIXELS: &str = "relabel_pixels";
    /// float32 `[batch, y, x, k]`
    pub(crate) const SCORES: &str = "relabel_scores";
    /// int32 `[batch, y, x, k]`
    pub(crate) const CLASSES: &str = "relabel_classes";
    /// float32 `[batch, ranks]`
    pub(crate) const IMAGE_PROBS: &str = "relabel_image_probs";
    /// int32 `[batch, ranks]`
    pub(crate) const IMAGE_CLASSES: &str = "relabel_image_classes";
}

/// How the teacher's input tensor is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputLayout {
    /// `[batch, channel, y, x]`, as PyTorch exports it.
    Nchw,
    /// `[batch, y, x, channel]`, as TensorFlow does.
    Nhwc,
}

/// The teacher's image input.
#[derive(Clone, Debug)]
pub(crate) struct ImageInput {
    pub(crate) name: String,
    pub(crate) element: i32,
    pub(crate) layout: InputLayout,
    /// Images in each run, where the graph fixes it.
    pub(crate) fixed_batch: Option<usize>,
}

/// What the rewritten graph is to give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) input_size: InputSize,
    pub(crate) map_size: MapSize,
    /// Classes kept in each cell.
    pub(crate) k: usize,
    /// Classes kept for the whole image.
    pub(crate) image_ranks: usize,
}

/// The teacher that labels: serialised, ready for ONNX Runtime.
pub(crate) fn labelling_model(
    graph: &Graph,
    tail: &Tail,
    input: &ImageInput,
    card: &TeacherCard,
    wanted: &Wanted,
) -> Vec<u8> {
    let mut build = Build::new(graph);
    let size = wanted.input_size;
    let batch = input.fixed_batch;
    let pixels = declare(
        port::PIXELS,
        element::UINT8,
        &[batch, Some(size.height_pixels() as usize), Some(size.width_pixels() as usize), Some(3)],
    );

    build.normalise(input, card);
    build.nodes.extend(graph.nodes().iter().cloned());

    let cells = match &tail.ending {
        Ending::Pooled(pooling) => build.head_on_cells(graph, pooling, tail, input.fixed_batch),
        Ending::ScoreMap => build.flatten_score_map(&tail.logits),
    };
    build.top_of_cells(&cells, wanted);
    build.top_of_image(tail, wanted);

    let outputs: Vec<_> =
        [port::SCORES, port::CLASSES, port::IMAGE_PROBS, port::IMAGE_CLASSES].map(declare_untyped).into();
    let nodes = without_dead_nodes(build.nodes, &outputs);
    graph.serialise_with(nodes, vec![pixels], outputs, build.weights)
}

/// The unmodified teacher, which also shows the features before and after its pooling.
pub(crate) fn witness_model(graph: &Graph, tail: &Tail, input: &ImageInput) -> Vec<u8> {
    let mut shown = vec![tail.logits.clone()];
    if let Ending::Pooled(pooling) = &tail.ending {
        shown.extend([pooling.features.clone(), pooling.pooled.clone()]);
    }
    let inputs = graph.input_declaration(&input.name).cloned().into_iter().collect();
    let outputs: Vec<_> = shown.iter().map(|name| declare_untyped(name)).collect();
    graph.serialise_with(without_dead_nodes(graph.nodes().to_vec(), &outputs), inputs, outputs, Vec::new())
}

/// The unmodified pooling and head alone: features in, scores out.
/// The second value says whether it also wants the image, which some exports ask for its shape.
pub(crate) fn tail_model(
    graph: &Graph,
    tail: &Tail,
    pooling: &Pooling,
    input: &ImageInput,
    feature_element: i32,
    rank: usize,
) -> (Vec<u8>, bool) {
    let given = HashSet::from([pooling.features.clone()]);
    let nodes: Vec<NodeProto> = graph
        .ancestors(std::slice::from_ref(&tail.logits), &given)
        .into_iter()
        .map(|index| graph.node(index).clone())
        .collect();
    let mut inputs = vec![declare(&pooling.features, feature_element, &vec![None; rank])];
    let wants_image = nodes.iter().any(|node| node.input.contains(&input.name));
    if wants_image {
        inputs.extend(graph.input_declaration(&input.name).cloned());
    }
    (graph.serialise_with(nodes, inputs, vec![declare_untyped(&tail.logits)], Vec::new()), wants_image)
}

/// A graph under construction: the nodes and weights that are added to the teacher's own.
struct Build<'a> {
    graph: &'a Graph,
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
}

impl<'a> Build<'a> {
    fn new(graph: &'a Graph) -> Self {
        Self { graph, nodes: Vec::new(), weights: Vec::new() }
    }

    /// `(x / 255 - mean) / std` on u8 pixels, in the teacher's own channel order, layout and precision.
    fn normalise(&mut self, input: &ImageInput, card: &TeacherCard) {
        let mut tensor = port::PIXELS.to_owned();
        if card.channel_order == ChannelOrder::Bgr {
            let order = self.ints("channel_order", &[2, 1, 0]);
            tensor = self.add("reordered", "Gather", &[&tensor, &order], vec![int("axis", 3)]);
        }
        let per_channel: &[i64] = match input.layout {
            InputLayout::Nchw => {
                tensor = self.add("planes", "Transpose", &[&tensor], vec![ints("perm", &[0, 3, 1, 2])]);
                &[1, 3, 1, 1]
            }
            InputLayout::Nhwc => &[1, 1, 1, 3],
        };
        tensor = self.add("float_pixels", "Cast", &[&tensor], vec![int("to", i64::from(element::FLOAT))]);
        // In float64 until here: x - 255 mean, then / (255 std).
        let shift = self.floats("mean", per_channel, &card.mean.map(|mean| (mean * 255.0) as f32));
        let scale = self.floats("std", per_channel, &card.std.map(|std| (std * 255.0).recip() as f32));
        tensor = self.add("centred", "Sub", &[&tensor, &shift], vec![]);
        tensor = self.add("normalised", "Mul", &[&tensor, &scale], vec![]);
        self.node("Cast", &[&tensor], &input.name, vec![int("to", i64::from(input.element))]);
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
        if !pooling.keeps_axes {
            return vectors;
        }
        // In a Reshape, 0 keeps the first axis and -1 takes what is left.
        let shape: &[i64] = match pooling.layout {
            Layout::Nchw => &[0, -1, 1, 1],
            Layout::Nhwc => &[0, 1, 1, -1],
            Layout::Tokens => &[0, 1, -1],
            Layout::ChannelTokens => &[0, -1, 1],
        };
        let shape = self.ints("pooled_shape", shape);
        self.add("cell_pooled", "Reshape", &[&vectors, &shape], vec![])
    }

    /// `[batch, class, y, x]` to `[batch * y * x, class]`.
    fn flatten_score_map(&mut self, logits: &str) -> String {
        let last = self.add("classes_last", "Transpose", &[logits], vec![ints("perm", &[0, 2, 3, 1])]);
        self.add("cell_scores", "Flatten", &[&last], vec![int("axis", 3)])
    }

    fn top_of_cells(&mut self, scores: &str, wanted: &Wanted) {
        let (top, classes) = self.top_k("cell", scores, wanted.k);
        let shape = [-1, wanted.map_size.height_cells() as i64, wanted.map_size.width_cells() as i64, wanted.k as i64];
        let shape = self.ints("map_shape", &shape);
        self.node("Reshape", &[&top, &shape], port::SCORES, vec![]);
        self.node("Reshape", &[&classes, &shape], port::CLASSES, vec![]);
    }

    fn top_of_image(&mut self, tail: &Tail, wanted: &Wanted) {
        let logits = match tail.ending {
            Ending::Pooled(_) => tail.logits.clone(),
            // The mean over cells is what a pooled teacher with the same linear head would say.
            Ending::ScoreMap => self.add("mean_scores", "GlobalAveragePool", &[&tail.logits], vec![]),
        };
        let flat = self.add("image_scores", "Flatten", &[&logits], vec![int("axis", 1)]);
        let float = self.add("image_scores_float", "Cast", &[&flat], vec![int("to", i64::from(element::FLOAT))]);
        let probs = self.add("image_probs_all", "Softmax", &[&float], vec![int("axis", 1)]);
        let (top, classes) = self.top_k("image", &probs, wanted.image_ranks);
        self.node("Identity", &[&top], port::IMAGE_PROBS, vec![]);
        self.node("Identity", &[&classes], port::IMAGE_CLASSES, vec![]);
    }

    /// The `k` largest values of each row as float32, and their places as int32. Equal values: lower place first.
    fn top_k(&mut self, what: &str, rows: &str, k: usize) -> (String, String) {
        let float = self.add(&format!("{what}_float"), "Cast", &[rows], vec![int("to", i64::from(element::FLOAT))]);
        let (values, places) =
            (self.graph.fresh_name(&format!("{what}_top")), self.graph.fresh_name(&format!("{what}_places")));
        let (mut inputs, mut attributes) = (vec![float], vec![int("axis", -1)]);
        if self.graph.opset() < 10 {
            attributes.push(int("k", k as i64));
        } else {
            inputs.push(self.ints(&format!("{what}_k"), &[k as i64]));
        }
        self.nodes.push(NodeProto {
            op_type: Some("TopK".to_owned()),
            name: Some(format!("relabel/{what}_top_k")),
            input: inputs,
            output: vec![values.clone(), places.clone()],
            attribute: attributes,
            ..NodeProto::default()
        });
        let places =
            self.add(&format!("{what}_classes"), "Cast", &[&places], vec![int("to", i64::from(element::INT32))]);
        (values, places)
    }

    fn add(&mut self, output: &str, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.graph.fresh_name(output);
        self.node(op, inputs, &output, attributes);
        output
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            op_type: Some(op.to_owned()),
            name: Some(format!("relabel/make/{output}")),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: attributes,
            ..NodeProto::default()
        });
    }

    fn ints(&mut self, name: &str, values: &[i64]) -> String {
        let name = self.graph.fresh_name(name);
        self.weights.push(TensorProto {
            name: Some(name.clone()),
            dims: vec![values.len() as i64],
            data_type: Some(element::INT64),
            int64_data: values.to_vec(),
            ..TensorProto::default()
        });
        name
    }

    fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) -> String {
        let name = self.graph.fresh_name(name);
        self.weights.push(TensorProto {
            name: Some(name.clone()),
            dims: dims.to_vec(),
            data_type: Some(element::FLOAT),
            float_data: values.to_vec(),
            ..TensorProto::default()
        });
        name
    }
}

/// What becomes of a head's node that changes shapes, once cells stand in the place of the batch.
enum ReshapeOnCells {
    Keep,
    Flatten,
    To(Vec<i64>),
    /// The node changes nothing: its output is its input.
    Skip,
}

fn reshape_on_cells(
    graph: &Graph,
    node: &NodeProto,
    head: &HashSet<usize>,
    fixed_batch: Option<usize>,
) -> ReshapeOnCells {
    match node.op_type() {
        "Reshape" => {}
        // The second half of the dynamo exporter's way to write a pooling: flatten to one axis, then gather the same
        // values in the same order into the pooled shape.
        "Gather" if gathers_flattened(graph, node) => return ReshapeOnCells::Skip,
        _ => return ReshapeOnCells::Keep,
    }
    if flattens_for_gather(graph, node) {
        return ReshapeOnCells::Skip;
    }
    let Some(target) = node.input.get(1) else { return ReshapeOnCells::Keep };
    if let Some(mut shape) = graph.constant_ints(target) {
        // `[1, -1]`: the exporter wrote the batch as a number. 0 takes it from the data.
        let fixes_batch =
            shape.first().is_some_and(|&first| first > 0 && fixed_batch.is_none_or(|batch| first as usize == batch));
        if fixes_batch && shape.len() > 1 {
            shape[0] = 0;
            return ReshapeOnCells::To(shape);
        }
        return ReshapeOnCells::Keep;
    }
    if shape_comes_from_head(graph, target, head) { ReshapeOnCells::Keep } else { ReshapeOnCells::Flatten }
}

/// A Reshape to `[-1]` that only Gathers of single values read.
fn flattens_for_gather(graph: &Graph, node: &NodeProto) -> bool {
    let to_one_axis = node.input.get(1).and_then(|shape| graph.constant_ints(shape)).is_some_and(|shape| shape == [-1]);
    let readers = graph.consumers(&node.output[0]);
    to_one_axis && !readers.is_empty() && readers.iter().all(|&reader| graph.node(reader).op_type() == "Gather")
}

fn gathers_flattened(graph: &Graph, node: &NodeProto) -> bool {
    attribute_int(node, "axis").unwrap_or(0) == 0
        && node.input.first().and_then(|data| graph.producer(data)).is_some_and(|index| {
            let flatten = graph.node(index);
            flatten.op_type() == "Reshape" && flattens_for_gather(graph, flatten)
        })
}

/// True when every shape that `target` is computed from is the shape of a tensor inside the head, which has the
/// cells where the batch was.
fn shape_comes_from_head(graph: &Graph, target: &str, head: &HashSet<usize>) -> bool {
    let mut open = vec![target];
    while let Some(tensor) = open.pop() {
        let Some(index) = graph.producer(tensor) else { continue };
        let node = graph.node(index);
        if node.op_type() == "Shape" {
            if !head.contains(&index) {
                return false;
            }
        } else {
            open.extend(node.input.iter().map(String::as_str));
        }
    }
    true
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(proto::attribute_proto::AttributeType::Int as i32),
        i: Some(value),
        ..AttributeProto::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(proto::attribute_proto::AttributeType::Ints as i32),
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}
