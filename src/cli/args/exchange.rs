//! `relabel import` and `relabel export`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{threads, up_to};

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
    #[arg(long, value_name = "N", value_parser = up_to::<{ super::run::MAX_SHARD_IMAGES }>)]
    pub shard_size: Option<usize>,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = threads)]
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
    let side = |side: &str| side.parse::<u16>().is_ok_and(|cells| cells > 0);
    match text.split_once('x') {
        Some((height, width)) if side(height) && side(width) => Ok(text.to_owned()),
        _ => Err("height and width in cells are needed, as in 15x15".to_owned()),
    }
}
