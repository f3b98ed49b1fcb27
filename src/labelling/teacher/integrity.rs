//! Checks that a decoded model is consistent, so ONNX Runtime is never given one that contradicts itself: versions,
//! dimensions against data, and weights in separate files.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::external_data::{ExternalData, ExternalDataError};
use super::onnx_proto::proto::FunctionProto;
use super::onnx_proto::proto::tensor_proto::DataLocation;
use super::onnx_proto::{
    GraphProto, ModelProto, NodeProto, TensorProto, bits_per_value, bodies, element, is_standard_domain, value_count,
};
use super::refusal::Refusal;

/// Versions of the standard operators that are supported.
const OPSETS: std::ops::RangeInclusive<i64> = 9..=24;
/// Supported versions of the file format.
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 3..=13;

/// Operator domains that ONNX Runtime implements.
const DOMAINS: [&str; 12] = [
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "ai.onnx.training",
    "com.microsoft",
    "com.microsoft.dml",
    "com.microsoft.experimental",
    "com.microsoft.nchwc",
    "com.ms.internal.nhwc",
    "org.pytorch.aten",
];

/// Functions of a model. Exporters write far fewer, and the limit bounds the time of the search for recursion.
const MAX_FUNCTIONS: usize = 1000;

/// Reason a decoded model was rejected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntegrityError {
    /// More functions than [`MAX_FUNCTIONS`].
    #[error("the model has {count} functions; the limit is {MAX_FUNCTIONS}")]
    TooManyFunctions { count: usize },
    /// A function calls itself, directly or through others.
    #[error("the function `{name}` calls itself")]
    RecursiveFunction { name: String },
    /// Two weights of one graph have the same name.
    #[error("the model has two weights named `{name}`")]
    DuplicateWeight { name: String },
    /// The dimensions are negative, or their product is too large.
    #[error("{tensor} has an impossible number of values")]
    ImpossibleShape { tensor: TensorId },
    /// The element type is unknown.
    #[error("{tensor} has an unknown type, {data_type}")]
    UnknownType { tensor: TensorId, data_type: i32 },
    /// The raw data are not as long as the dimensions require.
    #[error("{tensor} requires {required} bytes, but it has {actual}")]
    WrongByteCount { tensor: TensorId, required: u128, actual: usize },
    /// There are not as many values as the dimensions require.
    #[error("{tensor} requires {required} values, but it has {actual}")]
    WrongValueCount { tensor: TensorId, required: u64, actual: u64 },
    /// Only weights may be stored in separate files.
    #[error("{tensor} is part of a node, but its data are in a separate file")]
    ConstantInSeparateFile { tensor: TensorId },
    /// The location of a weight in a separate file is not usable.
    #[error(transparent)]
    ExternalData(#[from] ExternalDataError),
}

/// Name and shape of a tensor, for messages.
#[derive(Debug)]
pub(crate) struct TensorId {
    name: String,
    dims: Vec<i64>,
}

impl From<&TensorProto> for TensorId {
    fn from(tensor: &TensorProto) -> Self {
        Self { name: tensor.name().to_owned(), dims: tensor.dims.clone() }
    }
}

impl fmt::Display for TensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the weight `{}` of shape {:?}", self.name, self.dims)
    }
}

/// Checks a model and all graphs inside it.
pub(crate) fn check(model: &ModelProto) -> Result<(), Refusal> {
    check_versions(model)?;
    check_contents(model).map_err(Refusal::damaged)
}

fn check_versions(model: &ModelProto) -> Result<(), Refusal> {
    let ir = model.ir_version();
    if !IR_VERSIONS.contains(&ir) {
        let problem = format!(
            "the model uses version {ir} of the ONNX format; {} to {} are supported",
            IR_VERSIONS.start(),
            IR_VERSIONS.end()
        );
        return Err(if (1..=100).contains(&ir) {
            Refusal::new(problem, "export it with a version of the `onnx` package that writes one of these")
        } else {
            Refusal::damaged(problem)
        });
    }
    let mut versions: HashMap<&str, i64> = HashMap::new();
    for set in &model.opset_import {
        let domain = if is_standard_domain(set.domain()) { "ai.onnx" } else { set.domain() };
        let version = set.version();
        if let Some(other) = versions.insert(domain, version).filter(|&other| other != version) {
            return Err(Refusal::new(
                format!("the model lists the operator set `{domain}` in two versions, {other} and {version}"),
                "export it again, or remove the version that its nodes do not use",
            ));
        }
    }
    let supported = format!("opsets {} to {} are supported", OPSETS.start(), OPSETS.end());
    match versions.get("ai.onnx") {
        Some(version) if OPSETS.contains(version) => Ok(()),
        Some(version) => Err(Refusal::new(
            format!("the model uses version {version} of the standard operators (opset {version}); {supported}"),
            format!(
                "export it with one of these opsets (17 or 20, for example), or convert it: \
                 `onnx.version_converter.convert_version(model, {})`",
                OPSETS.end()
            ),
        )),
        None => Err(Refusal::damaged(format!("the model names no version of the standard operators; {supported}"))),
    }
}

