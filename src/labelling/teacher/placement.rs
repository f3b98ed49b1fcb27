//! Which nodes of a teacher do not run on the device that was asked for.
//!
//! ONNX Runtime puts a node on the processor, without a word, when the device has no kernel for it. What it really ran
//! where stands in its profile, which is kept for the proof's run alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ort::session::Session;
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use super::device::Device;
use super::tensors::failed;
use crate::shared::error::Error;

/// Where the nodes of a teacher ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Nodes that ran, after ONNX Runtime's own optimisation.
    pub nodes: usize,
    /// Those that did not run on the device that was asked for.
    pub elsewhere: Vec<Elsewhere>,
    /// Copies of tensors between the device and the processor, inside the graph.
    pub copies: usize,
}

/// A node that ran on another device than was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    /// Its name in the graph.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The provider that ran it, as ONNX Runtime calls it.
    pub on: String,
    /// Bytes of its results.
    pub bytes: u64,
}

impl Elsewhere {
    /// Results up to this size are shapes and indexes, which ONNX Runtime keeps on the processor on purpose.
    const SHAPE_BYTES: u64 = 1024;

    /// Whether it computes shapes, which costs nothing, or part of the image.
    #[must_use]
    pub fn is_shape_arithmetic(&self) -> bool {
        self.bytes <= Self::SHAPE_BYTES
    }
}

impl Placement {
    /// Nodes that compute part of the image elsewhere: each one drags tensors to the processor and back.
    pub fn fallen_back(&self) -> impl Iterator<Item = &Elsewhere> {
        self.elsewhere.iter().filter(|node| !node.is_shape_arithmetic())
    }

    /// Nodes that fell back in words, or nothing.
    #[must_use]
    pub fn warning(&self, device: &Device) -> Option<String> {
        const NAMED: usize = 8;
        let nodes: Vec<_> = self.fallen_back().map(|node| format!("{} ({})", node.node, node.op)).collect();
        let more = if nodes.len() > NAMED { format!(" and {} more", nodes.len() - NAMED) } else { String::new() };
        (!nodes.is_empty()).then(|| {
            format!(
                "{} of the teacher's {} nodes run on the processor, since ONNX Runtime has no kernel for them on {device}: \
                 {}{more}. Labels are right, but each such node costs two copies; `relabel teacher --json` names all. \
                 Another opset or exporter often helps",
                nodes.len(),
                self.nodes,
                nodes.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", "),
            )
        })
    }

    /// Ends a session's profile and reads it. `None` when there is none to read: that stops nobody.
    pub(super) fn take_from(session: &mut Session, device: Device) -> Result<Option<Self>, Error> {
        let file = PathBuf::from(session.end_profiling().map_err(failed("end its profile"))?);
        Ok(std::fs::read(&file).ok().and_then(|bytes| Self::of_profile(&bytes, device)))
    }

    /// From ONNX Runtime's profile, a JSON list of events; each node that ran has one that names its provider.
    fn of_profile(bytes: &[u8], device: Device) -> Option<Self> {
        let asked = match device {
            Device::Cpu => "CPUExecutionProvider",
            Device::Cuda { .. } => "CUDAExecutionProvider",
        };
        let events: Vec<Value> = serde_json::from_slice(bytes).ok()?;
        let mut nodes = BTreeMap::new();
        for event in &events {
            let text = |key: &str| event["args"][key].as_str();
            let (Some(provider), Some(op), Some(name)) = (text("provider"), text("op_name"), event["name"].as_str())
            else {
                continue;
            };
            let bytes = text("output_size").and_then(|size| size.parse().ok()).unwrap_or(0_u64);
            let node = name.strip_suffix("_kernel_time").unwrap_or(name);
            nodes.insert(node, (op, provider, bytes));
        }
        let is_copy = |op: &str| op.starts_with("Memcpy");
        let elsewhere = nodes.iter().filter(|(_, (op, provider, _))| *provider != asked && !is_copy(op));
        Some(Self {
            nodes: nodes.values().filter(|(op, ..)| !is_copy(op)).count(),
            elsewhere: elsewhere
                .map(|(&node, &(op, provider, bytes))| Elsewhere {
                    node: node.to_owned(),
                    op: op.to_owned(),
                    on: provider.to_owned(),
                    bytes,
                })
                .collect(),
            copies: nodes.values().filter(|(op, ..)| is_copy(op)).count(),
        })
    }
}

/// A folder for the profile, gone with the value; `None` where nothing can be written.
pub(super) fn scratch(folder: &Path) -> Option<TempDir> {
    let made = tempfile::Builder::new().prefix("relabel-").tempdir_in(folder);
    made.inspect_err(|error| tracing::debug!("which nodes run where is not seen: {}: {error}", folder.display())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events as ONNX Runtime 1.32 writes them, of a graph whose square root has no kernel on the device.
    #[test]
    fn nodes_that_ran_elsewhere_are_told_by_name() {
        let event = |name: &str, op: &str, provider: &str, bytes: u64| {
            serde_json::json!({
                "cat": "Node", "name": name, "dur": 5,
                "args": { "op_name": op, "provider": provider, "output_size": bytes.to_string() },
            })
        };
        let (cpu, cuda) = ("CPUExecutionProvider", "CUDAExecutionProvider");
        let mut events = vec![serde_json::json!({ "cat": "Session", "name": "model_run", "args": {} })];
        // Each node ran twice.
        for _ in 0..2 {
            events.extend([
                event("conv_kernel_time", "Conv", cuda, 1 << 20),
                event("root_kernel_time", "Sqrt", cpu, 1 << 20),
                event("shape_kernel_time", "Shape", cpu, 32),
                event("Memcpy_token_1_kernel_time", "MemcpyToHost", cuda, 1 << 20),
            ]);
        }
        let profile = serde_json::to_vec(&events).unwrap();
        let placement = Placement::of_profile(&profile, Device::cuda(0)).unwrap();
        assert_eq!((placement.nodes, placement.copies), (3, 1));
        let elsewhere = |node: &str, op: &str, bytes| Elsewhere {
            node: node.to_owned(),
            op: op.to_owned(),
            on: cpu.to_owned(),
            bytes,
        };
        assert_eq!(placement.elsewhere, [elsewhere("root", "Sqrt", 1 << 20), elsewhere("shape", "Shape", 32)]);
        let warning = placement.warning(&Device::cuda(0)).unwrap();
        assert!(warning.starts_with("1 of the teacher's 3 nodes") && warning.contains("root (Sqrt)"), "{warning}");
        assert!(!warning.contains("shape (Shape)"), "{warning}");

        let all_there = Placement::of_profile(&profile, Device::Cpu).unwrap();
        assert_eq!(all_there.elsewhere.len(), 1, "the convolution");
        assert_eq!(Placement::of_profile(b"no profile", Device::Cpu), None);
        assert_eq!(Placement { nodes: 3, ..Placement::default() }.warning(&Device::Cpu), None);
    }
}
