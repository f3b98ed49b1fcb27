//! The teacher card: how the input of a teacher is prepared, and where each of its values came from.

mod error;
mod keys;
mod parse;
mod resolve;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::labelling::pixels::{ExifOrientation, Filter};
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::geometry::{InputSize, MapSize};
use crate::shared::regular_file::metadata;

pub use error::{CardError, CardValueError};
pub(crate) use parse::values_from_metadata;
pub(crate) use resolve::{GraphFacts, named_class_count, resolve, resolve_classes};

/// The card in force: how the input of a teacher is prepared, and what its output is.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherCard {
    /// The teacher's name.
    pub name: String,
    /// Input height and width in pixels.
    pub input_size: InputSize,
    /// Mean of `x / 255`, in channel order.
    pub mean: [f64; 3],
    /// Standard deviation of `x / 255`, in channel order; positive.
    pub std: [f64; 3],
    /// PIL's resampling filter.
    pub filter: Filter,
    /// Channel order of the input.
    pub channel_order: ChannelOrder,
    /// Whether EXIF orientation is applied before the resize.
    pub exif_orientation: ExifOrientation,
    /// Name of the output that holds the scores, where the graph has several.
    pub output: Option<String>,
    /// Rows and columns of cells, for a sequence of tokens that does not have the proportions of the input.
    pub grid: Option<MapSize>,
    /// Axis order of a score map, if neither the graph nor the proportions determine it.
    pub layout: Option<ScoreMapLayout>,
    /// Whether it must be verified that cells correspond to positions of the image.
    pub locality: LocalityCheck,
    /// Names of the classes, in output order.
    pub classes: ClassList,
    /// All other keys of the card: source, licence, export command, ...
    pub remarks: BTreeMap<String, toml::Value>,
    /// Where each value came from, by key.
    pub origins: BTreeMap<&'static str, Origin>,
}

impl TeacherCard {
    /// How pixel values become the teacher's input.
    #[must_use]
    pub fn normalisation(&self) -> Normalisation {
        Normalisation { mean: self.mean, std: self.std, channel_order: self.channel_order }
    }
}

/// How pixel values become the input of a classifier: `(x / 255 - mean) / std` for each channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Mean of `x / 255`, in channel order.
    pub mean: [f64; 3],
    /// Standard deviation of `x / 255`, in channel order; positive.
    pub std: [f64; 3],
    /// Channel order of the input.
    pub channel_order: ChannelOrder,
}

/// Channel order of a teacher's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// Axis order of a score map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreMapLayout {
    /// `[batch, class, y, x]`
    Nchw,
    /// `[batch, y, x, class]`
    Nhwc,
}

/// Whether it must be verified that a teacher's cells correspond to positions of the image: see
/// [`Locality`](super::Locality).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalityCheck {
    /// Teachers for which it cannot be verified are refused.
    #[default]
    #[serde(rename = "proved")]
    Required,
    /// They are accepted; stores, releases and summaries record it.
    Unchecked,
}

/// Where a value of a card came from. Earlier variants take precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A flag of the command line.
    Flag,
    /// The card.
    Card,
    /// The metadata inside the ONNX file.
    OnnxMetadata,
    /// The fixed shapes of the ONNX graph.
    OnnxGraph,
    /// None of these: the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Card => "card",
            Self::OnnxMetadata => "ONNX metadata",
            Self::OnnxGraph => "ONNX graph",
            Self::Default => "default",
        })
    }
}

/// Values of a card from one origin; `None` if it does not set one. Card files, command-line flags and metadata are all
/// parsed into this.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CardValues {
    /// See [`TeacherCard::name`].
    pub name: Option<String>,
    /// See [`TeacherCard::input_size`].
    pub input_size: Option<InputSize>,
    /// See [`TeacherCard::mean`].
    pub mean: Option<[f64; 3]>,
    /// See [`TeacherCard::std`].
    pub std: Option<[f64; 3]>,
    /// See [`TeacherCard::filter`].
    pub filter: Option<Filter>,
    /// See [`TeacherCard::channel_order`].
    pub channel_order: Option<ChannelOrder>,
    /// See [`TeacherCard::exif_orientation`]: `"ignore"` or `"apply"`.
    pub exif_orientation: Option<ExifOrientation>,
    /// See [`TeacherCard::output`].
    pub output: Option<String>,
    /// See [`TeacherCard::grid`]: `[rows, columns]`.
    pub grid: Option<MapSize>,
    /// See [`TeacherCard::layout`]: `"nchw"` or `"nhwc"`.
    pub layout: Option<ScoreMapLayout>,
    /// See [`TeacherCard::locality`]: `"proved"` or `"unchecked"`.
    pub locality: Option<LocalityCheck>,
    /// `imagenet-1k`, or a file in the folder of the card.
    pub classes: Option<String>,
    /// All other keys.
    #[serde(flatten)]
    pub remarks: BTreeMap<String, toml::Value>,
}

impl CardValues {
    /// Parses a card.
    ///
    /// # Errors
    /// Returns a [`CardError`] if it is not TOML, if a value is out of range, or if a key is a misspelling of a different one.
    pub fn from_toml(text: &str) -> Result<Self, CardError> {
        parse::parse_card(text)
    }
}

/// The card file of a teacher, if it has one, and its values.
#[derive(Clone, Debug, Default)]
pub struct CardFile {
    /// The file; `None` if the teacher has no card.
    pub path: Option<PathBuf>,
    /// Values of the card.
    pub values: CardValues,
}

impl CardFile {
    /// Reads the card `named`, or else `<teacher>.toml` next to the teacher, if it exists.
    ///
    /// # Errors
    /// Returns [`Error::File`] if `named` is missing or the card cannot be read, [`Error::Card`] if it is not a valid card.
    pub fn find(teacher: &Path, named: Option<&Path>) -> Result<Self, Error> {
        let default = teacher.with_extension("toml");
        let path = match named {
            Some(path) => path,
            None if metadata(&default)?.is_some_and(|found| found.is_file()) => &default,
            None => return Ok(Self::default()),
        };
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        let values = CardValues::from_toml(&text).map_err(|error| error.in_card(path))?;
        Ok(Self { path: Some(path.to_path_buf()), values })
    }
}
