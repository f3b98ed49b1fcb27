//! Comparison of labels bit by bit.

use half::slice::HalfFloatSliceExt as _;

use crate::shared::label_map::{ImagePrediction, LabelMap};

/// Returns whether two maps have the same shape, and the same bits in all scores, class ids and log-sum-exps that both have.
pub(super) fn has_same_bits(a: &LabelMap, b: &LabelMap) -> bool {
    let is_same_lse = || match (a.lse(), b.lse()) {
        (Some(a), Some(b)) => a.reinterpret_cast() == b.reinterpret_cast(),
        _ => true,
    };
    let is_same_shape = (a.size(), a.k()) == (b.size(), b.k());
    is_same_shape
        && a.cell_classes() == b.cell_classes()
        && a.cell_scores().reinterpret_cast() == b.cell_scores().reinterpret_cast()
        && is_same_lse()
}

/// Returns whether two predictions have the same classes, and probabilities with the same bits.
pub(super) fn is_same_prediction(a: &ImagePrediction, b: &ImagePrediction) -> bool {
    a.classes() == b.classes() && a.probs().reinterpret_cast() == b.probs().reinterpret_cast()
}
