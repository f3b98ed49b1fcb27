//! Checks every node between the pooling and the scores: a head may compute anything, as long as it processes each vector
//! independently, since in the rewrite the vectors of all cells take the place of the batch.

use std::collections::{HashMap, HashSet};

use super::average::reduced_axes;
use super::ending::{Linearity, Pooling};
use crate::labelling::teacher::graph::{
    Graph, NodeProto, attribute_int, attribute_ints, attribute_text, bodies, captured_names, is_standard_domain,
};
use crate::labelling::teacher::refusal::Refusal;

/// Indices of the nodes that depend on `pooled` and contribute to `logits`, in order.
pub(super) fn nodes_between(graph: &Graph, pooled: &str, logits: &str) -> Vec<usize> {
    let given = HashSet::from([pooled.to_owned()]);
    let mut from_pooled: HashSet<&str> = HashSet::from([pooled]);
    let mut head = Vec::new();
    for index in graph.ancestors(&[logits.to_owned()], &given) {
        if graph.inputs_of(index).any(|taken| from_pooled.contains(taken)) {
            from_pooled.extend(graph.node(index).output.iter().map(String::as_str));
            head.push(index);
        }
    }
    head
}

/// Operator and name of a node, for messages.
pub(crate) fn describe_node(node: &NodeProto) -> String {
    format!("{} (node `{}`)", node.op_type(), node.name())
}

/// Returns whether a head is linear, or the node for which it is refused. This uses the graph alone; running
/// the rewrite verifies that vectors are processed independently.
pub(super) fn linearity(graph: &Graph, pooling: &Pooling) -> Result<Linearity, Refusal> {
    // The rank of an attention's result is not known.
    let rank = Some(pooling.pooled_shape.len()).filter(|&rank| rank > 0);
    let mut head = HeadWalk {
        graph,
        ranks: HashMap::from([(pooling.pooled.as_str(), rank)]),
        batch_may_move: pooling.attention_values.is_some(),
        linearity: Linearity::Linear,
    };
    pooling.head.iter().try_for_each(|&index| head.visit(graph.node(index)))?;
    Ok(head.linearity)
}

/// State of the walk over a head.
struct HeadWalk<'a> {
    graph: &'a Graph,
    /// Tensors that depend on the pooled features, with their ranks if known.
    ranks: HashMap<&'a str, Option<usize>>,
    /// Set for attention pooling, which moves the batch to a different axis temporarily; only running the rewrite can then
    /// tell whether vectors are mixed.
    batch_may_move: bool,
    linearity: Linearity,
}

impl<'a> HeadWalk<'a> {
    fn visit(&mut self, node: &'a NodeProto) -> Result<(), Refusal> {
        let is_feature = |name: &str| self.ranks.contains_key(name);
        let features: Vec<usize> = (0..node.input.len()).filter(|&at| is_feature(&node.input[at])).collect();
        if matches!(node.op_type(), "Shape" | "Size") {
            return Ok(()); // arithmetic on shapes
        }
        if bodies(node).next().is_some() {
            let captures = captured_names(node).into_iter().any(is_feature);
            return if captures || !features.is_empty() { self.visit_branches(node, &features) } else { Ok(()) };
        }
        if features.is_empty() {
            return Ok(());
        }
        let rank = features.iter().map(|&at| self.ranks[node.input[at].as_str()]).max().flatten();
        match kind(self.graph, node, &features, rank) {
            Kind::NonLinear if self.linearity == Linearity::Linear => {
                self.linearity = Linearity::NotLinear { because_of: describe_node(node) };
            }
            Kind::Mixes if self.batch_may_move && matches!(node.op_type(), "Transpose" | "Squeeze" | "Unsqueeze") => {}
            Kind::Linear | Kind::NonLinear => {}
            Kind::Mixes => return Err(mixes(node)),
            Kind::Unknown => return Err(unknown(node)),
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            self.ranks.insert(output, rank_after(self.graph, node, rank));
        }
        Ok(())
    }

