//! Tries a device before a teacher is loaded on it, so that a device that cannot be used is told apart from a teacher that
//! cannot be run.

use std::path::Path;

use ort::value::TensorRef;
use prost::Message as _;

use super::device::Device;
use super::graph::{GraphProto, ModelProto, NodeProto, TensorProto, declare, element, proto};
use super::runtime::{Optimisation, Runtime, SessionOptions};
use crate::shared::error::Error;

/// Convolves one pixel on the device, and nowhere else. Needs the driver, CUDA's libraries, cuDNN and the device itself.
pub(super) fn run(runtime: &Runtime, device: Device) -> Result<(), String> {
    const PIXEL: f32 = 3.0;
    let options = SessionOptions {
        weights_folder: Path::new("."),
        device: device.plainly_fed(),
        threads: 1,
        profile: None,
        optimisation: Optimisation::All,
    };
    let builder = runtime.builder(&options)?;
    let mut builder = match device {
        Device::Cpu => builder,
        Device::Cuda { .. } => builder.with_disable_cpu_fallback().map_err(|error| error.to_string())?,
    };
    let mut session = builder.commit_from_memory(&model()).map_err(|error| error.to_string())?;
    let pixel = [PIXEL];
    let pixel = TensorRef::from_array_view(([1_usize, 1, 1, 1], &pixel[..])).map_err(|error| error.to_string())?;
    let results = session.run(ort::inputs!["pixel" => pixel]).map_err(|error| error.to_string())?;
    let (_, given) = results["result"].try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
    if given == [PIXEL * WEIGHT] { Ok(()) } else { Err(format!("{PIXEL} times {WEIGHT} gave {given:?} there")) }
}

const WEIGHT: f32 = 2.0;

/// A convolution of one pixel with one weight.
fn model() -> Vec<u8> {
    let one_pixel = [Some(1); 4];
    let weight = TensorProto {
        name: Some("weight".to_owned()),
        dims: vec![1; 4],
        data_type: Some(element::FLOAT),
        float_data: vec![WEIGHT],
        ..TensorProto::default()
    };
    let convolution = NodeProto {
        op_type: Some("Conv".to_owned()),
        name: Some("convolution".to_owned()),
        input: vec!["pixel".to_owned(), "weight".to_owned()],
        output: vec!["result".to_owned()],
        ..NodeProto::default()
    };
    let graph = GraphProto {
        name: Some("trial".to_owned()),
        node: vec![convolution],
        initializer: vec![weight],
        input: vec![declare("pixel", element::FLOAT, &one_pixel)],
        output: vec![declare("result", element::FLOAT, &one_pixel)],
        ..GraphProto::default()
    };
    let opset = proto::OperatorSetIdProto { domain: None, version: Some(13) };
    let model =
        ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() };
    model.encode_to_vec()
}

/// Why a device cannot be used, from ONNX Runtime's words, and what to do.
pub(super) fn explained(device: Device, reason: &str, library: &Path) -> Error {
    const INSTALL: &str = "python3 -m pip install 'onnxruntime-gpu[cuda,cudnn]'";
    let missing = missing_library(reason);
    let runtime = library.display();
    let what = if reason.contains("not enabled in this build") {
        format!("{runtime} is a build of ONNX Runtime for the CPU. This installs one for GPUs: {INSTALL}")
    } else if missing.is_some_and(|name| name.starts_with("libcuda.so")) {
        "NVIDIA's driver is not here (libcuda.so): install it, or pass the GPU through to the container".to_owned()
    } else if let Some(name) = missing {
        format!(
            "{name}, which ONNX Runtime needs for it, is neither where the system looks nor in the nvidia packages of the \
             Python environments that were looked through. This installs it: {INSTALL}"
        )
    } else if reason.contains("driver version is insufficient") || lacks_driver_function(reason) {
        format!("NVIDIA's driver is older than this ONNX Runtime's CUDA ({runtime}): install a newer driver")
    } else if ["no CUDA-capable device", "invalid device ordinal"].iter().any(|words| reason.contains(words)) {
        "there is no such GPU: `nvidia-smi -L` lists them, CUDA_VISIBLE_DEVICES says which may be seen".to_owned()
    } else {
        format!("ONNX Runtime is {runtime}; `nvidia-smi` says whether the GPU is well and free")
    };
    Error::Device {
        device: device.to_string(),
        problem: format!(
            "it was asked for and cannot be used: {what}. Or run with --device cpu\n  ONNX Runtime's words: {}",
            reason.trim()
        )
        .into(),
    }
}

/// Whether a function of the driver (`cuTensorMapEncodeTiled`, but not `cublasCreate`) is what the loader missed.
fn lacks_driver_function(reason: &str) -> bool {
    reason.split_once("undefined symbol: cu").is_some_and(|(_, rest)| rest.starts_with(char::is_uppercase))
}

/// The name of the shared library that the system's loader did not find.
fn missing_library(reason: &str) -> Option<&str> {
    let (before, _) = reason.split_once(": cannot open shared object")?;
    let name = before.rsplit([' ', ':']).next()?;
    name.contains(".so").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_runtime_are_explained() {
        let load = "Failed to load library /opt/libonnxruntime_providers_cuda.so with error: ";
        let cases = [
            ("CUDA execution provider is not enabled in this build.", "for the CPU"),
            (
                &format!("{load}libcublasLt.so.13: cannot open shared object file: No such file"),
                "libcublasLt.so.13, which",
            ),
            (
                &format!("{load}libcuda.so.1: cannot open shared object file: No such file"),
                "NVIDIA's driver is not here",
            ),
            ("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version", "older"),
            (&format!("{load}libonnxruntime_providers_cuda.so: undefined symbol: cuTensorMapEncodeTiled"), "older"),
            ("CUDA failure 100: no CUDA-capable device is detected ; GPU=0", "nvidia-smi -L"),
            ("CUDA failure 101: invalid device ordinal ; GPU=99", "nvidia-smi -L"),
            (&format!("{load}libcublas.so.13: undefined symbol: cublasLtCreate"), "whether the GPU is well"),
            ("something new", "whether the GPU is well"),
        ];
        for (reason, expected) in cases {
            let said = explained(Device::cuda(99), reason, Path::new("/opt/libonnxruntime.so")).to_string();
            assert!(said.starts_with("device cuda:99: it was asked for and cannot be used"), "{said}");
            assert!(said.contains(expected) && said.contains(reason) && said.contains("--device cpu"), "{said}");
        }
    }
}
