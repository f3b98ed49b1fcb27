//! `relabel merge`

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel merge part0/ part1/ part2/ --out labels/
  relabel merge part0/ part1/ --out labels/ --link
  relabel merge part0/ part1/ --out labels/ --dry-run
  relabel merge part3/ --out labels/                    adds to a store that is there

The stores must be of one list, teacher and flags. All of them are read and checked first; nothing is written when one is \
damaged, or where two have the same shard with other labels. The parts stay as they are. To go on after an interruption, \
give the same command again. What no part has, `relabel run` with --out STORE labels.

Exit codes: 0 every shard is there, 3 shards are still to do.")]
pub struct MergeArguments {
    /// The stores
    #[arg(value_name = "STORE", required = true)]
    pub parts: Vec<PathBuf>,
    /// Store to write, or to add to; none of the others
    #[arg(long, value_name = "STORE")]
    pub out: PathBuf,
    /// Link files instead of copying them: no space is taken, but a file that is edited in one store is edited in both.
    /// Across file systems, files are copied all the same
    #[arg(long)]
    pub link: bool,
    /// Check everything and say what would be done; write nothing
    #[arg(long)]
    pub dry_run: bool,
}