    /// Accepts an `If` whose condition depends on shapes alone, if both branches are accepted.
    fn visit_branches(&mut self, node: &'a NodeProto, features: &[usize]) -> Result<(), Refusal> {
        if node.op_type() != "If" || !is_standard_domain(node.domain()) {
            return Err(unknown(node));
        }
        if !features.is_empty() {
            return Err(mixes(node)); // one branch for all images
        }
        let mut ranks: Vec<Option<Option<usize>>> = vec![None; node.output.len()];
        for body in bodies(node) {
            body.node.iter().try_for_each(|inner| self.visit(inner))?;
            for (rank, output) in ranks.iter_mut().zip(&body.output) {
                let branch_rank = self.ranks.get(output.name()).copied();
                *rank = if rank.is_none() || *rank == branch_rank { branch_rank.or(*rank) } else { Some(None) };
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

/// Effect of a node on feature vectors that are stacked along the first axis.
enum Kind {
    /// Linear in each of them.
    Linear,
    /// Not linear, but applied to each vector independently.
    NonLinear,
    /// The result for one vector depends on the others.
    Mixes,
    /// Not known to process vectors independently.
    Unknown,
}

fn kind(graph: &Graph, node: &NodeProto, features: &[usize], rank: Option<usize>) -> Kind {
    use Kind::{Linear, Mixes, NonLinear, Unknown};
    let first_only = features == [0];
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
        // Random in training mode.
        "Dropout" if node.input.len() > 2 => NonLinear,
        "Identity" | "Cast" | "Neg" | "Add" | "Sub" | "Sum" | "Mean" | "Reshape" | "GlobalAveragePool" | "BiasAdd"
        | "AveragePool" | "Dropout" => Linear,
        "Tile" => match node.input.get(1).and_then(|repeats| graph.constant_ints(repeats)) {
            Some(repeats) if repeats.first() != Some(&1) => Mixes,
            _ if first_only => Linear,
            _ => Unknown,
        },
        "Einsum" => einsum(attribute_text(node, "equation").unwrap_or_default(), features),
        "Mul" if features.len() == 1 => Linear,
        "Div" if first_only => Linear,
        "Mul" | "Div" => NonLinear,
        "Flatten" | "Concat" => unless_along_batch(attribute_int(node, "axis").unwrap_or(1), Linear),
        "Split" => unless_along_batch(attribute_int(node, "axis").unwrap_or(0), Linear),
        // The second input of an Expand is a shape. A Gather acts on the first axis only as the second half of the dynamo
        // exporter's pooling, which the rewrite skips; otherwise vectors are missing when the rewrite is verified.
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
        // With three or more axes, the first is a batch axis on both sides.
        "MatMul" | "FusedMatMul" => {
            let transposes_batch =
                ["transA", "transBatchA", "transBatchB"].iter().any(|name| attribute_int(node, name) == Some(1));
            let is_batched = rank.is_some_and(|rank| rank > 2);
            match (features, transposes_batch) {
                ([0], false) => Linear,
                ([1], false) if is_batched => Linear,
                ([0, 1], false) if is_batched => NonLinear,
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
        | "ReduceLogSum" | "ReduceProd" => unless_any_along_batch(reduced_axes(graph, node), NonLinear),
        "LayerNormalization"
        | "SimplifiedLayerNormalization"
        | "RMSNormalization"
        | "LpNormalization"
        | "Softmax"
        | "LogSoftmax" => {
            let default_axis = if node.op_type().ends_with("max") && graph.opset() < 13 { 1 } else { -1 };
            unless_along_batch(attribute_int(node, "axis").unwrap_or(default_axis), NonLinear)
        }
        op if is_elementwise_or_norm(op) => NonLinear,
        _ => kind_of_fused(node, first_only),
    }
}

/// Non-linear operators that act on each vector or each value independently.
fn is_elementwise_or_norm(op: &str) -> bool {
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

/// [`kind`] of the fused operators of ONNX Runtime: products with an activation, norms and activations with a sum.
fn kind_of_fused(node: &NodeProto, first_only: bool) -> Kind {
    match node.op_type() {
        "FusedConv" | "NhwcFusedConv" if first_only => Kind::NonLinear,
        "FusedGemm" if first_only && attribute_int(node, "transA").unwrap_or(0) == 0 => Kind::NonLinear,
        "FusedConv" | "NhwcFusedConv" | "FusedGemm" => Kind::Mixes,
        "SkipLayerNormalization"
        | "SkipSimplifiedLayerNormalization"
        | "SkipGroupNorm"
        | "GroupNorm"
        | "BiasGelu"
        | "BiasSplitGelu"
        | "BiasDropout" => Kind::NonLinear,
        _ => Kind::Unknown,
    }
}

/// [`kind`] of an Einsum: it must keep the first axis of all features and never sum over it.
fn einsum(equation: &str, features: &[usize]) -> Kind {
    let equation: String = equation.split_whitespace().collect();
    let Some((terms, result)) = equation.split_once("->") else { return Kind::Unknown };
    // `...` covers the batch and possibly more axes.
    let first = |term: &str| if term.starts_with("...") { Some('.') } else { term.chars().next() };
    let terms: Vec<&str> = terms.split(',').collect();
    let Some(batch) = first(result) else { return Kind::Mixes };
    let keeps_batch = |at: &usize| terms.get(*at).is_some_and(|term| first(term) == Some(batch));
    if !features.iter().all(keeps_batch) {
        return Kind::Mixes;
    }
    if features.len() == 1 { Kind::Linear } else { Kind::NonLinear }
}

/// Rank of a node's output, if it can be determined.
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
    Refusal::no_cells(
        &format!(
            "{} between the pooling and the scores mixes vectors, so the score of a cell would depend on other cells",
            describe_node(node)
        ),
        "use a teacher whose head processes each pooled vector independently, or export a graph whose output is a score \
         map [batch, class, y, x]",
    )
}

fn unknown(node: &NodeProto) -> Refusal {
    Refusal::no_cells(
        &format!(
            "{} between the pooling and the scores is not known to process each vector independently",
            describe_node(node)
        ),
        "export it with standard operators (norms, convolutions, activations and linear layers are supported), or as a \
         graph whose output is a score map [batch, class, y, x]",
    )
}
