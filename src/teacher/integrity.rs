//! Checks what a decoded model says of itself, so that nothing is handed to ONNX Runtime that contradicts itself: versions,
//! dimensions against data, and weights outside the file.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::graph::proto::tensor_proto::DataLocation;
use super::graph::proto::{OperatorSetIdProto, StringStringEntryProto};
use super::graph::{GraphProto, ModelProto, NodeProto, TensorProto, element};

/// Versions of the standard operators that are understood.
pub(crate) const OPSETS: std::ops::RangeInclusive<i64> = 9..=24;
/// Versions of the file format.
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 3..=13;

/// Checks a model and all graphs inside it.
///
/// # Errors
/// In words.
pub(crate) fn check(model: &ModelProto) -> Result<(), String> {
    let ir = model.ir_version();
    if !IR_VERSIONS.contains(&ir) {
        return Err(format!(
            "it says that it is of version {ir} of the ONNX format; {} to {} are supported",
            IR_VERSIONS.start(),
            IR_VERSIONS.end()
        ));
    }
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let opsets: Vec<i64> =
        model.opset_import.iter().filter(|set| standard(set.domain())).map(OperatorSetIdProto::version).collect();
    if opsets.len() != 1 || !OPSETS.contains(&opsets[0]) {
        let said = match opsets[..] {
            [] => "names no version of the standard operators".to_owned(),
            [one] => format!("is written in opset {one}"),
            _ => format!("names several versions of the standard operators {opsets:?}"),
        };
        return Err(format!("it {said}; opsets {} to {} are supported", OPSETS.start(), OPSETS.end()));
    }
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
        open.extend(attribute.g.iter().chain(&attribute.graphs));
        attribute.t.iter().chain(&attribute.tensors).try_for_each(|tensor| check_tensor(tensor, Place::Constant))?;
    }
    Ok(())
}

/// A function of the model that calls itself, directly or through others, would never end.
fn functions_end(model: &ModelProto) -> Result<(), String> {
    let calls = |at: usize| {
        let called = model.functions[at].node.iter().filter_map(|node| {
            model.functions.iter().position(|f| f.name() == node.op_type() && f.domain() == node.domain())
        });
        called.collect::<Vec<_>>()
    };
    // A thousand functions are more than any exporter writes, and bound the time of this search.
    if model.functions.len() > 1000 {
        return Err(format!("it has {} functions; 1000 are accepted", model.functions.len()));
    }
    let mut left: Vec<usize> = (0..model.functions.len()).collect();
    let edges: Vec<Vec<usize>> = left.iter().map(|&at| calls(at)).collect();
    while !left.is_empty() {
        let before = left.len();
        let still: HashSet<usize> = left.iter().copied().collect();
        left.retain(|&at| edges[at].iter().any(|called| still.contains(called)));
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
