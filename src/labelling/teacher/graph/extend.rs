//! Nodes that are added to a graph behind its own, and the values of its small constants.

use std::collections::{HashMap, HashSet};

use super::{Graph, NodeProto, TensorProto, element};

impl Graph {
    /// Adds a node behind all others. Its inputs are made by nodes of the graph, its outputs are new.
    fn append(&mut self, node: NodeProto) {
        let index = self.body.node.len();
        for input in node.input.iter().filter(|input| !input.is_empty()) {
            let users = self.consumers.entry(input.clone()).or_default();
            if users.last() != Some(&index) {
                users.push(index);
            }
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            self.producers.insert(output.clone(), index);
        }
        self.body.node.push(node);
    }

    /// Copies what leads from `from` to `to`, so that it is fed by `fed` instead of `from`, and leaves out the nodes in
    /// `left_out`: what reads them reads the tensor beside them. Returns the copy of `to`. The original stays as it is.
    pub(crate) fn copy_between(
        &mut self,
        from: &str,
        to: &str,
        fed: &str,
        left_out: &HashMap<usize, String>,
    ) -> String {
        let mut renamed: HashMap<String, String> = HashMap::from([(from.to_owned(), fed.to_owned())]);
        for index in self.ancestors(&[to.to_owned()], &HashSet::from([from.to_owned()])) {
            let mut node = self.node(index).clone();
            if !node.input.iter().any(|input| renamed.contains_key(input)) {
                continue;
            }
            for input in &mut node.input {
                if let Some(name) = renamed.get(input) {
                    input.clone_from(name);
                }
            }
            if let Some(before) = left_out.get(&index) {
                let before = renamed.get(before).unwrap_or(before).clone();
                renamed.extend(node.output.first().map(|output| (output.clone(), before)));
                continue;
            }
            for output in node.output.iter_mut().filter(|output| !output.is_empty()) {
                let name = self.fresh_name(&format!("raw/{output}"));
                renamed.insert(std::mem::replace(output, name.clone()), name);
            }
            // The tensor's name is no other's.
            node.name = node.output.first().cloned();
            self.append(node);
        }
        renamed.remove(to).unwrap_or_else(|| fed.to_owned())
    }

    /// The one value of a constant float tensor: a scalar, or many equal values. `None` for everything else.
    pub(crate) fn constant_float(&self, tensor: &str) -> Option<f32> {
        let values = self.constant_floats(tensor)?;
        let first = *values.first()?;
        values.iter().all(|value| value.to_bits() == first.to_bits()).then_some(first)
    }

    /// The value of a constant whole number of 8 or 16 bits, such as a zero point, with the least and the largest that
    /// its type holds.
    pub(crate) fn constant_small_int(&self, tensor: &str) -> Option<(i32, [i32; 2])> {
        let tensor = &self.body.initializer[*self.initializers.get(tensor)?];
        let (bounds, bytes) = match tensor.data_type() {
            element::UINT8 => ([0, 255], 1),
            element::INT8 => ([-128, 127], 1),
            element::UINT16 => ([0, 65_535], 2),
            element::INT16 => ([-32_768, 32_767], 2),
            _ => return None,
        };
        let value = match (tensor.raw_data(), &tensor.int32_data[..]) {
            (_, &[value]) => value,
            (&[byte], []) if bytes == 1 => i32::from(byte),
            (&[low, high], []) if bytes == 2 => i32::from(u16::from_le_bytes([low, high])),
            _ => return None,
        };
        // Read without a sign; negative numbers lie above the largest.
        let value = if value > bounds[1] { value - (1 << (8 * bytes)) } else { value };
        Some((value, bounds))
    }

    /// The values of a constant float tensor of at most 65,536 values that is stored in the file itself.
    fn constant_floats(&self, tensor: &str) -> Option<Vec<f32>> {
        /// Nodes between a constant and its use that only give it another shape or type.
        const MOST_NODES: usize = 8;
        let mut tensor = tensor;
        for _ in 0..MOST_NODES {
            if let Some(&index) = self.initializers.get(tensor) {
                return tensor_floats(&self.body.initializer[index]);
            }
            let node = self.node(self.producer(tensor)?);
            match node.op_type() {
                "Constant" => {
                    let attribute = node.attribute.first()?;
                    return match attribute.name() {
                        "value" => tensor_floats(attribute.t.as_ref()?),
                        "value_float" => Some(vec![attribute.f()]),
                        "value_floats" => Some(attribute.floats.clone()),
                        _ => None,
                    };
                }
                "Identity" | "Cast" | "Unsqueeze" | "Squeeze" | "Reshape" | "Expand" => tensor = node.input.first()?,
                _ => return None,
            }
        }
        None
    }
}

fn tensor_floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    const MOST_VALUES: i64 = 1 << 16;
    let count = tensor.dims.iter().try_fold(1_i64, |product, &dim| product.checked_mul(dim))?;
    if !(1..=MOST_VALUES).contains(&count) || !tensor.external_data.is_empty() {
        return None;
    }
    let raw = tensor.raw_data();
    let values: Vec<f32> = match tensor.data_type() {
        element::FLOAT if !tensor.float_data.is_empty() => tensor.float_data.clone(),
        element::FLOAT => raw.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        element::FLOAT16 if !tensor.int32_data.is_empty() => {
            tensor.int32_data.iter().map(|&bits| half::f16::from_bits(bits as u16).to_f32()).collect()
        }
        element::FLOAT16 => {
            raw.as_chunks::<2>().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes).to_f32()).collect()
        }
        element::DOUBLE if !tensor.double_data.is_empty() => tensor.double_data.iter().map(|&v| v as f32).collect(),
        element::DOUBLE => raw.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
        _ => return None,
    };
    (values.len() as i64 == count).then_some(values)
}
