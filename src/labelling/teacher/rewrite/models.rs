//! The models that are run: the rewritten teacher, and parts of the reference and the rewrite for verification.

use std::collections::HashSet;

use super::builder::GraphBuilder;
use super::spec::{HeadDims, ImageInput, RewriteSpec, port};
use crate::labelling::teacher::Views;
use crate::labelling::teacher::card::TeacherCard;
use crate::labelling::teacher::graph::{
    Graph, NodeProto, ValueInfoProto, captured_names, declare, declare_untyped, element, without_dead_nodes,
};
use crate::labelling::teacher::tail::{CellGrid, Ending, Pooling, Tail};
use crate::labelling::teacher::tensors::FloatTensor;

/// The rewritten teacher, serialised for ONNX Runtime.
pub(crate) fn labelling_model(
    graph: &Graph,
    tail: &Tail,
    input: &ImageInput,
    card: &TeacherCard,
    spec: &RewriteSpec,
) -> Vec<u8> {
    let mut builder = GraphBuilder::new(graph);
    let size = spec.input_size;
    let batch = input.fixed_batch.map(|batch| batch / spec.views.count());
    let pixels = declare(
        port::PIXELS,
        element::UINT8,
        &[batch, Some(size.height_pixels() as usize), Some(size.width_pixels() as usize), Some(3)],
    );

    builder.normalise(input, card, spec.views);
    builder.nodes.extend(graph.nodes().iter().cloned());
    let cells = builder.cell_scores(graph, tail, &input.name, input.fixed_batch, spec.head_dims, &spec.grid);
    builder.top_of_cells(&cells, spec);
    builder.top_of_image(tail, spec);

    let lse = spec.with_lse.then_some(port::LSE);
    let outputs = [port::SCORES, port::CLASSES, port::IMAGE_PROBS, port::IMAGE_CLASSES].into_iter().chain(lse);
    let outputs: Vec<_> = outputs.map(declare_untyped).collect();
    let nodes = without_dead_nodes(builder.nodes, &outputs);
    graph.serialise_with(nodes, vec![pixels], outputs, builder.weights)
}

/// The normalisation of the rewritten teacher alone: u8 pixels in, the input of the reference out.
pub(crate) fn normalising_model(graph: &Graph, input: &ImageInput, card: &TeacherCard) -> Vec<u8> {
    let mut builder = GraphBuilder::new(graph);
    let size = card.input_size;
    builder.normalise(input, card, Views::Image);
    let sides = [size.height_pixels(), size.width_pixels(), 3].map(|side| Some(side as usize));
    let pixels = declare(port::PIXELS, element::UINT8, &[&[None], &sides[..]].concat());
    graph.serialise_with(builder.nodes, vec![pixels], vec![declare_untyped(&input.name)], builder.weights)
}

