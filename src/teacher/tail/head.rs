//! Looks at every node between the pooling and the scores: a head may do with a vector what it likes, as long as it
//! treats each by itself, since on the cells many vectors stand where one image's stood.

use std::collections::HashMap;

use super::pooling::reduced_axes;
use super::{Pooling, Refusal};
use crate::teacher::graph::{Graph, NodeProto, attribute_int, attribute_ints};

/// Whether the scores of an image are the mean of the scores of its cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Linearity {
    /// They are: the head is linear, up to a constant.
    Linear,
    /// They are not: the head bends.
    NotLinear {
        /// The first node that bends, in words: its operator and its name.
        because_of: String,
    },
}

/// Accepts a head, and says whether it is linear. Whether each vector is really treated by itself shows in the proof;
/// here is what can be told from the graph, with the node's name.
pub(super) fn examine(graph: &Graph, pooling: &Pooling) -> Result<Linearity, Refusal> {
    // Tensors that hold features, and how many axes they have, where that is known.
    let mut ranks: HashMap<&str, Option<usize>> =
        HashMap::from([(pooling.pooled.as_str(), Some(pooling.pooled_shape.len()))]);
    let mut linearity = Linearity::Linear;
    for &index in &pooling.head {
        let node = graph.node(index);
        let fed: Vec<usize> = (0..node.input.len()).filter(|&at| ranks.contains_key(node.input[at].as_str())).collect();
        if fed.is_empty() || matches!(node.op_type(), "Shape" | "Size") {
            continue; // arithmetic on shapes
        }
        let rank = fed.iter().map(|&at| ranks[node.input[at].as_str()]).max().flatten();
        let kind = kind(graph, node, &fed, rank);
        match kind {
            Kind::Bends if linearity == Linearity::Linear => {
                linearity = Linearity::NotLinear { because_of: in_words(node) };
            }
            Kind::Linear | Kind::Bends => {}
            Kind::Mixes => return Err(mixes(node)),
            Kind::Unknown => return Err(unknown(node)),
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            ranks.insert(output, rank_after(graph, node, rank));
        }
    }
    Ok(linearity)
}

pub(crate) fn in_words(node: &NodeProto) -> String {
    format!("{} (node `{}`)", node.op_type(), node.name())
}

/// What a node does to feature vectors that stand side by side along the first axis.
enum Kind {
    /// Linear in each of them.
    Linear,
    /// Not linear, but each for itself.
    Bends,
    /// One vector's result depends on the others.
    Mixes,
    /// Not known to be harmless.
    Unknown,
}

