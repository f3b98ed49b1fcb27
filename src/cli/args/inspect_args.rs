//! `relabel inspect`, and the flags of every command that shows photographs.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use relabel::shared::geometry::UnitBox;
use relabel::training::labels::PoolingKind;

use super::ValueError;
use super::heading::{INPUT, OUTPUT};

#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  relabel inspect imagenet.labels n01440764/n01440764_10026
  relabel inspect imagenet.labels n01440764_10026 --image-root imagenet/train -o tench.png
  relabel inspect imagenet.labels n01440764_10026.JPEG --crop 0.1,0.2,0.6,0.9
  relabel inspect imagenet.labels n01440764_10026 --crop 50,40,300,280 --image-root imagenet/train
  relabel inspect imagenet.labels n01440764_10026 --crop 0.1,0.2,0.6,0.9 --pooling tiles
  relabel inspect imagenet.labels n01440764_10026 --image-root imagenet/train --html tench/
  relabel inspect imagenet.labels 12 --json

Exit codes: 0 done, 1 failed (see the message), 2 wrong usage, 3 the image has no labels (it failed, or its shard is not \
labelled yet), 130 interrupted.")]
pub struct InspectArguments {
    /// Store: a folder or a URL
    pub store: PathBuf,
    /// Image: its id, path, file name with or without extension, or row number
    pub image: String,
    /// Also pool the labels of this crop, in 0..1 of the image or in pixels
    ///
    /// Values above 2 are pixels of the photograph; they require --image-root.
    #[arg(long, value_name = "X0,Y0,X1,Y1", allow_hyphen_values = true, help_heading = INPUT)]
    pub crop: Option<CropArgument>,
    /// Kind of pooling of the crop [default: paper (tiles if the store has no label maps), and calibrated if it has pooling.json]
    ///
    /// paper: LabelPooling of the label map. tiles: the predictions of the image and its tiles, weighted by overlap. calibrated:
    /// all labels, mixed with the parameters that 'relabel calibrate' fitted.
    #[arg(
        long,
        value_name = "KIND",
        requires = "crop",
        value_parser = PossibleValuesParser::new(PoolingKind::ALL.map(|(name, _)| name)).try_map(|name| name.parse::<PoolingKind>()),
        help_heading = INPUT
    )]
    pub pooling: Option<PoolingKind>,
    #[command(flatten)]
    pub photos: PhotoFlags,
    /// Write a picture: photograph, best classes, heat maps, tiles, labels
    #[arg(
        short,
        long,
        value_name = "FILE.png",
        value_parser = PathBufValueParser::new().try_map(png),
        help_heading = OUTPUT
    )]
    pub out: Option<PathBuf>,
    /// Write an HTML page of this image, like 'relabel report'
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub html: Option<PathBuf>,
    /// When to print colours
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", help_heading = OUTPUT)]
    pub color: Color,
}

/// Location of the photographs.
#[derive(Debug, Args)]
pub struct PhotoFlags {
    /// Photographs of the store, as for 'relabel run --in'
    ///
    /// A folder, a .tar or Parquet files.
    #[arg(long, value_name = "SOURCE", help_heading = INPUT)]
    pub image_root: Option<PathBuf>,
    /// Accept photographs whose file size differs from the manifest
    ///
    /// For resized or re-encoded copies of the labelled images.
    #[arg(long, requires = "image_root", help_heading = INPUT)]
    pub any_size: bool,
}

/// When colours are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Color {
    /// On a terminal with colours
    Auto,
    Always,
    Never,
}

/// A crop as typed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CropArgument {
    /// In 0..1 of the image. It may extend beyond the image.
    Unit(UnitBox),
    /// In pixels of the photograph: left, upper, right, lower.
    Pixels([f64; 4]),
}

/// Larger values are pixels.
const MAX_UNIT: f64 = 2.0;

impl FromStr for CropArgument {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let sides: Option<Vec<f64>> = text.split(',').map(|side| side.trim().parse().ok()).collect();
        let sides = sides.and_then(|sides| <[f64; 4]>::try_from(sides).ok()).ok_or(ValueError::NotCrop)?;
        if sides.iter().any(|side| side.is_finite() && side.abs() > MAX_UNIT) {
            return Ok(Self::Pixels(sides));
        }
        let [x0, y0, x1, y1] = sides;
        let unit_box = UnitBox::new(x0, y0, x1, y1).and_then(UnitBox::overlapping_image);
        unit_box.map(Self::Unit).map_err(|error| ValueError::CropBox(error.into()))
    }
}

pub(super) fn png(path: PathBuf) -> Result<PathBuf, ValueError> {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("png") => Ok(path),
        _ => Err(ValueError::NotPng),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crop_is_in_units_or_pixels() {
        let unit = CropArgument::Unit(UnitBox::new(0.1, 0.2, 0.6, 1.25).unwrap());
        assert_eq!("0.1,0.2,0.6,1.25".parse::<CropArgument>().unwrap(), unit);
        let pixels = CropArgument::Pixels([0.0, 0.0, 300.0, 280.0]);
        assert_eq!("0, 0, 300, 280".parse::<CropArgument>().unwrap(), pixels);
        for bad in ["", "1,2,3", "a,b,c,d", "0.5,0.5,0.2,0.9", "1.1,0,1.5,1", "0,0,nan,1", "0,0,1,1,1"] {
            assert!(bad.parse::<CropArgument>().is_err(), "{bad}");
        }
    }
}
