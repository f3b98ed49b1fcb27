//! Rewrites a classifier in memory: pixels come in as u8, the head runs on every cell beside the whole image, top-k
//! runs inside, and only `k` scores and classes leave the graph.
//!
//! The unmodified path from input to scores stays as it is and gives the whole-image prediction. Beside it the head
//! is cloned, and the clone is fed one vector a cell instead of one a image: `[batch * y * x, channel]`. Since the
//! cells stand where the head expects the batch, no knowledge of channels or classes is needed.

mod build;
mod cells;
mod outside;
mod reshape;
mod results;

use std::collections::HashSet;

use self::build::{Build, int, ints};
use super::Views;
use super::card::{ChannelOrder, TeacherCard};
use super::graph::{
    Graph, NodeProto, ValueInfoProto, captured_names, declare, declare_untyped, element, without_dead_nodes,
};
use super::tail::{CellGrid, Ending, Pooling, Tail};
use super::tensors::Floats;
use crate::shared::geometry::InputSize;

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
    /// float32 `[batch, y, x]`, only where it is wanted
    pub(crate) const LSE: &str = "relabel_lse";
    /// `[batch * y * x, class]`, of the copied head alone
    pub(crate) const ALL_SCORES: &str = "relabel_all_scores";
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
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) input_size: InputSize,
    pub(crate) grid: CellGrid,
    /// Classes kept in each cell.
    pub(crate) k: usize,
    /// Classes kept for the whole image.
    pub(crate) image_ranks: usize,
    pub(crate) class_count: usize,
    pub(crate) sides: Sides,
    pub(crate) views: Views,
    /// Whether the log-sum-exp of each cell's scores is given too.
    pub(crate) with_lse: bool,
}

/// Sides of what the copied head takes, as they were when the unmodified teacher ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides {
    /// Cells of one map.
    pub(crate) cells: usize,
    /// Channels of the features, of one head's values for an attention, or the classes of a score map.
    pub(crate) channels: usize,
    /// Heads of an attention, else 1.
    pub(crate) heads: usize,
    /// Axes of an attention's values.
    pub(crate) value_axes: usize,
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
    let batch = input.fixed_batch.map(|batch| batch / wanted.views.count());
    let pixels = declare(
        port::PIXELS,
        element::UINT8,
        &[batch, Some(size.height_pixels() as usize), Some(size.width_pixels() as usize), Some(3)],
    );

    build.normalise(input, card, wanted.views);
    build.nodes.extend(graph.nodes().iter().cloned());
    let cells = build.cell_scores(graph, tail, &input.name, input.fixed_batch, wanted.sides, &wanted.grid);
    build.top_of_cells(&cells, wanted);
    build.top_of_image(tail, wanted);

    let lse = wanted.with_lse.then_some(port::LSE);
    let outputs = [port::SCORES, port::CLASSES, port::IMAGE_PROBS, port::IMAGE_CLASSES].into_iter().chain(lse);
    let outputs: Vec<_> = outputs.map(declare_untyped).collect();
    let nodes = without_dead_nodes(build.nodes, &outputs);
    graph.serialise_with(nodes, vec![pixels], outputs, build.weights)
}

/// What the teacher that labels does with pixels before the teacher's own input, alone: u8 in, the input out.
pub(crate) fn normalising_model(graph: &Graph, input: &ImageInput, card: &TeacherCard) -> Vec<u8> {
    let mut build = Build::new(graph);
    let size = card.input_size;
    build.normalise(input, card, Views::Image);
    let sides = [size.height_pixels(), size.width_pixels(), 3].map(|side| Some(side as usize));
    let pixels = declare(port::PIXELS, element::UINT8, &[&[None], &sides[..]].concat());
    graph.serialise_with(build.nodes, vec![pixels], vec![declare_untyped(&input.name)], build.weights)
}

