//! `relabel status` and `relabel verify`

use std::path::PathBuf;

use clap::Args;

use super::positive;
use super::teacher::TeacherFlags;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel status labels/
  relabel status labels/ --failed
  relabel status labels/ --json")]
pub struct StatusArguments {
    /// The store
    pub store: PathBuf,
    /// List every image that could not be labelled, with the reason
    #[arg(long)]
    pub failed: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel verify labels/
  relabel verify labels/ --full
  relabel verify labels/ --recompute 200 --teacher effnet-l2.onnx --in imagenet/train --device cuda

Exit codes: 0 everything holds, 3 problems were found; each is listed, with what makes it right again.")]
pub struct VerifyArguments {
    /// The store
    pub store: PathBuf,
    /// Decode every chunk and check its values, too
    #[arg(long)]
    pub full: bool,
    /// Label N random images again and compare; needs --teacher and --in
    #[arg(long, value_name = "N", value_parser = positive, requires = "source", requires = "teacher")]
    pub recompute: Option<usize>,
    /// Which random images: the same number gives the same ones [default: another one each time]
    #[arg(long, value_name = "NUMBER", requires = "recompute")]
    pub seed: Option<u64>,
    /// Where the images are, as for `relabel run`
    #[arg(long = "in", value_name = "SOURCE", requires = "recompute")]
    pub source: Option<PathBuf>,
    #[command(flatten)]
    pub teacher: TeacherFlags,
}
