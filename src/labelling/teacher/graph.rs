//! An ONNX model as a graph with indices: which node produces a tensor, which nodes consume it, which tensors are
//! constants.

mod append;
mod branches;
mod constants;
mod functions;
mod names;
mod normalise;
mod reach;
mod scopes;
mod topological_order;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message as _;

use super::external_data::{ExternalData, ExternalDataError};
use super::refusal::Refusal;
use super::{integrity, wire};

pub(crate) use super::onnx_proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, bodies, bodies_mut, element,
    is_standard_domain, proto,
};
pub(crate) use reach::Reachability;
pub(crate) use scopes::{Scopes, captured_names};

/// A graph in normal form, with indices: nodes are in topological order and have unique names, functions are inlined.
pub(crate) struct Graph {
    model: ModelProto,
    body: GraphProto,
    producers: HashMap<String, usize>,
    consumers: HashMap<String, Vec<usize>>,
    initializers: HashMap<String, usize>,
}

/// A graph input or output.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) element: i32,
    /// Sizes, `None` for free dimensions; `None` if not even their number is declared.
    pub(crate) dims: Option<Vec<Option<usize>>>,
}

impl Port {
    /// Number of dimensions, if it is declared.
    pub(crate) fn rank(&self) -> Option<usize> {
        self.dims.as_ref().map(Vec::len)
    }
}

impl Graph {
    /// Parses a serialised `ModelProto` and brings it into normal form (see `graph/normalise.rs`). Embedded weights stay
    /// slices of `bytes`.
    ///
    /// # Errors
    /// Returns a [`Refusal`] if the bytes are not a model, or if the model contradicts itself or is not supported.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, Refusal> {
        wire::check(&bytes).map_err(Refusal::damaged)?;
        let mut model = ModelProto::decode(bytes)
            .map_err(|error| Refusal::damaged(format!("not an ONNX model: cannot decode it: {error}")))?;
        match &model.graph {
            None => return Err(Refusal::damaged("not an ONNX model: it has no graph")),
            Some(graph) if graph.node.is_empty() => return Err(Refusal::damaged("the graph has no nodes")),
            Some(_) => {}
        }
        integrity::check(&model)?;
        normalise::normalise(&mut model)?;
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

    /// Iterates over all nodes, including those inside `If`, `Loop` and `Scan`.
    pub(crate) fn nodes_everywhere(&self) -> impl Iterator<Item = &NodeProto> {
        let mut open: Vec<&NodeProto> = self.body.node.iter().collect();
        std::iter::from_fn(move || {
            let node = open.pop()?;
            open.extend(bodies(node).flat_map(|body| &body.node));
            Some(node)
        })
    }

    /// Index of the node that produces `tensor`.
    pub(crate) fn producer(&self, tensor: &str) -> Option<usize> {
        self.producers.get(tensor).copied()
    }

    /// Indices of the nodes that consume `tensor`.
    pub(crate) fn consumers(&self, tensor: &str) -> &[usize] {
        self.consumers.get(tensor).map_or(&[], Vec::as_slice)
    }

    /// Opset version of the standard operators.
    pub(crate) fn opset(&self) -> i64 {
        let standard = self.model.opset_import.iter().find(|set| is_standard_domain(set.domain()));
        standard.map_or(1, proto::OperatorSetIdProto::version)
    }

