//! The ONNX schema, generated from `onnx.proto`, and helpers that need no graph indices.

/// Message types of the ONNX schema.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub(crate) mod proto {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

pub(crate) use proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

/// Element types of the schema that matter here (`TensorProto.DataType`).
pub(crate) mod element {
    pub(crate) const FLOAT: i32 = 1;
    pub(crate) const UINT8: i32 = 2;
    pub(crate) const INT8: i32 = 3;
    pub(crate) const UINT16: i32 = 4;
    pub(crate) const INT16: i32 = 5;
    pub(crate) const INT32: i32 = 6;
    pub(crate) const INT64: i32 = 7;
    pub(crate) const STRING: i32 = 8;
    pub(crate) const BOOL: i32 = 9;
    pub(crate) const FLOAT16: i32 = 10;
    pub(crate) const DOUBLE: i32 = 11;
}

/// Whether `domain` is one of the two names of the domain of the standard operators.
pub(crate) fn is_standard_domain(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// The graphs among the attributes of a node (`If`, `Loop`, `Scan`).
pub(crate) fn bodies(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// Mutable [`bodies`].
pub(crate) fn bodies_mut(node: &mut NodeProto) -> impl Iterator<Item = &mut GraphProto> {
    node.attribute.iter_mut().flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs))
}

/// Whether a node computes on integers, and rounds its results to the range that was found when the model was quantised.
pub(crate) fn computes_on_integers(node: &NodeProto) -> bool {
    let op = node.op_type();
    op.starts_with("QLinear") || matches!(op, "QGemm" | "QAttention" | "MatMulInteger" | "ConvInteger")
}

/// Number of values of a tensor according to its dimensions; `None` if they are negative or impossibly large.
pub(crate) fn value_count(tensor: &TensorProto) -> Option<u64> {
    const MAX_VALUES: u64 = 1 << 40;
    let product = tensor.dims.iter().try_fold(1_u64, |product, &dim| product.checked_mul(u64::try_from(dim).ok()?))?;
    (product <= MAX_VALUES).then_some(product)
}

/// Bits per value of an element type (`TensorProto.DataType`); `None` for strings and unknown types.
pub(crate) fn bits_per_value(data_type: i32) -> Option<u32> {
    match data_type {
        2 | 3 | 9 | 17..=20 | 24 => Some(8),
        4 | 5 | 10 | 16 => Some(16),
        1 | 6 | 12 => Some(32),
        7 | 11 | 13 | 14 => Some(64),
        15 => Some(128),
        21..=23 => Some(4),
        _ => None,
    }
}