/// Checks that the domain of every node has an implementation. Functions need to have been inlined.
pub(crate) fn check_domains(model: &ModelProto) -> Result<(), Refusal> {
    let mut open: Vec<&NodeProto> = model.graph.iter().flat_map(|graph| &graph.node).collect();
    while let Some(node) = open.pop() {
        if !DOMAINS.contains(&node.domain()) {
            return Err(Refusal::new(
                format!(
                    "the model has an operator that neither ONNX nor ONNX Runtime defines: `{}` of the domain `{}` (node `{}`)",
                    node.op_type(),
                    node.domain(),
                    node.name()
                ),
                "export it with standard operators, or include the function that defines this one in the file",
            ));
        }
        open.extend(bodies(node).flat_map(|body| &body.node));
    }
    Ok(())
}

fn check_contents(model: &ModelProto) -> Result<(), IntegrityError> {
    check_recursion(model)?;
    let mut open: Vec<&GraphProto> = model.graph.iter().collect();
    let functions = model.functions.iter().flat_map(|function| &function.node);
    for node in functions {
        check_node(node, &mut open)?;
    }
    while let Some(graph) = open.pop() {
        let mut names = HashSet::new();
        for weight in &graph.initializer {
            if !names.insert(weight.name()) {
                return Err(IntegrityError::DuplicateWeight { name: weight.name().to_owned() });
            }
            check_tensor(weight, TensorRole::Weight)?;
        }
        for sparse in &graph.sparse_initializer {
            let mut parts = sparse.values.iter().chain(&sparse.indices);
            parts.try_for_each(|part| check_tensor(part, TensorRole::Constant))?;
        }
        for node in &graph.node {
            check_node(node, &mut open)?;
        }
    }
    Ok(())
}

fn check_node<'a>(node: &'a NodeProto, open: &mut Vec<&'a GraphProto>) -> Result<(), IntegrityError> {
    for attribute in &node.attribute {
        let mut tensors = attribute.t.iter().chain(&attribute.tensors);
        tensors.try_for_each(|tensor| check_tensor(tensor, TensorRole::Constant))?;
    }
    open.extend(bodies(node));
    Ok(())
}

/// Checks that no function calls itself, directly or through others: inlining it would not end.
fn check_recursion(model: &ModelProto) -> Result<(), IntegrityError> {
    let count = model.functions.len();
    if count > MAX_FUNCTIONS {
        return Err(IntegrityError::TooManyFunctions { count });
    }
    let indices: HashMap<_, usize> =
        model.functions.iter().enumerate().map(|(at, f)| ((f.domain(), f.name(), f.overload()), at)).collect();
    let calls = |function: &FunctionProto| {
        let mut called = HashSet::new();
        let mut open: Vec<&NodeProto> = function.node.iter().collect();
        while let Some(node) = open.pop() {
            called.extend(indices.get(&(node.domain(), node.op_type(), node.overload())));
            open.extend(bodies(node).flat_map(|body| &body.node));
        }
        called
    };
    let edges: Vec<HashSet<usize>> = model.functions.iter().map(calls).collect();
    // Functions that call none of the remaining ones are removed until nothing changes; what remains is recursive.
    let mut remaining: Vec<usize> = (0..count).collect();
    while !remaining.is_empty() {
        let before = remaining.len();
        let still: HashSet<usize> = remaining.iter().copied().collect();
        remaining.retain(|&at| !edges[at].is_disjoint(&still));
        if remaining.len() == before {
            let name = model.functions[remaining[0]].name().to_owned();
            return Err(IntegrityError::RecursiveFunction { name });
        }
    }
    Ok(())
}

/// Use of a tensor of the model.
#[derive(Clone, Copy, PartialEq)]
enum TensorRole {
    /// A weight of a graph; its values may be stored in a separate file.
    Weight,
    /// A constant in a node.
    Constant,
}

fn check_tensor(tensor: &TensorProto, role: TensorRole) -> Result<(), IntegrityError> {
    let Some(values) = value_count(tensor) else {
        return Err(IntegrityError::ImpossibleShape { tensor: tensor.into() });
    };
    if tensor.data_location() == DataLocation::External || !tensor.external_data.is_empty() {
        return match role {
            TensorRole::Weight => Ok(ExternalData::from_tensor(tensor).map(drop)?),
            TensorRole::Constant => Err(IntegrityError::ConstantInSeparateFile { tensor: tensor.into() }),
        };
    }
    let bits = bits_per_value(tensor.data_type());
    let raw_bytes = tensor.raw_data().len();
    let actual = if raw_bytes > 0 {
        let Some(bits) = bits else {
            return Err(IntegrityError::UnknownType { tensor: tensor.into(), data_type: tensor.data_type() });
        };
        let required = (values as u128 * u128::from(bits)).div_ceil(8);
        if required != raw_bytes as u128 {
            return Err(IntegrityError::WrongByteCount { tensor: tensor.into(), required, actual: raw_bytes });
        }
        values
    } else if tensor.data_type() == element::STRING {
        tensor.string_data.len() as u64
    } else {
        let lengths = [
            tensor.float_data.len() / if matches!(tensor.data_type(), 14) { 2 } else { 1 },
            tensor.double_data.len() / if matches!(tensor.data_type(), 15) { 2 } else { 1 },
            tensor.int64_data.len(),
            tensor.uint64_data.len(),
            // Types of less than a byte share one number.
            tensor.int32_data.len() * if bits == Some(4) { 2 } else { 1 },
        ];
        let longest = lengths.iter().copied().max().unwrap_or(0) as u64;
        if bits == Some(4) && longest == values + 1 { values } else { longest }
    };
    if actual == values {
        Ok(())
    } else {
        Err(IntegrityError::WrongValueCount { tensor: tensor.into(), required: values, actual })
    }
}
