//! `relabel export-teacher`

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser as _};
use clap::{ArgGroup, Args, ValueEnum};
use relabel::shared::geometry::InputSize;

use super::heading::{INPUT, OUTPUT, TEACHER};
use super::{PythonFlags, ValueError, positive, up_to};

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("weights").args(["checkpoint", "random_weights"]),
    after_long_help = "\
Examples:
  relabel export-teacher tf_efficientnet_l2.ns_jft_in1k_475 -o effnet-l2.onnx --fp16
  relabel export-teacher torchvision:convnext_tiny -o convnext.onnx
  relabel export-teacher hf-hub:timm/resnet50.a1_in1k -o resnet50.onnx
  relabel export-teacher transformers:microsoft/swinv2-tiny-patch4-window8-256 -o swinv2.onnx
  relabel export-teacher resnet50 --checkpoint mine.pth --num-classes 120 -o dogs.onnx
  relabel export-teacher vit_base_patch16_224 --random-weights --global-pool avg -o try.onnx

Writes the network as an ONNX file and its teacher card next to it (T.toml for T.onnx), so that 'relabel run --teacher \
T.onnx' needs no other options. The file is compared with PyTorch by ONNX Runtime; one that differs is deleted. The Python \
needs PyTorch and other packages, which the extras [cpu,export] of relabel's wheel install.

Exit codes: 0 done, 1 failed (see the message), 2 wrong usage, 130 interrupted."
)]
pub struct ExportTeacherArguments {
    /// Classifier: a name of timm, hf-hub:OWNER/NAME, torchvision:NAME or transformers:OWNER/NAME
    #[arg(value_name = "NAME")]
    pub name: String,
    #[command(flatten)]
    pub weights: WeightFlags,
    /// Pooling of a timm network that offers a choice, such as avg
    #[arg(long, value_name = "POOL", help_heading = TEACHER)]
    pub global_pool: Option<String>,
    #[command(flatten)]
    pub size: SizeFlags,
    /// Weights and arithmetic in float16; input and scores stay float32
    #[arg(long, help_heading = TEACHER)]
    pub fp16: bool,
    /// ONNX file to write; the card is written next to it
    #[arg(
        short,
        long,
        value_name = "T.onnx",
        value_parser = PathBufValueParser::new().try_map(onnx),
        help_heading = OUTPUT
    )]
    pub out: PathBuf,
    /// Overwrite existing files
    #[arg(long, help_heading = OUTPUT)]
    pub force: bool,
    /// Write the weights to T.onnx.data [default: only above 1.8 GB]
    #[arg(long, help_heading = OUTPUT)]
    pub external_data: bool,
    /// Exporter of PyTorch
    #[arg(long, value_enum, value_name = "EXPORTER", default_value = "auto", help_heading = OUTPUT)]
    pub exporter: Exporter,
    /// ONNX opset [default: 17 for legacy, 20 for dynamo]
    #[arg(long, value_name = "N", value_parser = up_to::<MAX_OPSET>, help_heading = OUTPUT)]
    pub opset: Option<usize>,
    #[command(flatten)]
    pub python: PythonFlags,
}

/// Weights of the network: published ones, unless a flag is given.
#[derive(Debug, Args)]
pub struct WeightFlags {
    /// Use the weights of a file (.pth, .safetensors)
    #[arg(long, value_name = "FILE", help_heading = INPUT)]
    pub checkpoint: Option<PathBuf>,
    /// Use random weights, to test an export without a download
    #[arg(long, help_heading = INPUT)]
    pub random_weights: bool,
    /// Number of classes, with --checkpoint or --random-weights
    ///
    /// Published weights have a fixed number of classes.
    #[arg(long, value_name = "N", value_parser = positive, requires = "weights", help_heading = TEACHER)]
    pub num_classes: Option<usize>,
}

/// Height and width of the input.
#[derive(Debug, Args)]
pub struct SizeFlags {
    /// Input size in pixels, 475 or 475x640 (height x width) [default: that of the weights' evaluation]
    #[arg(long, value_name = "SIZE", help_heading = TEACHER)]
    pub input_size: Option<InputSize>,
    /// Require dynamic height and width [default: dynamic if it works]
    #[arg(long, conflicts_with = "fixed", help_heading = TEACHER)]
    pub dynamic: bool,
    /// Fix height and width; the batch stays dynamic
    #[arg(long, help_heading = TEACHER)]
    pub fixed: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Exporter {
    /// legacy, then dynamo if that fails
    Auto,
    /// By tracing
    Legacy,
    /// By torch.export
    Dynamo,
}

/// Far above every opset that exists.
const MAX_OPSET: usize = 1000;

fn onnx(path: PathBuf) -> Result<PathBuf, ValueError> {
    match path.extension() {
        Some(extension) if extension == "onnx" => Ok(path),
        _ => Err(ValueError::NotOnnx),
    }
}