fn kind(graph: &Graph, node: &NodeProto, fed: &[usize], rank: Option<usize>) -> Kind {
    use Kind::{Bends, Linear, Mixes, Unknown};
    let first_only = fed == [0];
    let is_batch = |axis: i64| axis == 0 || rank.is_some_and(|rank| axis == -(rank as i64));
    let unless_along_batch = |axis: i64, kind: Kind| if is_batch(axis) { Mixes } else { kind };
    let unless_any_along_batch = |axes: Option<Vec<i64>>, kind: Kind| match axes {
        Some(axes) if !axes.is_empty() && !axes.iter().any(|&axis| is_batch(axis)) => kind,
        Some(_) => Mixes,
        None => Unknown,
    };
    match node.op_type() {
        "Identity" | "Cast" | "Neg" | "Add" | "Sub" | "Sum" | "Mean" | "Reshape" | "GlobalAveragePool"
        | "AveragePool" => Linear,
        // In training it would be random.
        "Dropout" => {
            if node.input.len() > 2 {
                Bends
            } else {
                Linear
            }
        }
        "Mul" => {
            if fed.len() == 1 {
                Linear
            } else {
                Bends
            }
        }
        "Div" => {
            if first_only {
                Linear
            } else {
                Bends
            }
        }
        "Flatten" | "Concat" => unless_along_batch(attribute_int(node, "axis").unwrap_or(1), Linear),
        "Split" => unless_along_batch(attribute_int(node, "axis").unwrap_or(0), Linear),
        // Along the first axis only as the second half of the dynamo exporter's pooling, which the rewrite skips.
        "Gather" => {
            if first_only {
                Linear
            } else {
                Unknown
            }
        }
        "Transpose" => match attribute_ints(node, "perm") {
            Some([0, ..]) => Linear,
            _ => Mixes,
        },
        "Squeeze" | "Unsqueeze" => match reduced_axes(graph, node) {
            Some(axes) if axes.contains(&0) => Mixes,
            _ => Linear,
        },
        "Slice" => {
            let axes = attribute_ints(node, "axes").map(<[i64]>::to_vec);
            unless_any_along_batch(axes.or_else(|| graph.constant_ints(node.input.get(3)?)), Linear)
        }
        "Conv" | "BatchNormalization" | "MatMul" => {
            if first_only {
                Linear
            } else {
                Mixes
            }
        }
        "Gemm" => {
            if first_only && attribute_int(node, "transA").unwrap_or(0) == 0 {
                Linear
            } else {
                Mixes
            }
        }
        "ReduceMean" | "ReduceSum" => unless_any_along_batch(reduced_axes(graph, node), Linear),
        "ReduceL1" | "ReduceL2" | "ReduceMax" | "ReduceMin" | "ReduceSumSquare" | "ReduceLogSumExp" => {
            unless_any_along_batch(reduced_axes(graph, node), Bends)
        }
        "LayerNormalization"
        | "SimplifiedLayerNormalization"
        | "RMSNormalization"
        | "LpNormalization"
        | "Softmax"
        | "LogSoftmax" => {
            let usual = if node.op_type().ends_with("max") && graph.opset() < 13 { 1 } else { -1 };
            unless_along_batch(attribute_int(node, "axis").unwrap_or(usual), Bends)
        }
        "InstanceNormalization" | "GroupNormalization" | "GlobalMaxPool" | "MaxPool" => Bends,
        "Relu" | "LeakyRelu" | "PRelu" | "Elu" | "Selu" | "Celu" | "Gelu" | "FastGelu" | "QuickGelu" | "Swish"
        | "HardSigmoid" | "HardSwish" | "Mish" | "Sigmoid" | "Tanh" | "Softplus" | "Softsign" | "ThresholdedRelu"
        | "Erf" | "Exp" | "Log" | "Sqrt" | "Abs" | "Reciprocal" | "Sign" | "Clip" | "Pow" | "Min" | "Max" | "Where"
        | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "Equal" | "QuantizeLinear" | "DequantizeLinear" => {
            Bends
        }
        _ => Unknown,
    }
}

/// Axes of a node's output, where that can be told.
fn rank_after(graph: &Graph, node: &NodeProto, rank: Option<usize>) -> Option<usize> {
    match node.op_type() {
        "Flatten" => Some(2),
        "Transpose" => attribute_ints(node, "perm").map(<[i64]>::len),
        "Reshape" => graph.constant_ints(node.input.get(1)?).map(|shape| shape.len()),
        "Squeeze" => rank?.checked_sub(reduced_axes(graph, node)?.len()),
        "Unsqueeze" => Some(rank? + reduced_axes(graph, node)?.len()),
        op if op.starts_with("Reduce") && attribute_int(node, "keepdims") == Some(0) => {
            rank?.checked_sub(reduced_axes(graph, node)?.len())
        }
        "Gather" => None,
        _ => rank,
    }
}

fn mixes(node: &NodeProto) -> Refusal {
    Refusal::new(
        format!(
            "{} stands between its pooling and its scores and mixes vectors, so that a cell's score would depend on other \
             cells",
            in_words(node)
        ),
        "use a teacher that treats each pooled vector by itself after its pooling, or export a graph that ends in a score \
         map [batch, class, y, x]",
    )
}

fn unknown(node: &NodeProto) -> Refusal {
    Refusal::new(
        format!(
            "{} stands between its pooling and its scores, and is not known to treat each cell by itself",
            in_words(node)
        ),
        "export it with standard operators (norms, convolutions, activations and linear layers are all known), or as a \
         graph that ends in a score map [batch, class, y, x]",
    )
}
