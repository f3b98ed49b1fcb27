//! An ONNX model as a graph one can ask: who makes a tensor, who uses it, which tensors are constants.

mod branches;
mod extend;
mod functions;
mod names;
mod normal;
mod order;
mod reach;
mod scopes;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message as _;

use super::tail::Refusal;
use super::{integrity, wire};

/// Message types of the ONNX schema, generated from `onnx.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub(crate) mod proto {
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}

pub(crate) use proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
pub(crate) use reach::Reach;
pub(crate) use scopes::{Scopes, bodies, bodies_mut, captured_names};

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

/// A graph in normal form, with its indices: nodes are in topological order and have unique names, functions are
/// inlined.
pub(crate) struct Graph {
    model: ModelProto,
    body: GraphProto,
    producers: HashMap<String, usize>,
    consumers: HashMap<String, Vec<usize>>,
    initializers: HashMap<String, usize>,
}

/// A graph input or output: its name, element type, and dimensions (`None` where they are free).
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) element: i32,
    /// `None` when the graph does not even say how many dimensions there are.
    pub(crate) dims: Option<Vec<Option<usize>>>,
}

impl Port {
    /// How many dimensions it has, where the graph tells.
    pub(crate) fn rank(&self) -> Option<usize> {
        self.dims.as_ref().map(Vec::len)
    }
}

