//! The dimensions of every tensor, observed in one run: ONNX Runtime writes them to its profile.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::labelling::teacher::graph::{Graph, NodeProto, ValueInfoProto, declare_untyped, without_dead_nodes};
use crate::labelling::teacher::rewrite::ImageInput;
use crate::labelling::teacher::runtime::{Optimisation, Runtime, SessionOptions};
use crate::labelling::teacher::scratch_folder::create_scratch_folder;
use crate::labelling::teacher::tensors::{FloatTensor, failed, ints_of};
use crate::shared::error::Error;

/// Dimensions of tensors, and values of small integer tensors that parameterise nodes.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    dims: HashMap<String, Vec<usize>>,
    parameters: HashMap<String, Vec<i64>>,
}

/// Largest number of values of a parameter tensor.
const MAX_PARAMETER_VALUES: usize = 1 << 20;

impl Shapes {
    pub(super) fn dims(&self, tensor: &str) -> Option<&[usize]> {
        self.dims.get(tensor).map(Vec::as_slice)
    }

    /// Values of a tensor that parameterises a node: starts, axes, indices.
    pub(super) fn parameter(&self, tensor: &str) -> Option<Vec<i64>> {
        self.parameters.get(tensor).cloned()
    }

    /// Runs the unmodified graph once without optimisation. `None` if the profile cannot be written or read.
    pub(super) fn observe(
        graph: &Graph,
        wanted: &str,
        input: (&ImageInput, &FloatTensor),
        runtime: &Runtime,
        options: SessionOptions<'_>,
        scratch_folder: &Path,
    ) -> Result<Option<Self>, Error> {
        let Some(scratch) = create_scratch_folder(scratch_folder) else { return Ok(None) };
        let mut shapes = Self::default();
        let (input, image) = input;
        shapes.dims.insert(input.name.clone(), image.dims.clone());
        let computed = shapes.read_constants(graph, &input.name, wanted);

        let (model, by_name) = observed_model(graph, input, wanted, &computed);
        let options = SessionOptions { profile: Some(scratch.path()), optimisation: Optimisation::None, ..options };
        let mut session = runtime.session(&model, &options)?;
        {
            let results =
                session.run(vec![(input.name.clone(), image.to_value()?)]).map_err(failed("run the teacher"))?;
            for (at, tensor) in computed.iter().enumerate() {
                if let Some(values) =
                    results.get(parameter_name(at)).and_then(ints_of).filter(|v| v.len() <= MAX_PARAMETER_VALUES)
                {
                    shapes.parameters.insert(tensor.clone(), values);
                }
            }
        }
        let profile = PathBuf::from(session.end_profiling().map_err(failed("write its profile"))?);
        let Ok(bytes) = std::fs::read(&profile) else { return Ok(None) };
        let Ok(events) = serde_json::from_slice::<Vec<Value>>(&bytes) else { return Ok(None) };
        for event in &events {
            let node = event["name"].as_str().and_then(|name| name.strip_suffix("_kernel_time"));
            let Some(&index) = node.and_then(|name| by_name.get(name)) else { continue };
            let outputs = graph.node(index).output.iter().filter(|output| !output.is_empty());
            for (output, shape) in outputs.zip(event["args"]["output_type_shape"].as_array().into_iter().flatten()) {
                if let Some(dims) = dims_of(shape) {
                    shapes.dims.insert(output.clone(), dims);
                }
            }
        }
        Ok(Some(shapes))
    }

    /// Reads constant parameters of nodes on the way to `wanted`, and returns the names of those that are computed.
    fn read_constants(&mut self, graph: &Graph, input: &str, wanted: &str) -> Vec<String> {
        let mut dependent = HashSet::from([input.to_owned()]);
        let mut computed = Vec::new();
        for index in graph.ancestors(&[wanted.to_owned()], &HashSet::from([input.to_owned()])) {
            let node = graph.node(index);
            let depends = |name: &String| dependent.contains(name);
            if !node.input.iter().any(depends) || matches!(node.op_type(), "Shape" | "Size") {
                continue;
            }
            let parameters: &[usize] = match node.op_type() {
                "Slice" => &[1, 2, 3, 4],
                "Gather" => &[1],
                "Pad" => &[1, 3],
                op if op.starts_with("Reduce") => &[1],
                _ => &[],
            };
            for name in parameters.iter().filter_map(|&at| node.input.get(at)).filter(|name| !name.is_empty()) {
                if self.parameters.contains_key(name) || computed.contains(name) || depends(name) {
                    continue;
                }
                match graph.constant_ints(name) {
                    Some(values) => {
                        self.parameters.insert(name.clone(), values);
                    }
                    None => computed.push(name.clone()),
                }
            }
            dependent.extend(node.output.iter().filter(|output| !output.is_empty()).cloned());
        }
        computed
    }
}

/// The graph up to `wanted` with a unique name for each node, and the computed parameters as outputs.
fn observed_model(
    graph: &Graph,
    input: &ImageInput,
    wanted: &str,
    computed: &[String],
) -> (Vec<u8>, HashMap<String, usize>) {
    let mut by_name = HashMap::new();
    let mut nodes: Vec<NodeProto> = Vec::with_capacity(graph.nodes().len() + computed.len());
    for (index, node) in graph.nodes().iter().enumerate() {
        let name = format!("relabel/observed/{index}");
        by_name.insert(name.clone(), index);
        nodes.push(NodeProto { name: Some(name), ..node.clone() });
    }
    nodes.extend(computed.iter().enumerate().map(|(at, tensor)| NodeProto {
        op_type: Some("Identity".to_owned()),
        name: Some(parameter_name(at)),
        input: vec![tensor.clone()],
        output: vec![parameter_name(at)],
        ..NodeProto::default()
    }));
    let outputs: Vec<ValueInfoProto> = std::iter::once(declare_untyped(wanted))
        .chain((0..computed.len()).map(|at| declare_untyped(&parameter_name(at))))
        .collect();
    let inputs = graph.input_declaration(&input.name).cloned().into_iter().collect();
    (graph.serialise_with(without_dead_nodes(nodes, &outputs), inputs, outputs, Vec::new()), by_name)
}

fn parameter_name(at: usize) -> String {
    format!("relabel/observed/parameter/{at}")
}

/// Parses dimensions of a profile: `{"float": [1, 64, 56, 56]}`.
fn dims_of(shape: &Value) -> Option<Vec<usize>> {
    let dims = shape.as_object()?.values().next()?.as_array()?;
    dims.iter().map(|dim| usize::try_from(dim.as_i64()?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_read_from_a_profile() {
        assert_eq!(dims_of(&serde_json::json!({ "float": [1, 64, 7, 7] })), Some(vec![1, 64, 7, 7]));
        assert_eq!(dims_of(&serde_json::json!({ "int64": [] })), Some(vec![]));
        assert_eq!(dims_of(&serde_json::json!({ "float": [-1] })), None);
    }
}
