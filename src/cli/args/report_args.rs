//! `relabel report`

use std::path::PathBuf;

use clap::Args;

use super::heading::{INPUT, OUTPUT, SCHEDULING};
use super::inspect_args::PhotoFlags;
use super::{positive, threads, up_to};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel report imagenet.labels --image-root imagenet/train -o report/
  relabel report imagenet.labels --image-root imagenet/train -o report/ --sample 5000 --seed 7
  relabel report imagenet.labels --image-root imagenet/train -o dogs/ --class n02099601 --class n02099712
  relabel report imagenet.labels -o report/ --all
  relabel report imagenet.labels -o report/ --evaluation evaluation.json

Open report/index.html in a browser; it requires neither a network nor a server, and the folder can be copied elsewhere.

Exit codes: 0 done, 1 failed (see the message), 2 wrong usage, 3 some photographs could not be shown (the page lists them \
with the reason), 130 interrupted.")]
pub struct ReportArguments {
    /// Store: a folder or a URL
    pub store: PathBuf,
    #[command(flatten)]
    pub photos: PhotoFlags,
    /// Number of random images to show
    #[arg(long, value_name = "N", default_value = "1000", value_parser = positive, conflicts_with = "all", help_heading = INPUT)]
    pub sample: usize,
    /// Random seed for choosing images
    #[arg(long, value_name = "NUMBER", default_value = "0", help_heading = INPUT)]
    pub seed: u64,
    /// Show all images
    #[arg(long, help_heading = INPUT)]
    pub all: bool,
    /// Show only images of this folder class: a folder, name or number; repeatable
    #[arg(long = "class", value_name = "CLASS", help_heading = INPUT)]
    pub classes: Vec<String>,
    /// Show only images whose id contains TEXT
    #[arg(long, value_name = "TEXT", help_heading = INPUT)]
    pub matching: Option<String>,
    /// Also show the figures of `relabel evaluate` for this store
    #[arg(long, value_name = "FILE", help_heading = INPUT)]
    pub evaluation: Option<PathBuf>,
    /// Folder to write
    #[arg(short, long, value_name = "DIR", help_heading = OUTPUT)]
    pub out: PathBuf,
    /// Longer side of the photographs on the page, in pixels
    #[arg(
        long,
        value_name = "PIXELS",
        default_value = "320",
        value_parser = up_to::<MAX_PHOTO_SIDE>,
        help_heading = OUTPUT
    )]
    pub photo_side: usize,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads, help_heading = SCHEDULING)]
    pub threads: Option<usize>,
}

/// The largest side of a JPEG. Photographs are never enlarged.
const MAX_PHOTO_SIDE: usize = 65_535;
