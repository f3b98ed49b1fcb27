//! `relabel teacher`, and the flags of every command that runs a teacher.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use relabel::labelling::pixels::Filter;
use relabel::labelling::teacher::card::ChannelOrder;
use relabel::labelling::teacher::{CudaTuning, DeviceChoice};
use relabel::shared::geometry::InputSize;

use super::heading::{CHECKS, DEVICES, INPUT, OUTPUT, SCHEDULING, TEACHER};
use super::{ValueError, positive, threads, up_to};

#[derive(Debug, Args)]
#[command(
    mut_arg("teacher", |teacher| teacher.hide(true)),
    after_long_help = "\
Examples:
  relabel teacher effnet-l2.onnx
  relabel teacher effnet-l2.onnx --input-size 475 --device cuda --json
  relabel teacher vit.onnx --in imagenet/train
  relabel teacher effnet-l2.onnx --probe imagenet/val
  relabel teacher class-token-vit.onnx --without-maps

Exit codes: 0 the teacher can be used, 1 the teacher cannot be used or its rewrite differs from the original, 2 wrong \
usage, 3 --probe found a better card or a wrong class list, 130 interrupted."
)]
pub struct TeacherArguments {
    /// ONNX image classifier
    #[arg(value_name = "MODEL", required_unless_present = "teacher", conflicts_with = "teacher")]
    pub path: Option<PathBuf>,
    /// Images like those to be labelled [default: sample photographs]
    ///
    /// Used to check that cells correspond to image positions, for teachers whose graph structure does not show it.
    #[arg(long = "in", value_name = "SOURCE", help_heading = INPUT)]
    pub source: Option<PathBuf>,
    /// Labelled images on which alternatives to the card are tried
    ///
    /// Channel orders, normalisations, filters and input sizes are ranked by how much probability the folder class gets, or by
    /// confidence if the folders are not classes of the teacher. Prints the card lines of a better alternative, and checks
    /// that maps of mirrored images are mirrored. Takes about a minute for a small network on two cores.
    #[arg(long, value_name = "SOURCE", help_heading = CHECKS)]
    pub probe: Option<PathBuf>,
    /// Random images for --probe, spread over the classes
    #[arg(
        long,
        value_name = "N",
        default_value = "200",
        value_parser = up_to::<MAX_PROBE_IMAGES>,
        requires = "probe",
        hide_short_help = true,
        help_heading = CHECKS
    )]
    pub probe_images: usize,
    /// Seed of the random images for --probe
    #[arg(long, value_name = "NUMBER", default_value = "0", requires = "probe", hide_short_help = true, help_heading = CHECKS)]
    pub seed: u64,
    /// Check the teacher as 'relabel run --tiles' uses one without label maps: for predictions only
    #[arg(long, conflicts_with = "with_lse", help_heading = CHECKS)]
    pub without_maps: bool,
    #[command(flatten)]
    pub flags: TeacherFlags,
}

/// They stay in memory, as files.
const MAX_PROBE_IMAGES: usize = 5000;

