//! Devices that a teacher runs on. A requested device that is not available is an error: the CPU is never used silently.

use std::fmt;
use std::str::FromStr;

use super::cuda::{AlgorithmSearch, CudaTuning, PixelTransfer};

/// The device of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The CPU.
    Cpu,
    /// A CUDA GPU.
    Cuda {
        /// CUDA device number.
        index: u32,
        /// CUDA settings.
        tuning: CudaTuning,
    },
}

impl Device {
    /// A CUDA GPU with default settings.
    #[must_use]
    pub fn cuda(index: u32) -> Self {
        Self::Cuda { index, tuning: CudaTuning::default() }
    }

    /// Whether the same images give bitwise equal labels in a second run.
    #[must_use]
    pub fn is_deterministic(&self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda { tuning, .. } => tuning.search == AlgorithmSearch::Heuristic,
        }
    }

    /// Returns the device with [`PixelTransfer::Pageable`], for a session that runs once.
    pub(super) fn with_pageable_transfer(self) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::Cuda { index, tuning } => {
                Self::Cuda { index, tuning: CudaTuning { transfer: PixelTransfer::Pageable, ..tuning } }
            }
        }
    }

    /// Returns the GPU with other settings; the CPU has none.
    #[must_use]
    pub fn with_tuning(self, tuning: CudaTuning) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::Cuda { index, .. } => Self::Cuda { index, tuning },
        }
    }
}

/// `cpu`, `cuda:0`, `cuda:0+nhwc+pinned`: recorded with each run, since labels depend on the settings.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda { index, tuning } => {
                write!(f, "cuda:{index}")?;
                tuning.settings().iter().try_for_each(|setting| write!(f, "+{setting}"))
            }
        }
    }
}

/// The requested devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA GPU if it can be used, else the CPU; the caller reports which.
    Auto,
    /// Exactly these, one session each. A device that is listed twice runs two sessions.
    These(Vec<Device>),
}

impl DeviceChoice {
    /// Whether a GPU may be used.
    #[must_use]
    pub fn may_use_cuda(&self) -> bool {
        match self {
            Self::Auto => true,
            Self::These(devices) => devices.iter().any(|device| *device != Device::Cpu),
        }
    }
}

/// Reason a list of devices was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceChoiceError {
    /// A name is not one of a device.
    #[error("`{0}` is not a device\n  help: use cpu, cuda, cuda:1, cuda:0,cuda:1 or auto")]
    UnknownDevice(String),
    /// The CPU is listed together with a GPU.
    #[error(
        "`{0}`: the CPU and a GPU cannot be used together, since the GPU would wait for the CPU\n  help: pass only GPUs, or only cpu"
    )]
    CpuAndGpu(String),
}

/// Parses `cpu`, `cpu,cpu`, `cuda`, `cuda:1`, `cuda:0,cuda:1` or `auto`.
impl FromStr for DeviceChoice {
    type Err = DeviceChoiceError;

    fn from_str(text: &str) -> Result<Self, DeviceChoiceError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let device = |part: &str| match part.split_once(':') {
            None if part == "cpu" => Ok(Device::Cpu),
            None if part == "cuda" => Ok(Device::cuda(0)),
            Some(("cuda", index)) if index.parse::<u16>().is_ok() => Ok(Device::cuda(index.parse().unwrap_or(0))),
            _ => Err(DeviceChoiceError::UnknownDevice(part.to_owned())),
        };
        let devices = text.split(',').map(|part| device(part.trim())).collect::<Result<Vec<_>, _>>()?;
        let on_cpu = devices.iter().filter(|&&device| device == Device::Cpu).count();
        if on_cpu > 0 && on_cpu < devices.len() {
            return Err(DeviceChoiceError::CpuAndGpu(text.to_owned()));
        }
        Ok(Self::These(devices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_parsed_as_documented() {
        let cuda = Device::cuda;
        assert_eq!("auto".parse(), Ok(DeviceChoice::Auto));
        assert_eq!("cpu".parse(), Ok(DeviceChoice::These(vec![Device::Cpu])));
        assert_eq!("cpu,cpu".parse(), Ok(DeviceChoice::These(vec![Device::Cpu; 2])));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::These(vec![cuda(0)])));
        assert_eq!("cuda:0,cuda:3".parse(), Ok(DeviceChoice::These(vec![cuda(0), cuda(3)])));
        for bad in ["", "gpu", "cuda:", "cuda:x", "cpu,cuda", "cuda:-1", "cpu:0"] {
            assert!(bad.parse::<DeviceChoice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_device_displays_its_settings() {
        let tuning: CudaTuning = "pinned,nhwc".parse().unwrap();
        assert_eq!(Device::cuda(1).with_tuning(tuning).to_string(), "cuda:1+nhwc+pinned");
        assert_eq!(Device::Cpu.with_tuning(tuning).to_string(), "cpu");
        assert!(Device::cuda(1).with_tuning(tuning).is_deterministic());
        assert!(!Device::cuda(1).with_tuning("exhaustive".parse().unwrap()).is_deterministic());
    }
}