impl Graph {
    /// Reads a serialised `ModelProto` and brings it into normal form (see `graph/normal.rs`). Embedded weights stay
    /// slices of `bytes`.
    ///
    /// # Errors
    /// In words, if the bytes are not a model, if the model contradicts itself or is written in what is not supported.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, Refusal> {
        wire::check(&bytes).map_err(integrity::damaged)?;
        let not_a_model = |problem: String| integrity::damaged(format!("it is no ONNX model: {problem}"));
        let mut model = ModelProto::decode(bytes).map_err(|error| not_a_model(error.to_string()))?;
        let graph = model.graph.as_ref().ok_or_else(|| not_a_model("it has no graph".to_owned()))?;
        if graph.node.is_empty() {
            return Err(integrity::damaged("its graph has no nodes".to_owned()));
        }
        integrity::check(&model)?;
        normal::normalise(&mut model)?;
        integrity::check_domains(&model)?;
        let graph = model.graph.take().unwrap_or_default();
        let mut producers = HashMap::new();
        let mut consumers: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, node) in graph.node.iter().enumerate() {
            let inputs = node.input.iter().map(String::as_str).filter(|input| !input.is_empty());
            for input in inputs.chain(captured_names(node)) {
                let users = consumers.entry(input.to_owned()).or_default();
                if users.last() != Some(&index) {
                    users.push(index);
                }
            }
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                producers.insert(output.clone(), index);
            }
        }
        let initializers =
            graph.initializer.iter().enumerate().map(|(index, tensor)| (tensor.name().to_owned(), index)).collect();
        Ok(Self { model, body: graph, producers, consumers, initializers })
    }

    pub(crate) fn node(&self, index: usize) -> &NodeProto {
        &self.body.node[index]
    }

    pub(crate) fn nodes(&self) -> &[NodeProto] {
        &self.body.node
    }

    /// All nodes, those inside `If`, `Loop` and `Scan` too.
    pub(crate) fn nodes_everywhere(&self) -> impl Iterator<Item = &NodeProto> {
        let mut open: Vec<&NodeProto> = self.body.node.iter().collect();
        std::iter::from_fn(move || {
            let node = open.pop()?;
            open.extend(bodies(node).flat_map(|body| &body.node));
            Some(node)
        })
    }

    /// Index of the node that makes `tensor`.
    pub(crate) fn producer(&self, tensor: &str) -> Option<usize> {
        self.producers.get(tensor).copied()
    }

    /// Indices of the nodes that use `tensor`.
    pub(crate) fn consumers(&self, tensor: &str) -> &[usize] {
        self.consumers.get(tensor).map_or(&[], Vec::as_slice)
    }

    /// Version of the standard operators that the graph is written in.
    pub(crate) fn opset(&self) -> i64 {
        let standard = self.model.opset_import.iter().find(|set| is_standard_domain(set.domain()));
        standard.map_or(1, proto::OperatorSetIdProto::version)
    }

    /// What the model's file says of itself, key by key.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.model.metadata_props.iter().map(|entry| (entry.key(), entry.value()))
    }

    /// Graph inputs that a caller has to feed: old exports list their weights as inputs too, which are left out.
    pub(crate) fn inputs(&self) -> Vec<Port> {
        let fed = |input: &&ValueInfoProto| !self.initializers.contains_key(input.name());
        self.body.input.iter().filter(fed).map(port).collect()
    }

    pub(crate) fn outputs(&self) -> Vec<Port> {
        self.body.output.iter().map(port).collect()
    }

    /// The values of a small constant integer tensor, such as a shape or a list of axes.
    pub(crate) fn constant_ints(&self, tensor: &str) -> Option<Vec<i64>> {
        if let Some(&index) = self.initializers.get(tensor) {
            return tensor_ints(&self.body.initializer[index]);
        }
        let node = self.node(self.producer(tensor)?);
        if node.op_type() != "Constant" {
            return None;
        }
        let attribute = node.attribute.first()?;
        match attribute.name() {
            "value" => tensor_ints(attribute.t.as_ref()?),
            "value_int" => Some(vec![attribute.i()]),
            "value_ints" => Some(attribute.ints.clone()),
            _ => None,
        }
    }

    /// Weights that lie in files beside the model.
    pub(crate) fn external_weights(&self) -> impl Iterator<Item = Result<integrity::External, String>> {
        self.body.initializer.iter().filter(|tensor| !tensor.external_data.is_empty()).map(integrity::External::of)
    }

    /// A name that no tensor of the graph has.
    pub(crate) fn fresh_name(&self, wanted: &str) -> String {
        let taken = |name: &str| {
            self.producers.contains_key(name)
                || self.initializers.contains_key(name)
                || self.body.input.iter().any(|input| input.name() == name)
        };
        let mut name = format!("relabel/{wanted}");
        let mut number = 2_usize;
        while taken(&name) {
            name = format!("relabel/{wanted}.{number}");
            number += 1;
        }
        name
    }

    /// A serialised model with the given nodes, inputs and outputs, which takes version, operators and functions from
    /// this one and keeps only the weights that its nodes use.
    pub(crate) fn serialise_with(
        &self,
        nodes: Vec<NodeProto>,
        inputs: Vec<ValueInfoProto>,
        outputs: Vec<ValueInfoProto>,
        more_weights: Vec<TensorProto>,
    ) -> Vec<u8> {
        let mut used: HashSet<&str> = nodes.iter().flat_map(|node| node.input.iter().map(String::as_str)).collect();
        used.extend(nodes.iter().flat_map(captured_names));
        used.extend(outputs.iter().map(ValueInfoProto::name));
        let is_used = |tensor: &&TensorProto| used.contains(tensor.name());
        let initializer = self.body.initializer.iter().filter(is_used).cloned().chain(more_weights).collect();
        let sparse = self.body.sparse_initializer.clone();
        let graph = GraphProto {
            name: Some("relabel".to_owned()),
            node: nodes,
            initializer,
            sparse_initializer: sparse,
            input: inputs,
            output: outputs,
            ..GraphProto::default()
        };
        let model = ModelProto {
            // Before version 4 every weight had to be an input too.
            ir_version: Some(self.model.ir_version().max(4)),
            graph: Some(graph),
            metadata_props: Vec::new(),
            training_info: Vec::new(),
            ..self.model.clone()
        };
        model.encode_to_vec()
    }

    /// The nodes that the tensors in `wanted` need, in order. The walk ends at the tensors in `given`.
    pub(crate) fn ancestors(&self, wanted: &[String], given: &HashSet<String>) -> Vec<usize> {
        let mut needed = vec![false; self.body.node.len()];
        let mut open: Vec<String> = wanted.to_vec();
        while let Some(tensor) = open.pop() {
            if given.contains(&tensor) {
                continue;
            }
            let Some(index) = self.producer(&tensor) else { continue };
            if !needed[index] {
                needed[index] = true;
                open.extend(self.node(index).input.iter().cloned());
                open.extend(captured_names(self.node(index)).into_iter().map(str::to_owned));
            }
        }
        (0..needed.len()).filter(|&index| needed[index]).collect()
    }

    /// True when `target` depends on values of `source` in a way that passes through none of the `blocked` tensors.
    /// Shapes are no values: a path through `Shape` carries nothing of an image.
    pub(crate) fn sees(&self, target: &str, source: &str, blocked: &[&str]) -> bool {
        let mut seen: HashSet<&str> = blocked.iter().copied().collect();
        let mut open = vec![target];
        while let Some(tensor) = open.pop() {
            if tensor == source {
                return true;
            }
            if !seen.insert(tensor) {
                continue;
            }
            let Some(node) = self.producer(tensor).map(|index| self.node(index)) else { continue };
            if !matches!(node.op_type(), "Shape" | "Size") {
                open.extend(node.input.iter().map(String::as_str));
                open.extend(captured_names(node));
            }
        }
        false
    }

    /// The tensors among `stops` at which a walk over values from `target` towards `source` ends, in no order; `None` if it
    /// reaches `source` around them. Shapes are no values, as in [`Graph::sees`].
    pub(crate) fn boundary<'a>(
        &'a self,
        target: &'a str,
        source: &str,
        stops: &HashSet<&str>,
    ) -> Option<HashSet<&'a str>> {
        let (mut seen, mut met) = (HashSet::new(), HashSet::new());
        let mut open = vec![target];
        while let Some(tensor) = open.pop() {
            if tensor == source {
                return None;
            }
            if !seen.insert(tensor) {
                continue;
            }
            if stops.contains(tensor) {
                met.insert(tensor);
                continue;
            }
            let Some(node) = self.producer(tensor).map(|index| self.node(index)) else { continue };
            if !matches!(node.op_type(), "Shape" | "Size") {
                open.extend(node.input.iter().map(String::as_str));
                open.extend(captured_names(node));
            }
        }
        Some(met)
    }

    /// True when a tensor is computed from shapes and constants alone, near where it is used.
    pub(crate) fn is_arithmetic_on_shapes(&self, tensor: &str) -> bool {
        let Some(node) = self.producer(tensor).map(|index| self.node(index)) else { return false };
        match node.op_type() {
            "Shape" | "Size" => true,
            "Cast" | "Identity" | "Squeeze" | "Unsqueeze" | "Slice" => {
                node.input.first().is_some_and(|input| self.is_shape(input))
            }
            _ => false,
        }
    }

    fn is_shape(&self, tensor: &str) -> bool {
        self.producer(tensor).is_some_and(|index| self.node(index).op_type() == "Shape")
    }

    /// The names of everything that a node takes, its bodies included.
    pub(crate) fn taken_by(&self, index: usize) -> impl Iterator<Item = &str> {
        let node = self.node(index);
        node.input.iter().map(String::as_str).filter(|input| !input.is_empty()).chain(captured_names(node))
    }

    /// Dimensions of a weight.
    pub(crate) fn weight_dims(&self, tensor: &str) -> Option<&[i64]> {
        self.initializers.get(tensor).map(|&index| self.body.initializer[index].dims.as_slice())
    }

    /// The graph's own declaration of an input, to be kept as it is.
    pub(crate) fn input_declaration(&self, name: &str) -> Option<&ValueInfoProto> {
        self.body.input.iter().find(|input| input.name() == name)
    }
}

