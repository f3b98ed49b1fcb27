//! Inputs and outputs of a rewrite: the image input, the outputs, and the dimensions of the head.

use crate::labelling::teacher::Views;
use crate::labelling::teacher::tail::CellGrid;
use crate::shared::geometry::InputSize;

/// Names of the inputs and outputs of the rewritten graph.
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
    /// float32 `[batch, y, x]`, optional
    pub(crate) const LSE: &str = "relabel_lse";
    /// `[batch * y * x, class]`, of the copied head alone
    pub(crate) const ALL_SCORES: &str = "relabel_all_scores";
}

/// Layout of the teacher's input tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InputLayout {
    /// `[batch, channel, y, x]`, as PyTorch exports it.
    Nchw,
    /// `[batch, y, x, channel]`, as TensorFlow exports it.
    Nhwc,
}

/// The teacher's image input.
#[derive(Clone, Debug)]
pub(crate) struct ImageInput {
    pub(crate) name: String,
    pub(crate) element: i32,
    pub(crate) layout: InputLayout,
    /// Number of images per run, if the graph fixes it.
    pub(crate) fixed_batch: Option<usize>,
}

/// Dimensions and outputs of a rewritten graph.
#[derive(Clone, Debug)]
pub(crate) struct RewriteSpec {
    pub(crate) input_size: InputSize,
    pub(crate) grid: CellGrid,
    /// Classes kept per cell.
    pub(crate) k: usize,
    /// Classes kept in the prediction for the image.
    pub(crate) image_ranks: usize,
    pub(crate) class_count: usize,
    pub(crate) head_dims: HeadDims,
    pub(crate) views: Views,
    /// Whether the log-sum-exp of the scores of each cell is an output.
    pub(crate) with_lse: bool,
}

/// Dimensions of the input of the copied head, measured on the reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadDims {
    /// Cells per map.
    pub(crate) cells: usize,
    /// Channels of the features, of the values of one attention head, or the classes of a score map.
    pub(crate) channels: usize,
    /// Heads of an attention, else 1.
    pub(crate) heads: usize,
    /// Number of axes of the attention values.
    pub(crate) value_axes: usize,
}
