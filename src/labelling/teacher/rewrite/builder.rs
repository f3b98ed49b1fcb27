//! A graph under construction: nodes and weights added to those of the teacher.

use crate::labelling::teacher::graph::{AttributeProto, Graph, NodeProto, TensorProto, element, proto};

pub(super) struct GraphBuilder<'a> {
    pub(super) graph: &'a Graph,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) weights: Vec<TensorProto>,
}

impl<'a> GraphBuilder<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        Self { graph, nodes: Vec::new(), weights: Vec::new() }
    }

    /// Adds a node with a fresh output name, which is returned.
    pub(super) fn add(&mut self, output: &str, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.graph.fresh_name(output);
        self.node(op, inputs, &output, attributes);
        output
    }

    pub(super) fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            op_type: Some(op.to_owned()),
            name: Some(format!("relabel/make/{output}")),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: attributes,
            ..NodeProto::default()
        });
    }

    /// Adds a Reshape to a constant shape (0 keeps an axis, -1 is inferred). It is used instead of Flatten, for which ONNX
    /// Runtime 1.31 has no CUDA kernel in operator sets 21 and later.
    pub(super) fn reshape(&mut self, output: &str, tensor: &str, shape: &[i64]) -> String {
        let shape = self.ints(&format!("{output}_shape"), shape);
        self.add(output, "Reshape", &[tensor, &shape], vec![])
    }

    pub(super) fn ints(&mut self, name: &str, values: &[i64]) -> String {
        let name = self.graph.fresh_name(name);
        self.weights.push(TensorProto {
            name: Some(name.clone()),
            dims: vec![values.len() as i64],
            data_type: Some(element::INT64),
            int64_data: values.to_vec(),
            ..TensorProto::default()
        });
        name
    }

    pub(super) fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) -> String {
        let name = self.graph.fresh_name(name);
        self.weights.push(TensorProto {
            name: Some(name.clone()),
            dims: dims.to_vec(),
            data_type: Some(element::FLOAT),
            float_data: values.to_vec(),
            ..TensorProto::default()
        });
        name
    }
}

/// An integer attribute.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(proto::attribute_proto::AttributeType::Int as i32),
        i: Some(value),
        ..AttributeProto::default()
    }
}

/// A list-of-integers attribute.
pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(proto::attribute_proto::AttributeType::Ints as i32),
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}
