//! ONNX classifiers of a few nodes, with heads as real exporters write them. A small protobuf writer with its own field
//! numbers keeps the tests independent of the tested code.

/// A protobuf message under construction.
#[derive(Clone, Default)]
pub struct Message(Vec<u8>);

impl Message {
    pub fn int(mut self, field: u32, value: i64) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(value as u64);
        self
    }

    pub fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub fn message(self, field: u32, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A fixed or free dimension.
#[derive(Clone, Copy)]
pub enum Dim {
    Fixed(i64),
    Free,
}

/// A graph under construction.
#[derive(Clone, Default)]
pub struct TinyGraph {
    graph: Message,
    opset: i64,
    half: bool,
}

const FLOAT: i64 = 1;
const INT64: i64 = 7;
const HALF: i64 = 10;

impl TinyGraph {
    pub fn new(opset: i64) -> Self {
        Self { graph: Message::default().text(2, "tiny"), opset, half: false }
    }

    /// Makes weights, input and output float16.
    pub fn in_half(mut self) -> Self {
        self.half = true;
        self
    }

    fn float_type(&self) -> i64 {
        if self.half { HALF } else { FLOAT }
    }

    pub fn input(mut self, name: &str, dims: &[Dim]) -> Self {
        let info = port(name, self.float_type(), dims);
        self.graph = self.graph.message(11, &info);
        self
    }

    pub fn output(mut self, name: &str, dims: &[Dim]) -> Self {
        let info = port(name, self.float_type(), dims);
        self.graph = self.graph.message(12, &info);
        self
    }

    /// Adds a node. Attributes are created by [`ints`] and [`int`].
    pub fn node(self, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Self {
        let name = format!("{op}_{}", outputs[0]);
        self.raw(1, &node(op, inputs, outputs, attributes).text(3, &name))
    }

    /// Adds a node of another domain, such as `com.microsoft`.
    pub fn node_of(self, domain: &str, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Self {
        let name = format!("{op}_{}", outputs[0]);
        self.raw(1, &node(op, inputs, outputs, attributes).text(3, &name).text(7, domain))
    }

    /// Adds a node without a name.
    pub fn unnamed(self, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Self {
        self.raw(1, &node(op, inputs, outputs, attributes))
    }

    /// Adds a weight with different values that depend on its name.
    pub fn weight(mut self, name: &str, dims: &[i64]) -> Self {
        let seed = name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let count = dims.iter().product::<i64>() as u32;
        let value = |at: u32| {
            let mixed = (at.wrapping_add(seed)).wrapping_mul(2_654_435_761) >> 8;
            (mixed % 2001) as f32 / 1000.0 - 1.0
        };
        let values: Vec<u8> = if self.half {
            (0..count).flat_map(|at| half::f16::from_f32(value(at)).to_le_bytes()).collect()
        } else {
            (0..count).flat_map(|at| value(at).to_le_bytes()).collect()
        };
        let tensor = tensor(name, self.float_type(), dims).bytes(9, &values);
        self.graph = self.graph.message(5, &tensor);
        self
    }

    /// Adds a weight that is stored in a file next to the model. Returns the bytes of the file as well.
    pub fn external_weight(mut self, name: &str, dims: &[i64], file: &str) -> (Self, Vec<u8>) {
        let count = dims.iter().product::<i64>();
        let values: Vec<u8> = (0..count).flat_map(|at| ((at * 37 % 101) as f32 / 50.0 - 1.0).to_le_bytes()).collect();
        let entry = |key: &str, value: &str| Message::default().text(1, key).text(2, value);
        let tensor = tensor(name, FLOAT, dims)
            .message(13, &entry("location", file))
            .message(13, &entry("offset", "0"))
            .message(13, &entry("length", &values.len().to_string()))
            .int(14, 1);
        self.graph = self.graph.message(5, &tensor);
        (self, values)
    }

    pub fn shape(mut self, name: &str, values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = tensor(name, INT64, &[values.len() as i64]).bytes(9, &raw);
        self.graph = self.graph.message(5, &tensor);
        self
    }

    /// Adds a scalar float.
    pub fn number(mut self, name: &str, value: f32) -> Self {
        let tensor = tensor(name, FLOAT, &[]).bytes(9, &value.to_le_bytes());
        self.graph = self.graph.message(5, &tensor);
        self
    }

    /// Adds any field of the graph, for graphs that exporters do not write.
    pub fn raw(mut self, field: u32, message: &Message) -> Self {
        self.graph = self.graph.message(field, message);
        self
    }

    /// Adds a scalar integer, such as the index of a Gather.
    pub fn scalar(mut self, name: &str, value: i64) -> Self {
        let tensor = tensor(name, INT64, &[]).bytes(9, &value.to_le_bytes());
        self.graph = self.graph.message(5, &tensor);
        self
    }

    /// Returns the graph without a model.
    pub fn graph(self) -> Message {
        self.graph
    }

    pub fn finish(self) -> Vec<u8> {
        self.finish_with(&[], &[])
    }

    /// Returns the model with additional operator sets and with functions created by [`function`].
    pub fn finish_with(self, opsets: &[(&str, i64)], functions: &[Message]) -> Vec<u8> {
        let opset = |(domain, version): (&str, i64)| Message::default().text(1, domain).int(2, version);
        let mut model = Message::default().int(1, 8).text(2, "tiny").message(7, &self.graph);
        for &set in [("", self.opset)].iter().chain(opsets) {
            model = model.message(8, &opset(set));
        }
        functions.iter().fold(model, |model, function| model.message(25, function)).finish()
    }
}

/// A node without a name.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    let node = outputs.iter().fold(node, |node, output| node.text(2, output)).text(4, op);
    attributes.iter().fold(node, |node, attribute| node.message(5, attribute))
}

/// A function of the domain `tiny`.
pub fn function(name: &str, inputs: &[&str], outputs: &[&str], nodes: &[Message], opset: i64) -> Message {
    let function = inputs.iter().fold(Message::default().text(1, name), |function, input| function.text(4, input));
    let function = outputs.iter().fold(function, |function, output| function.text(5, output));
    let function = nodes.iter().fold(function, |function, node| function.message(7, node));
    let set = |domain: &str, version: i64| Message::default().text(1, domain).int(2, version);
    function.message(9, &set("", opset)).message(9, &set("tiny", 1)).text(10, "tiny")
}

/// An attribute that refers to the attribute `from` of the function call.
pub fn attribute_of_call(name: &str, from: &str, kind: i64) -> Message {
    Message::default().text(1, name).int(20, kind).text(21, from)
}

/// A text attribute.
pub fn text(name: &str, value: &str) -> Message {
    Message::default().text(1, name).text(4, value).int(20, 3)
}

pub fn int(name: &str, value: i64) -> Message {
    Message::default().text(1, name).int(3, value).int(20, 2)
}

pub fn ints(name: &str, values: &[i64]) -> Message {
    values.iter().fold(Message::default().text(1, name), |attribute, &value| attribute.int(8, value)).int(20, 7)
}

pub fn float(name: &str, value: f32) -> Message {
    let mut attribute = Message::default().text(1, name).int(20, 1);
    attribute.0.push(2 << 3 | 5);
    attribute.0.extend(value.to_le_bytes());
    attribute
}

/// A graph attribute, as of `If` and `Loop`.
pub fn subgraph(name: &str, graph: &Message) -> Message {
    Message::default().text(1, name).message(6, graph).int(20, 5)
}

pub fn tensor(name: &str, kind: i64, dims: &[i64]) -> Message {
    dims.iter().fold(Message::default(), |tensor, &dim| tensor.int(1, dim)).int(2, kind).text(8, name)
}

fn port(name: &str, kind: i64, dims: &[Dim]) -> Message {
    let mut shape = Message::default();
    for (at, dim) in dims.iter().enumerate() {
        let dimension = match dim {
            Dim::Fixed(size) => Message::default().int(1, *size),
            Dim::Free => Message::default().text(2, &format!("{name}_{at}")),
        };
        shape = shape.message(1, &dimension);
    }
    let tensor_type = Message::default().int(1, kind).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor_type))
}
