//! The teacher card: how to feed a teacher, and where each of its values came from.

mod keys;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::labelling::pixels::{ExifOrientation, Filter};
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::geometry::{InputSize, MapSize};
use crate::shared::printable::{printable, printable_path};
use crate::shared::regular_file::look_at;
use crate::shared::spelling::meant;

use super::integrity;

pub(crate) use keys::read_metadata as values_from_metadata;

/// How a teacher is fed: every value in force.
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
    /// The order in which the teacher wants the channels.
    pub channel_order: ChannelOrder,
    /// Whether EXIF orientation is applied before the resize.
    pub exif_orientation: ExifOrientation,
    /// Name of the output that holds the scores, where the graph has several.
    pub output: Option<String>,
    /// Rows and columns of cells, where a sequence of tokens does not have the input's proportions.
    pub grid: Option<MapSize>,
    /// The order of the axes of a score map, where neither the graph nor its proportions tell it.
    pub layout: Option<ScoreMapLayout>,
    /// Whether the cells have to be shown to be places of the image.
    pub locality: LocalityCheck,
    /// Names of the classes, in the order of the outputs.
    pub classes: ClassList,
    /// Everything else the card says: source, licence, export command, ...
    pub remarks: BTreeMap<String, toml::Value>,
    /// Where the values came from, by key.
    pub origins: BTreeMap<&'static str, Origin>,
}

/// The order in which a teacher wants its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// The order of the axes of a score map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreMapLayout {
    /// `[batch, class, y, x]`
    Nchw,
    /// `[batch, y, x, class]`
    Nhwc,
}

/// Whether a teacher's cells have to be shown to be places of the image: see [`Locality`](super::Locality).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalityCheck {
    /// Teachers of which it cannot be shown are refused.
    #[default]
    Proved,
    /// They are accepted; stores, releases and summaries record it.
    Unchecked,
}

/// Where a value of a card came from. Earlier ones win.
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
    /// Nothing said anything: the field's usual value.
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

/// What one place says of a card's values; `None` where it says nothing. A card file, the flags of a command line
/// and a model's metadata are all read into this.
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
    /// Free keys.
    #[serde(flatten)]
    pub remarks: BTreeMap<String, toml::Value>,
}

impl CardValues {
    /// Reads the text of a card.
    ///
    /// # Errors
    /// Returns the reason if it is not TOML, if a value is out of range, or if a key is a slip of another.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        keys::read_card(text)
    }
}

/// A card as it was found: its file, where there is one, and what it says.
#[derive(Clone, Debug, Default)]
pub struct CardFile {
    /// The file; `None` when the teacher has no card.
    pub path: Option<PathBuf>,
    /// What it says.
    pub values: CardValues,
}

impl CardFile {
    /// Reads the card that was named, or else `<teacher>.toml` beside the teacher, if there is one.
    ///
    /// # Errors
    /// When a named card is missing, or a card is no TOML, has values out of range, or has a key that is a slip of another.
    pub fn find(teacher: &Path, named: Option<&Path>) -> Result<Self, Error> {
        let beside = teacher.with_extension("toml");
        let path = match named {
            Some(path) => path,
            None if look_at(&beside)?.is_some_and(|found| found.is_file()) => &beside,
            None => return Ok(Self::default()),
        };
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        let values = CardValues::from_toml(&text)
            .map_err(|problem| Error::Card { path: path.to_path_buf(), problem: problem.into() })?;
        Ok(Self { path: Some(path.to_path_buf()), values })
    }
}

/// What the ONNX file itself says.
#[derive(Clone, Debug, Default)]
pub(crate) struct GraphFacts {
    pub(crate) metadata: CardValues,
    /// Fixed height and width of the input.
    pub(crate) fixed_height_pixels: Option<usize>,
    pub(crate) fixed_width_pixels: Option<usize>,
}

