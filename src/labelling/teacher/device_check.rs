//! Checks that a device can be used before a teacher is loaded on it, so an unusable device is not reported as a teacher
//! that cannot be run.

use std::path::Path;

use ort::value::TensorRef;
use prost::Message as _;

use super::cuda_libraries;
use super::device::Device;
use super::graph::{GraphProto, ModelProto, NodeProto, TensorProto, declare, element, proto};
use super::runtime::{Optimisation, Runtime, SessionOptions};
use crate::shared::error::Error;

impl Runtime {
    /// Checks that a device can be used, with a small convolution on it.
    ///
    /// # Errors
    /// Returns [`Error::Device`] if it cannot.
    pub fn check_device(&self, device: Device) -> Result<(), Error> {
        let Device::Cuda { .. } = device else { return Ok(()) };
        cuda_libraries::preload(self.cuda_site_packages());
        convolve(self, device).map_err(|error| Error::Device {
            device: device.to_string(),
            problem: DeviceUnusable::new(&error.to_string(), self.library()).into(),
        })
    }
}

/// Errors of the check.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    /// ONNX Runtime reports an error.
    #[error(transparent)]
    Runtime(#[from] ort::Error),
    /// The result of the convolution is wrong.
    #[error("{PIXEL} times {WEIGHT} returned {result:?} on the device")]
    WrongResult { result: Vec<f32> },
}

/// Convolves one pixel on the device, and nowhere else. Needs the driver, CUDA's libraries, cuDNN and the device itself.
fn convolve(runtime: &Runtime, device: Device) -> Result<(), CheckError> {
    let options = SessionOptions {
        weights_folder: Path::new("."),
        device: device.with_pageable_transfer(),
        threads: 1,
        profile: None,
        optimisation: Optimisation::All,
    };
    let builder = runtime.session_builder(&options)?;
    let mut builder = match device {
        Device::Cpu => builder,
        Device::Cuda { .. } => builder.with_disable_cpu_fallback().map_err(ort::Error::from)?,
    };
    let mut session = builder.commit_from_memory(&model())?;
    let pixel = [PIXEL];
    let pixel = TensorRef::from_array_view(([1_usize, 1, 1, 1], &pixel[..]))?;
    let results = session.run(ort::inputs!["pixel" => pixel])?;
    let (_, result) = results["result"].try_extract_tensor::<f32>()?;
    if result == [PIXEL * WEIGHT] { Ok(()) } else { Err(CheckError::WrongResult { result: result.to_vec() }) }
}

const PIXEL: f32 = 3.0;
const WEIGHT: f32 = 2.0;

/// A model that convolves one pixel with one weight.
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
        name: Some("device_check".to_owned()),
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

/// A device that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot be used: {cause}; or use --device cpu\n  ONNX Runtime reports: {report}")]
struct DeviceUnusable {
    cause: UnusableCause,
    /// The message of ONNX Runtime.
    report: String,
}

/// Reason a device cannot be used.
#[derive(Debug, thiserror::Error)]
enum UnusableCause {
    #[error("{library} is a build of ONNX Runtime for the CPU\n  help: install one for GPUs: {INSTALL_COMMAND}")]
    CpuBuild { library: String },
    #[error("NVIDIA's driver was not found (libcuda.so)\n  help: install it, or pass the GPU through to the container")]
    NoDriver,
    #[error(
        "{name}, which ONNX Runtime needs for it, was found neither by the system's loader nor in the nvidia packages of the \
         Python environments\n  help: install it: {INSTALL_COMMAND}"
    )]
    MissingLibrary { name: String },
    #[error("NVIDIA's driver is older than the CUDA of this ONNX Runtime ({library})\n  help: install a newer driver")]
    OldDriver { library: String },
    #[error("the GPU does not exist\n  help: list the GPUs with `nvidia-smi -L`, and check CUDA_VISIBLE_DEVICES")]
    NoSuchDevice,
    #[error(
        "ONNX Runtime ({library}) failed on the device\n  help: check with `nvidia-smi` whether the GPU is healthy and free"
    )]
    Unknown { library: String },
}

const INSTALL_COMMAND: &str = "python3 -m pip install 'onnxruntime-gpu[cuda,cudnn]'";

impl DeviceUnusable {
    /// Derives the cause from a message of ONNX Runtime.
    fn new(report: &str, library: &Path) -> Self {
        let missing = missing_library(report);
        let library = library.display().to_string();
        let cause = if report.contains("not enabled in this build") {
            UnusableCause::CpuBuild { library }
        } else if missing.is_some_and(|name| name.starts_with("libcuda.so")) {
            UnusableCause::NoDriver
        } else if let Some(name) = missing {
            UnusableCause::MissingLibrary { name: name.to_owned() }
        } else if report.contains("driver version is insufficient") || lacks_driver_function(report) {
            UnusableCause::OldDriver { library }
        } else if ["no CUDA-capable device", "invalid device ordinal"].iter().any(|text| report.contains(text)) {
            UnusableCause::NoSuchDevice
        } else {
            UnusableCause::Unknown { library }
        };
        Self { cause, report: report.trim().to_owned() }
    }
}

/// Whether the loader did not find a function of the driver (`cuTensorMapEncodeTiled`, but not `cublasCreate`).
fn lacks_driver_function(reason: &str) -> bool {
    reason.split_once("undefined symbol: cu").is_some_and(|(_, rest)| rest.starts_with(char::is_uppercase))
}

/// Returns the name of the shared library that the loader did not find.
fn missing_library(reason: &str) -> Option<&str> {
    let (before, _) = reason.split_once(": cannot open shared object")?;
    let name = before.rsplit([' ', ':']).next()?;
    name.contains(".so").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_onnx_runtime_are_explained() {
        let load = "Failed to load library /opt/libonnxruntime_providers_cuda.so with error: ";
        let cases = [
            ("CUDA execution provider is not enabled in this build.", "for the CPU"),
            (
                &format!("{load}libcublasLt.so.13: cannot open shared object file: No such file"),
                "libcublasLt.so.13, which",
            ),
            (
                &format!("{load}libcuda.so.1: cannot open shared object file: No such file"),
                "NVIDIA's driver was not found",
            ),
            ("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version", "older"),
            (&format!("{load}libonnxruntime_providers_cuda.so: undefined symbol: cuTensorMapEncodeTiled"), "older"),
            ("CUDA failure 100: no CUDA-capable device is detected ; GPU=0", "nvidia-smi -L"),
            ("CUDA failure 101: invalid device ordinal ; GPU=99", "nvidia-smi -L"),
            (&format!("{load}libcublas.so.13: undefined symbol: cublasLtCreate"), "whether the GPU is healthy"),
            ("something new", "whether the GPU is healthy"),
        ];
        for (reason, expected) in cases {
            let message = DeviceUnusable::new(reason, Path::new("/opt/libonnxruntime.so")).to_string();
            assert!(message.starts_with("cannot be used: "), "{message}");
            assert!(message.contains(expected) && message.contains(reason), "{message}");
            assert!(message.contains("--device cpu"), "{message}");
        }
    }
}
