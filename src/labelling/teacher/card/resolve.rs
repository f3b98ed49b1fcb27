//! Resolves the values of a card from flags, card file, metadata and graph.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{CardError, CardFile, CardValues, ChannelOrder, Origin, TeacherCard};
use crate::labelling::pixels::{ExifOrientation, Filter};
use crate::labelling::teacher::external_data::resolve_in_folder;
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::geometry::InputSize;
use crate::shared::spelling::suggestion;

/// Values that the ONNX file itself determines.
#[derive(Clone, Debug, Default)]
pub(crate) struct GraphFacts {
    pub(crate) metadata: CardValues,
    /// Fixed height and width of the input.
    pub(crate) fixed_height_pixels: Option<usize>,
    pub(crate) fixed_width_pixels: Option<usize>,
}

const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// Resolves every value of a card: flags take precedence over the card, the card over metadata, metadata over the graph, and
/// the graph over defaults. The class list is resolved later, when the number of outputs is known: see
/// [`resolve_classes`].
///
/// # Errors
/// Returns [`Error::Card`] if the input size is unknown or not that of the graph, or if mean or standard deviation are out of
/// range.
pub(crate) fn resolve(
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
    let refused = |error: CardError| error.in_card(card.path.as_deref().unwrap_or(&teacher.with_extension("toml")));
    let from_graph = match (facts.fixed_height_pixels, facts.fixed_width_pixels) {
        (Some(height), Some(width)) => InputSize::new(height as u32, width as u32).ok(),
        _ => None,
    };
    let input_size = first_of!(
        input_size,
        match from_graph {
            Some(size) => (size, Origin::OnnxGraph),
            None => {
                return Err(refused(CardError::UnknownInputSize));
            }
        }
    );
    let fits = |fixed: Option<usize>, wanted: u32| fixed.is_none_or(|fixed| fixed == wanted as usize);
    let (height, width) = (facts.fixed_height_pixels, facts.fixed_width_pixels);
    if !fits(height, input_size.height_pixels()) || !fits(width, input_size.width_pixels()) {
        let (origin, teacher) = (origins["input_size"], teacher.to_path_buf());
        return Err(refused(CardError::InputSizeMismatch { size: input_size, origin, teacher, height, width }));
    }
    let resolved = TeacherCard {
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
        // Not from metadata: only the user may skip the check, not the file that is checked.
        locality: flags.locality.or(card.values.locality).unwrap_or_default(),
        classes: ClassList::unnamed(0),
        remarks: card.values.remarks.clone(),
        origins,
    };
    if let Some(&value) = resolved.mean.iter().find(|mean| !mean.is_finite() || mean.abs() > 255.0) {
        return Err(refused(CardError::MeanOutOfRange { value }));
    }
    if let Some(&value) = resolved.std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
        return Err(refused(CardError::StdOutOfRange { value }));
    }
    if resolved.mean.iter().chain(&resolved.std).any(|value| *value > 2.0) {
        return Err(refused(CardError::NotDividedBy255 { mean: resolved.mean, std: resolved.std }));
    }
    Ok(resolved)
}

/// Returns the length of the class list set by a flag or the card, before the number of outputs is known; `None` if
/// none is named or it cannot be read.
pub(crate) fn named_class_count(flags: &CardValues, card: &CardFile, facts: &GraphFacts) -> Option<usize> {
    let (name, origin) = class_list_name(flags, card, facts)?;
    if name == ClassList::IMAGENET_1K {
        return Some(ClassList::imagenet_1k().entries().len());
    }
    let path = class_list_path(name, origin, card).ok()?;
    ClassList::read(&path).ok().map(|list| list.entries().len())
}

/// Returns the name of the class list with the highest precedence, and its origin.
fn class_list_name<'a>(flags: &'a CardValues, card: &'a CardFile, facts: &'a GraphFacts) -> Option<(&'a str, Origin)> {
    // Metadata can only refer to the embedded list.
    let in_metadata = facts.metadata.classes.as_ref().filter(|name| *name == ClassList::IMAGENET_1K);
    let named = [
        (flags.classes.as_ref(), Origin::Flag),
        (card.values.classes.as_ref(), Origin::Card),
        (in_metadata, Origin::OnnxMetadata),
    ];
    named.into_iter().find_map(|(name, origin)| Some((name?.as_str(), origin)))
}