/// The unmodified teacher, which also shows its raw scores and the features before and after its pooling.
pub(crate) fn witness_model(graph: &Graph, tail: &Tail, input: &ImageInput) -> Vec<u8> {
    let mut shown = vec![tail.logits.clone(), tail.output.clone()];
    if let Ending::Pooled(pooling) = &tail.ending {
        shown.extend(pooling.shown().map(str::to_owned));
    }
    shown_model(graph, input, &shown.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The unmodified teacher, which shows some of its tensors.
pub(crate) fn shown_model(graph: &Graph, input: &ImageInput, shown: &[&str]) -> Vec<u8> {
    let mut seen = HashSet::new();
    let shown = shown.iter().filter(|tensor| seen.insert(**tensor));
    let inputs = graph.input_declaration(&input.name).cloned().into_iter().collect();
    let outputs: Vec<_> = shown.map(|name| declare_untyped(name)).collect();
    graph.serialise_with(without_dead_nodes(graph.nodes().to_vec(), &outputs), inputs, outputs, Vec::new())
}

/// The unmodified pooling and head alone: features in, and the other parts of the image that the head takes; scores out.
/// The second value says whether it also wants the image, which some exports ask for its shape.
pub(crate) fn tail_model(
    graph: &Graph,
    tail: &Tail,
    pooling: &Pooling,
    input: &ImageInput,
    given: &[(&str, &Floats)],
) -> (Vec<u8>, bool) {
    let nodes = nodes_after(graph, tail, pooling);
    let (inputs, wants_image) = inputs_after(graph, pooling, input, given, &nodes);
    (graph.serialise_with(nodes, inputs, vec![declare_untyped(&tail.logits)], Vec::new()), wants_image)
}

/// The copied head alone: features in, the scores of every cell out, [`port::ALL_SCORES`].
/// The second value is that of [`tail_model`].
pub(crate) fn copied_head_model(
    graph: &Graph,
    tail: &Tail,
    pooling: &Pooling,
    input: &ImageInput,
    given: &[(&str, &Floats)],
    sides: Sides,
    grid: &CellGrid,
) -> (Vec<u8>, bool) {
    let mut build = Build::new(graph);
    // Shapes inside the copied head may be taken from tensors of the original one.
    build.nodes = nodes_after(graph, tail, pooling);
    let cells = build.cell_scores(graph, tail, &input.name, input.fixed_batch, sides, grid);
    build.node("Identity", &[&cells], port::ALL_SCORES, vec![]);
    let outputs = vec![declare_untyped(port::ALL_SCORES)];
    let nodes = without_dead_nodes(build.nodes, &outputs);
    let (inputs, wants_image) = inputs_after(graph, pooling, input, given, &nodes);
    (graph.serialise_with(nodes, inputs, outputs, build.weights), wants_image)
}

/// The nodes between the features and the scores.
fn nodes_after(graph: &Graph, tail: &Tail, pooling: &Pooling) -> Vec<NodeProto> {
    let given = pooling.image_parts.iter().chain([&pooling.features]).cloned().collect();
    let nodes = graph.ancestors(std::slice::from_ref(&tail.logits), &given);
    nodes.into_iter().map(|index| graph.node(index).clone()).collect()
}

fn inputs_after(
    graph: &Graph,
    pooling: &Pooling,
    input: &ImageInput,
    given: &[(&str, &Floats)],
    nodes: &[NodeProto],
) -> (Vec<ValueInfoProto>, bool) {
    let declared = given.iter().map(|(name, floats)| declare(name, floats.element, &vec![None; floats.dims.len()]));
    let mut inputs: Vec<ValueInfoProto> = declared.collect();
    // A teacher may pool its input as it is.
    let takes_image =
        |node: &NodeProto| node.input.contains(&input.name) || captured_names(node).contains(&input.name.as_str());
    let wants_image = input.name != pooling.features && nodes.iter().any(takes_image);
    if wants_image {
        inputs.extend(graph.input_declaration(&input.name).cloned());
    }
    (inputs, wants_image)
}

impl Build<'_> {
    /// `(x / 255 - mean) / std` on u8 pixels, in the teacher's own channel order, layout and precision.
    fn normalise(&mut self, input: &ImageInput, card: &TeacherCard, views: Views) {
        let mut tensor = port::PIXELS.to_owned();
        if views == Views::ImageAndMirror {
            let backwards: Vec<i64> = (0..i64::from(card.input_size.width_pixels())).rev().collect();
            let backwards = self.ints("pixels_backwards", &backwards);
            let mirrored = self.add("mirrored_pixels", "Gather", &[&tensor, &backwards], vec![int("axis", 2)]);
            tensor = self.add("pixels_of_views", "Concat", &[&tensor, &mirrored], vec![int("axis", 0)]);
        }
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
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use bytes::Bytes;
    use prost::Message as _;

    use super::*;
    use crate::labelling::teacher::card::{self, CardFile, CardValues};
    use crate::labelling::teacher::graph::ModelProto;
    use crate::labelling::teacher::{ports, tail};
    use crate::shared::geometry::MapSize;

    /// Operators that ONNX Runtime 1.31's CUDA provider has for every operator set up to 23, by its table of kernels. It
    /// has no Flatten from 21 on, and of the head that is copied Flatten becomes Reshape.
    const ON_GPUS: [&str; 16] = [
        "Add",
        "Cast",
        "Concat",
        "Exp",
        "Gather",
        "Gemm",
        "Log",
        "Mul",
        "ReduceSum",
        "Reshape",
        "Shape",
        "Slice",
        "Softmax",
        "Sub",
        "Transpose",
        "Unsqueeze",
    ];

    #[test]
    fn what_is_added_runs_on_gpus_whatever_the_operator_set() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet-lite0.onnx");
        let mut graph = Graph::parse(Bytes::from(std::fs::read(&file).unwrap())).unwrap();
        let (input, facts) = ports::image_input(&graph).map_err(|refusal| refusal.problem).unwrap();
        let card = CardFile::find(&file, None).unwrap();
        let card = card::settle(&file, &CardValues::default(), &card, &facts).unwrap();
        let output = ports::scores_output(&graph, None).map_err(|refusal| refusal.problem).unwrap();
        let tail =
            tail::recognise(&mut graph, &input.name, &output.name, Some(2)).map_err(|refusal| refusal.problem).unwrap();
        for (views, channel_order) in [(Views::Image, ChannelOrder::Rgb), (Views::ImageAndMirror, ChannelOrder::Bgr)] {
            let card = TeacherCard { channel_order, ..card.clone() };
            let wanted = Wanted {
                input_size: card.input_size,
                grid: CellGrid::raster(tail::Layout::Nchw, MapSize::new(7, 7).unwrap()),
                k: 5,
                image_ranks: 5,
                class_count: 1000,
                sides: Sides { cells: 49, channels: 1280, heads: 1, value_axes: 0 },
                views,
                with_lse: true,
            };
            let model = labelling_model(&graph, &tail, &input, &card, &wanted);
            let nodes = ModelProto::decode(model.as_slice()).unwrap().graph.unwrap().node;
            let added = nodes.iter().filter(|node| node.name().starts_with("relabel/"));
            let operators: BTreeSet<&str> = added.map(NodeProto::op_type).collect();
            assert!(operators.contains("TopK") && operators.contains("Gemm"), "{operators:?}");
            let others: Vec<_> = operators.iter().filter(|op| **op != "TopK" && !ON_GPUS.contains(op)).collect();
            assert!(others.is_empty(), "{others:?}");
        }
    }
}