/// Drops the nodes whose outputs nobody uses, directly or through others.
pub(crate) fn without_dead_nodes(nodes: Vec<NodeProto>, outputs: &[ValueInfoProto]) -> Vec<NodeProto> {
    let mut wanted: HashSet<String> = outputs.iter().map(|output| output.name().to_owned()).collect();
    let mut kept: Vec<NodeProto> = Vec::with_capacity(nodes.len());
    for node in nodes.into_iter().rev() {
        if node.output.iter().any(|output| wanted.contains(output)) {
            wanted.extend(node.input.iter().cloned());
            wanted.extend(captured_names(&node).into_iter().map(str::to_owned));
            kept.push(node);
        }
    }
    kept.reverse();
    kept
}

/// True for the two names of the domain of the standard operators.
pub(crate) fn is_standard_domain(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// An integer attribute of a node.
pub(crate) fn attribute_int(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(AttributeProto::i)
}

/// An attribute of a node that is a list of integers.
pub(crate) fn attribute_ints<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    attribute(node, name).map(|attribute| attribute.ints.as_slice())
}

/// An attribute of a node that is text.
pub(crate) fn attribute_text<'a>(node: &'a NodeProto, name: &str) -> Option<&'a str> {
    attribute(node, name).and_then(|attribute| std::str::from_utf8(attribute.s()).ok())
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

