//! Settings of CUDA GPUs. The default is the safe choice; each setting is chosen by name, independently of the others, so
//! that its gain can be measured (`scripts/bench measure knobs`).

use std::fmt;
use std::str::FromStr;

use ort::ep::ExecutionProviderDispatch;
use ort::ep::cuda::{CUDA, ConvAlgorithmSearch};

/// Settings of a CUDA GPU. Labels may differ in the last bits of scores between settings, and in more with
/// [`Float32Precision::Tf32`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CudaTuning {
    /// Selection of convolution algorithms.
    pub search: AlgorithmSearch,
    /// Memory layout of convolutions.
    pub layout: ConvLayout,
    /// Precision of float32 matrix products.
    pub float32: Float32Precision,
    /// Transfer of pixels and launch of kernels.
    pub transfer: PixelTransfer,
}

/// Selection of convolution algorithms by cuDNN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlgorithmSearch {
    /// By heuristics: deterministic.
    #[default]
    Heuristic,
    /// The fastest one of all: two runs may choose differently, and differ in the last bits.
    Exhaustive,
}

/// Memory layout of convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConvLayout {
    /// As in the graph: `[batch, channel, y, x]`.
    #[default]
    ChannelsFirst,
    /// `[batch, y, x, channel]`, which the tensor cores of newer GPUs read directly.
    ChannelsLast,
}

/// Precision of float32 matrix products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Float32Precision {
    /// All bits.
    #[default]
    Exact,
    /// 10 bits of each factor, on tensor cores: not enough for the verification of some teachers.
    Tf32,
}

/// Transfer of pixels to the GPU and launch of its kernels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PixelTransfer {
    /// From pageable memory.
    #[default]
    Pageable,
    /// From page-locked memory, which the GPU reads directly.
    Pinned,
    /// Into buffers on the GPU that are reused.
    Bound,
    /// As [`PixelTransfer::Bound`], and all kernels of a run are launched as one CUDA graph. Every node must run on the GPU.
    Graph,
}

/// Reason a list of CUDA settings was rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaTuningError {
    /// A name is not one of a setting.
    #[error("`{0}` is not a CUDA setting\n  help: use exhaustive, nhwc, tf32, pinned, bound or graph")]
    UnknownSetting(String),
    /// Settings exclude each other.
    #[error("`{0}`: pinned, bound and graph exclude each other\n  help: pass one of them")]
    Conflict(String),
}

impl CudaTuning {
    /// Names of the settings that are not the default, in a fixed order.
    #[must_use]
    pub fn settings(self) -> Vec<&'static str> {
        let settings = [
            (self.search == AlgorithmSearch::Exhaustive, "exhaustive"),
            (self.layout == ConvLayout::ChannelsLast, "nhwc"),
            (self.float32 == Float32Precision::Tf32, "tf32"),
            (self.transfer == PixelTransfer::Pinned, "pinned"),
            (self.transfer == PixelTransfer::Bound, "bound"),
            (self.transfer == PixelTransfer::Graph, "graph"),
        ];
        settings.iter().filter(|(chosen, _)| *chosen).map(|&(_, name)| name).collect()
    }

    /// ONNX Runtime's CUDA provider on one GPU; sessions fail if it is not available.
    pub(super) fn provider(self, index: u32) -> ExecutionProviderDispatch {
        let search = match self.search {
            AlgorithmSearch::Heuristic => ConvAlgorithmSearch::Heuristic,
            AlgorithmSearch::Exhaustive => ConvAlgorithmSearch::Exhaustive,
        };
        CUDA::default()
            .with_device_id(index as i32)
            .with_conv_algorithm_search(search)
            .with_prefer_nhwc(self.layout == ConvLayout::ChannelsLast)
            .with_tf32(self.float32 == Float32Precision::Tf32)
            .with_cuda_graph(self.transfer == PixelTransfer::Graph)
            .build()
            .error_on_failure()
    }
}

/// Parses settings separated by commas, such as `nhwc,pinned`.
impl FromStr for CudaTuning {
    type Err = CudaTuningError;

    fn from_str(text: &str) -> Result<Self, CudaTuningError> {
        let mut tuning = Self::default();
        for name in text.split(',').map(str::trim) {
            match name {
                "exhaustive" => tuning.search = AlgorithmSearch::Exhaustive,
                "nhwc" => tuning.layout = ConvLayout::ChannelsLast,
                "tf32" => tuning.float32 = Float32Precision::Tf32,
                "pinned" | "bound" | "graph" => {
                    let transfer = match name {
                        "pinned" => PixelTransfer::Pinned,
                        "bound" => PixelTransfer::Bound,
                        _ => PixelTransfer::Graph,
                    };
                    if ![PixelTransfer::Pageable, transfer].contains(&tuning.transfer) {
                        return Err(CudaTuningError::Conflict(text.to_owned()));
                    }
                    tuning.transfer = transfer;
                }
                _ => return Err(CudaTuningError::UnknownSetting(name.to_owned())),
            }
        }
        Ok(tuning)
    }
}

impl fmt::Display for CudaTuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.settings().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_parsed_and_displayed() {
        for settings in ["exhaustive", "nhwc", "tf32", "pinned", "bound", "graph", "exhaustive,nhwc,tf32,graph"] {
            let tuning: CudaTuning = settings.parse().unwrap();
            assert_ne!(tuning, CudaTuning::default(), "{settings}");
            assert_eq!(tuning.to_string(), settings);
        }
        assert_eq!(CudaTuning::default().to_string(), "");
        for bad in ["", "fast", "nhwc,", "pinned,graph", "NHWC"] {
            assert!(bad.parse::<CudaTuning>().is_err(), "{bad}");
        }
    }
}
