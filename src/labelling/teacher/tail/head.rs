//! Looks at every node between the pooling and the scores: a head may do with a vector what it likes, as long as it
//! treats each by itself, since on the cells many vectors stand where one image's stood.

use std::collections::HashMap;

use super::pooling::reduced_axes;
use super::{Pooling, Refusal};
use crate::labelling::teacher::graph::{
    Graph, NodeProto, attribute_int, attribute_ints, attribute_text, bodies, captured_names, is_standard_domain,
};

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
    // How many axes an attention's result has is not known.
    let rank = Some(pooling.pooled_shape.len()).filter(|&rank| rank > 0);
    let mut head = Head {
        graph,
        ranks: HashMap::from([(pooling.pooled.as_str(), rank)]),
        batch_may_move: pooling.attention_values.is_some(),
        linearity: Linearity::Linear,
    };
    pooling.head.iter().try_for_each(|&index| head.see(graph.node(index)))?;
    Ok(head.linearity)
}

/// A head, as far as it was walked over.
struct Head<'a> {
    graph: &'a Graph,
    /// Tensors that hold features, and how many axes they have, where that is known.
    ranks: HashMap<&'a str, Option<usize>>,
    /// Attentions put the batch behind another axis for a while; then only the proof can tell.
    batch_may_move: bool,
    linearity: Linearity,
}

impl<'a> Head<'a> {
    fn see(&mut self, node: &'a NodeProto) -> Result<(), Refusal> {
        let is_fed = |name: &str| self.ranks.contains_key(name);
        let fed: Vec<usize> = (0..node.input.len()).filter(|&at| is_fed(&node.input[at])).collect();
        if matches!(node.op_type(), "Shape" | "Size") {
            return Ok(()); // arithmetic on shapes
        }
        if bodies(node).next().is_some() {
            let captures = captured_names(node).into_iter().any(is_fed);
            return if captures || !fed.is_empty() { self.see_branches(node, &fed) } else { Ok(()) };
        }
        if fed.is_empty() {
            return Ok(());
        }
        let rank = fed.iter().map(|&at| self.ranks[node.input[at].as_str()]).max().flatten();
        match kind(self.graph, node, &fed, rank) {
            Kind::Bends if self.linearity == Linearity::Linear => {
                self.linearity = Linearity::NotLinear { because_of: in_words(node) };
            }
            Kind::Mixes if self.batch_may_move && matches!(node.op_type(), "Transpose" | "Squeeze" | "Unsqueeze") => {}
            Kind::Linear | Kind::Bends => {}
            Kind::Mixes => return Err(mixes(node)),
            Kind::Unknown => return Err(unknown(node)),
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            self.ranks.insert(output, rank_after(self.graph, node, rank));
        }
        Ok(())
    }

