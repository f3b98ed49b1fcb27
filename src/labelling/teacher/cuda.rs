//! How a CUDA GPU is used. The plain way takes no risk; each setting can be chosen by its word, on its own, so that what
//! it gains can be measured (`scripts/gpu/bench.py`).

use std::fmt;
use std::str::FromStr;

use ort::ep::ExecutionProviderDispatch;
use ort::ep::cuda::{CUDA, ConvAlgorithmSearch};

/// What is set otherwise than the plain way. Labels may differ in the last bits of scores between settings, and with
/// [`Float32Products::Tf32`] in more than these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CudaTuning {
    /// How convolutions choose their algorithm.
    pub search: AlgorithmSearch,
    /// How convolutions want their tensors to lie.
    pub layout: ConvLayout,
    /// How products of float32 are formed.
    pub float32: Float32Products,
    /// How pixels get to the device and how its work is launched.
    pub feeding: Feeding,
}

/// How convolutions choose their algorithm, by cuDNN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlgorithmSearch {
    /// By rules: the same one each time.
    #[default]
    Heuristic,
    /// All are tried, and the fastest is kept: two runs may choose differently, and so differ in the last bits.
    Exhaustive,
}

/// How convolutions want their tensors to lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConvLayout {
    /// As the graph has them: `[batch, channel, y, x]`.
    #[default]
    ChannelsFirst,
    /// `[batch, y, x, channel]`, which the matrix units of newer GPUs take without rearranging.
    ChannelsLast,
}

/// How products of float32 are formed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Float32Products {
    /// From all bits.
    #[default]
    Exact,
    /// From 10 bits of each factor, on the matrix units: too few for the proof of some teachers.
    Tf32,
}

/// How pixels get to the device and how its work is launched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Feeding {
    /// From ordinary memory.
    #[default]
    Pageable,
    /// From page-locked memory, which the device reads by itself.
    Pinned,
    /// Into buffers on the device that stay where they are.
    Bound,
    /// The same, and all kernels of a run are launched as one recorded CUDA graph. Every node has to run on the GPU.
    Graph,
}

impl CudaTuning {
    /// The words for what is set otherwise, in a fixed order.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        let set = [
            (self.search == AlgorithmSearch::Exhaustive, "exhaustive"),
            (self.layout == ConvLayout::ChannelsLast, "nhwc"),
            (self.float32 == Float32Products::Tf32, "tf32"),
            (self.feeding == Feeding::Pinned, "pinned"),
            (self.feeding == Feeding::Bound, "bound"),
            (self.feeding == Feeding::Graph, "graph"),
        ];
        set.iter().filter(|(chosen, _)| *chosen).map(|&(_, word)| word).collect()
    }

    /// ONNX Runtime's CUDA provider on one GPU, or an error when it cannot be had.
    pub(super) fn provider(self, index: u32) -> ExecutionProviderDispatch {
        let search = match self.search {
            AlgorithmSearch::Heuristic => ConvAlgorithmSearch::Heuristic,
            AlgorithmSearch::Exhaustive => ConvAlgorithmSearch::Exhaustive,
        };
        CUDA::default()
            .with_device_id(index as i32)
            .with_conv_algorithm_search(search)
            .with_prefer_nhwc(self.layout == ConvLayout::ChannelsLast)
            .with_tf32(self.float32 == Float32Products::Tf32)
            .with_cuda_graph(self.feeding == Feeding::Graph)
            .build()
            .error_on_failure()
    }
}

/// Reads words with commas between them, as in `nhwc,pinned`.
impl FromStr for CudaTuning {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut tuning = Self::default();
        for word in text.split(',').map(str::trim) {
            match word {
                "exhaustive" => tuning.search = AlgorithmSearch::Exhaustive,
                "nhwc" => tuning.layout = ConvLayout::ChannelsLast,
                "tf32" => tuning.float32 = Float32Products::Tf32,
                "pinned" | "bound" | "graph" => {
                    let feeding = match word {
                        "pinned" => Feeding::Pinned,
                        "bound" => Feeding::Bound,
                        _ => Feeding::Graph,
                    };
                    if ![Feeding::Pageable, feeding].contains(&tuning.feeding) {
                        return Err(format!("`{text}`: one of pinned, bound and graph can be had"));
                    }
                    tuning.feeding = feeding;
                }
                _ => {
                    return Err(format!(
                        "`{word}` is no setting of CUDA: write exhaustive, nhwc, tf32, pinned, bound or graph"
                    ));
                }
            }
        }
        Ok(tuning)
    }
}

impl fmt::Display for CudaTuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_read_and_said_again() {
        for words in ["exhaustive", "nhwc", "tf32", "pinned", "bound", "graph", "exhaustive,nhwc,tf32,graph"] {
            let tuning: CudaTuning = words.parse().unwrap();
            assert_ne!(tuning, CudaTuning::default(), "{words}");
            assert_eq!(tuning.to_string(), words);
        }
        assert_eq!(CudaTuning::default().to_string(), "");
        for bad in ["", "fast", "nhwc,", "pinned,graph", "NHWC"] {
            assert!(bad.parse::<CudaTuning>().is_err(), "{bad}");
        }
    }
}
