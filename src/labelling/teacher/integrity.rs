//! Checks what a decoded model says of itself, so that nothing is handed to ONNX Runtime that contradicts itself: versions,
//! dimensions against data, and weights outside the file.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use super::graph::proto::tensor_proto::DataLocation;
use super::graph::proto::{FunctionProto, StringStringEntryProto};
use super::graph::{GraphProto, ModelProto, NodeProto, TensorProto, bodies, element, is_standard_domain};
use super::tail::Refusal;

/// Versions of the standard operators that are understood.
pub(crate) const OPSETS: std::ops::RangeInclusive<i64> = 9..=24;
/// Versions of the file format.
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 3..=13;

/// Domains of operators that ONNX Runtime knows.
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

/// Checks a model and all graphs inside it.
///
/// # Errors
/// In words.
pub(crate) fn check(model: &ModelProto) -> Result<(), Refusal> {
    check_versions(model)?;
    check_contents(model).map_err(damaged)
}

/// A refusal of a file that is broken.
pub(crate) fn damaged(problem: String) -> Refusal {
    Refusal::new(
        problem,
        "check that the file arrived whole and is an .onnx export; `models/README.md` has export commands",
    )
}

fn check_versions(model: &ModelProto) -> Result<(), Refusal> {
    let ir = model.ir_version();
    if !IR_VERSIONS.contains(&ir) {
        let problem = format!(
            "it is written in version {ir} of the ONNX format; {} to {} are supported",
            IR_VERSIONS.start(),
            IR_VERSIONS.end()
        );
        return Err(if (1..=100).contains(&ir) {
            Refusal::new(problem, "export it with a version of the `onnx` package that writes one of these")
        } else {
            damaged(problem)
        });
    }
    let mut versions: HashMap<&str, i64> = HashMap::new();
    for set in &model.opset_import {
        let domain = if is_standard_domain(set.domain()) { "ai.onnx" } else { set.domain() };
        let version = set.version();
        if let Some(other) = versions.insert(domain, version).filter(|&other| other != version) {
            return Err(Refusal::new(
                format!("it lists the operator set `{domain}` in two versions, {other} and {version}"),
                "export it again, or take the version out that its nodes are not written in",
            ));
        }
    }
    let supported = format!("opsets {} to {} are supported", OPSETS.start(), OPSETS.end());
    match versions.get("ai.onnx") {
        Some(version) if OPSETS.contains(version) => Ok(()),
        Some(version) => Err(Refusal::new(
            format!("it is written in version {version} of the standard operators (opset {version}); {supported}"),
            format!(
                "export it in one of these (17 or 20, for example), or convert it: \
                 `onnx.version_converter.convert_version(model, {})`",
                OPSETS.end()
            ),
        )),
        None => Err(damaged(format!("it names no version of the standard operators; {supported}"))),
    }
}

/// Checks that there may be an implementation of every node, once functions are inlined.
///
/// # Errors
/// In words, with the first node whose domain is not known.
pub(crate) fn check_domains(model: &ModelProto) -> Result<(), Refusal> {
    let mut open: Vec<&NodeProto> = model.graph.iter().flat_map(|graph| &graph.node).collect();
    while let Some(node) = open.pop() {
        if !DOMAINS.contains(&node.domain()) {
            return Err(Refusal::new(
                format!(
                    "it has an operator that is neither ONNX's nor ONNX Runtime's: `{}` of the domain `{}` (node `{}`)",
                    node.op_type(),
                    node.domain(),
                    node.name()
                ),
                "export it with standard operators, or with the function that defines this one in the file",
            ));
        }
        open.extend(bodies(node).flat_map(|body| &body.node));
    }
    Ok(())
}

fn check_contents(model: &ModelProto) -> Result<(), String> {
    functions_end(model)?;
    let mut open: Vec<&GraphProto> = model.graph.iter().collect();
    let functions = model.functions.iter().flat_map(|function| &function.node);
    for node in functions {
        check_node(node, &mut open)?;
    }
    while let Some(graph) = open.pop() {
        let mut names = HashSet::new();
        for weight in &graph.initializer {
            if !names.insert(weight.name()) {
                return Err(format!("its weight `{}` is there twice", weight.name()));
            }
            check_tensor(weight, Place::Weight)?;
        }
        for sparse in &graph.sparse_initializer {
            sparse.values.iter().chain(&sparse.indices).try_for_each(|part| check_tensor(part, Place::Constant))?;
        }
        for node in &graph.node {
            check_node(node, &mut open)?;
        }
    }
    Ok(())
}

fn check_node<'a>(node: &'a NodeProto, open: &mut Vec<&'a GraphProto>) -> Result<(), String> {
    for attribute in &node.attribute {
        attribute.t.iter().chain(&attribute.tensors).try_for_each(|tensor| check_tensor(tensor, Place::Constant))?;
    }
    open.extend(bodies(node));
    Ok(())
}

