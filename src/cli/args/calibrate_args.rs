//! `relabel calibrate`

use std::path::PathBuf;

use clap::Args;

use super::heading::{CHECKS, INPUT};
use super::teacher_args::TeacherFlags;
use super::{positive, up_to};

#[derive(Debug, Args)]
#[command(
    mut_arg("teacher", |teacher| teacher.required(true)),
    // The store records these settings.
    mut_arg("top_k", |top_k| top_k.hide(true)),
    mut_arg("flip_average", |flip_average| flip_average.hide(true)),
    mut_arg("with_lse", |with_lse| with_lse.hide(true)),
    after_long_help = "\
Examples:
  relabel calibrate imagenet.labels --teacher effnet-l2.onnx --in imagenet/train
  relabel calibrate imagenet.labels --teacher effnet-l2.onnx --in imagenet/train --images 4000 --crops 4 --device cuda
  relabel calibrate imagenet.labels --teacher effnet-l2.onnx --in imagenet/train --json | jq .calibration.figures

The teacher is run on random crops of a sample of the labelled images. On one half of the images, nine numbers are fitted: how \
much label maps and predictions of the image and its tiles count in the target of a crop, and how much they are softened, by area \
of the crop and by overlap. On the other half, the labels of crops are compared with the teacher's predictions, before and after. \
If calibrated targets are not further from them than the best label before, the parameters are stored in pooling.json in the \
store, for `labels.pool(..., pooling=\"calibrated\")`. An existing pooling.json is replaced. Labels do not change. \
docs/calibrated-pooling.md has the formula.

Exit codes: 0 calibrated, 1 failed (see the message), 2 wrong usage or another teacher, 3 calibrated targets are further from the \
teacher, so nothing was written, or some images could not be read, 130 interrupted."
)]
pub struct CalibrateArguments {
    /// Store: a folder
    pub store: PathBuf,
    /// Images of the store, as for 'relabel run'
    #[arg(long = "in", value_name = "SOURCE", help_heading = INPUT)]
    pub source: PathBuf,
    /// Random images to run the teacher on; half of them are held out
    #[arg(long, value_name = "N", default_value = "1000", value_parser = positive, help_heading = CHECKS)]
    pub images: usize,
    /// Random crops per image
    #[arg(long, value_name = "N", default_value = "8", value_parser = up_to::<MAX_CROPS>, help_heading = CHECKS)]
    pub crops: usize,
    /// Seed of the random images and crops
    #[arg(long, value_name = "NUMBER", default_value = "0", help_heading = CHECKS)]
    pub seed: u64,
    /// Accept a teacher or teacher card that differs from the store's
    #[arg(long, help_heading = CHECKS)]
    pub other_teacher: bool,
    #[command(flatten)]
    pub teacher: TeacherFlags,
}

/// Other crops of one image add little; more images do.
const MAX_CROPS: usize = 1000;