/// Returns the file of a class list. One that a card refers to must be in the card's folder, links followed: stores and
/// releases publish its content, and a card from somebody else must not be able to publish arbitrary files.
fn class_list_path(name: &str, origin: Origin, card: &CardFile) -> Result<PathBuf, Error> {
    if origin == Origin::Flag {
        return Ok(PathBuf::from(name));
    }
    let folder = card.path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let path = folder.join(name);
    let refused = |error: CardError| error.in_card(card.path.as_deref().unwrap_or(Path::new("")));
    let name = name.to_owned();
    match resolve_in_folder(folder, &name) {
        Ok(Some(_)) => Ok(path),
        Ok(None) => match std::fs::metadata(&path) {
            Err(error) => Err(Error::file("read", &path)(error)),
            Ok(_) => Err(refused(CardError::ClassListNotAFile { name, origin })),
        },
        Err(_) => Err(refused(CardError::ClassListOutside { name, origin })),
    }
}

/// Resolves the class list of a teacher with `class_count` outputs.
///
/// # Errors
/// Returns [`Error::Card`] if the list is not in the folder of the card or has a different number of classes, and the error of
/// reading it.
pub(crate) fn resolve_classes(
    mut resolved: TeacherCard,
    flags: &CardValues,
    card: &CardFile,
    facts: &GraphFacts,
    class_count: usize,
) -> Result<TeacherCard, Error> {
    let refused = |error: CardError| error.in_card(card.path.as_deref().unwrap_or(Path::new("")));
    let (classes, origin) = match class_list_name(flags, card, facts) {
        Some((name, origin)) if name == ClassList::IMAGENET_1K => (ClassList::imagenet_1k(), origin),
        Some((file, origin)) => {
            let path = class_list_path(file, origin, card);
            let is_missing = !path.as_ref().is_ok_and(|path| path.exists());
            if let Some(meant) = suggestion(file, &[ClassList::IMAGENET_1K]).filter(|_| is_missing) {
                return Err(refused(CardError::MisspelledClassList { name: file.to_owned(), origin, meant }));
            }
            (ClassList::read(&path?)?, origin)
        }
        None if class_count == 1000 => (ClassList::imagenet_1k(), Origin::Default),
        None => (ClassList::unnamed(class_count), Origin::Default),
    };
    if classes.entries().len() != class_count {
        return Err(refused(CardError::ClassCountMismatch {
            list: classes.source().to_owned(),
            origin,
            classes: classes.entries().len(),
            outputs: class_count,
        }));
    }
    resolved.classes = classes;
    resolved.origins.insert("classes", origin);
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labelling::teacher::card::values_from_metadata;

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
        let resolved = resolve(Path::new("dir/net.onnx"), &flags, &card, &facts).unwrap();
        assert_eq!((resolved.filter, resolved.origins["filter"]), (Filter::Box, Origin::Flag));
        assert_eq!((resolved.mean[0], resolved.origins["mean"]), (0.5, Origin::Card));
        assert_eq!((resolved.std[0], resolved.origins["std"]), (0.3, Origin::OnnxMetadata));
        assert_eq!(resolved.origins["input_size"], Origin::OnnxGraph);
        assert_eq!((resolved.name.as_str(), resolved.origins["name"]), ("net", Origin::Default));
        assert_eq!(resolved.remarks["licence"].as_str(), Some("MIT"));
    }

    #[test]
    fn contradictions_are_refused_with_both_values() {
        let message = |text: &str, side| {
            resolve(Path::new("net.onnx"), &CardValues::default(), &card(text), &facts(side)).unwrap_err().to_string()
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
        let resolved = |count| {
            let resolved = resolve(Path::new("net.onnx"), &CardValues::default(), &none, &facts(Some(8))).unwrap();
            resolve_classes(resolved, &CardValues::default(), &none, &facts(Some(8)), count)
        };
        assert_eq!(resolved(1000).unwrap().classes.source(), "imagenet-1k");
        assert_eq!(resolved(10).unwrap().classes.source(), "unnamed");
        let flags = CardValues { classes: Some("imagenet-1k".into()), ..CardValues::default() };
        let wrong =
            resolve_classes(resolved(10).unwrap(), &flags, &none, &facts(Some(8)), 21_843).unwrap_err().to_string();
        assert!(wrong.contains("1000 classes") && wrong.contains("21843 outputs"), "{wrong}");
        let flags = CardValues { classes: Some("ImageNet1k".into()), ..CardValues::default() };
        let misspelled =
            resolve_classes(resolved(10).unwrap(), &flags, &none, &facts(Some(8)), 1000).unwrap_err().to_string();
        assert!(misspelled.contains("`ImageNet1k`") && misspelled.contains("`imagenet-1k`"), "{misspelled}");
    }
}