/// The reference with its raw scores, its output, and the features before and after its pooling as outputs.
pub(crate) fn reference_model(graph: &Graph, tail: &Tail, input: &ImageInput) -> Vec<u8> {
    let mut outputs = vec![tail.logits.clone(), tail.output.clone()];
    if let Ending::Pooled(pooling) = &tail.ending {
        outputs.extend(pooling.inspected_tensors().map(str::to_owned));
    }
    model_with_outputs(graph, input, &outputs.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The reference with the given tensors as outputs.
pub(crate) fn model_with_outputs(graph: &Graph, input: &ImageInput, tensors: &[&str]) -> Vec<u8> {
    let mut seen = HashSet::new();
    let tensors = tensors.iter().filter(|tensor| seen.insert(**tensor));
    let inputs = graph.input_declaration(&input.name).cloned().into_iter().collect();
    let outputs: Vec<_> = tensors.map(|name| declare_untyped(name)).collect();
    graph.serialise_with(without_dead_nodes(graph.nodes().to_vec(), &outputs), inputs, outputs, Vec::new())
}

/// The pooling and head of the reference alone: features and per-image vectors in, scores out. The second value tells
/// whether the model also takes the image, whose shape some exports use.
pub(crate) fn tail_model(
    graph: &Graph,
    tail: &Tail,
    pooling: &Pooling,
    input: &ImageInput,
    given: &[(&str, &FloatTensor)],
) -> (Vec<u8>, bool) {
    let nodes = nodes_after(graph, tail, pooling);
    let (inputs, takes_image) = inputs_after(graph, pooling, input, given, &nodes);
    (graph.serialise_with(nodes, inputs, vec![declare_untyped(&tail.logits)], Vec::new()), takes_image)
}

/// The copied head alone: features in, the scores of every cell out ([`port::ALL_SCORES`]). The second value is that of
/// [`tail_model`].
pub(crate) fn copied_head_model(
    graph: &Graph,
    tail: &Tail,
    pooling: &Pooling,
    input: &ImageInput,
    given: &[(&str, &FloatTensor)],
    head_dims: HeadDims,
    grid: &CellGrid,
) -> (Vec<u8>, bool) {
    let mut builder = GraphBuilder::new(graph);
    // The copied head may take shapes from tensors of the original head.
    builder.nodes = nodes_after(graph, tail, pooling);
    let cells = builder.cell_scores(graph, tail, &input.name, input.fixed_batch, head_dims, grid);
    builder.node("Identity", &[&cells], port::ALL_SCORES, vec![]);
    let outputs = vec![declare_untyped(port::ALL_SCORES)];
    let nodes = without_dead_nodes(builder.nodes, &outputs);
    let (inputs, takes_image) = inputs_after(graph, pooling, input, given, &nodes);
    (graph.serialise_with(nodes, inputs, outputs, builder.weights), takes_image)
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
    given: &[(&str, &FloatTensor)],
    nodes: &[NodeProto],
) -> (Vec<ValueInfoProto>, bool) {
    let declared = given.iter().map(|(name, floats)| declare(name, floats.element, &vec![None; floats.dims.len()]));
    let mut inputs: Vec<ValueInfoProto> = declared.collect();
    // A teacher may pool its input unchanged.
    let reads_image =
        |node: &NodeProto| node.input.contains(&input.name) || captured_names(node).contains(&input.name.as_str());
    let takes_image = input.name != pooling.features && nodes.iter().any(reads_image);
    if takes_image {
        inputs.extend(graph.input_declaration(&input.name).cloned());
    }
    (inputs, takes_image)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use bytes::Bytes;
    use prost::Message as _;

    use super::*;
    use crate::labelling::teacher::card::{self, CardFile, CardValues, ChannelOrder};
    use crate::labelling::teacher::graph::ModelProto;
    use crate::labelling::teacher::tail::FeatureLayout;
    use crate::labelling::teacher::{ports, tail};
    use crate::shared::geometry::MapSize;

    /// Operators with kernels in ONNX Runtime 1.31's CUDA provider for every operator set up to 23, by its table of kernels.
    /// It has no Flatten from 21 on; the rewrite turns Flatten into Reshape.
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
    fn added_nodes_have_cuda_kernels_in_every_operator_set() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/efficientnet-lite0.onnx");
        let mut graph = Graph::parse(Bytes::from(std::fs::read(&file).unwrap())).unwrap();
        let (input, facts) = ports::image_input(&graph).map_err(|refusal| refusal.problem).unwrap();
        let card = CardFile::find(&file, None).unwrap();
        let card = card::resolve(&file, &CardValues::default(), &card, &facts).unwrap();
        let output = ports::scores_output(&graph, None).map_err(|refusal| refusal.problem).unwrap();
        let tail =
            tail::recognise(&mut graph, &input.name, &output.name, Some(2)).map_err(|refusal| refusal.problem).unwrap();
        for (views, channel_order) in [(Views::Image, ChannelOrder::Rgb), (Views::ImageAndMirror, ChannelOrder::Bgr)] {
            let card = TeacherCard { channel_order, ..card.clone() };
            let spec = RewriteSpec {
                input_size: card.input_size,
                grid: CellGrid::raster(FeatureLayout::Nchw, MapSize::new(7, 7).unwrap()),
                k: 5,
                image_ranks: 5,
                class_count: 1000,
                head_dims: HeadDims { cells: 49, channels: 1280, heads: 1, value_axes: 0 },
                views,
                with_lse: true,
            };
            let model = labelling_model(&graph, &tail, &input, &card, &spec);
            let nodes = ModelProto::decode(model.as_slice()).unwrap().graph.unwrap().node;
            let added = nodes.iter().filter(|node| node.name().starts_with("relabel/"));
            let operators: BTreeSet<&str> = added.map(NodeProto::op_type).collect();
            assert!(operators.contains("TopK") && operators.contains("Gemm"), "{operators:?}");
            let others: Vec<_> = operators.iter().filter(|op| **op != "TopK" && !ON_GPUS.contains(op)).collect();
            assert!(others.is_empty(), "{others:?}");
        }
    }
}
