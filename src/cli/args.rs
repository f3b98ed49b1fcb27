//! What the user typed. All clap types; nothing is opened or counted here.

mod run;
mod teacher;
mod store;
mod look;
mod exchange;
mod publish;
mod merge;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use exchange::{ExportArguments, ImportArguments, PythonFlags};
pub use look::{AuditArguments, Color, CropArgument, InspectArguments, PhotoFlags, ReportArguments};
pub use merge::MergeArguments;
pub use publish::PublishArguments;
pub use run::{RunArguments, TaskFlags};
pub use store::{StatusArguments, VerifyArguments};
pub use teacher::{TeacherArguments, TeacherFlags};

/// Label maps for image data sets: what a strong classifier sees in every cell of every image.
#[derive(Debug, Parser)]
#[command(
    name = "relabel",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  relabel run --teacher models/efficientnet-lite0.onnx --in imagenet/train --out labels/
  relabel status labels/
  relabel inspect labels/ n01440764/n01440764_10026 --image-root imagenet/train -o tench.png
  relabel report labels/ --image-root imagenet/train -o report/
  relabel audit labels/ -o audit.parquet
  relabel verify labels/
  relabel publish labels/ --to release/ --license CC-BY-4.0
  relabel teacher effnet-l2.onnx
  relabel merge part0/ part1/ --out labels/
  relabel import relabel_imagenet/ --out published.labels
  relabel export labels/ --format pt --out maps/

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but some images could not be labelled or a check found
problems, 130 interrupted (what was committed stays, and the same command goes on)."
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Global {
    /// Print one JSON document on stdout and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on stderr (-vv: still more)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// How log lines are written on stderr
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Label a folder or an archive of images; the same command again goes on where it stopped
    Run(Box<RunArguments>),
    /// Say how far a store is: done, to do, failed, images per second, bytes per image
    Status(StatusArguments),
    /// Prove that a store is whole and right, or list everything that is not
    Verify(Box<VerifyArguments>),
    /// Show what the teacher saw in one image: classes by cell, pooled labels, a picture
    Inspect(Box<InspectArguments>),
    /// Make a page for the browser: a sample of images with their maps, crops to drag, charts
    Report(ReportArguments),
    /// Rank all images by how much their maps contradict their folders' classes
    Audit(AuditArguments),
    /// Make a release that others can find, understand, check and train on
    Publish(Box<PublishArguments>),
    /// Say what a teacher is, how it will be fed and what is rewritten, and prove the rewrite
    Teacher(TeacherArguments),
    /// Make one store of stores that were made in parts
    Merge(MergeArguments),
    /// Make a store of published .pt files: Re-labeling ImageNet, Token Labeling (needs Python with PyTorch)
    Import(ImportArguments),
    /// Write label maps as such .pt files, for training code that reads them (needs Python with PyTorch)
    Export(ExportArguments),
}

/// Threads that may be asked for: more than any machine has cores. Each one decodes images at the same time, so that a
/// slip of a digit would take all memory.
const MAX_THREADS: usize = 1024;

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=1 << 40).contains(&number) => Ok(number),
        _ => Err("a whole number of at least 1 is needed".to_owned()),
    }
}

/// A whole number from 1 to `MOST`.
fn up_to<const MOST: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("a whole number from 1 to {MOST} is needed"))
}

fn threads(text: &str) -> Result<usize, String> {
    up_to::<MAX_THREADS>(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