const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// Settles every value: flags win over the card, the card over metadata, metadata over the graph, and the rest are
/// the field's usual values. The class list is settled later, when the number of outputs is known: see
/// [`settle_classes`].
pub(crate) fn settle(
    teacher: &Path,
    flags: &CardValues,
    card: &CardFile,
    facts: &GraphFacts,
) -> Result<TeacherCard, Error> {
    let mut origins = BTreeMap::new();
    macro_rules! first_of {
        ($key:ident, $default:expr) => {{
            let (value, origin) = if let Some(value) = &flags.$key {
                (value.clone(), Origin::Flag)
            } else if let Some(value) = &card.values.$key {
                (value.clone(), Origin::Card)
            } else if let Some(value) = &facts.metadata.$key {
                (value.clone(), Origin::OnnxMetadata)
            } else {
                $default
            };
            origins.insert(stringify!($key), origin);
            value
        }};
    }
    let refused = |problem: String| Error::Card {
        path: card.path.clone().unwrap_or_else(|| teacher.with_extension("toml")),
        problem: problem.into(),
    };
    let from_graph = match (facts.fixed_height_pixels, facts.fixed_width_pixels) {
        (Some(height), Some(width)) => InputSize::new(height as u32, width as u32).ok(),
        _ => None,
    };
    let input_size = first_of!(
        input_size,
        match from_graph {
            Some(size) => (size, Origin::OnnxGraph),
            None => {
                return Err(refused(
                "the input size is unknown: the graph takes any, and no card says which. Give --input-size 224 (or \
                 475x640, height x width), or write `input_size = [224, 224]` into the card"
                    .to_owned(),
            ));
            }
        }
    );
    let fits = |fixed: Option<usize>, wanted: u32| fixed.is_none_or(|fixed| fixed == wanted as usize);
    if !fits(facts.fixed_height_pixels, input_size.height_pixels())
        || !fits(facts.fixed_width_pixels, input_size.width_pixels())
    {
        let free = |side: Option<usize>| side.map_or("any".to_owned(), |side| side.to_string());
        return Err(refused(format!(
            "input_size is {input_size} ({}), but the graph of {} takes only {}x{}. Use that size, or export the teacher \
             with free height and width",
            origins["input_size"],
            printable_path(teacher),
            free(facts.fixed_height_pixels),
            free(facts.fixed_width_pixels),
        )));
    }
    let settled = TeacherCard {
        name: first_of!(name, {
            let stem = teacher.file_stem().unwrap_or(teacher.as_os_str());
            (stem.to_string_lossy().into_owned(), Origin::Default)
        }),
        input_size,
        mean: first_of!(mean, (IMAGENET_MEAN, Origin::Default)),
        std: first_of!(std, (IMAGENET_STD, Origin::Default)),
        filter: first_of!(filter, (Filter::Bilinear, Origin::Default)),
        channel_order: first_of!(channel_order, (ChannelOrder::Rgb, Origin::Default)),
        exif_orientation: first_of!(exif_orientation, (ExifOrientation::Ignore, Origin::Default)),
        output: flags.output.clone().or_else(|| card.values.output.clone()),
        grid: flags.grid.or(card.values.grid).or(facts.metadata.grid),
        layout: flags.layout.or(card.values.layout).or(facts.metadata.layout),
        // A file cannot excuse itself: only its owner can.
        locality: flags.locality.or(card.values.locality).unwrap_or_default(),
        classes: ClassList::unnamed(0),
        remarks: card.values.remarks.clone(),
        origins,
    };
    if let Some(bad) = settled.mean.iter().find(|mean| !mean.is_finite() || mean.abs() > 255.0) {
        return Err(refused(format!("mean has {bad}; it is the mean of x/255, about 0.5")));
    }
    if let Some(bad) = settled.std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
        return Err(refused(format!("std has {bad}; it must be positive, and is about 0.2 for x/255")));
    }
    if settled.mean.iter().chain(&settled.std).any(|value| *value > 2.0) {
        return Err(refused(format!(
            "mean {:?} and std {:?} look like values for pixels of 0 to 255; write them for x/255, that is, divided by 255",
            settled.mean, settled.std
        )));
    }
    Ok(settled)
}

/// How many classes a card or flag names, before the number of outputs is known; `None` where none is named or read.
pub(crate) fn named_classes(flags: &CardValues, card: &CardFile, facts: &GraphFacts) -> Option<usize> {
    let (name, origin) = name_of_classes(flags, card, facts)?;
    if name == ClassList::IMAGENET_1K {
        return Some(ClassList::imagenet_1k().entries().len());
    }
    let path = path_of_classes(name, origin, card).ok()?;
    ClassList::read(&path).ok().map(|list| list.entries().len())
}

/// The class list that is named first, and where.
fn name_of_classes<'a>(flags: &'a CardValues, card: &'a CardFile, facts: &'a GraphFacts) -> Option<(&'a str, Origin)> {
    // Of class lists, metadata can only name the embedded one.
    let in_metadata = facts.metadata.classes.as_ref().filter(|name| *name == ClassList::IMAGENET_1K);
    let named = [
        (flags.classes.as_ref(), Origin::Flag),
        (card.values.classes.as_ref(), Origin::Card),
        (in_metadata, Origin::OnnxMetadata),
    ];
    named.into_iter().find_map(|(name, origin)| Some((name?.as_str(), origin)))
}

/// The file of a class list. One that a card names is in the card's folder, links followed: a store and a release publish
/// what is in it, and a card that somebody else wrote may not choose any file of this machine for that.
fn path_of_classes(name: &str, origin: Origin, card: &CardFile) -> Result<PathBuf, Error> {
    if origin == Origin::Flag {
        return Ok(PathBuf::from(name));
    }
    let folder = card.path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let path = folder.join(name);
    let refused = |problem: &str| {
        let problem = format!("classes is `{}` ({origin}), which {problem}", printable(name));
        Error::Card { path: card.path.clone().unwrap_or_default(), problem: problem.into() }
    };
    match integrity::inside(folder, name) {
        Ok(Some(_)) => Ok(path),
        Ok(None) => match std::fs::metadata(&path) {
            Err(error) => Err(Error::file("read", &path)(error)),
            Ok(_) => Err(refused("is not a regular file")),
        },
        Err(_) => Err(refused(
            "is outside the folder of the card\n  help: copy the list itself, and no link to it, next to the card; or name it \
             with --classes",
        )),
    }
}

