//! `relabel compare`

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser as _};

use super::heading::{CHECKS, OUTPUT, SCHEDULING};
use super::inspect_args::{PhotoFlags, png};
use super::{ValueError, threads, up_to};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel compare fp32.labels fp16.labels
  relabel compare before.labels after.labels --require-agreement 0.99
  relabel compare a.labels b.labels -o differences.parquet
  relabel compare a.labels b.labels --picture worst.png --image-root imagenet/train
  relabel compare imagenet.labels https://example.org/imagenet-labels/ --json

Images are matched by row if both stores have the same manifest, otherwise by id. The agreement is the share of cells with \
the same best class; if the maps have different sizes, the share of random crops whose target has the same best class. \
docs/guide/compare.md describes all figures.

Exit codes: 0 done, 1 failed (see the message), 2 wrong usage, 3 the agreement is below --require-agreement, 130 \
interrupted.")]
pub struct CompareArguments {
    /// First store: a folder or a URL
    pub a: PathBuf,
    /// Second store: a folder or a URL
    pub b: PathBuf,
    #[command(flatten)]
    pub photos: PhotoFlags,
    /// File of all images, most different first: .parquet, .csv or .json
    #[arg(short, long, value_name = "FILE", help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
    /// Draw both maps of the image that differs most
    #[arg(
        long,
        value_name = "FILE.png",
        value_parser = PathBufValueParser::new().try_map(png),
        help_heading = OUTPUT
    )]
    pub picture: Option<PathBuf>,
    /// Draw this image instead: an id, path, file name or row of the first store
    #[arg(long, value_name = "IMAGE", requires = "picture", help_heading = OUTPUT)]
    pub picture_of: Option<String>,
    /// Exit with code 3 if the agreement is below SHARE, such as 0.99
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = CHECKS)]
    pub require_agreement: Option<f64>,
    /// Random crops to pool per image
    #[arg(long, value_name = "N", default_value = "16", value_parser = up_to::<MAX_CROPS>, help_heading = CHECKS)]
    pub crops: usize,
    /// Seed of the random crops
    #[arg(long, value_name = "NUMBER", default_value = "0", help_heading = CHECKS)]
    pub seed: u64,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads, help_heading = SCHEDULING)]
    pub threads: Option<usize>,
}

/// Time grows with the number of crops, precision with its square root.
const MAX_CROPS: usize = 10_000;

fn share(text: &str) -> Result<f64, ValueError> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or(ValueError::NotShare)
}
