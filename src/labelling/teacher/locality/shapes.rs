//! The dimensions of every tensor, seen in one run: ONNX Runtime writes them into its profile.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::labelling::teacher::graph::{Graph, NodeProto, ValueInfoProto, declare_untyped, without_dead_nodes};
use crate::labelling::teacher::placement;
use crate::labelling::teacher::rewrite::ImageInput;
use crate::labelling::teacher::runtime::{Optimisation, Runtime, SessionOptions};
use crate::labelling::teacher::tensors::{Floats, failed, ints_of};
use crate::shared::error::Error;

/// The dimensions of tensors, and the values of small integer tensors that steer nodes.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    dims: HashMap<String, Vec<usize>>,
    controls: HashMap<String, Vec<i64>>,
}

/// Most values of a tensor that steers a node.
const MOST_CONTROL_VALUES: usize = 1 << 20;

impl Shapes {
    pub(super) fn dims(&self, tensor: &str) -> Option<&[usize]> {
        self.dims.get(tensor).map(Vec::as_slice)
    }

    /// The values of a tensor that steers a node: starts, axes, indices.
    pub(super) fn control(&self, tensor: &str) -> Option<Vec<i64>> {
        self.controls.get(tensor).cloned()
    }

    /// Runs the unmodified graph once, node by node as it is written. `None` where nothing can be seen of it: where the
    /// profile cannot be written or read.
    pub(super) fn seen(
        graph: &Graph,
        wanted: &str,
        input: (&ImageInput, &Floats),
        runtime: &Runtime,
        options: SessionOptions<'_>,
        scratch_folder: &Path,
    ) -> Result<Option<Self>, Error> {
        let Some(scratch) = placement::scratch(scratch_folder) else { return Ok(None) };
        let mut shapes = Self::default();
        let (input, image) = input;
        shapes.dims.insert(input.name.clone(), image.dims.clone());
        let asked = shapes.note_constants(graph, &input.name, wanted);

        let (model, by_name) = model_of(graph, input, wanted, &asked);
        let options = SessionOptions { profile: Some(scratch.path()), optimisation: Optimisation::None, ..options };
        let mut session = runtime.session(&model, &options)?;
        {
            let results =
                session.run(vec![(input.name.clone(), image.to_value()?)]).map_err(failed("run the teacher"))?;
            for (at, tensor) in asked.iter().enumerate() {
                if let Some(values) =
                    results.get(control_name(at)).and_then(ints_of).filter(|v| v.len() <= MOST_CONTROL_VALUES)
                {
                    shapes.controls.insert(tensor.clone(), values);
                }
            }
        }
        let profile = PathBuf::from(session.end_profiling().map_err(failed("end its profile"))?);
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

    /// Notes the constants that steer nodes on the way to `wanted`, and lists the tensors that have to be asked for.
    fn note_constants(&mut self, graph: &Graph, input: &str, wanted: &str) -> Vec<String> {
        let mut of_image = HashSet::from([input.to_owned()]);
        let mut asked = Vec::new();
        for index in graph.ancestors(&[wanted.to_owned()], &HashSet::from([input.to_owned()])) {
            let node = graph.node(index);
            let is_of_image = |name: &String| of_image.contains(name);
            if !node.input.iter().any(is_of_image) || matches!(node.op_type(), "Shape" | "Size") {
                continue;
            }
            let steering: &[usize] = match node.op_type() {
                "Slice" => &[1, 2, 3, 4],
                "Gather" => &[1],
                "Pad" => &[1, 3],
                op if op.starts_with("Reduce") => &[1],
                _ => &[],
            };
            for name in steering.iter().filter_map(|&at| node.input.get(at)).filter(|name| !name.is_empty()) {
                if self.controls.contains_key(name) || asked.contains(name) || is_of_image(name) {
                    continue;
                }
                match graph.constant_ints(name) {
                    Some(values) => {
                        self.controls.insert(name.clone(), values);
                    }
                    None => asked.push(name.clone()),
                }
            }
            of_image.extend(node.output.iter().filter(|output| !output.is_empty()).cloned());
        }
        asked
    }
}

/// The graph up to `wanted`, each node with a name of its own, and the steering tensors as outputs.
fn model_of(graph: &Graph, input: &ImageInput, wanted: &str, asked: &[String]) -> (Vec<u8>, HashMap<String, usize>) {
    let mut by_name = HashMap::new();
    let mut nodes: Vec<NodeProto> = Vec::with_capacity(graph.nodes().len() + asked.len());
    for (index, node) in graph.nodes().iter().enumerate() {
        let name = format!("relabel/seen/{index}");
        by_name.insert(name.clone(), index);
        nodes.push(NodeProto { name: Some(name), ..node.clone() });
    }
    nodes.extend(asked.iter().enumerate().map(|(at, tensor)| NodeProto {
        op_type: Some("Identity".to_owned()),
        name: Some(control_name(at)),
        input: vec![tensor.clone()],
        output: vec![control_name(at)],
        ..NodeProto::default()
    }));
    let outputs: Vec<ValueInfoProto> = std::iter::once(declare_untyped(wanted))
        .chain((0..asked.len()).map(|at| declare_untyped(&control_name(at))))
        .collect();
    let inputs = graph.input_declaration(&input.name).cloned().into_iter().collect();
    (graph.serialise_with(without_dead_nodes(nodes, &outputs), inputs, outputs, Vec::new()), by_name)
}

fn control_name(at: usize) -> String {
    format!("relabel/seen/control/{at}")
}

/// Dimensions as a profile has them: `{"float": [1, 64, 56, 56]}`.
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