/// Settles the class list of a teacher with `class_count` outputs.
pub(crate) fn settle_classes(
    mut settled: TeacherCard,
    flags: &CardValues,
    card: &CardFile,
    facts: &GraphFacts,
    class_count: usize,
) -> Result<TeacherCard, Error> {
    let (classes, origin) = match name_of_classes(flags, card, facts) {
        Some((name, origin)) if name == ClassList::IMAGENET_1K => (ClassList::imagenet_1k(), origin),
        Some((file, origin)) => {
            let path = path_of_classes(file, origin, card);
            let is_missing = !path.as_ref().is_ok_and(|path| path.exists());
            if let Some(list) = meant(file, &[ClassList::IMAGENET_1K]).filter(|_| is_missing) {
                return Err(Error::Card {
                    path: card.path.clone().unwrap_or_default(),
                    problem: format!(
                        "classes is `{file}` ({origin}), which is no file\n  help: the list of ImageNet is called `{list}`"
                    ).into(),
                });
            }
            (ClassList::read(&path?)?, origin)
        }
        None if class_count == 1000 => (ClassList::imagenet_1k(), Origin::Default),
        None => (ClassList::unnamed(class_count), Origin::Default),
    };
    if classes.entries().len() != class_count {
        return Err(Error::Card {
            path: card.path.clone().unwrap_or_default(),
            problem: format!(
                "the class list {} ({origin}) has {} classes, but the teacher has {class_count} outputs. Name the list that \
                 it was trained with: `classes = \"my_classes.txt\"`, one class a line in the order of the outputs",
                classes.source(),
                classes.entries().len()
            ).into(),
        });
    }
    settled.classes = classes;
    settled.origins.insert("classes", origin);
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(side: Option<usize>) -> GraphFacts {
        GraphFacts { fixed_height_pixels: side, fixed_width_pixels: side, ..GraphFacts::default() }
    }

    fn card(text: &str) -> CardFile {
        CardFile { path: Some("t.toml".into()), values: toml::from_str(text).unwrap() }
    }

    #[test]
    fn flags_win_over_card_over_metadata_over_graph() {
        let mut facts = facts(Some(224));
        facts.metadata = values_from_metadata(
            [("relabel.mean", "[0.1, 0.1, 0.1]"), ("std", "[0.3, 0.3, 0.3]"), ("filter", "nonsense")].into_iter(),
        )
        .unwrap();
        let card = card("mean = [0.5, 0.5, 0.5]\nfilter = \"bicubic\"\nlicence = \"MIT\"");
        let flags = CardValues { filter: Some(Filter::Box), ..CardValues::default() };
        let settled = settle(Path::new("dir/net.onnx"), &flags, &card, &facts).unwrap();
        assert_eq!((settled.filter, settled.origins["filter"]), (Filter::Box, Origin::Flag));
        assert_eq!((settled.mean[0], settled.origins["mean"]), (0.5, Origin::Card));
        assert_eq!((settled.std[0], settled.origins["std"]), (0.3, Origin::OnnxMetadata));
        assert_eq!(settled.origins["input_size"], Origin::OnnxGraph);
        assert_eq!((settled.name.as_str(), settled.origins["name"]), ("net", Origin::Default));
        assert_eq!(settled.remarks["licence"].as_str(), Some("MIT"));
    }

    #[test]
    fn contradictions_are_refused_with_both_values() {
        let message = |text: &str, side| {
            settle(Path::new("net.onnx"), &CardValues::default(), &card(text), &facts(side)).unwrap_err().to_string()
        };
        let size = message("input_size = [475, 475]", Some(224));
        assert!(size.contains("475x475") && size.contains("224x224"), "{size}");
        assert!(message("", None).contains("--input-size"));
        assert!(message("mean = [123.7, 116.3, 103.5]", Some(224)).contains("divided by 255"));
        assert!(message("std = [0.0, 0.2, 0.2]", Some(224)).contains("positive"));
    }

    #[test]
    fn class_lists_must_fit_the_outputs() {
        let none = CardFile::default();
        let settled = |count| {
            let settled = settle(Path::new("net.onnx"), &CardValues::default(), &none, &facts(Some(8))).unwrap();
            settle_classes(settled, &CardValues::default(), &none, &facts(Some(8)), count)
        };
        assert_eq!(settled(1000).unwrap().classes.source(), "imagenet-1k");
        assert_eq!(settled(10).unwrap().classes.source(), "unnamed");
        let flags = CardValues { classes: Some("imagenet-1k".into()), ..CardValues::default() };
        let wrong =
            settle_classes(settled(10).unwrap(), &flags, &none, &facts(Some(8)), 21_843).unwrap_err().to_string();
        assert!(wrong.contains("1000 classes") && wrong.contains("21843 outputs"), "{wrong}");
        let flags = CardValues { classes: Some("ImageNet1k".into()), ..CardValues::default() };
        let slip = settle_classes(settled(10).unwrap(), &flags, &none, &facts(Some(8)), 1000).unwrap_err().to_string();
        assert!(slip.contains("`ImageNet1k`") && slip.contains("`imagenet-1k`"), "{slip}");
    }
}
