//! `relabel verify`

use std::path::PathBuf;

use clap::Args;

use super::heading::{CHECKS, INPUT};
use super::positive;
use super::teacher_args::TeacherFlags;

#[derive(Debug, Args)]
#[command(
    // The store records these settings.
    mut_arg("top_k", |top_k| top_k.hide(true)),
    mut_arg("flip_average", |flip_average| flip_average.hide(true)),
    mut_arg("with_lse", |with_lse| with_lse.hide(true)),
    after_long_help = "\
Examples:
  relabel verify imagenet.labels
  relabel verify imagenet.labels --full
  relabel verify imagenet.labels --recompute 200 --teacher effnet-l2.onnx --in imagenet/train --device cuda

  # Releases
  relabel verify release/ --signer publisher.pub
  relabel verify https://huggingface.co/datasets/USER/NAME/resolve/main
  relabel verify s3://bucket/labels --sample 1000

A folder with a file SHA256SUMS is a release: every file is compared with its checksum, and the checksums with their \
signature. Of a remote release, only the sizes of the label files are compared, all other files are read, and 64 random label \
maps are decoded; --full reads everything.

Exit codes: 0 no problems, 1 failed (see the message), 2 wrong usage, 3 problems were found (each is listed with a fix), 130 \
interrupted."
)]
pub struct VerifyArguments {
    /// Folder, or URL of a release (s3://, gs://, az://, https://, hf://)
    #[arg(value_name = "STORE_OR_RELEASE")]
    pub store: PathBuf,
    /// Also decode every chunk and check its values
    #[arg(long, help_heading = CHECKS)]
    pub full: bool,
    /// Relabel N random images and compare; requires --teacher and --in
    #[arg(
        long,
        value_name = "N",
        value_parser = positive,
        requires = "source",
        requires = "teacher",
        help_heading = CHECKS
    )]
    pub recompute: Option<usize>,
    /// Also decode N random label maps of a release [default: 64 if remote, else 0]
    #[arg(long, value_name = "N", value_parser = positive, help_heading = CHECKS)]
    pub sample: Option<usize>,
    /// Random seed for choosing images [default: random]
    #[arg(long, value_name = "NUMBER", help_heading = CHECKS)]
    pub seed: Option<u64>,
    /// Required signer of a release: a public key or an OpenSSH allowed-signers file
    #[arg(long, value_name = "FILE", help_heading = CHECKS)]
    pub signer: Option<PathBuf>,
    /// Images to relabel, as for 'relabel run'
    #[arg(long = "in", value_name = "SOURCE", requires = "recompute", help_heading = INPUT)]
    pub source: Option<PathBuf>,
    #[command(flatten)]
    pub teacher: TeacherFlags,
}
