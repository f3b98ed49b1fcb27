//! `relabel merge`

use std::path::PathBuf;

use clap::Args;

use super::heading::OUTPUT;

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel merge part0/ part1/ part2/ --out imagenet.labels
  relabel merge part0/ part1/ --out imagenet.labels --link
  relabel merge part0/ part1/ --out imagenet.labels --dry-run
  relabel merge part3/ --out imagenet.labels                    # adds to an existing store

All stores must have the same manifest, teacher and settings. They are read and checked first; nothing is written if one is \
damaged, or if two have different labels for the same shard. The parts are not changed. Re-run the same command to resume \
after an interruption, and 'relabel run --out STORE' to label shards that no part has.

Exit codes: 0 all shards are labelled, 1 failed (see the message), 2 wrong usage, 3 some shards are still to do, 130 \
interrupted.")]
pub struct MergeArguments {
    /// Stores to merge
    #[arg(value_name = "STORE", required = true)]
    pub parts: Vec<PathBuf>,
    /// Store to write, or an existing store to add to
    #[arg(long, value_name = "STORE", help_heading = OUTPUT)]
    pub out: PathBuf,
    /// Hard-link files instead of copying them
    ///
    /// Linked files use no additional space, but editing a file in one store edits it in both. Files on other file systems
    /// are copied.
    #[arg(long, help_heading = OUTPUT)]
    pub link: bool,
    /// Check everything and print the plan, write nothing
    #[arg(long, help_heading = OUTPUT)]
    pub dry_run: bool,
}
