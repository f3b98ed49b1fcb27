//! `relabel inspect`, `relabel report` and `relabel audit`

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PathBufValueParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use relabel::shared::geometry::UnitBox;

use super::{positive, threads, up_to};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel inspect labels/ n01440764/n01440764_10026
  relabel inspect labels/ n01440764_10026 --image-root imagenet/train -o tench.png
  relabel inspect labels/ n01440764_10026.JPEG --crop 0.1,0.2,0.6,0.9
  relabel inspect labels/ n01440764_10026 --crop 50,40,300,280 --image-root imagenet/train
  relabel inspect labels/ n01440764_10026 --image-root imagenet/train --html tench/
  relabel inspect labels/ 12 --json

Exit codes: 0 done, 3 the image has no labels: it could not be labelled, or its shard is still to do.")]
pub struct InspectArguments {
    /// The store
    pub store: PathBuf,
    /// An image's id, path, file name, or row number
    pub image: String,
    /// A crop whose pooled label is wanted: 0..1 of the image, or pixels of the photograph
    #[arg(long, value_name = "X0,Y0,X1,Y1", allow_hyphen_values = true)]
    pub crop: Option<CropArgument>,
    /// Write a picture: photograph, winning classes, heat maps, labels
    #[arg(short, long, value_name = "FILE.png", value_parser = PathBufValueParser::new().try_map(png))]
    pub out: Option<PathBuf>,
    /// Write a page for the browser about this image, as `relabel report` does for many
    #[arg(long, value_name = "DIR")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    pub photos: PhotoFlags,
    /// Colours on the terminal
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// Where the photographs are.
#[derive(Debug, Args)]
pub struct PhotoFlags {
    /// Where the photographs are, as `relabel run --in` takes it: a folder, a .tar, Parquet files
    #[arg(long, value_name = "SOURCE")]
    pub image_root: Option<PathBuf>,
    /// Take photographs of another length in bytes than was listed, too: scaled or written anew, but the same pictures
    #[arg(long, requires = "image_root")]
    pub any_size: bool,
}

/// When the terminal's colours are used.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Color {
    /// On a terminal that has them
    Auto,
    Always,
    Never,
}

/// A crop as it was typed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CropArgument {
    /// In 0..1 of the image. It may cross the image's edge.
    Unit(UnitBox),
    /// In pixels of the photograph: left, upper, right, lower.
    Pixels([f64; 4]),
}

/// Sides beyond this, to either side, are pixels.
const MAX_UNIT: f64 = 2.0;

impl FromStr for CropArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let needed = || format!("`{text}` is no crop: four numbers with commas between them are needed, x0,y0,x1,y1");
        let sides: Vec<f64> =
            text.split(',').map(|side| side.trim().parse()).collect::<Result<_, _>>().map_err(|_| needed())?;
        let sides = <[f64; 4]>::try_from(sides).map_err(|_| needed())?;
        if sides.iter().any(|side| side.is_finite() && side.abs() > MAX_UNIT) {
            return Ok(Self::Pixels(sides));
        }
        let [x0, y0, x1, y1] = sides;
        UnitBox::new(x0, y0, x1, y1).map(Self::Unit)
    }
}

fn png(path: PathBuf) -> Result<PathBuf, String> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("png") => Ok(path),
        _ => Err("pictures are written as PNG: name a file that ends in .png".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel report labels/ --image-root imagenet/train -o report/
  relabel report labels/ --image-root imagenet/train -o report/ --sample 5000 --seed 7
  relabel report labels/ --image-root imagenet/train -o dogs/ --class n02099601 --class n02099712
  relabel report labels/ -o report/ --all

The page is report/index.html. It needs no network and no server: open it from the disk, or copy the folder elsewhere.

Exit codes: 0 done, 3 some photographs could not be shown; the page says which and why.")]
pub struct ReportArguments {
    /// The store
    pub store: PathBuf,
    /// Folder to write
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    pub photos: PhotoFlags,
    /// Random images to show
    #[arg(long, value_name = "N", default_value = "1000", value_parser = positive, conflicts_with = "all")]
    pub sample: usize,
    /// Which random images: the same number gives the same ones
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub seed: u64,
    /// Show all images
    #[arg(long)]
    pub all: bool,
    /// Only images that lie in this class's folder, whatever their maps hold: by folder, name or number; several may be
    /// named
    #[arg(long = "class", value_name = "CLASS")]
    pub classes: Vec<String>,
    /// Only images whose id holds this text
    #[arg(long, value_name = "TEXT")]
    pub matching: Option<String>,
    /// Longer side of the photographs on the page, in pixels
    #[arg(long, value_name = "PIXELS", default_value = "320", value_parser = up_to::<MAX_PHOTO_SIDE>)]
    pub photo_side: usize,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relabel audit labels/ -o audit.parquet
  relabel audit labels/ -o audit.csv --crops 200
  relabel audit labels/ -o audit.json --class n02099601
  relabel audit labels/ -o audit.parquet --pred-probs        (for cleanlab's Datalab)

The file lists every labelled image, the one whose map contradicts its folder's class most first. A second file, \
audit.classes.parquet beside audit.parquet, has one line for each class. docs/guide/audit.md explains every column.")]
pub struct AuditArguments {
    /// The store
    pub store: PathBuf,
    /// File to write; its ending says what: .parquet, .csv or .json
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,
    /// Random crops whose labels are pooled for each image; 0 leaves their columns out
    #[arg(long, value_name = "N", default_value = "64", value_parser = crops)]
    pub crops: usize,
    /// Which random crops: the same number gives the same ones
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub seed: u64,
    /// Only images of this class: by folder, name or number; several may be named
    #[arg(long = "class", value_name = "CLASS")]
    pub classes: Vec<String>,
    /// Add the pooled probabilities of all classes (`pred_probs`), which cleanlab's Datalab takes beside `label_class`; up to
    /// 4 bytes a class and image. The teacher has mostly been trained on these images, so that it agrees with wrong labels
    /// more often than a model that has not seen them (docs/guide/audit.md)
    #[arg(long)]
    pub pred_probs: bool,
    /// Threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
}

/// Photographs are never made larger, so that more changes nothing.
const MAX_PHOTO_SIDE: usize = 65_535;

/// More would only say the same more precisely, and take as much longer.
const MAX_CROPS: usize = 10_000;

fn crops(text: &str) -> Result<usize, String> {
    let crops = text.parse().ok().filter(|crops| *crops <= MAX_CROPS);
    crops.ok_or_else(|| format!("a whole number from 0 to {MAX_CROPS} is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_units_or_pixels() {
        let unit = CropArgument::Unit(UnitBox::new(0.1, 0.2, 0.6, 1.25).unwrap());
        assert_eq!("0.1,0.2,0.6,1.25".parse(), Ok(unit));
        assert_eq!("0, 0, 300, 280".parse(), Ok(CropArgument::Pixels([0.0, 0.0, 300.0, 280.0])));
        for bad in ["", "1,2,3", "a,b,c,d", "0.5,0.5,0.2,0.9", "0,0,nan,1", "0,0,1,1,1"] {
            assert!(bad.parse::<CropArgument>().is_err(), "{bad}");
        }
    }
}
