//! Command line arguments as typed. All clap types; nothing is opened or counted here.

mod value_error;
mod run_args;
mod teacher_args;
mod status_args;
mod verify_args;
mod inspect_args;
mod report_args;
mod audit_args;
mod evaluate_args;
mod calibrate_args;
mod compare_args;
mod merge_args;
mod publish_args;
mod import_export_args;
mod export_teacher_args;
mod demo_args;
mod completions_args;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use audit_args::AuditArguments;
pub use calibrate_args::CalibrateArguments;
pub use compare_args::CompareArguments;
pub use completions_args::{CompletionsArguments, ManPagesArguments};
pub use demo_args::DemoArguments;
pub use evaluate_args::EvaluateArguments;
pub use export_teacher_args::ExportTeacherArguments;
pub use import_export_args::{ExportArguments, FileFormat, ImportArguments, PythonFlags};
pub use inspect_args::{Color, CropArgument, InspectArguments, PhotoFlags};
pub use merge_args::MergeArguments;
pub use publish_args::PublishArguments;
pub use report_args::ReportArguments;
pub use run_args::{PartFlags, RunArguments};
pub use status_args::StatusArguments;
pub use teacher_args::{TeacherArguments, TeacherFlags};
pub use verify_args::VerifyArguments;

use value_error::ValueError;

/// Headings of `--help`, in their order.
mod heading {
    pub const INPUT: &str = "Input";
    pub const TEACHER: &str = "Teacher";
    pub const OUTPUT: &str = "Output";
    pub const DEVICES: &str = "Devices";
    pub const SCHEDULING: &str = "Scheduling";
    pub const CHECKS: &str = "Checks";
    pub const PYTHON: &str = "Python";
    pub const GLOBAL: &str = "Global options";
}

/// Label image data sets with a strong classifier: top-k classes for every cell of every image
#[derive(Debug, Parser)]
#[command(
    name = "relabel",
    version,
    max_term_width = 100,
    disable_help_flag = true,
    disable_version_flag = true,
    after_help = "See 'relabel <COMMAND> -h' for the options of a command, '--help' for details and examples.",
    after_long_help = "\
Examples:
  relabel teacher effnet-l2.onnx
  relabel run --teacher effnet-l2.onnx --in imagenet/train --out imagenet.labels
  relabel status imagenet.labels
  relabel verify imagenet.labels
  relabel inspect imagenet.labels n01440764/n01440764_10026 --image-root imagenet/train -o tench.png
  relabel report imagenet.labels --image-root imagenet/train -o report/
  relabel audit imagenet.labels -o audit.parquet
  relabel evaluate imagenet.labels --truth real.json -o evaluation.json
  relabel calibrate imagenet.labels --teacher effnet-l2.onnx --in imagenet/train
  relabel compare fp32.labels fp16.labels --require-agreement 0.99
  relabel merge part0/ part1/ --out imagenet.labels
  relabel publish imagenet.labels --to release/ --license CC-BY-4.0
  relabel import relabel_imagenet/ --out published.labels
  relabel export imagenet.labels --format pt --out maps/
  relabel export-teacher tf_efficientnet_l2.ns_jft_in1k_475 -o effnet-l2.onnx --fp16
  relabel demo

Exit codes:
  0    done
  1    failed; a retry may help, see the help line of the message
  2    wrong usage
  3    finished, but some images could not be labelled or a check found problems
  130  interrupted; committed shards are kept, re-run the command to resume"
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    /// Print version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = heading::GLOBAL)]
    version: Option<bool>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct Global {
    /// Print one JSON document to stdout, and nothing else
    #[arg(long, global = true, help_heading = heading::GLOBAL)]
    pub json: bool,
    /// Log format on stderr
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT", help_heading = heading::GLOBAL)]
    pub log_format: LogFormat,
    /// Print more to stderr; repeat for debug (-vv) and trace (-vvv) logs
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = heading::GLOBAL)]
    pub verbose: u8,
    /// Print only errors to stderr
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = heading::GLOBAL)]
    pub quiet: bool,
    /// Print help; '--help' shows all options, details and examples
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = heading::GLOBAL)]
    help: Option<bool>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Label a folder or archive of images; re-run to resume
    Run(Box<RunArguments>),
    /// Show the progress of a store: labelled, failed, to do, images/s, bytes per image
    Status(StatusArguments),
    /// Verify that a store or release is complete and undamaged, and list problems
    Verify(Box<VerifyArguments>),
    /// Show the label map of one image: classes by cell, pooled labels, a picture
    Inspect(Box<InspectArguments>),
    /// Write a browsable HTML page of sampled images and their label maps
    Report(ReportArguments),
    /// Rank images by how much their label map contradicts their folder class
    Audit(AuditArguments),
    /// Measure how good labels are: accuracy, calibration, localization, fidelity to the teacher on crops
    Evaluate(Box<EvaluateArguments>),
    /// Fit the targets of crops to the teacher's predictions for crops
    Calibrate(Box<CalibrateArguments>),
    /// Compare two stores of the same images: cells, scores, targets, the worst images
    Compare(Box<CompareArguments>),
    /// Check a teacher: show its preprocessing and verify the rewritten graph against the original
    Teacher(TeacherArguments),
    /// Merge partially labelled stores into one
    Merge(MergeArguments),
    /// Publish a store as a documented, checksummed data set
    Publish(Box<PublishArguments>),
    /// Import published .pt label maps into a store; requires PyTorch
    Import(ImportArguments),
    /// Export label maps as .pt files (requires PyTorch), or labels of masks as a multi-label table
    Export(ExportArguments),
    /// Export a classifier of timm, torchvision or transformers as a teacher
    ExportTeacher(ExportTeacherArguments),
    /// Label the sample photographs and draw the label map of one of them
    Demo(DemoArguments),
    /// Print the completion script of a shell
    Completions(CompletionsArguments),
    /// Write the man pages
    #[command(hide = true)]
    ManPages(ManPagesArguments),
}

/// Upper limit of `--threads`. Each thread decodes an image at the same time, so a typing error in the number could
/// exhaust memory.
const MAX_THREADS: usize = 1024;

fn positive(text: &str) -> Result<usize, ValueError> {
    text.parse().ok().filter(|number| (1..=1 << 40).contains(number)).ok_or(ValueError::NotPositive)
}

/// Parses a whole number from 1 to `MAX`.
fn up_to<const MAX: usize>(text: &str) -> Result<usize, ValueError> {
    let number = text.parse().ok().filter(|number| (1..=MAX).contains(number));
    number.ok_or(ValueError::OutOfRange { min: 1, max: MAX })
}

fn threads(text: &str) -> Result<usize, ValueError> {
    up_to::<MAX_THREADS>(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
