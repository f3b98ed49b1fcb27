//! `relabel run`

use std::path::PathBuf;

use clap::Args;

use super::heading::{CHECKS, DEVICES, INPUT, OUTPUT, SCHEDULING};
use super::teacher_args::TeacherFlags;
use super::{ValueError, positive, up_to};

#[derive(Debug, Args)]
#[command(
    mut_arg("teacher", |teacher| teacher.required(true)),
    after_long_help = "\
Examples:
  relabel run --teacher effnet-l2.onnx --in imagenet/train --out imagenet.labels
  relabel run --teacher effnet-l2.onnx --in imagenet/train --out imagenet.labels --device cuda
  relabel run --teacher effnet-l2.onnx --in photos --input-size 480 --limit 100
  relabel run --teacher net.onnx --in photos --manifest subset.csv --card net.toml

  # Label five tiles of every image, too, for targets that fit small crops
  relabel run --teacher effnet-l2.onnx --in imagenet/train --tiles 5

  # Archives instead of a folder
  relabel run --teacher net.onnx --in ILSVRC2012_img_train.tar
  relabel run --teacher net.onnx --in 'shards/{000000..001281}.tar'
  relabel run --teacher net.onnx --in 'imagenet-1k/data/train-*.parquet'

  # Estimate time, disk and cost without writing anything
  relabel run --teacher net.onnx --in photos --device cuda --dry-run --price-per-hour 2.50

  # The fourth of eight processes that label one store
  relabel run --teacher net.onnx --in imagenet/train --out imagenet.labels --task-index 3 --task-count 8

A teacher card is a TOML file next to the teacher (net.toml for net.onnx); models/README.md lists its keys.
Re-run the same command to resume after an interruption.

Exit codes: 0 done, 1 failed (see the message), 2 wrong usage, 3 some images could not be labelled ('relabel status STORE \
--failed' lists them), 130 interrupted."
)]
pub struct RunArguments {
    /// Images: a folder, a .tar, 'shards/*.tar' or 'data/*.parquet'
    ///
    /// In a folder, the first level of folders names the classes. In a tar of tars, the inner tars do. Several archives:
    /// 'shards/{000000..001281}.tar' or 'shards/*.tar'.
    #[arg(long = "in", value_name = "SOURCE", help_heading = INPUT)]
    pub source: PathBuf,
    /// List of images to label (.csv, .tsv, .parquet) [default: all of SOURCE]
    ///
    /// manifests/README.md describes the columns.
    #[arg(long, value_name = "FILE", help_heading = INPUT)]
    pub manifest: Option<PathBuf>,
    /// Label only the first N images of the manifest
    #[arg(long, value_name = "N", value_parser = positive, help_heading = INPUT)]
    pub limit: Option<usize>,
    /// Label all splits (train, val, test) found in SOURCE or the manifest
    ///
    /// Without this flag, several splits in one manifest are refused.
    #[arg(long, hide_short_help = true, help_heading = INPUT)]
    pub all_splits: bool,
    #[command(flatten)]
    pub teacher: TeacherFlags,
    /// Store to write [default: ./<source>.<teacher>.labels]
    #[arg(long, value_name = "STORE", display_order = 0, help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
    /// Images per shard, the unit of commit and resume [default: 1024]
    #[arg(long, value_name = "N", value_parser = up_to::<MAX_SHARD_IMAGES>, hide_short_help = true, help_heading = OUTPUT)]
    pub shard_size: Option<usize>,
    /// Round scores to multiples of 1/N for smaller files; N is a power of two
    ///
    /// Labels change slightly; docs/performance.md has measurements.
    #[arg(long, value_name = "N", value_parser = steps, hide_short_help = true, help_heading = OUTPUT)]
    pub score_steps: Option<u16>,
    #[command(flatten)]
    pub levels: LevelFlags,
    /// Images per batch [default: 16 on the CPU, 64 on CUDA]
    ///
    /// A teacher with a fixed batch size sets its own default.
    #[arg(long, value_name = "N", value_parser = up_to::<MAX_BATCH_IMAGES>, help_heading = DEVICES)]
    pub batch: Option<usize>,
    /// Measure a few batches, estimate time and disk space, write nothing
    #[arg(long, conflicts_with = "retry_failed", help_heading = SCHEDULING)]
    pub dry_run: bool,
    /// Price of a device-hour, in any currency; --dry-run then estimates the cost
    #[arg(
        long,
        value_name = "PRICE",
        requires = "dry_run",
        value_parser = price,
        hide_short_help = true,
        help_heading = SCHEDULING
    )]
    pub price_per_hour: Option<f64>,
    /// Retry images that failed before, too; existing labels are kept
    #[arg(long, help_heading = SCHEDULING)]
    pub retry_failed: bool,
    #[command(flatten)]
    pub part: PartFlags,
    /// Stop when more than N images of this run fail [default: 1000 in a row]
    ///
    /// Without this flag, a run stops after 1,000 failures in a row (with --retry-failed, it never does). With it, only the
    /// total counts, and failures in a row have no limit of their own.
    #[arg(long, value_name = "N", help_heading = CHECKS)]
    pub max_failures: Option<usize>,
}

