//! The ending of a classifier: raw scores, last pooling and head.

use super::layout::FeatureLayout;
use crate::labelling::teacher::graph::{Graph, NodeProto};

/// How a teacher ends.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Tensor of the raw scores, before a final activation.
    pub(crate) logits: String,
    /// The teacher's own output, which may be probabilities.
    pub(crate) output: String,
    /// Descriptions of the nodes between raw scores and output that the rewrite leaves out: a Softmax, a Log, ...
    pub(crate) left_out: Vec<String>,
    pub(crate) ending: Ending,
    /// Set if the head contains quantisers.
    pub(crate) quantised_head: Option<QuantisedHead>,
}

/// Source of the cells.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The features are averaged over the map, then the head runs once.
    Pooled(Pooling),
    /// No pooling: the scores already form a map, `[batch, class, y, x]` or `[batch, y, x, class]`.
    ScoreMap,
}

/// The last pooling and the head after it.
#[derive(Clone, Debug)]
pub(crate) struct Pooling {
    /// Index of the node that averages over the map, or of the last one if several do it together.
    pub(crate) node: usize,
    /// The features before the pooling, one vector per cell.
    pub(crate) features: String,
    /// Values of an attention pooling, `[.., cell, channel]`. The pooled vector of a single cell is then its value, not
    /// its feature vector.
    pub(crate) attention_values: Option<String>,
    /// Per-image vectors that the head takes in addition to the pooled features, such as a class token. They are
    /// repeated for every cell of the image.
    pub(crate) image_parts: Vec<String>,
    /// The features after the pooling, one vector per image.
    pub(crate) pooled: String,
    pub(crate) layout: FeatureLayout,
    /// Shape of the pooled features for a Reshape: 0 keeps the first axis, -1 is inferred.
    pub(crate) pooled_shape: Vec<i64>,
    /// Indices of the nodes that depend on the pooled features and contribute to the scores, in order.
    pub(crate) head: Vec<usize>,
    pub(crate) linearity: Linearity,
}

/// Whether the scores of an image are the mean of the scores of its cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Linearity {
    /// The head is linear, up to a constant: the mean over cells equals the score of the image.
    Linear,
    /// The head is not linear.
    NotLinear {
        /// Operator and name of the first non-linear node.
        because_of: String,
    },
}

/// A head with quantisers.
#[derive(Debug)]
pub(crate) struct QuantisedHead {
    /// Indices of the quantisers.
    pub(crate) quantisers: Vec<usize>,
    /// Indices of the nodes of pooling and head that should stay in float.
    pub(crate) float_nodes: Vec<usize>,
    /// The same ending without quantisers.
    pub(crate) without: Box<Tail>,
}

impl Tail {
    /// The tensor that the head takes: the features, or the score map itself.
    pub(crate) fn head_input(&self) -> &str {
        match &self.ending {
            Ending::Pooled(pooling) => &pooling.features,
            Ending::ScoreMap => &self.logits,
        }
    }

    /// Whether the head depends on the image only through [`Tail::head_input`], shapes aside.
    pub(crate) fn has_single_input(&self) -> bool {
        match &self.ending {
            Ending::Pooled(pooling) => pooling.attention_values.is_none() && pooling.image_parts.is_empty(),
            Ending::ScoreMap => true,
        }
    }

    /// Whether the mean of the cells' scores is the image's score.
    pub(crate) fn linearity(&self) -> Linearity {
        match &self.ending {
            Ending::Pooled(pooling) => pooling.linearity.clone(),
            // The image's scores are the mean by definition.
            Ending::ScoreMap => Linearity::Linear,
        }
    }
}

impl Pooling {
    /// The tensors needed to verify the rewrite: features, pooled features, values of an attention (the features again
    /// for a mean), and the per-image vectors.
    pub(crate) fn inspected_tensors(&self) -> impl Iterator<Item = &str> {
        let values = self.attention_values.as_ref().unwrap_or(&self.features);
        [&self.features, &self.pooled, values].into_iter().chain(&self.image_parts).map(String::as_str)
    }

    /// Remarks for the user on unusual poolings, one sentence each.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if self.attention_values.is_some() {
            remarks.push(
                "the score of a cell is the output of attention pooling and head for that cell alone: attention over a \
                 single token returns the value of that token"
                    .to_owned(),
            );
        }
        if !self.image_parts.is_empty() {
            remarks.push(format!(
                "the head also takes per-image vectors that bypass the pooling, such as a class token ({}): all cells of \
                 an image get the same vectors, so only the contribution of the pooled features varies from cell to cell",
                self.image_parts.iter().map(|part| format!("`{part}`")).collect::<Vec<_>>().join(", ")
            ));
        }
        remarks
    }

    /// Whether any node between the pooling and the scores has weights, as a classifier does. SqueezeNet has them before
    /// the pooling.
    pub(crate) fn has_classifier(&self, graph: &Graph) -> bool {
        self.head.iter().any(|&index| has_weights(graph.node(index)))
    }
}

/// Whether a node is a layer with weights, as classifiers have.
pub(super) fn has_weights(node: &NodeProto) -> bool {
    ["Gemm", "MatMul", "Conv", "Einsum"].iter().any(|kind| node.op_type().contains(kind))
}
