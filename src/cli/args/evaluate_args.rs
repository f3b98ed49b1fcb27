//! `relabel evaluate`

use std::path::PathBuf;

use clap::Args;

use super::heading::{CHECKS, INPUT, OUTPUT};
use super::teacher_args::TeacherFlags;
use super::{positive, up_to};

#[derive(Debug, Args)]
#[command(
    // The store records these settings.
    mut_arg("top_k", |top_k| top_k.hide(true)),
    mut_arg("flip_average", |flip_average| flip_average.hide(true)),
    mut_arg("with_lse", |with_lse| with_lse.hide(true)),
    after_long_help = "\
Examples:
  relabel evaluate imagenet.labels
  relabel evaluate val.labels --truth real.json --truth Annotations/CLS-LOC/val -o evaluation.json
  relabel evaluate imagenet.labels --crops 8 --images 2000 --teacher effnet-l2.onnx --in imagenet/train --device cuda \
-o evaluation.json -o crops.parquet --charts charts/
  relabel publish imagenet.labels --to release/ --license CC-BY-4.0 --evaluation evaluation.json

Truths: the folder classes (`folder`), ReaL's real.json, lists of classes as JSON, CSV, TSV or Parquet, boxes as PASCAL VOC XML \
files, as localization.txt with image_sizes.txt, or as COCO JSON. docs/evaluation.md defines formats and figures.

Exit codes: 0 evaluated, 1 failed (see the message), 2 wrong usage or unusable truth, 3 some images could not be read for \
--crops, 130 interrupted."
)]
pub struct EvaluateArguments {
    /// Store: a folder or a URL
    pub store: PathBuf,
    /// What is true: `folder`, or a file or folder of classes or boxes; repeatable [default: folder, if known]
    #[arg(long = "truth", value_name = "WHAT", help_heading = INPUT)]
    pub truths: Vec<PathBuf>,
    /// File to write, repeatable: evaluation.json, or all crops as .parquet or .csv
    #[arg(short, long = "out", value_name = "FILE", help_heading = OUTPUT)]
    pub out: Vec<PathBuf>,
    /// Folder for charts as PNG files
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub charts: Option<PathBuf>,
    /// Run the teacher on N random crops per image; needs --teacher and --in
    #[arg(
        long,
        value_name = "N",
        value_parser = up_to::<MAX_CROPS>,
        requires = "source",
        requires = "teacher",
        conflicts_with = "boxes",
        help_heading = CHECKS
    )]
    pub crops: Option<usize>,
    /// The crops of a CSV file `id,x0,y0,x1,y1` instead, in 0..1 of the image
    #[arg(long, value_name = "FILE", requires = "source", requires = "teacher", help_heading = CHECKS)]
    pub boxes: Option<PathBuf>,
    /// Random images for --crops [default: all]
    #[arg(long, value_name = "N", value_parser = positive, requires = "crops", help_heading = CHECKS)]
    pub images: Option<usize>,
    /// Seed of the random images and crops
    #[arg(long, value_name = "NUMBER", default_value = "0", help_heading = CHECKS)]
    pub seed: u64,
    /// Accept a teacher or teacher card that differs from the store's
    #[arg(long, requires = "teacher", help_heading = CHECKS)]
    pub other_teacher: bool,
    /// Images of the store, as for 'relabel run'
    #[arg(long = "in", value_name = "SOURCE", requires = "teacher", help_heading = INPUT)]
    pub source: Option<PathBuf>,
    #[command(flatten)]
    pub teacher: TeacherFlags,
}

/// Time grows with the number of crops, precision with its square root.
const MAX_CROPS: usize = 10_000;