/// What is labelled besides the map and the prediction of the entire image, or instead of the map.
#[derive(Clone, Debug, Args)]
pub struct LevelFlags {
    /// Also label tiles of every image: 4, 5, 9, 4+9, or a file of boxes
    ///
    /// Labels of tiles are far closer to what the teacher predicts for a small crop. 4: four tiles of 2/3 of each side; 5: the
    /// corners and the middle, of 1/2; 9: of 1/2 at 0, 1/4 and 1/2; 4+9: both. A file is CSV with the columns x0,y0,x1,y1 in 0..1
    /// of the image. Each tile is one more run of the teacher; --dry-run compares the cost of coverings.
    #[arg(long, value_name = "COVERING", help_heading = OUTPUT)]
    pub tiles: Option<String>,
    /// Classes to keep of each tile's prediction [default: --top-k, at most 5]
    #[arg(long, value_name = "K", value_parser = positive, requires = "tiles", hide_short_help = true, help_heading = OUTPUT)]
    pub tile_top_k: Option<usize>,
    /// Also store the label map of each tile, not only its prediction
    ///
    /// About as many bytes for each tile as for the image.
    #[arg(long, requires = "tiles", hide_short_help = true, help_heading = OUTPUT)]
    pub tile_maps: bool,
    /// Store predictions only, no label maps; any classifier can be the teacher
    ///
    /// Predictions of the image and of its tiles. With --tiles, a teacher that cannot give label maps (class token, VGG) is used
    /// like this without the flag, too.
    #[arg(
        long,
        requires = "tiles",
        conflicts_with_all = ["tile_maps", "with_lse", "score_steps"],
        hide_short_help = true,
        help_heading = OUTPUT
    )]
    pub without_maps: bool,
}

/// Range of shards that one of several processes labels.
#[derive(Clone, Copy, Debug, Args)]
pub struct PartFlags {
    /// Label only this range of shards, counted from 0
    ///
    /// By default, the environment of a Slurm array or an indexed Kubernetes job decides; outside of one, the process
    /// labels everything.
    #[arg(long, value_name = "I", requires = "task_count", help_heading = SCHEDULING)]
    pub task_index: Option<usize>,
    /// Number of ranges that the shards are divided into, one process each
    #[arg(long, value_name = "N", requires = "task_index", value_parser = positive, help_heading = SCHEDULING)]
    pub task_count: Option<usize>,
}

/// Images per shard: a shard is assembled in memory before it is written.
pub(super) const MAX_SHARD_IMAGES: usize = 1 << 20;

/// Images per batch: several batches of pixels are in memory at a time, 600 kB for an image of 224x224.
const MAX_BATCH_IMAGES: usize = 4096;

const MAX_PRICE: f64 = 1e9;

fn price(text: &str) -> Result<f64, ValueError> {
    text.parse::<f64>().ok().filter(|price| (0.0..=MAX_PRICE).contains(price)).ok_or(ValueError::NotPrice)
}

fn steps(text: &str) -> Result<u16, ValueError> {
    let steps = text.parse::<u16>().ok().filter(|steps| steps.is_power_of_two() && *steps <= 1024);
    steps.ok_or(ValueError::NotPowerOfTwo)
}
