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
    /// The store: a folder, or an address
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
  relabel verify release/ --signer publisher.pub
  relabel verify https://huggingface.co/datasets/USER/NAME/resolve/main
  relabel verify s3://bucket/labels --sample 1000

A folder with a file SHA256SUMS is a release: every file is held against it, and it against its signature. \
Of a release in the network, all but the files of labels are read, these are held against their lengths, and the maps of \
64 random images are read and checked; --full reads everything.

Exit codes: 0 everything holds, 3 problems were found; each is listed, with what makes it right again.")]
pub struct VerifyArguments {
    /// The store or the release: a folder, or the address of a release (s3://, gs://, az://, https://, hf://)
    #[arg(value_name = "STORE_OR_RELEASE")]
    pub store: PathBuf,
    /// Decode every chunk and check its values, too
    #[arg(long)]
    pub full: bool,
    /// Label N random images again and compare; needs --teacher and --in
    #[arg(long, value_name = "N", value_parser = positive, requires = "source", requires = "teacher")]
    pub recompute: Option<usize>,
    /// Which random images: the same number gives the same ones [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Of a release: who must have signed it, a public key or a list of allowed signers as OpenSSH has them
    #[arg(long, value_name = "FILE")]
    pub signer: Option<PathBuf>,
    /// Of a release: decode N random label maps and check their values, too [default: 64 of one in the network, else none]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub sample: Option<usize>,
    /// Where the images are, as for `relabel run`
    #[arg(long = "in", value_name = "SOURCE", requires = "recompute")]
    pub source: Option<PathBuf>,
    #[command(flatten)]
    pub teacher: TeacherFlags,
}
