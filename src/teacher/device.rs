//! Where a teacher runs. A device that was asked for and is not there is an error: nothing falls back silently.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ort::ep::{self, cuda::ConvAlgorithmSearch};
use ort::session::builder::SessionBuilder;

use crate::error::Error;

/// One place where a session runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// A CUDA GPU.
    Cuda {
        /// Its number, as CUDA counts.
        index: u32,
    },
}

impl Device {
    /// Adds the device to a session's options.
    pub(crate) fn register(self, builder: SessionBuilder, library: &Path) -> Result<SessionBuilder, Error> {
        match self {
            Self::Cpu => Ok(builder),
            Self::Cuda { index } => {
                let cuda = ep::CUDA::default()
                    .with_device_id(index as i32)
                    // The default tries algorithms and keeps the fastest, so that two runs could differ in the last bits.
                    .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic)
                    // TF32 keeps 10 bits of each factor: too few for the proof of a float32 teacher.
                    .with_tf32(false)
                    .build()
                    .error_on_failure();
                builder.with_execution_providers([cuda]).map_err(|error| self.missing(&error.to_string(), library))
            }
        }
    }

    fn missing(self, reason: &str, library: &Path) -> Error {
        Error::Device {
            device: self.to_string(),
            problem: format!(
                "it was asked for and cannot be used: {}. ONNX Runtime is {}. For CUDA install the GPU build \
                 (python3 -m pip install 'onnxruntime-gpu[cuda,cudnn]') on a machine with an NVIDIA driver, or run with \
                 --device cpu",
                reason.trim().trim_end_matches('.'),
                library.display()
            ),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda { index } => write!(f, "cuda:{index}"),
        }
    }
}

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA GPU if it can be used, else the processor; which one it became is said.
    Auto,
    /// Exactly these: one session each.
    These(Vec<Device>),
}

/// Reads `cpu`, `cuda`, `cuda:1`, `cuda:0,cuda:1` or `auto`.
impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let device = |part: &str| match part.split_once(':') {
            None if part == "cpu" => Ok(Device::Cpu),
            None if part == "cuda" => Ok(Device::Cuda { index: 0 }),
            Some(("cuda", index)) if index.parse::<u16>().is_ok() => {
                Ok(Device::Cuda { index: index.parse().unwrap_or(0) })
            }
            _ => Err(format!("`{part}` is no device: write cpu, cuda, cuda:1, cuda:0,cuda:1 or auto")),
        };
        let devices = text.split(',').map(|part| device(part.trim())).collect::<Result<Vec<_>, _>>()?;
        if devices.len() > 1 && devices.contains(&Device::Cpu) {
            return Err(format!("`{text}`: cpu stands alone, since its session already uses all threads"));
        }
        Ok(Self::These(devices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_the_help_says() {
        let cuda = |index| Device::Cuda { index };
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        assert_eq!("cpu".parse(), Ok(DeviceChoice::These(vec![Device::Cpu])));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::These(vec![cuda(0)])));
        assert_eq!("cuda:0,cuda:3".parse(), Ok(DeviceChoice::These(vec![cuda(0), cuda(3)])));
        for bad in ["", "gpu", "cuda:", "cuda:x", "cpu,cuda", "cuda:-1"] {
            assert!(bad.parse::<DeviceChoice>().is_err(), "{bad}");
        }
    }
}
