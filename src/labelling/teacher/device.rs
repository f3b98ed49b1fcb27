//! Where a teacher runs. A device that was asked for and is not there is an error: nothing falls back silently.

use std::fmt;
use std::str::FromStr;

use super::cuda::{AlgorithmSearch, CudaTuning, Feeding};

/// One place where a session runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    Cpu,
    /// A CUDA GPU.
    Cuda {
        /// Its number, as CUDA counts.
        index: u32,
        /// How it is used.
        tuning: CudaTuning,
    },
}

impl Device {
    /// A CUDA GPU, used the plain way.
    #[must_use]
    pub fn cuda(index: u32) -> Self {
        Self::Cuda { index, tuning: CudaTuning::default() }
    }

    /// Whether the same images give the same bits in another run.
    #[must_use]
    pub fn repeats_itself(&self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda { tuning, .. } => tuning.search == AlgorithmSearch::Heuristic,
        }
    }

    /// The same device, where pixels come from ordinary memory: for a session that runs once.
    pub(super) fn plainly_fed(self) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::Cuda { index, tuning } => {
                Self::Cuda { index, tuning: CudaTuning { feeding: Feeding::Pageable, ..tuning } }
            }
        }
    }

    /// The same GPU, used otherwise; the processor stays as it is.
    #[must_use]
    pub fn tuned(self, tuning: CudaTuning) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::Cuda { index, .. } => Self::Cuda { index, tuning },
        }
    }
}

/// `cpu`, `cuda:0`, `cuda:0+nhwc+pinned`: what a run's note says, so that labels made otherwise are told apart.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda { index, tuning } => {
                write!(f, "cuda:{index}")?;
                tuning.words().iter().try_for_each(|word| write!(f, "+{word}"))
            }
        }
    }
}

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA GPU if it can be used, else the processor; which one it became is said.
    Auto,
    /// Exactly these: one session each. The same one twice is two sessions on it, which take turns at the batches.
    These(Vec<Device>),
}

impl DeviceChoice {
    /// Whether a GPU may be needed.
    #[must_use]
    pub fn may_use_cuda(&self) -> bool {
        match self {
            Self::Auto => true,
            Self::These(devices) => devices.iter().any(|device| *device != Device::Cpu),
        }
    }
}

/// Reads `cpu`, `cpu,cpu`, `cuda`, `cuda:1`, `cuda:0,cuda:1` or `auto`.
impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let device = |part: &str| match part.split_once(':') {
            None if part == "cpu" => Ok(Device::Cpu),
            None if part == "cuda" => Ok(Device::cuda(0)),
            Some(("cuda", index)) if index.parse::<u16>().is_ok() => Ok(Device::cuda(index.parse().unwrap_or(0))),
            _ => Err(format!("`{part}` is no device: write cpu, cuda, cuda:1, cuda:0,cuda:1 or auto")),
        };
        let devices = text.split(',').map(|part| device(part.trim())).collect::<Result<Vec<_>, _>>()?;
        let on_cpu = devices.iter().filter(|&&device| device == Device::Cpu).count();
        if on_cpu > 0 && on_cpu < devices.len() {
            return Err(format!("`{text}`: the CPU does not stand beside a GPU, which would wait for it"));
        }
        Ok(Self::These(devices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_the_help_says() {
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
    fn a_device_says_how_it_is_used() {
        let tuning: CudaTuning = "pinned,nhwc".parse().unwrap();
        assert_eq!(Device::cuda(1).tuned(tuning).to_string(), "cuda:1+nhwc+pinned");
        assert_eq!(Device::Cpu.tuned(tuning).to_string(), "cpu");
        assert!(Device::cuda(1).tuned(tuning).repeats_itself());
        assert!(!Device::cuda(1).tuned("exhaustive".parse().unwrap()).repeats_itself());
    }
}
