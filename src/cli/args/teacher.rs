//! `relabel teacher`, and what every command with a teacher takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use relabel::labelling::pixels::Filter;
use relabel::labelling::teacher::card::ChannelOrder;
use relabel::labelling::teacher::{CudaTuning, DeviceChoice};
use relabel::shared::geometry::InputSize;

use super::{positive, threads};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel teacher models/efficientnet-lite0.onnx
  relabel teacher effnet-l2.onnx --input-size 475 --device cuda --json
  relabel teacher vit.onnx --in imagenet/train")]
pub struct TeacherArguments {
    #[command(flatten)]
    pub flags: TeacherFlags,
    /// ONNX classifier
    #[arg(value_name = "T.ONNX", required_unless_present = "teacher", conflicts_with = "teacher")]
    pub path: Option<PathBuf>,
    /// Images like those that will be labelled, for proving that cells are places of the image where the teacher's structure
    /// does not tell it [default: sample photographs]
    #[arg(long = "in", value_name = "SOURCE")]
    pub source: Option<PathBuf>,
}

/// The flags that say what a teacher is and how it is fed.
#[derive(Clone, Debug, Args)]
pub struct TeacherFlags {
    /// ONNX classifier
    #[arg(long, value_name = "T.ONNX")]
    pub teacher: Option<PathBuf>,
    /// Teacher card [default: T.toml beside T.onnx]
    #[arg(long, value_name = "FILE")]
    pub card: Option<PathBuf>,
    /// Input in pixels: 475, or 475x640 (height x width)
    #[arg(long, value_name = "SIZE")]
    pub input_size: Option<InputSize>,
    /// Mean of x/255 in channel order: 0.485,0.456,0.406
    #[arg(long, value_name = "R,G,B", value_parser = three, allow_hyphen_values = true)]
    pub mean: Option<Three>,
    /// Standard deviation of x/255 in channel order: 0.229,0.224,0.225
    #[arg(long, value_name = "R,G,B", value_parser = three, allow_hyphen_values = true)]
    pub std: Option<Three>,
    /// Filter of the resize: nearest, box, bilinear, bicubic or lanczos
    #[arg(long)]
    pub filter: Option<Filter>,
    /// Order of the channels
    #[arg(long, value_enum, value_name = "ORDER")]
    pub channel_order: Option<Channels>,
    /// Class list: imagenet-1k, or a file with one class a line in the order of the outputs
    #[arg(long, value_name = "LIST")]
    pub classes: Option<String>,
    /// Classes to keep in each cell
    #[arg(long, value_name = "K", default_value = "5", value_parser = positive)]
    pub top_k: usize,
    /// Average the scores with those of the mirrored image, mirrored back: steadier labels for twice the time and memory
    #[arg(long)]
    pub flip_average: bool,
    /// Keep the log-sum-exp of all classes in each cell too (array `lse`), for true probabilities: exp(score - lse)
    #[arg(long)]
    pub with_lse: bool,
    /// Where to run: cpu, cuda, cuda:1, cuda:0,cuda:1, or auto (CUDA if it can be used). One session each: cuda:0,cuda:0 is
    /// two on one GPU, which take turns at the batches
    #[arg(long, default_value = "cpu")]
    pub device: DeviceChoice,
    /// How GPUs are used, words with commas between them: exhaustive (try all convolution algorithms), nhwc (channels
    /// last), tf32, and one of pinned (page-locked pixels), bound (buffers that stay on the GPU), graph (CUDA graphs)
    #[arg(long, value_name = "WORDS")]
    pub cuda: Option<CudaTuning>,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// Memory for decoding and resizing one image; an image that needs more fails
    #[arg(long, value_name = "MIB", default_value = "512", value_parser = clap::value_parser!(u64).range(16..=1 << 20))]
    pub image_memory: u64,
    /// Memory that loading and proving a teacher on the CPU may take, besides sixteen times its weights
    #[arg(long, value_name = "MIB", default_value = "2048", value_parser = clap::value_parser!(u64).range(256..=1 << 24))]
    pub teacher_memory: u64,
    /// ONNX Runtime's library [default: found beside the program, in .venv or the active Python, in the system]
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    pub onnxruntime: Option<PathBuf>,
}

/// One value for each channel.
#[derive(Clone, Copy, Debug)]
pub struct Three(pub [f64; 3]);

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Channels {
    Rgb,
    Bgr,
}

impl From<Channels> for ChannelOrder {
    fn from(channels: Channels) -> Self {
        match channels {
            Channels::Rgb => Self::Rgb,
            Channels::Bgr => Self::Bgr,
        }
    }
}

fn three(text: &str) -> Result<Three, String> {
    let numbers: Vec<f64> =
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map_err(|_| three_needed())?;
    let all_finite = numbers.iter().all(|number| number.is_finite());
    <[f64; 3]>::try_from(numbers).ok().filter(|_| all_finite).map(Three).ok_or_else(three_needed)
}

fn three_needed() -> String {
    "three numbers with commas between them are needed, as in 0.485,0.456,0.406".to_owned()
}
