//! Values of the small constants of a graph.

use super::{Graph, TensorProto, element};

impl Graph {
    /// Returns the values of a small constant integer tensor, such as a shape or a list of axes.
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

    /// Returns the value of a constant float tensor whose values are all equal; `None` for everything else.
    pub(crate) fn constant_float(&self, tensor: &str) -> Option<f32> {
        let values = self.constant_floats(tensor)?;
        let first = *values.first()?;
        values.iter().all(|value| value.to_bits() == first.to_bits()).then_some(first)
    }

    /// Returns the value of a constant integer of 8 or 16 bits, such as a zero point, and the limits of its type.
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
        // Read as unsigned; negative values are above the upper limit.
        let value = if value > bounds[1] { value - (1 << (8 * bytes)) } else { value };
        Some((value, bounds))
    }

    /// Returns the values of a constant float tensor of at most 65,536 values that is embedded in the file.
    fn constant_floats(&self, tensor: &str) -> Option<Vec<f32>> {
        /// Nodes between a constant and its use that only change its shape or type.
        const MAX_NODES: usize = 8;
        let mut tensor = tensor;
        for _ in 0..MAX_NODES {
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
    const MAX_VALUES: i64 = 1 << 16;
    let count = tensor.dims.iter().try_fold(1_i64, |product, &dim| product.checked_mul(dim))?;
    if !(1..=MAX_VALUES).contains(&count) || !tensor.external_data.is_empty() {
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

/// Returns the integers of a tensor of at most 64 values; longer ones are weights, which are never read.
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