/// Integers of a tensor of at most 64 values; longer ones are weights, which are never looked at.
fn tensor_ints(tensor: &TensorProto) -> Option<Vec<i64>> {
    let count = tensor.dims.iter().try_fold(1_i64, |product, &dim| product.checked_mul(dim))?;
    if !(0..=64).contains(&count) {
        return None;
    }
    let count = count as usize;
    let raw = tensor.raw_data();
    let values: Vec<i64> = match tensor.data_type() {
        element::INT64 if !tensor.int64_data.is_empty() => tensor.int64_data.clone(),
        element::INT64 => raw.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect(),
        element::INT32 if !tensor.int32_data.is_empty() => tensor.int32_data.iter().map(|&v| i64::from(v)).collect(),
        element::INT32 => raw.as_chunks::<4>().0.iter().map(|bytes| i64::from(i32::from_le_bytes(*bytes))).collect(),
        _ => return None,
    };
    (values.len() == count).then_some(values)
}

fn port(info: &ValueInfoProto) -> Port {
    use proto::tensor_shape_proto::dimension::Value;
    let tensor = match info.r#type.as_ref().and_then(|kind| kind.value.as_ref()) {
        Some(proto::type_proto::Value::TensorType(tensor)) => Some(tensor),
        _ => None,
    };
    let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| {
        let size = |dim: &proto::tensor_shape_proto::Dimension| match dim.value {
            Some(Value::DimValue(size)) if size > 0 => usize::try_from(size).ok(),
            _ => None,
        };
        shape.dim.iter().map(size).collect()
    });
    Port { name: info.name().to_owned(), element: tensor.map_or(0, proto::type_proto::Tensor::elem_type), dims }
}

/// A declaration of a tensor with the given element type; `None` is a free dimension.
pub(crate) fn declare(name: &str, element: i32, dims: &[Option<usize>]) -> ValueInfoProto {
    use proto::tensor_shape_proto::{Dimension, dimension::Value};
    use proto::{TensorShapeProto, TypeProto, type_proto};
    let dimension = |(index, dim): (usize, &Option<usize>)| Dimension {
        denotation: None,
        value: Some(match dim {
            Some(size) => Value::DimValue(*size as i64),
            None => Value::DimParam(format!("free_{index}")),
        }),
    };
    let shape = TensorShapeProto { dim: dims.iter().enumerate().map(dimension).collect() };
    let tensor = type_proto::Tensor { elem_type: Some(element), shape: Some(shape) };
    let kind = TypeProto { denotation: None, value: Some(type_proto::Value::TensorType(tensor)) };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(kind), ..ValueInfoProto::default() }
}

/// A declaration without a type, which ONNX Runtime infers.
pub(crate) fn declare_untyped(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
}
