//! What the user typed. All clap types; nothing is opened or counted here.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use relabel::geometry::InputSize;
use relabel::pixels::Filter;
use relabel::teacher::DeviceChoice;
use relabel::teacher::card::ChannelOrder;

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
  relabel inspect labels/ n01440764/n01440764_10026
  relabel verify labels/
  relabel teacher effnet-l2.onnx
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
    /// Say what the teacher saw in one image
    Inspect(InspectArguments),
    /// Say what a teacher is, how it will be fed and what is rewritten, and prove the rewrite
    Teacher(TeacherArguments),
    /// Make a store of published .pt files: Re-labeling ImageNet, Token Labeling (needs Python with PyTorch)
    Import(ImportArguments),
    /// Write label maps as such .pt files, for training code that reads them (needs Python with PyTorch)
    Export(ExportArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel run --teacher effnet-l2.onnx --in imagenet/train --out labels/
  relabel run --teacher effnet-l2.onnx --in imagenet/train --out labels/ --device cuda --batch 64
  relabel run --teacher models/efficientnet-lite0.onnx --in photos --input-size 480 --limit 100
  relabel run --teacher effnet-l2.onnx --in imagenet/train --out labels/ --dry-run
  relabel run --teacher net.onnx --in photos --manifest subset.csv --card net.toml
  relabel run --teacher net.onnx --in photos --out labels/ --task-index 3 --task-count 8   (one of 8 processes)
  relabel run --teacher effnet-l2.onnx --in ILSVRC2012_img_train.tar
  relabel run --teacher effnet-l2.onnx --in 'shards/{000000..001281}.tar'
  relabel run --teacher effnet-l2.onnx --in 'imagenet-1k/data/train-*.parquet'

A teacher card is TOML beside the teacher (net.toml for net.onnx); models/README.md lists its keys.
To go on after an interruption, give the same command again.")]
pub struct RunArguments {
    #[command(flatten)]
    pub teacher: TeacherFlags,
    /// Images: a folder (its first folders are the classes), a .tar or a tar of tars, several tars as
    /// 'shards/{000000..001281}.tar' or 'shards/*.tar', or Parquet files as 'data/*.parquet'
    #[arg(long = "in", value_name = "SOURCE")]
    pub source: PathBuf,
    /// Store to write [default: ./<source>.<teacher>.labels]
    #[arg(long, value_name = "STORE")]
    pub out: Option<PathBuf>,
    /// List of the images (.csv, .tsv, .parquet) instead of all in the folder; see manifests/README.md
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Take only the first N images of the list
    #[arg(long, value_name = "N", value_parser = positive)]
    pub limit: Option<usize>,
    /// Images in each shard, the unit of commit and resume [default: 1024]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub shard_size: Option<usize>,
    /// Images in each run of the teacher [default: 16 on the CPU, 64 on CUDA, or what the teacher fixes]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub batch: Option<usize>,
    /// Round scores to multiples of 1/N, N a power of two: smaller files, slightly other labels (docs/performance.md)
    #[arg(long, value_name = "N", value_parser = steps)]
    pub score_steps: Option<u16>,
    /// Write nothing: count, measure a few batches, and say hours and bytes to come
    #[arg(long, conflicts_with = "retry_failed")]
    pub dry_run: bool,
    /// Label again what failed before, beside what is still to do; images with labels keep them
    #[arg(long)]
    pub retry_failed: bool,
    /// Stop when more than N images of this run fail [default: stop when 1000 fail in a row]
    #[arg(long, value_name = "N")]
    pub max_failures: Option<usize>,
    #[command(flatten)]
    pub task: TaskFlags,
}

/// Which part of the store one of many processes does.
#[derive(Clone, Copy, Debug, Args)]
pub struct TaskFlags {
    /// Do only this part of the store, counted from 0 [default: what Slurm or Kubernetes say, else everything]
    #[arg(long, value_name = "I", requires = "task_count")]
    pub task_index: Option<usize>,
    /// Parts that the store is done in, one process each
    #[arg(long, value_name = "N", requires = "task_index", value_parser = positive)]
    pub task_count: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel teacher models/efficientnet-lite0.onnx
  relabel teacher effnet-l2.onnx --input-size 475 --device cuda --json")]
pub struct TeacherArguments {
    #[command(flatten)]
    pub flags: TeacherFlags,
    /// ONNX classifier
    #[arg(value_name = "T.ONNX", required_unless_present = "teacher", conflicts_with = "teacher")]
    pub path: Option<PathBuf>,
}

/// The flags that say what a teacher is and how it is fed.
#[derive(Clone, Debug, Args)]
pub struct TeacherFlags {
    /// ONNX classifier
    #[arg(long, value_name = "T.ONNX")]
    pub teacher: Option<PathBuf>,
    /// Teacher card [default: T.toml beside T.onnx]
    #[arg(long, value_name = "FILE")]
    pub card: Option<PathBuf>,
    /// Input in pixels: 475, or 475x640 (height x width)
    #[arg(long, value_name = "SIZE")]
    pub input_size: Option<InputSize>,
    /// Mean of x/255 in channel order: 0.485,0.456,0.406
    #[arg(long, value_name = "R,G,B", value_parser = three, allow_hyphen_values = true)]
    pub mean: Option<Three>,
    /// Standard deviation of x/255 in channel order: 0.229,0.224,0.225
    #[arg(long, value_name = "R,G,B", value_parser = three, allow_hyphen_values = true)]
    pub std: Option<Three>,
    /// Filter of the resize: nearest, box, bilinear, bicubic or lanczos
    #[arg(long)]
    pub filter: Option<Filter>,
    /// Order of the channels
    #[arg(long, value_enum, value_name = "ORDER")]
    pub channel_order: Option<Channels>,
    /// Class list: imagenet-1k, or a file with one class a line in the order of the outputs
    #[arg(long, value_name = "LIST")]
    pub classes: Option<String>,
    /// Classes to keep in each cell
    #[arg(long, value_name = "K", default_value = "5", value_parser = positive)]
    pub top_k: usize,
    /// Average the scores with those of the mirrored image, mirrored back: steadier labels for twice the time and memory
    #[arg(long)]
    pub flip_average: bool,
    /// Keep the log-sum-exp of all classes in each cell too (array `lse`), for true probabilities: exp(score - lse)
    #[arg(long)]
    pub with_lse: bool,
    /// Where to run: cpu, cuda, cuda:1, cuda:0,cuda:1, or auto (CUDA if it can be used)
    #[arg(long, default_value = "cpu")]
    pub device: DeviceChoice,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
    /// ONNX Runtime's library [default: found beside the program, in .venv or the active Python, in the system]
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    pub onnxruntime: Option<PathBuf>,
}

/// One value for each channel.
#[derive(Clone, Copy, Debug)]
pub struct Three(pub [f64; 3]);

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Channels {
    Rgb,
    Bgr,
}

impl From<Channels> for ChannelOrder {
    fn from(channels: Channels) -> Self {
        match channels {
            Channels::Rgb => Self::Rgb,
            Channels::Bgr => Self::Bgr,
        }
    }
}

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

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel inspect labels/ n01440764/n01440764_10026
  relabel inspect labels/ n01440764_10026.JPEG
  relabel inspect labels/ 12 --json")]
pub struct InspectArguments {
    /// The store
    pub store: PathBuf,
    /// An image's id, path, file name, or row number
    pub image: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel import relabel_imagenet/ --out published.labels
  relabel import relabel_imagenet/ --out published.labels --reference labels/
  relabel import token_labels/ --out token.labels --classes my_classes.txt --orientation yx

DIR holds one .pt file for each image, a tensor [2, k, h, w] of scores and class ids, in the folders of the images \
(n01440764/n01440764_10026.pt). The files do not say which of their axes is y, so that [y, x] is assumed and said, unless \
--orientation, --map-size (where height and width differ) or --reference tells it. To go on after an interruption, give \
the same command again.

Exit codes: 0 done, 3 some files could not be read (relabel status STORE --failed lists them).")]
pub struct ImportArguments {
    /// Folder with the .pt files
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Store to write
    #[arg(long, value_name = "STORE")]
    pub out: PathBuf,
    /// Class list: imagenet-1k, a file with one class a line in the order of the ids, or a number of classes
    /// [default: what `relabel export` noted, or imagenet-1k]
    #[arg(long, value_name = "LIST")]
    pub classes: Option<String>,
    /// What the teacher is called, since the files do not say [default: what `relabel export` noted, or imported]
    #[arg(long, value_name = "NAME")]
    pub teacher_name: Option<String>,
    /// Rows and columns of cells of the images' maps; tells y from x where they differ
    #[arg(long, value_name = "HxW", value_parser = map_size)]
    pub map_size: Option<String>,
    /// Which axis of cells comes first in the files
    #[arg(long, value_enum, value_name = "AXES", default_value = "auto")]
    pub orientation: FileOrientation,
    /// Where the ranks are: first for [2, k, h, w], last for [2, h, w, k]
    #[arg(long, value_enum, value_name = "PLACE", default_value = "auto")]
    pub rank_axis: FileRanks,
    /// A store that `relabel run` made of some of the same images: shows which axis is y
    #[arg(long, value_name = "STORE")]
    pub reference: Option<PathBuf>,
    /// Images in each shard, the unit of commit and resume [default: 1024]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub shard_size: Option<usize>,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub threads: Option<usize>,
    #[command(flatten)]
    pub python: PythonFlags,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel export labels/ --format pt --out maps/
  relabel export labels/ --out maps/ --dtype float16

Each labelled image becomes maps/<id>.pt, a tensor [2, k, y, x]: scores, then class ids, as Re-labeling ImageNet's files are \
(TokenLabeling's are float16). The same command again goes on where it stopped.

Exit codes: 0 done, 3 some images have no labels, and so no file.")]
pub struct ExportArguments {
    /// The store
    pub store: PathBuf,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What the files are
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "pt")]
    pub format: FileFormat,
    /// Numbers in the files; float16 tells class ids apart only up to 2,048
    #[arg(long, value_enum, value_name = "DTYPE", default_value = "float32")]
    pub dtype: FileNumbers,
    #[command(flatten)]
    pub python: PythonFlags,
}

/// Which Python does what needs PyTorch.
#[derive(Debug, Args)]
pub struct PythonFlags {
    /// Python with the package relabel and PyTorch [default: the active environment's, or python3]
    #[arg(long, value_name = "FILE", env = "RELABEL_PYTHON")]
    pub python: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileOrientation {
    /// What the other flags tell, or else [y, x]
    Auto,
    /// Rows of the image first
    Yx,
    /// Columns of the image first
    Xy,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileRanks {
    /// Where scores fall and classes differ
    Auto,
    /// Before the cells
    First,
    /// Behind the cells
    Last,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileFormat {
    /// One PyTorch tensor an image
    Pt,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum FileNumbers {
    Float32,
    Float16,
}

/// The size as it was typed; Python takes the same words.
fn map_size(text: &str) -> Result<String, String> {
    let side = |side: &str| side.parse::<usize>().is_ok_and(|cells| cells > 0);
    match text.split_once('x') {
        Some((height, width)) if side(height) && side(width) => Ok(text.to_owned()),
        _ => Err("height and width in cells are needed, as in 15x15".to_owned()),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=1 << 40).contains(&number) => Ok(number),
        _ => Err("a whole number of at least 1 is needed".to_owned()),
    }
}

fn steps(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(steps) if steps.is_power_of_two() && steps <= 1024 => Ok(steps),
        _ => Err("a power of two up to 1024 is needed: 8, 16, 32, ...".to_owned()),
    }
}

fn three(text: &str) -> Result<Three, String> {
    let numbers: Vec<f64> =
        text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map_err(|_| three_needed())?;
    <[f64; 3]>::try_from(numbers).map(Three).map_err(|_| three_needed())
}

fn three_needed() -> String {
    "three numbers with commas between them are needed, as in 0.485,0.456,0.406".to_owned()
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