/// A function of the model that calls itself, directly or through others, would never end.
fn functions_end(model: &ModelProto) -> Result<(), String> {
    // A thousand functions are more than any exporter writes, and bound the time of this search.
    if model.functions.len() > 1000 {
        return Err(format!("it has {} functions; 1000 are accepted", model.functions.len()));
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
    let mut left: Vec<usize> = (0..model.functions.len()).collect();
    while !left.is_empty() {
        let before = left.len();
        let still: HashSet<usize> = left.iter().copied().collect();
        left.retain(|&at| !edges[at].is_disjoint(&still));
        if left.len() == before {
            return Err(format!("its function `{}` calls itself", model.functions[left[0]].name()));
        }
    }
    Ok(())
}

/// Where a tensor stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Among the weights of a graph; its values may lie in another file.
    Weight,
    /// In a node.
    Constant,
}

fn check_tensor(tensor: &TensorProto, place: Place) -> Result<(), String> {
    let named = || format!("its weight `{}` of shape {:?}", tensor.name(), tensor.dims);
    let values =
        count(tensor).ok_or_else(|| format!("{} has more values than there can be, or fewer than none", named()))?;
    if tensor.data_location() == DataLocation::External || !tensor.external_data.is_empty() {
        return if place == Place::Weight {
            External::of(tensor).map(|_| ())
        } else {
            Err(format!("{} is part of a node but lies in another file", named()))
        };
    }
    let bits = bits_of(tensor.data_type());
    let have = if !tensor.raw_data().is_empty() {
        let Some(bits) = bits else { return Err(format!("{} has an unknown type, {}", named(), tensor.data_type())) };
        let bytes = (values as u128 * u128::from(bits)).div_ceil(8);
        if bytes != tensor.raw_data().len() as u128 {
            return Err(format!("{} should have {bytes} bytes and has {}", named(), tensor.raw_data().len()));
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
        let most = lengths.iter().copied().max().unwrap_or(0) as u64;
        if bits == Some(4) && most == values + 1 { values } else { most }
    };
    if have == values { Ok(()) } else { Err(format!("{} should have {values} values and has {have}", named())) }
}

/// Values of a tensor, by its dimensions.
fn count(tensor: &TensorProto) -> Option<u64> {
    const MOST: u64 = 1 << 40;
    let product = tensor.dims.iter().try_fold(1_u64, |product, &dim| product.checked_mul(u64::try_from(dim).ok()?))?;
    (product <= MOST).then_some(product)
}

/// Bits of a value of an element type (`TensorProto.DataType`); `None` for text and what is not known.
fn bits_of(data_type: i32) -> Option<u32> {
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

/// Where a weight lies in a file beside the model.
pub(crate) struct External {
    pub(crate) location: String,
    offset: u64,
    length: Option<u64>,
    /// Bytes that its dimensions ask for.
    bytes: u64,
    name: String,
}

impl External {
    /// What a tensor says of it; its path is checked, the file is not looked at.
    pub(crate) fn of(tensor: &TensorProto) -> Result<Self, String> {
        let name = tensor.name().to_owned();
        let entry =
            |key: &str| tensor.external_data.iter().find(|entry| entry.key() == key).map(StringStringEntryProto::value);
        let number = |key: &str| {
            entry(key)
                .map(|text| text.parse::<u64>().map_err(|_| format!("its weight `{name}` has the {key} `{text}`")))
                .transpose()
        };
        let location = entry("location").filter(|location| !location.is_empty());
        let location =
            location.ok_or_else(|| format!("its weight `{name}` lies in a file that is not named"))?.to_owned();
        let stays =
            Path::new(&location).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        // ONNX Runtime reads its own memory under this name.
        if !stays || location.contains('\0') || location.contains("_ORT_MEM_ADDR_") {
            return Err(outside(&location));
        }
        let bits = bits_of(tensor.data_type());
        let bits = bits.ok_or_else(|| format!("its weight `{name}` has an unknown type, {}", tensor.data_type()))?;
        let bytes = count(tensor).map_or(0, |values| (values * u64::from(bits)).div_ceil(8));
        Ok(Self { location, offset: number("offset")?.unwrap_or(0), length: number("length")?, bytes, name })
    }

    /// Checks that the file holds as much as is said, `file_bytes` being its length.
    pub(crate) fn fits(&self, file_bytes: u64) -> Result<(), String> {
        let length = self.length.unwrap_or(self.bytes);
        if length != self.bytes {
            return Err(format!(
                "its weight `{}` needs {} bytes, but {length} are set aside for it",
                self.name, self.bytes
            ));
        }
        match self.offset.checked_add(length) {
            Some(end) if end <= file_bytes => Ok(()),
            _ => Err(format!(
                "its weight `{}` should lie at bytes {} to {} of `{}`, which has {file_bytes}",
                self.name,
                self.offset,
                u128::from(self.offset) + u128::from(length),
                self.location
            )),
        }
    }
}

/// The file at `location` in `folder`, links followed, as long as it stays inside.
pub(crate) fn inside(folder: &Path, location: &str) -> Result<Option<PathBuf>, String> {
    let (Ok(folder), Ok(path)) = (
        std::fs::canonicalize(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }),
        std::fs::canonicalize(folder.join(location)),
    ) else {
        return Ok(None);
    };
    if path.starts_with(&folder) { Ok(path.is_file().then_some(path)) } else { Err(outside(location)) }
}

fn outside(location: &str) -> String {
    let shown: String = location.chars().take(200).collect();
    format!("it asks for weights outside its own folder: {shown}")
}
