//! `relabel import` and `relabel export`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::heading::{INPUT, OUTPUT, PYTHON, SCHEDULING, TEACHER};
use super::{ValueError, threads, up_to};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel import relabel_imagenet/ --out published.labels
  relabel import relabel_imagenet/ --out published.labels --reference imagenet.labels
  relabel import token_labels/ --out token.labels --classes my_classes.txt --orientation yx

DIR has one .pt file per image, a tensor [2, k, h, w] of scores and class ids, in the folders of the images \
(n01440764/n01440764_10026.pt). The files do not record which of their axes is y: [y, x] is assumed, with a note, unless \
--orientation, --map-size (if height and width differ) or --reference determines it. Re-run the same command to resume \
after an interruption. Known publications: Re-labeling ImageNet, Token Labeling.

Exit codes: 0 done, 1 failed (see the message), 2 wrong usage, 3 some files could not be read ('relabel status STORE \
--failed' lists them), 130 interrupted.")]
pub struct ImportArguments {
    /// Folder with the .pt files
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Which axis of cells comes first in the files
    #[arg(long, value_enum, value_name = "AXES", default_value = "auto", help_heading = INPUT)]
    pub orientation: FileOrientation,
    /// Position of the rank axis: first for [2, k, h, w], last for [2, h, w, k]
    #[arg(long, value_enum, value_name = "AXIS", default_value = "auto", help_heading = INPUT)]
    pub rank_axis: FileRanks,
    /// Height and width of the maps in cells; distinguishes y from x if they differ
    #[arg(long, value_name = "HxW", value_parser = map_size, help_heading = INPUT)]
    pub map_size: Option<String>,
    /// Store labelled from some of the same images; distinguishes y from x
    #[arg(long, value_name = "STORE", help_heading = INPUT)]
    pub reference: Option<PathBuf>,
    /// Class list: imagenet-1k, a file with one class per line, or a number of classes
    ///
    /// [default: as recorded by 'relabel export', or imagenet-1k]
    #[arg(long, value_name = "LIST", help_heading = TEACHER)]
    pub classes: Option<String>,
    /// Name of the teacher, which the files do not record
    ///
    /// [default: as recorded by 'relabel export', or "imported"]
    #[arg(long, value_name = "NAME", help_heading = TEACHER)]
    pub teacher_name: Option<String>,
    /// Store to write
    #[arg(long, value_name = "STORE", help_heading = OUTPUT)]
    pub out: PathBuf,
    /// Images per shard, the unit of commit and resume [default: 1024]
    #[arg(long, value_name = "N", value_parser = up_to::<{ super::run_args::MAX_SHARD_IMAGES }>, help_heading = OUTPUT)]
    pub shard_size: Option<usize>,
    /// Threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = threads, help_heading = SCHEDULING)]
    pub threads: Option<usize>,
    #[command(flatten)]
    pub python: PythonFlags,
}

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel export imagenet.labels --format pt --out maps/
  relabel export imagenet.labels --out maps/ --dtype float16
  relabel export imagenet.labels --format multilabel-tsv --masks maskcut.json --out multilabel.tsv

pt: each labelled image becomes maps/<id>.pt, a tensor [2, k, y, x] of scores and class ids, as in Re-labeling ImageNet \
(TokenLabeling uses float16). Re-run the same command to resume after an interruption.

multilabel-tsv: each labelled image becomes a line of one file, as in MultiLabel-ImageNet: file, folder class (-1 if it is not \
a class of the teacher), class ids, and their probabilities. Each mask of the image is labelled with the best class of the mean \
of the label map under it; masks of one class count once, with the largest probability. 'relabel evaluate --truth' reads the file.

Exit codes: 0 done, 1 failed (see the message), 2 wrong usage, 3 some images have no labels and thus no file, 130 \
interrupted.")]
pub struct ExportArguments {
    /// Store: a folder
    pub store: PathBuf,
    /// COCO file with masks of objects (run-length encoded), or a folder of such files; for multilabel-tsv
    #[arg(long, value_name = "PATH", required_if_eq("format", "multilabel-tsv"), help_heading = INPUT)]
    pub masks: Option<PathBuf>,
    /// Folder (pt) or file (multilabel-tsv) to write
    #[arg(long, value_name = "PATH", help_heading = OUTPUT)]
    pub out: PathBuf,
    /// File format
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "pt", help_heading = OUTPUT)]
    pub format: FileFormat,
    /// Number type; float16 represents class ids exactly only up to 2,048
    #[arg(long, value_enum, value_name = "DTYPE", default_value = "float32", help_heading = OUTPUT)]
    pub dtype: FileNumbers,
    /// Leave out classes of masks with a smaller probability, 0 to 1 [default: 0]
    #[arg(long, value_name = "P", value_parser = probability, requires = "masks", help_heading = OUTPUT)]
    pub min_prob: Option<f64>,
    /// Add the folder class of each image with probability 1
    #[arg(long, requires = "masks", help_heading = OUTPUT)]
    pub folder_class: bool,
    #[command(flatten)]
    pub python: PythonFlags,
}

/// Python for the commands that need PyTorch.
#[derive(Debug, Args)]
pub struct PythonFlags {
    /// Python with PyTorch and the package relabel
    ///
    /// [default: python3 of the environment that the program is installed in, if the package relabel is installed there;
    /// of the active environment; or on the PATH]
    #[arg(long, value_name = "FILE", env = "RELABEL_PYTHON", help_heading = PYTHON)]
    pub python: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileOrientation {
    /// As determined by the other flags, else [y, x]
    Auto,
    /// y first, then x
    Yx,
    /// x first, then y
    Xy,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileRanks {
    /// The axis along which scores decrease and classes differ
    Auto,
    /// Before the cells
    First,
    /// After the cells
    Last,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileFormat {
    /// One PyTorch tensor per image
    Pt,
    /// One table of the classes of all images, from masks of objects
    MultilabelTsv,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileNumbers {
    Float32,
    Float16,
}

fn probability(text: &str) -> Result<f64, ValueError> {
    text.parse().ok().filter(|number| (0.0..=1.0).contains(number)).ok_or(ValueError::NotProbability)
}

/// Checks the size and returns it as typed, for Python.
fn map_size(text: &str) -> Result<String, ValueError> {
    let is_side = |side: &str| side.parse::<u16>().is_ok_and(|cells| cells > 0);
    match text.split_once('x') {
        Some((height, width)) if is_side(height) && is_side(width) => Ok(text.to_owned()),
        _ => Err(ValueError::NotMapSize),
    }
}
