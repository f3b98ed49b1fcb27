//! Says why a graph gives no label maps, as exactly as it allows, and what its owner can do.

use std::collections::HashSet;

use super::head::in_words;
use super::pooling::average_over_map;
use super::{Pooling, attention, tokens};
use crate::labelling::teacher::graph::{Graph, NodeProto, Reach, attribute_int, attribute_ints};

/// Why a graph is refused, and what its owner can do.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) problem: String,
    pub(crate) advice: String,
}

impl Refusal {
    pub(crate) fn new(problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { problem: problem.into(), advice: advice.into() }
    }
}

const OTHER_TEACHER: &str = "use a teacher that averages its features over the map (EfficientNet, ResNet, RegNet, DenseNet, \
     ConvNeXt, Swin, a ViT with mean pooling, ...), or export a graph that ends in a score map [batch, class, y, x]";

/// Nodes that are looked at for a reason, from the output backwards; it bounds the time for graphs made to waste it.
const MOST_REASONS: usize = 256;

/// Refuses graphs with nodes that no classifier of single images has.
pub(super) fn unfit_nodes(graph: &Graph, logits: &str) -> Result<(), Refusal> {
    for index in graph.ancestors(&[logits.to_owned()], &HashSet::new()) {
        let node = graph.node(index);
        match node.op_type() {
            "NonMaxSuppression" => return Err(a_detector(node)),
            "DynamicQuantizeLinear" | "DynamicQuantizeMatMul" | "DynamicQuantizeLSTM" => {
                return Err(Refusal::new(
                    format!(
                        "it is quantised while it runs: {} takes one scale from all images of a batch, so that an image's \
                         labels would depend on its neighbours",
                        in_words(node)
                    ),
                    "use the float32 or float16 model, or one that is quantised statically",
                ));
            }
            "RandomNormal" | "RandomNormalLike" | "RandomUniform" | "RandomUniformLike" | "Multinomial"
            | "Bernoulli" => {
                return Err(Refusal::new(
                    format!("it is random: {} makes other values in each run", in_words(node)),
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
        format!("it is a detector ({} picks boxes), not a classifier of whole images", in_words(node)),
        "use a classifier; of a detector only its backbone with a classification head would do",
    )
}

/// Says why a pooling that was found gives no cells all the same.
pub(super) fn of_pooling(graph: &Graph, reach: &Reach<'_>, input: &str, pooling: &Pooling) -> Option<Refusal> {
    let upstream = graph.ancestors(std::slice::from_ref(&pooling.features), &HashSet::new());
    let tokens = tokens::single_tokens(graph, reach, &upstream);
    if let Some(token) = only_tokens(graph, input, &pooling.features, &tokens) {
        return Some(class_token(token));
    }
    if pooling.attention_values.is_some()
        && let Some(node) = attention::adds_positions(graph, reach, &pooling.features)
    {
        return Some(Refusal::new(
            format!(
                "it pools by attention over tokens that get positions right before ({}): what a token counts depends on its \
                 place, and no cell has scores of its own",
                in_words(node)
            ),
            OTHER_TEACHER,
        ));
    }
    None
}

/// The last of the nodes that take single tokens, where `tensor` knows the image only through such tokens.
fn only_tokens<'a>(graph: &'a Graph, input: &str, tensor: &str, tokens: &HashSet<&str>) -> Option<&'a NodeProto> {
    let met = graph.boundary(tensor, input, tokens)?;
    met.into_iter().filter_map(|token| graph.producer(token)).max().map(|index| graph.node(index))
}

/// Says why no pooling was found.
pub(super) fn why_not_pooled(graph: &Graph, reach: &Reach<'_>, input: &str, logits: &str) -> Refusal {
    if let Some(detector) = detector(graph) {
        return detector;
    }
    if !graph.sees(logits, input, &[]) {
        return Refusal::new("its scores do not depend on its input", OTHER_TEACHER);
    }
    let upstream = graph.ancestors(&[logits.to_owned()], &HashSet::new());
    if let Some(refusal) = several_means(graph, input, logits, &upstream) {
        return refusal;
    }
    let all_pass = |node: &NodeProto| node.output.first().is_some_and(|output| !graph.sees(logits, input, &[output]));
    let telling = upstream.iter().rev().map(|&index| graph.node(index)).filter(|node| {
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
    let telling: Vec<&NodeProto> = telling.take(MOST_REASONS).collect();
    for node in &telling {
        match node.op_type() {
            "GlobalMaxPool" | "ReduceMax" if all_pass(node) => return maximum(node),
            "QLinearGlobalAveragePool" | "QLinearAveragePool" if all_pass(node) => return quantised(node),
            "ReduceSum" | "GlobalLpPool" if all_pass(node) => {
                return Refusal::new(
                    format!("it pools by {}, which is no mean: no cell has scores of its own", in_words(node)),
                    OTHER_TEACHER,
                );
            }
            "Gather" | "Slice" if takes_one_token(graph, node) && all_pass(node) => {
                return if pools_by_attention(graph, input, node) { attention(node) } else { class_token(node) };
            }
            _ => {}
        }
    }
    // One token or more that only together hold all of the image: of a distilled DeiT, or of several scales.
    let tokens = tokens::single_tokens(graph, reach, &upstream);
    if let Some(token) = only_tokens(graph, input, logits, &tokens) {
        return class_token(token);
    }
    let flattening = telling.iter().filter(|node| joins_the_map(graph, node) && all_pass(node));
    for node in flattening {
        if let Some(source) = spatial_source(graph, node) {
            return if source.op_type() == "MaxPool" && leaves_one_cell(graph, node, source) {
                maximum(source)
            } else {
                flattened(node)
            };
        }
    }
    if let Some((mean, maximum)) = mean_beside_maximum(graph, input, logits, &upstream) {
        return Refusal::new(
            format!(
                "it pools twice, by a mean ({}) and by a maximum ({}): no cell has a maximum of its own",
                in_words(mean),
                in_words(maximum)
            ),
            OTHER_TEACHER,
        );
    }
    Refusal::new("no average over the map was found through which all of the image reaches the scores", OTHER_TEACHER)
}

/// The refusal of a graph that averages several maps and joins the means.
fn several_means(graph: &Graph, input: &str, logits: &str, upstream: &[usize]) -> Option<Refusal> {
    let is_mean = |index: &&usize| average_over_map(graph, graph.node(**index)).is_some();
    let means = upstream.iter().rev().filter(is_mean).filter_map(|&index| graph.node(index).output.first());
    let means: HashSet<&str> = means.map(String::as_str).take(MOST_REASONS).collect();
    let mut met: Vec<usize> =
        graph.boundary(logits, input, &means)?.into_iter().filter_map(|mean| graph.producer(mean)).collect();
    met.sort_unstable();
    let [first, .., last] = met[..] else { return None };
    Some(Refusal::new(
        format!(
            "it averages {} maps and joins the means (the first is {}, the last {}): the cells of one are not those of the \
             others",
            met.len(),
            in_words(graph.node(first)),
            in_words(graph.node(last))
        ),
        OTHER_TEACHER,
    ))
}

/// Whether a node makes one vector of what it is given, for a linear layer: a Reshape that splits or joins other axes, as
/// the patches of transformers do, flattens no map.
fn joins_the_map(graph: &Graph, node: &NodeProto) -> bool {
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
    Refusal::new(
        format!("it keeps the maximum over the map, not the mean ({}): no cell has scores of its own", in_words(node)),
        OTHER_TEACHER,
    )
}

fn quantised(node: &NodeProto) -> Refusal {
    Refusal::new(
        format!("its weights are quantised and its pooling runs on integers ({})", in_words(node)),
        "use the float32 or float16 model, or one that is quantised in the QDQ format, whose pooling runs on floats",
    )
}

fn flattened(node: &NodeProto) -> Refusal {
    Refusal::new(
        format!(
            "it flattens the whole map into one vector ({}) and mixes the cells in its first linear layer, as VGG and \
             AlexNet do",
            in_words(node)
        ),
        OTHER_TEACHER,
    )
}

fn class_token(node: &NodeProto) -> Refusal {
    Refusal::new(
        format!(
            "it classifies from its class token ({} takes one token of the sequence), and the other tokens never meet the \
             head",
            in_words(node)
        ),
        "export it with mean pooling if it was trained so (timm: global_pool='avg'), or use another teacher",
    )
}

fn attention(node: &NodeProto) -> Refusal {
    Refusal::new(
        format!(
            "it pools by attention ({} takes what an attention over all cells gave), and its query is not known to be one \
             learned vector without places: how much a cell counts depends on the others, and no cell has scores of its own",
            in_words(node)
        ),
        "use a teacher that pools by a mean (timm: global_pool='avg', if it was trained so) or by a learned query (SigLIP)",
    )
}

/// A Gather or Slice of a single place of the second axis, or, in attention poolings of images, of the first.
fn takes_one_token(graph: &Graph, node: &NodeProto) -> bool {
    let ints = |at: usize| node.input.get(at).and_then(|tensor| graph.constant_ints(tensor));
    match node.op_type() {
        "Gather" => {
            let on_features = node.input.first().is_some_and(|data| !graph.is_arithmetic_on_shapes(data));
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

/// True when the token comes from an attention whose query is a weight, or from the only attention of the graph (a
/// pooling after convolutions), and not from the class token of a transformer.
fn pools_by_attention(graph: &Graph, input: &str, node: &NodeProto) -> bool {
    let before = graph.ancestors(&node.input, &HashSet::new());
    let attentions: Vec<&NodeProto> =
        before.iter().map(|&index| graph.node(index)).filter(|node| node.op_type() == "Softmax").collect();
    let Some(last) = attentions.last() else { return false };
    attentions.len() == 1 || query_of(graph, last).is_some_and(|query| !graph.sees(query, input, &[]))
}

/// The first factor of the product of queries and keys that a Softmax weighs.
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

/// The pooling or convolution that a flattened tensor comes from, with only activations in between.
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

/// Whether what a pooling leaves is one cell: the linear layer behind it takes no more values than there are channels.
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

/// A mean over the map and a maximum that see the image side by side.
fn mean_beside_maximum<'a>(
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
    (!graph.sees(logits, input, &both)).then_some((mean, maximum))
}
