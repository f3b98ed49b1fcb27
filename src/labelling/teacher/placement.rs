//! Finds the nodes of a teacher that do not run on the requested device.
//!
//! ONNX Runtime silently runs a node on the CPU if the device has no kernel for it. Its profile records where each node
//! actually ran; it is written for the verification run only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ort::session::Session;
use serde::Serialize;
use serde_json::Value;

use super::device::Device;
use super::tensors::failed;
use crate::shared::error::Error;

/// Where the nodes of a teacher ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Number of nodes that ran, after ONNX Runtime's optimisation.
    pub nodes: usize,
    /// Nodes that did not run on the requested device.
    pub elsewhere: Vec<OffDeviceNode>,
    /// Number of copies of tensors between the device and the CPU within the graph.
    pub copies: usize,
}

/// A node that ran on a different device than the requested one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OffDeviceNode {
    /// Name in the graph.
    pub node: String,
    /// Operator.
    pub op: String,
    /// The execution provider that ran it.
    pub on: String,
    /// Size of its results in bytes.
    pub bytes: u64,
}

impl OffDeviceNode {
    /// Results up to this size are shapes and indices, which ONNX Runtime computes on the CPU on purpose.
    const MAX_SHAPE_BYTES: u64 = 1024;

    /// Whether it computes shapes, which costs nothing, and not image content.
    #[must_use]
    pub fn is_shape_arithmetic(&self) -> bool {
        self.bytes <= Self::MAX_SHAPE_BYTES
    }
}

impl Placement {
    /// Nodes that compute image content on a different device: each copies tensors to the CPU and back.
    pub fn fallback_nodes(&self) -> impl Iterator<Item = &OffDeviceNode> {
        self.elsewhere.iter().filter(|node| !node.is_shape_arithmetic())
    }

    /// Returns a warning that lists the nodes that fell back to the CPU, if there are any.
    #[must_use]
    pub fn warning(&self, device: &Device) -> Option<String> {
        const MAX_NAMED: usize = 8;
        let nodes: Vec<_> = self.fallback_nodes().map(|node| format!("{} ({})", node.node, node.op)).collect();
        let more =
            if nodes.len() > MAX_NAMED { format!(" and {} more", nodes.len() - MAX_NAMED) } else { String::new() };
        (!nodes.is_empty()).then(|| {
            format!(
                "{} of the teacher's {} nodes run on the CPU, since ONNX Runtime has no kernel for them on {device}: {}{more}. \
                 Labels are not affected, but each of these nodes costs two copies\n  help: `relabel teacher --json` lists all; \
                 a different opset or exporter often helps",
                nodes.len(),
                self.nodes,
                nodes.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", "),
            )
        })
    }

    /// Ends the profile of a session and reads it; `None` if it cannot be read, since the placement is only informative.
    pub(super) fn end_profile(session: &mut Session, device: Device) -> Result<Option<Self>, Error> {
        let file = PathBuf::from(session.end_profiling().map_err(failed("end the profile"))?);
        Ok(std::fs::read(&file).ok().and_then(|bytes| Self::from_profile(&bytes, device)))
    }

    /// Parses a profile of ONNX Runtime, a JSON list of events. Each node that ran has an event with its provider.
    fn from_profile(bytes: &[u8], device: Device) -> Option<Self> {
        let requested = match device {
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
        let elsewhere = nodes.iter().filter(|(_, (op, provider, _))| *provider != requested && !is_copy(op));
        Some(Self {
            nodes: nodes.values().filter(|(op, ..)| !is_copy(op)).count(),
            elsewhere: elsewhere
                .map(|(&node, &(op, provider, bytes))| OffDeviceNode {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Events as ONNX Runtime 1.32 writes them, of a graph whose square root has no kernel on the device.
    #[test]
    fn nodes_on_another_device_are_listed() {
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
        let placement = Placement::from_profile(&profile, Device::cuda(0)).unwrap();
        assert_eq!((placement.nodes, placement.copies), (3, 1));
        let elsewhere = |node: &str, op: &str, bytes| OffDeviceNode {
            node: node.to_owned(),
            op: op.to_owned(),
            on: cpu.to_owned(),
            bytes,
        };
        assert_eq!(placement.elsewhere, [elsewhere("root", "Sqrt", 1 << 20), elsewhere("shape", "Shape", 32)]);
        let warning = placement.warning(&Device::cuda(0)).unwrap();
        assert!(warning.starts_with("1 of the teacher's 3 nodes") && warning.contains("root (Sqrt)"), "{warning}");
        assert!(!warning.contains("shape (Shape)"), "{warning}");

        let all_there = Placement::from_profile(&profile, Device::Cpu).unwrap();
        assert_eq!(all_there.elsewhere.len(), 1, "the convolution");
        assert_eq!(Placement::from_profile(b"no profile", Device::Cpu), None);
        assert_eq!(Placement { nodes: 3, ..Placement::default() }.warning(&Device::Cpu), None);
    }
}
