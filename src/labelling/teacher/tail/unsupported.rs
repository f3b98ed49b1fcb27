//! Explains why label maps cannot be computed with a graph, naming the node.

use std::collections::HashSet;

use super::average::average_over_map;
use super::ending::Pooling;
use super::head::describe_node;
use super::{attention, single_tokens};
use crate::labelling::teacher::graph::{Graph, NodeProto, Reachability, attribute_int, attribute_ints};
use crate::labelling::teacher::refusal::Refusal;

pub(super) const OTHER_TEACHER: &str = "use a teacher with global average pooling (EfficientNet, ResNet, RegNet, DenseNet, ConvNeXt, Swin, \
     a ViT with mean pooling, ...), or export a graph whose output is a score map [batch, class, y, x]";

/// Largest number of nodes examined, from the output backwards; bounds the time for malicious graphs.
const MAX_NODES: usize = 256;

/// The refusal of an architecture that has no score per cell.
fn no_cell_scores(reason: &str) -> Refusal {
    Refusal::no_cells(reason, OTHER_TEACHER)
}

/// Refuses graphs with nodes that classifiers of single images do not have.
pub(super) fn check_nodes(graph: &Graph, logits: &str) -> Result<(), Refusal> {
    for index in graph.ancestors(&[logits.to_owned()], &HashSet::new()) {
        let node = graph.node(index);
        match node.op_type() {
            "NonMaxSuppression" => return Err(a_detector(node)),
            "DynamicQuantizeLinear" | "DynamicQuantizeMatMul" | "DynamicQuantizeLSTM" => {
                return Err(Refusal::new(
                    format!(
                        "the model is quantised dynamically: {} computes one scale for all images of a batch, so the labels of \
                         an image would depend on the other images",
                        describe_node(node)
                    ),
                    "use the float32 or float16 model, or a statically quantised one",
                ));
            }
            "RandomNormal" | "RandomNormalLike" | "RandomUniform" | "RandomUniformLike" | "Multinomial"
            | "Bernoulli" => {
                return Err(Refusal::new(
                    format!(
                        "the model is not deterministic: {} draws new random values in each run",
                        describe_node(node)
                    ),
                    "export it in evaluation mode (model.eval())",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The refusal of a detector, if the graph is one.
pub(crate) fn detector(graph: &Graph) -> Option<Refusal> {
    graph.nodes_everywhere().find(|node| node.op_type() == "NonMaxSuppression").map(a_detector)
}

fn a_detector(node: &NodeProto) -> Refusal {
    Refusal::new(
        format!("the model is a detector ({} selects boxes), not an image classifier", describe_node(node)),
        "use an image classifier, such as the backbone of the detector with a classification head",
    )
}

/// Explains why cells have no scores of their own despite a recognised pooling, if so.
pub(super) fn pooling(graph: &Graph, reach: &Reachability<'_>, input: &str, pooling: &Pooling) -> Option<Refusal> {
    let upstream = graph.ancestors(std::slice::from_ref(&pooling.features), &HashSet::new());
    let tokens = single_tokens::find(graph, reach, &upstream);
    if let Some(token) = only_tokens(graph, input, &pooling.features, &tokens) {
        return Some(class_token(token));
    }
    if pooling.attention_values.is_some()
        && let Some(node) = attention::adds_positions(graph, reach, &pooling.features)
    {
        return Some(no_cell_scores(&format!(
            "attention pooling over tokens to which positions are added just before ({}), so the contribution of a token \
             depends on its position",
            describe_node(node)
        )));
    }
    None
}

/// The last node that selects a single token, if `tensor` depends on the image only through such tokens.
fn only_tokens<'a>(graph: &'a Graph, input: &str, tensor: &str, tokens: &HashSet<&str>) -> Option<&'a NodeProto> {
    let reached = graph.boundary(tensor, input, tokens)?;
    reached.into_iter().filter_map(|token| graph.producer(token)).max().map(|index| graph.node(index))
}

/// Explains why no pooling was found.
pub(super) fn no_pooling(graph: &Graph, reach: &Reachability<'_>, input: &str, logits: &str) -> Refusal {
    if let Some(detector) = detector(graph) {
        return detector;
    }
    if !graph.depends_on(logits, input, &[]) {
        return Refusal::new("the scores do not depend on the input", OTHER_TEACHER);
    }
    let upstream = graph.ancestors(&[logits.to_owned()], &HashSet::new());
    if let Some(refusal) = several_means(graph, input, logits, &upstream) {
        return refusal;
    }
    let all_pass =
        |node: &NodeProto| node.output.first().is_some_and(|output| !graph.depends_on(logits, input, &[output]));
    let relevant = upstream.iter().rev().map(|&index| graph.node(index)).filter(|node| {
        matches!(
            node.op_type(),
            "GlobalMaxPool"
                | "ReduceMax"
                | "MaxPool"
                | "Gather"
                | "Slice"
                | "Flatten"
                | "Reshape"
                | "QLinearGlobalAveragePool"
                | "QLinearAveragePool"
                | "ReduceSum"
                | "GlobalLpPool"
        )
    });
    let relevant: Vec<&NodeProto> = relevant.take(MAX_NODES).collect();
    for node in &relevant {
        match node.op_type() {
            "GlobalMaxPool" | "ReduceMax" if all_pass(node) => return maximum(node),
            "QLinearGlobalAveragePool" | "QLinearAveragePool" if all_pass(node) => return quantised(node),
            "ReduceSum" | "GlobalLpPool" if all_pass(node) => {
                return no_cell_scores(&format!("{} pools the feature map, but not by a mean", describe_node(node)));
            }
            "Gather" | "Slice" if selects_one_token(graph, node) && all_pass(node) => {
                return if pools_by_attention(graph, input, node) { attention(node) } else { class_token(node) };
            }
            _ => {}
        }
    }
    // Several tokens that together carry all of the image, as in a distilled DeiT or with several scales.
    let tokens = single_tokens::find(graph, reach, &upstream);
    if let Some(token) = only_tokens(graph, input, logits, &tokens) {
        return class_token(token);
    }
    let flattening = relevant.iter().filter(|node| flattens_map(graph, node) && all_pass(node));
    for node in flattening {
        if let Some(source) = spatial_source(graph, node) {
            return if source.op_type() == "MaxPool" && leaves_one_cell(graph, node, source) {
                maximum(source)
            } else {
                flattened(node)
            };
        }
    }
    if let Some((mean, maximum)) = mean_and_maximum(graph, input, logits, &upstream) {
        return no_cell_scores(&format!(
            "the model pools twice, by mean ({}) and by maximum ({})",
            describe_node(mean),
            describe_node(maximum)
        ));
    }
    no_cell_scores("no average over the feature map found through which all of the image reaches the scores")
}

/// The refusal of a graph that averages several feature maps and joins the means.
fn several_means(graph: &Graph, input: &str, logits: &str, upstream: &[usize]) -> Option<Refusal> {
    let is_mean = |index: &&usize| average_over_map(graph, graph.node(**index)).is_some();
    let means = upstream.iter().rev().filter(is_mean).filter_map(|&index| graph.node(index).output.first());
    let means: HashSet<&str> = means.map(String::as_str).take(MAX_NODES).collect();
    let mut reached: Vec<usize> =
        graph.boundary(logits, input, &means)?.into_iter().filter_map(|mean| graph.producer(mean)).collect();
    reached.sort_unstable();
    let [first, .., last] = reached[..] else { return None };
    Some(no_cell_scores(&format!(
        "the model averages {} feature maps and joins the means (first {}, last {}), and their cells do not correspond",
        reached.len(),
        describe_node(graph.node(first)),
        describe_node(graph.node(last))
    )))
}

/// Whether a node flattens its input to one vector per image for a linear layer. A Reshape that splits or joins other axes,
/// as for the patches of transformers, does not.
fn flattens_map(graph: &Graph, node: &NodeProto) -> bool {
    let to_two_axes = match node.op_type() {
        "Flatten" => true,
        "Reshape" => {
            let shape = node.input.get(1).and_then(|shape| graph.constant_ints(shape));
            shape.is_none_or(|shape| shape.len() == 2)
        }
        _ => return false,
    };
    let mut tensor = node.output.first();
    for _ in 0..8 {
        let Some(name) = tensor else { return false };
        let users: Vec<&NodeProto> = graph.consumers(name).iter().map(|&user| graph.node(user)).collect();
        if users.iter().any(|user| matches!(user.op_type(), "Gemm" | "MatMul")) {
            return to_two_axes;
        }
        let passes = users.first().filter(|user| matches!(user.op_type(), "Dropout" | "Identity" | "Cast" | "Relu"));
        tensor = passes.and_then(|user| user.output.first());
    }
    false
}

fn maximum(node: &NodeProto) -> Refusal {
    no_cell_scores(&format!("{} takes the maximum over the feature map, not the mean", describe_node(node)))
}

fn quantised(node: &NodeProto) -> Refusal {
    Refusal::no_cells(
        &format!("the model is quantised and its pooling runs on integers ({})", describe_node(node)),
        "use the float32 or float16 model, or one quantised in the QDQ format, whose pooling runs on floats",
    )
}

fn flattened(node: &NodeProto) -> Refusal {
    no_cell_scores(&format!(
        "{} flattens the entire feature map into one vector, and the first linear layer mixes the cells, as in VGG and AlexNet",
        describe_node(node)
    ))
}

fn class_token(node: &NodeProto) -> Refusal {
    Refusal::no_cells(
        &format!(
            "the model classifies from its class token ({} selects one token of the sequence), and the other tokens never \
             reach the head",
            describe_node(node)
        ),
        "export it with mean pooling if it was trained that way (timm: global_pool='avg'), or use a different teacher",
    )
}

fn attention(node: &NodeProto) -> Refusal {
    Refusal::no_cells(
        &format!(
            "attention pooling ({} selects the result of attention over all cells) whose query is not known to be a single \
             learned vector without positions, so the weight of a cell depends on the other cells",
            describe_node(node)
        ),
        "use a teacher with mean pooling (timm: global_pool='avg', if it was trained that way) or with a learned query \
         (SigLIP)",
    )
}

/// Whether a Gather or Slice selects a single index of the second axis, or, in attention pooling, of the first.
fn selects_one_token(graph: &Graph, node: &NodeProto) -> bool {
    let ints = |at: usize| node.input.get(at).and_then(|tensor| graph.constant_ints(tensor));
    match node.op_type() {
        "Gather" => {
            let on_features = node.input.first().is_some_and(|data| !graph.is_shape_computation(data));
            on_features
                && matches!(attribute_int(node, "axis").unwrap_or(0), 0 | 1)
                && ints(1).is_some_and(|indices| indices.len() == 1)
        }
        "Slice" => {
            let axes = attribute_ints(node, "axes").map(<[i64]>::to_vec).or_else(|| ints(3));
            let starts = attribute_ints(node, "starts").map(<[i64]>::to_vec).or_else(|| ints(1));
            let ends = attribute_ints(node, "ends").map(<[i64]>::to_vec).or_else(|| ints(2));
            match (axes.as_deref(), starts.as_deref(), ends.as_deref()) {
                (Some([1]), Some([start]), Some([end])) => end.checked_sub(*start) == Some(1),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether the token comes from an attention whose query is a weight, or from the only attention of the graph (a pooling
/// after convolutions), and not from the class token of a transformer.
fn pools_by_attention(graph: &Graph, input: &str, node: &NodeProto) -> bool {
    let before = graph.ancestors(&node.input, &HashSet::new());
    let attentions: Vec<&NodeProto> =
        before.iter().map(|&index| graph.node(index)).filter(|node| node.op_type() == "Softmax").collect();
    let Some(last) = attentions.last() else { return false };
    attentions.len() == 1 || query_of(graph, last).is_some_and(|query| !graph.depends_on(query, input, &[]))
}

/// The first factor of the product of queries and keys that a Softmax takes.
fn query_of<'a>(graph: &'a Graph, softmax: &'a NodeProto) -> Option<&'a str> {
    let mut tensor = softmax.input.first()?;
    for _ in 0..8 {
        let node = graph.node(graph.producer(tensor)?);
        tensor = node.input.first()?;
        if matches!(node.op_type(), "MatMul" | "FusedMatMul") {
            return Some(tensor);
        }
    }
    None
}

/// The pooling or convolution that makes a flattened tensor, with only activations in between.
fn spatial_source<'a>(graph: &'a Graph, node: &NodeProto) -> Option<&'a NodeProto> {
    let mut tensor = node.input.first()?;
    loop {
        let producer = graph.node(graph.producer(tensor)?);
        match producer.op_type() {
            "MaxPool" | "AveragePool" | "Conv" => return Some(producer),
            "Relu" | "Clip" | "HardSwish" | "Identity" | "Dropout" | "Cast" | "BatchNormalization" => {
                tensor = producer.input.first()?;
            }
            _ => return None,
        }
    }
}

/// Whether the result of a pooling is one cell: the linear layer after it takes as many values as there are channels.
fn leaves_one_cell(graph: &Graph, flatten: &NodeProto, pooling: &NodeProto) -> bool {
    let taken = flatten.output.first().map(|flat| graph.consumers(flat)).and_then(|users| users.first());
    let weight = taken.map(|&user| graph.node(user)).filter(|user| user.op_type() == "Gemm");
    let taken = weight.and_then(|gemm| {
        let dims = graph.weight_dims(gemm.input.get(1)?)?;
        let at = usize::from(attribute_int(gemm, "transB") == Some(1));
        dims.get(at).copied()
    });
    let channels = graph.ancestors(&pooling.input, &HashSet::new()).into_iter().rev().find_map(|index| {
        let conv = graph.node(index);
        if conv.op_type() == "Conv" { graph.weight_dims(conv.input.get(1)?)?.first().copied() } else { None }
    });
    taken.is_some() && taken == channels
}

/// A mean and a maximum over the map through which, together, the scores depend on the image.
fn mean_and_maximum<'a>(
    graph: &'a Graph,
    input: &str,
    logits: &str,
    upstream: &[usize],
) -> Option<(&'a NodeProto, &'a NodeProto)> {
    let last = |kinds: &[&str]| {
        upstream.iter().rev().map(|&index| graph.node(index)).find(|node| kinds.contains(&node.op_type()))
    };
    let mean = last(&["GlobalAveragePool", "ReduceMean"])?;
    let maximum = last(&["GlobalMaxPool", "MaxPool", "ReduceMax"])?;
    let both = [mean.output.first()?.as_str(), maximum.output.first()?.as_str()];
    (!graph.depends_on(logits, input, &both)).then_some((mean, maximum))
}
