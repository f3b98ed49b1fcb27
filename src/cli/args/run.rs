//! `relabel run`

use std::path::PathBuf;

use clap::Args;

use super::teacher::TeacherFlags;
use super::{positive, up_to};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel run --teacher effnet-l2.onnx --in imagenet/train --out labels/
  relabel run --teacher effnet-l2.onnx --in imagenet/train --out labels/ --device cuda --batch 64
  relabel run --teacher models/efficientnet-lite0.onnx --in photos --input-size 480 --limit 100
  relabel run --teacher effnet-l2.onnx --in imagenet/train --out labels/ --device cuda --dry-run --price-per-hour 2.50
  relabel run --teacher net.onnx --in photos --manifest subset.csv --card net.toml
  relabel run --teacher net.onnx --in photos --out labels/ --task-index 3 --task-count 8   (one of 8 processes)
  relabel run --teacher effnet-l2.onnx --in ILSVRC2012_img_train.tar
  relabel run --teacher effnet-l2.onnx --in 'shards/{000000..001281}.tar'
  relabel run --teacher effnet-l2.onnx --in 'imagenet-1k/data/train-*.parquet'
  relabel run --teacher net.onnx --in dataset/ --all-splits   (train, val and test into one store)

A teacher card is TOML beside the teacher (net.toml for net.onnx); models/README.md lists its keys.
To go on after an interruption, give the same command again.")]
pub struct RunArguments {
    #[command(flatten)]
    pub teacher: TeacherFlags,
    /// Images: a folder (its first folders are the classes), a .tar or a tar of tars, several tars as
    /// 'shards/{000000..001281}.tar' or 'shards/*.tar', or Parquet files as 'data/*.parquet'
    #[arg(long = "in", value_name = "SOURCE")]
    pub source: PathBuf,
    /// Store to write [default: ./<source>.<teacher>.labels]
    #[arg(long, value_name = "STORE")]
    pub out: Option<PathBuf>,
    /// List of the images (.csv, .tsv, .parquet) instead of all in the folder; see manifests/README.md
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Label all splits of a data set (train, val, test) that --in or the list holds; refused without this
    #[arg(long)]
    pub all_splits: bool,
    /// Take only the first N images of the list
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Images in each shard, the unit of commit and resume [default: 1024]
    #[arg(long, value_name = "N", value_parser = up_to::<MAX_SHARD_IMAGES>)]
    pub shard_size: Option<usize>,
    /// Images in each run of the teacher [default: 16 on the CPU, 64 on CUDA, or what the teacher fixes]
    #[arg(long, value_name = "N", value_parser = up_to::<MAX_BATCH_IMAGES>)]
    pub batch: Option<usize>,
    /// Round scores to multiples of 1/N, N a power of two: smaller files, slightly other labels (docs/performance.md)
    #[arg(long, value_name = "N", value_parser = steps)]
    pub score_steps: Option<u16>,
    /// Write nothing: count, measure a few batches, and say hours and bytes to come
    #[arg(long, conflicts_with = "retry_failed")]
    pub dry_run: bool,
    /// With --dry-run: what an hour of one device costs, in any currency; the whole cost is said too
    #[arg(long, value_name = "PRICE", requires = "dry_run", value_parser = price)]
    pub price_per_hour: Option<f64>,
    /// Label again what failed before, beside what is still to do; images with labels keep them
    #[arg(long)]
    pub retry_failed: bool,
    /// Stop when more than N images of this run fail [default: stop when 1000 fail in a row]
    #[arg(long, value_name = "N")]
    pub max_failures: Option<usize>,
    #[command(flatten)]
    pub task: TaskFlags,
}

/// Which part of the store one of many processes does.
#[derive(Clone, Copy, Debug, Args)]
pub struct TaskFlags {
    /// Do only this part of the store, counted from 0 [default: what Slurm or Kubernetes say, else everything]
    #[arg(long, value_name = "I", requires = "task_count")]
    pub task_index: Option<usize>,
    /// Parts that the store is done in, one process each
    #[arg(long, value_name = "N", requires = "task_index", value_parser = positive)]
    pub task_count: Option<usize>,
}

/// Images in a shard: it is gathered in memory before it is written.
pub(super) const MAX_SHARD_IMAGES: usize = 1 << 20;

/// Images in a batch: the pixels of several batches are in memory at a time, 600 kB for an image of 224x224.
const MAX_BATCH_IMAGES: usize = 4096;

/// Beyond this, costs are not meaningful.
const MAX_PRICE: f64 = 1e9;

fn price(text: &str) -> Result<f64, String> {
    let price = text.parse::<f64>().ok().filter(|price| (0.0..=MAX_PRICE).contains(price));
    price.ok_or_else(|| "an amount is needed, as 2.50".to_owned())
}

fn steps(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(steps) if steps.is_power_of_two() && steps <= 1024 => Ok(steps),
        _ => Err("a power of two up to 1024 is needed: 8, 16, 32, ...".to_owned()),
    }
}
