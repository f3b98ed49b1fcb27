//! `relabel status`

use std::path::PathBuf;

use clap::Args;

use super::heading::OUTPUT;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel status imagenet.labels
  relabel status imagenet.labels --failed
  relabel status imagenet.labels --json

Exit codes: 0 done, 1 failed (see the message), 2 wrong usage, 3 some shards are damaged, 130 interrupted.")]
pub struct StatusArguments {
    /// Store: a folder or a URL
    pub store: PathBuf,
    /// List every image that could not be labelled, with the reason
    #[arg(long, help_heading = OUTPUT)]
    pub failed: bool,
}