    /// Key-value pairs of the model's metadata.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        self.model.metadata_props.iter().map(|entry| (entry.key(), entry.value()))
    }

    /// Graph inputs without weights, which old exports list as inputs too.
    pub(crate) fn inputs(&self) -> Vec<Port> {
        let is_no_weight = |input: &&ValueInfoProto| !self.initializers.contains_key(input.name());
        self.body.input.iter().filter(is_no_weight).map(port).collect()
    }

    pub(crate) fn outputs(&self) -> Vec<Port> {
        self.body.output.iter().map(port).collect()
    }

    /// Locations of the weights that are stored in separate files.
    pub(crate) fn external_weights(&self) -> impl Iterator<Item = Result<ExternalData, ExternalDataError>> {
        self.body.initializer.iter().filter(|tensor| !tensor.external_data.is_empty()).map(ExternalData::from_tensor)
    }

    /// Returns a name that no tensor of the graph has.
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

    /// Serialises a model with the given nodes, inputs and outputs. It has this model's version, operator sets and
    /// functions, and those of its weights that the nodes use.
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
            // Before version 4 every weight was required to be an input too.
            ir_version: Some(self.model.ir_version().max(4)),
            graph: Some(graph),
            metadata_props: Vec::new(),
            training_info: Vec::new(),
            ..self.model.clone()
        };
        model.encode_to_vec()
    }

    /// Indices of the nodes that the tensors in `wanted` depend on, in order. The search stops at the tensors in `given`.
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

    /// Whether `target` depends on values of `source` along a path through none of the `blocked` tensors. Shapes are not
    /// values: a path through `Shape` does not carry image content.
    pub(crate) fn depends_on(&self, target: &str, source: &str, blocked: &[&str]) -> bool {
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

    /// Returns the tensors among `stops` at which a search from `target` for `source` ends, in no particular order; `None`
    /// if it reaches `source` without passing through them. Shapes are not values, as in [`Graph::depends_on`].
    pub(crate) fn boundary<'a>(
        &'a self,
        target: &'a str,
        source: &str,
        stops: &HashSet<&str>,
    ) -> Option<HashSet<&'a str>> {
        let (mut seen, mut reached) = (HashSet::new(), HashSet::new());
        let mut open = vec![target];
        while let Some(tensor) = open.pop() {
            if tensor == source {
                return None;
            }
            if !seen.insert(tensor) {
                continue;
            }
            if stops.contains(tensor) {
                reached.insert(tensor);
                continue;
            }
            let Some(node) = self.producer(tensor).map(|index| self.node(index)) else { continue };
            if !matches!(node.op_type(), "Shape" | "Size") {
                open.extend(node.input.iter().map(String::as_str));
                open.extend(captured_names(node));
            }
        }
        Some(reached)
    }

    /// Whether the node that produces a tensor is one of the shape computations that exporters write.
    pub(crate) fn is_shape_computation(&self, tensor: &str) -> bool {
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

    /// Names of all inputs of a node and of its bodies.
    pub(crate) fn inputs_of(&self, index: usize) -> impl Iterator<Item = &str> {
        let node = self.node(index);
        node.input.iter().map(String::as_str).filter(|input| !input.is_empty()).chain(captured_names(node))
    }

    /// Dimensions of a weight.
    pub(crate) fn weight_dims(&self, tensor: &str) -> Option<&[i64]> {
        self.initializers.get(tensor).map(|&index| self.body.initializer[index].dims.as_slice())
    }

    /// The graph's own declaration of an input.
    pub(crate) fn input_declaration(&self, name: &str) -> Option<&ValueInfoProto> {
        self.body.input.iter().find(|input| input.name() == name)
    }
}

/// Removes the nodes whose results no output depends on.
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

/// Returns an integer attribute of a node.
pub(crate) fn attribute_int(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(AttributeProto::i)
}

/// Returns an attribute of a node that is a list of integers.
pub(crate) fn attribute_ints<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    attribute(node, name).map(|attribute| attribute.ints.as_slice())
}

/// Returns a string attribute of a node.
pub(crate) fn attribute_text<'a>(node: &'a NodeProto, name: &str) -> Option<&'a str> {
    attribute(node, name).and_then(|attribute| std::str::from_utf8(attribute.s()).ok())
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
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

/// Declares a tensor with the given element type; `None` is a free dimension.
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

/// Declares a tensor without a type, which ONNX Runtime infers.
pub(crate) fn declare_untyped(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
}