    /// An `If` whose condition depends on shapes alone may be followed by either branch.
    fn see_branches(&mut self, node: &'a NodeProto, fed: &[usize]) -> Result<(), Refusal> {
        if node.op_type() != "If" || !is_standard_domain(node.domain()) {
            return Err(unknown(node));
        }
        if !fed.is_empty() {
            return Err(mixes(node)); // one branch for all images
        }
        let mut ranks: Vec<Option<Option<usize>>> = vec![None; node.output.len()];
        for body in bodies(node) {
            body.node.iter().try_for_each(|inner| self.see(inner))?;
            for (rank, output) in ranks.iter_mut().zip(&body.output) {
                let of_branch = self.ranks.get(output.name()).copied();
                *rank = if rank.is_none() || *rank == of_branch { of_branch.or(*rank) } else { Some(None) };
            }
        }
        for (output, rank) in node.output.iter().zip(ranks).filter(|(output, _)| !output.is_empty()) {
            if let Some(rank) = rank {
                self.ranks.insert(output, rank);
            }
        }
        Ok(())
    }
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
        // All axes.
        None if node.input.len() < 2 => Mixes,
        None => Unknown,
    };
    if !matches!(node.domain(), "" | "ai.onnx" | "com.microsoft" | "com.microsoft.nchwc" | "com.ms.internal.nhwc") {
        return Unknown;
    }
    match node.op_type() {
        // In training it would be random.
        "Dropout" if node.input.len() > 2 => Bends,
        "Identity" | "Cast" | "Neg" | "Add" | "Sub" | "Sum" | "Mean" | "Reshape" | "GlobalAveragePool" | "BiasAdd"
        | "AveragePool" | "Dropout" => Linear,
        "Tile" => match node.input.get(1).and_then(|repeats| graph.constant_ints(repeats)) {
            Some(repeats) if repeats.first() != Some(&1) => Mixes,
            _ if first_only => Linear,
            _ => Unknown,
        },
        "Einsum" => einsum(attribute_text(node, "equation").unwrap_or_default(), fed),
        "Mul" if fed.len() == 1 => Linear,
        "Div" if first_only => Linear,
        "Mul" | "Div" => Bends,
        "Flatten" | "Concat" => unless_along_batch(attribute_int(node, "axis").unwrap_or(1), Linear),
        "Split" => unless_along_batch(attribute_int(node, "axis").unwrap_or(0), Linear),
        // What an Expand takes besides is a shape. A Gather is along the first axis only as the second half of the dynamo
        // exporter's pooling, which the rewrite skips; else the proof sees that vectors are missing.
        "Expand" | "Gather" => {
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
        "Conv" | "BatchNormalization" | "NhwcConv" | "MatMulNBits" => {
            if first_only {
                Linear
            } else {
                Mixes
            }
        }
        // From three axes on, the first is a batch on either side.
        "MatMul" | "FusedMatMul" => {
            let turned =
                ["transA", "transBatchA", "transBatchB"].iter().any(|name| attribute_int(node, name) == Some(1));
            let is_batched = rank.is_some_and(|rank| rank > 2);
            match (fed, turned) {
                ([0], false) => Linear,
                ([1], false) if is_batched => Linear,
                ([0, 1], false) if is_batched => Bends,
                _ => Mixes,
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
        "ReduceL1" | "ReduceL2" | "ReduceMax" | "ReduceMin" | "ReduceSumSquare" | "ReduceLogSumExp"
        | "ReduceLogSum" | "ReduceProd" => unless_any_along_batch(reduced_axes(graph, node), Bends),
        "LayerNormalization"
        | "SimplifiedLayerNormalization"
        | "RMSNormalization"
        | "LpNormalization"
        | "Softmax"
        | "LogSoftmax" => {
            let usual = if node.op_type().ends_with("max") && graph.opset() < 13 { 1 } else { -1 };
            unless_along_batch(attribute_int(node, "axis").unwrap_or(usual), Bends)
        }
        op if bends_each_by_itself(op) => Bends,
        _ => kind_of_fused(node, first_only),
    }
}

/// Norms, activations and other functions of each vector, or of each number.
fn bends_each_by_itself(op: &str) -> bool {
    matches!(
        op,
        "InstanceNormalization"
            | "GroupNormalization"
            | "GlobalMaxPool"
            | "MaxPool"
            | "Relu"
            | "LeakyRelu"
            | "PRelu"
            | "Elu"
            | "Selu"
            | "Celu"
            | "Gelu"
            | "FastGelu"
            | "QuickGelu"
            | "Swish"
            | "HardSigmoid"
            | "HardSwish"
            | "Mish"
            | "Sigmoid"
            | "Tanh"
            | "Softplus"
            | "Softsign"
            | "ThresholdedRelu"
            | "Erf"
            | "Exp"
            | "Log"
            | "Sqrt"
            | "Abs"
            | "Reciprocal"
            | "Sign"
            | "Clip"
            | "Pow"
            | "Min"
            | "Max"
            | "Where"
            | "Floor"
            | "Ceil"
            | "Round"
            | "Sin"
            | "Cos"
            | "Not"
            | "And"
            | "Or"
            | "Less"
            | "Greater"
            | "LessOrEqual"
            | "GreaterOrEqual"
            | "Equal"
            | "QuantizeLinear"
            | "DequantizeLinear"
    )
}

/// [`kind`] of ONNX Runtime's own operators: products with an activation, and norms and activations with a sum in front.
fn kind_of_fused(node: &NodeProto, first_only: bool) -> Kind {
    match node.op_type() {
        "FusedConv" | "NhwcFusedConv" if first_only => Kind::Bends,
        "FusedGemm" if first_only && attribute_int(node, "transA").unwrap_or(0) == 0 => Kind::Bends,
        "FusedConv" | "NhwcFusedConv" | "FusedGemm" => Kind::Mixes,
        "SkipLayerNormalization"
        | "SkipSimplifiedLayerNormalization"
        | "SkipGroupNorm"
        | "GroupNorm"
        | "BiasGelu"
        | "BiasSplitGelu"
        | "BiasDropout" => Kind::Bends,
        _ => Kind::Unknown,
    }
}

/// Whether a sum over products of axes keeps the first axis of what it is fed, and sums over it nowhere.
fn einsum(equation: &str, fed: &[usize]) -> Kind {
    let equation: String = equation.split_whitespace().collect();
    let Some((terms, result)) = equation.split_once("->") else { return Kind::Unknown };
    // `...` stands for the batch and whatever follows it.
    let first = |term: &str| if term.starts_with("...") { Some('.') } else { term.chars().next() };
    let terms: Vec<&str> = terms.split(',').collect();
    let Some(batch) = first(result) else { return Kind::Mixes };
    let keeps_batch = |at: &usize| terms.get(*at).is_some_and(|term| first(term) == Some(batch));
    if !fed.iter().all(keeps_batch) {
        return Kind::Mixes;
    }
    if fed.len() == 1 { Kind::Linear } else { Kind::Bends }
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
        "Gather" | "Expand" | "Einsum" | "If" => None,
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
