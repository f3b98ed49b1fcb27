//! `relabel demo`

use std::path::PathBuf;

use clap::Args;
use relabel::labelling::teacher::DeviceChoice;

use super::heading::{DEVICES, INPUT, OUTPUT, TEACHER};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel demo
  relabel demo -o /tmp/demo --device cuda
  relabel demo --teacher effnet-l2.onnx --in photos

Runs 'relabel run' and 'relabel inspect'. Some of the sample photographs are broken on purpose, as files of real data sets \
are; the demo succeeds if all others are labelled. Re-run the same command to resume after an interruption.

Exit codes: 0 done, 1 failed (see the message), 2 wrong usage or the samples are not installed, 3 an image that is not one \
of the broken samples could not be labelled, 130 interrupted.")]
pub struct DemoArguments {
    /// Images [default: the sample photographs]
    #[arg(long = "in", value_name = "SOURCE", help_heading = INPUT)]
    pub source: Option<PathBuf>,
    /// ONNX image classifier [default: EfficientNet-Lite0, installed with the samples]
    #[arg(long, value_name = "MODEL", help_heading = TEACHER)]
    pub teacher: Option<PathBuf>,
    /// Folder to write: the store demo.labels and a picture
    #[arg(short, long, value_name = "DIR", default_value = "relabel-demo", help_heading = OUTPUT)]
    pub out: PathBuf,
    /// Device: cpu, cuda, cuda:1, or auto
    #[arg(long, default_value = "cpu", help_heading = DEVICES)]
    pub device: DeviceChoice,
    /// ONNX Runtime library [default: as for 'relabel run']
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH", hide_short_help = true, help_heading = DEVICES)]
    pub onnxruntime: Option<PathBuf>,
}