/// Flags that select a teacher, its input preparation, its outputs and its devices.
#[derive(Clone, Debug, Args)]
pub struct TeacherFlags {
    /// ONNX image classifier
    #[arg(long, value_name = "MODEL", help_heading = TEACHER)]
    pub teacher: Option<PathBuf>,
    /// Teacher card [default: MODEL with the extension .toml]
    #[arg(long, value_name = "FILE", help_heading = TEACHER)]
    pub card: Option<PathBuf>,
    /// Input size in pixels, 475 or 475x640 (height x width)
    #[arg(long, value_name = "SIZE", help_heading = TEACHER)]
    pub input_size: Option<InputSize>,
    /// Mean of x/255 in channel order, such as 0.485,0.456,0.406
    #[arg(
        long,
        value_name = "R,G,B",
        value_parser = three_numbers,
        allow_hyphen_values = true,
        hide_short_help = true,
        help_heading = TEACHER
    )]
    pub mean: Option<ChannelValues>,
    /// Standard deviation of x/255 in channel order, such as 0.229,0.224,0.225
    #[arg(
        long,
        value_name = "R,G,B",
        value_parser = three_numbers,
        allow_hyphen_values = true,
        hide_short_help = true,
        help_heading = TEACHER
    )]
    pub std: Option<ChannelValues>,
    /// Resize filter: nearest, box, bilinear, bicubic or lanczos
    #[arg(long, hide_short_help = true, help_heading = TEACHER)]
    pub filter: Option<Filter>,
    /// Order of the colour channels
    #[arg(long, value_enum, value_name = "ORDER", hide_short_help = true, help_heading = TEACHER)]
    pub channel_order: Option<Channels>,
    /// Class list: imagenet-1k, or a file with one class per line in output order
    #[arg(long, value_name = "LIST", hide_short_help = true, help_heading = TEACHER)]
    pub classes: Option<String>,
    /// Classes to keep per cell
    #[arg(long, value_name = "K", default_value = "5", value_parser = positive, help_heading = OUTPUT)]
    pub top_k: usize,
    /// Average scores with those of the mirrored image
    ///
    /// Labels are more stable, at twice the time and memory.
    #[arg(long, hide_short_help = true, help_heading = OUTPUT)]
    pub flip_average: bool,
    /// Also store the log-sum-exp over all classes of each cell (array `lse`)
    ///
    /// exp(score - lse) is then the probability among all classes of the teacher.
    #[arg(long, hide_short_help = true, help_heading = OUTPUT)]
    pub with_lse: bool,
    /// Device: cpu, cuda, cuda:1, cuda:0,cuda:1, or auto
    ///
    /// auto uses CUDA if available. Each listed device gets one session: cuda:0,cuda:0 runs two sessions on one GPU, which
    /// alternate between batches.
    #[arg(long, default_value = "cpu", help_heading = DEVICES)]
    pub device: DeviceChoice,
    /// CUDA options, separated by commas
    ///
    /// exhaustive (try all convolution algorithms), nhwc (channels last), tf32, and at most one of pinned (page-locked
    /// pixel buffers), bound (buffers kept on the GPU) and graph (CUDA graphs).
    #[arg(long, value_name = "OPTIONS", hide_short_help = true, help_heading = DEVICES)]
    pub cuda: Option<CudaTuning>,
    /// ONNX Runtime library
    ///
    /// By default it is searched for next to the program, in the Python environment that the program is installed in, in .venv,
    /// in the active Python environment and in the system.
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH", hide_short_help = true, help_heading = DEVICES)]
    pub onnxruntime: Option<PathBuf>,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads, help_heading = SCHEDULING)]
    pub threads: Option<usize>,
    /// Memory limit in MiB for decoding and resizing one image; a larger image fails
    #[arg(
        long,
        value_name = "MIB",
        default_value = "512",
        value_parser = clap::value_parser!(u64).range(16..=1 << 20),
        hide_short_help = true,
        help_heading = SCHEDULING
    )]
    pub image_memory: u64,
    /// Memory limit in MiB for loading and verifying a teacher on the CPU
    ///
    /// Sixteen times the size of its weights is allowed in addition.
    #[arg(
        long,
        value_name = "MIB",
        default_value = "2048",
        value_parser = clap::value_parser!(u64).range(256..=1 << 24),
        hide_short_help = true,
        help_heading = SCHEDULING
    )]
    pub teacher_memory: u64,
}

/// One value per channel.
#[derive(Clone, Copy, Debug)]
pub struct ChannelValues(pub [f64; 3]);

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

fn three_numbers(text: &str) -> Result<ChannelValues, ValueError> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    let values = numbers.and_then(|numbers| <[f64; 3]>::try_from(numbers).ok());
    values
        .filter(|values| values.iter().all(|value| value.is_finite()))
        .map(ChannelValues)
        .ok_or(ValueError::NotThreeNumbers)
}
