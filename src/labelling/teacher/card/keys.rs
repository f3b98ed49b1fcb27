//! The keys of a card, and how each place that may hold them is read: so that no value is passed over for a slip.

use std::collections::BTreeSet;

use serde::Deserialize as _;

use super::CardValues;
use crate::shared::classes::ClassList;
use crate::shared::spelling::meant;

/// A key that a card may have, a field of [`CardValues`].
struct Key {
    name: &'static str,
    /// What its value is, for refusals.
    takes: &'static str,
    /// Whether it says how the teacher is fed or understood, so that no other part of a card would use its name.
    feeds: bool,
    /// Whether it is read from a model's metadata.
    is_in_metadata: bool,
    /// What other programs call it. Such a key is free, but is noticed where this one is missing.
    elsewhere: &'static [&'static str],
}

/// All keys. One that is added here and to [`CardValues`] is checked everywhere.
static KEYS: [Key; 12] = [
    Key { name: "name", takes: "a text", feeds: false, is_in_metadata: false, elsewhere: &[] },
    Key {
        name: "input_size",
        takes: "height and width in pixels, such as [224, 224], each from 1 to 8192",
        feeds: true,
        is_in_metadata: true,
        elsewhere: &["image_size", "img_size", "size", "resolution"],
    },
    Key {
        name: "mean",
        takes: "three numbers, of x/255 in channel order, such as [0.485, 0.456, 0.406]",
        feeds: true,
        is_in_metadata: true,
        elsewhere: &["image_mean", "pixel_mean"],
    },
    Key {
        name: "std",
        takes: "three positive numbers, of x/255 in channel order, such as [0.229, 0.224, 0.225]",
        feeds: true,
        is_in_metadata: true,
        elsewhere: &["image_std", "pixel_std"],
    },
    Key {
        name: "filter",
        takes: "\"nearest\", \"box\", \"bilinear\", \"bicubic\" or \"lanczos\"",
        feeds: true,
        is_in_metadata: true,
        elsewhere: &["interpolation", "resample", "resampling"],
    },
    Key {
        name: "channel_order",
        takes: "\"rgb\" or \"bgr\"",
        feeds: true,
        is_in_metadata: true,
        elsewhere: &["channels", "color_order", "colour_order", "color_mode", "color_space"],
    },
    Key {
        name: "exif_orientation",
        takes: "\"ignore\" or \"apply\"",
        feeds: true,
        is_in_metadata: true,
        elsewhere: &["exif", "exif_transpose", "orientation"],
    },
    Key {
        name: "output",
        takes: "the name of an output of the graph",
        feeds: false,
        is_in_metadata: false,
        elsewhere: &[],
    },
    Key {
        name: "grid",
        takes: "rows and columns of cells, such as [14, 14], each at least 1",
        feeds: true,
        is_in_metadata: true,
        elsewhere: &[],
    },
    Key {
        name: "layout",
        takes: "\"nchw\" or \"nhwc\"",
        feeds: true,
        is_in_metadata: true,
        elsewhere: &["data_format"],
    },
    // A file cannot excuse itself: only its owner can.
    Key { name: "locality", takes: "\"proved\" or \"unchecked\"", feeds: true, is_in_metadata: false, elsewhere: &[] },
    Key {
        name: "classes",
        takes: "\"imagenet-1k\", or a file with one class a line",
        feeds: false,
        is_in_metadata: true,
        elsewhere: &["class_names", "class_list", "labels"],
    },
];

/// What begins a key of the metadata that is meant for this program.
const PREFIX: &str = "relabel.";

fn key_of(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

fn meant_key(name: &str) -> Option<&'static str> {
    meant(name, &KEYS.iter().map(|key| key.name).collect::<Vec<_>>())
}

/// Reads a card.
///
/// # Errors
/// When it is no TOML; when a value is of another type or out of range, with what the key takes; when a key is a slip of one
/// that is read, or is inside a table where it would not be read, with both names.
pub(super) fn read_card(text: &str) -> Result<CardValues, String> {
    let table: toml::Table =
        toml::from_str(text).map_err(|error| error.to_string().trim_end().replace('\n', "\n  "))?;
    for (name, value) in &table {
        if let Some(key) = key_of(name) {
            check_value(key, value).map_err(|problem| format!("{name} is {value}: {problem}"))?;
        } else if let Some(key) = meant_key(name) {
            return Err(format!(
                "the key `{name}` would not be read: it is not `{key}`\n  help: call it `{key}`, or give it a name that resembles \
                 no key that is read"
            ));
        } else if let toml::Value::Table(inner) = value {
            check_inner(name, inner, &table)?;
        }
    }
    for key in KEYS.iter().filter(|key| !table.contains_key(key.name)) {
        if let Some(other) = key.elsewhere.iter().find(|other| table.contains_key(**other)) {
            tracing::warn!(
                "the card's key `{other}` is free and changes nothing; the key that is read is `{}`",
                key.name
            );
        }
    }
    CardValues::deserialize(table).map_err(|error| error.to_string().trim_end().to_owned())
}

/// Everything behind a `[header]` belongs to that table, also what was meant for the card.
fn check_inner(name: &str, inner: &toml::Table, card: &toml::Table) -> Result<(), String> {
    let lost = KEYS.iter().find(|key| key.feeds && inner.contains_key(key.name) && !card.contains_key(key.name));
    lost.map_or(Ok(()), |key| {
        Err(format!(
            "the key `{0}` is inside the table `[{name}]`, as `{name}.{0}`, and would not be read as `{0}`\n  help: write it above \
             `[{name}]`",
            key.name
        ))
    })
}

/// Checks one value by itself, so that a refusal can name its key.
fn check_value(key: &Key, value: &toml::Value) -> Result<(), String> {
    let alone = toml::Table::from_iter([(key.name.to_owned(), value.clone())]);
    CardValues::deserialize(alone).map(drop).map_err(|error| {
        let error = error.to_string();
        let reason = error.lines().next().unwrap_or_default();
        format!("{reason}\n  help: {} is {}", key.name, key.takes)
    })
}

/// Reads the keys of a card from a model's metadata, where exporters left them: `relabel.mean`, or `mean` where that is
/// missing, the value written as in TOML or as plain text. Without `relabel.` before it a key may be another program's, so
/// that a value that is none of ours is passed over with a warning.
///
/// # Errors
/// When a key that begins with `relabel.` is a slip of one that is read, has an impossible value, or is read from cards only.
pub(crate) fn read_metadata<'a>(metadata: impl Iterator<Item = (&'a str, &'a str)>) -> Result<CardValues, String> {
    let mut table = toml::Table::new();
    let mut own: BTreeSet<&str> = BTreeSet::new();
    for (full, text) in metadata {
        let name = full.strip_prefix(PREFIX);
        let Some(key) = key_of(name.unwrap_or(full)) else {
            check_own_name(full)?;
            continue;
        };
        let value = value_of(text);
        let checked = check_metadata(key, &value);
        match (name, checked) {
            (Some(_), Err(problem)) => return Err(format!("its metadata `{full}` is {value}: {problem}")),
            (Some(_), Ok(())) => {
                own.insert(key.name);
                table.insert(key.name.to_owned(), value);
            }
            (None, Ok(())) if !own.contains(key.name) => drop(table.insert(key.name.to_owned(), value)),
            (None, Err(_)) if key.is_in_metadata && key.feeds => {
                tracing::warn!("the ONNX metadata `{full}` is {value} and is not read; {full} is {}", key.takes);
            }
            (None, _) => {}
        }
    }
    CardValues::deserialize(table).map_err(|error| error.to_string())
}

/// A value as in TOML, or else a text.
fn value_of(text: &str) -> toml::Value {
    let parsed =
        toml::from_str::<toml::Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

fn check_metadata(key: &Key, value: &toml::Value) -> Result<(), String> {
    if !key.is_in_metadata {
        return Err(format!("it is not read from metadata\n  help: write `{}` into the card", key.name));
    }
    if key.name == "classes" && value.as_str() != Some(ClassList::IMAGENET_1K) {
        return Err(
            "of class lists, metadata can only name \"imagenet-1k\"\n  help: name the file in the card".to_owned()
        );
    }
    check_value(key, value)
}

/// Refuses a name that was meant for this program, and is a slip.
fn check_own_name(full: &str) -> Result<(), String> {
    let program = PREFIX.trim_end_matches('.');
    let behind = full.split_at_checked(program.len()).filter(|(start, _)| start.eq_ignore_ascii_case(program));
    let Some((_, behind)) = behind.filter(|(_, behind)| !behind.starts_with(char::is_alphanumeric)) else {
        return Ok(());
    };
    let name = behind.trim_start_matches(|letter: char| !letter.is_alphanumeric());
    let Some(key) = meant_key(name).or_else(|| key_of(name).map(|key| key.name)) else { return Ok(()) };
    Err(format!("its metadata `{full}` would not be read: it is not `{PREFIX}{key}`\n  help: call it `{PREFIX}{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_impossible_values_are_refused_with_both_names() {
        for (card, expected) in [
            ("filer = \"bicubic\"", ["`filer`", "`filter`"]),
            ("fliter = \"bicubic\"", ["`fliter`", "`filter`"]),
            ("means = [0.5, 0.5, 0.5]", ["`means`", "`mean`"]),
            ("input-size = [64, 64]", ["`input-size`", "`input_size`"]),
            ("inputSize = [64, 64]", ["`inputSize`", "`input_size`"]),
            ("channel_oder = \"bgr\"", ["`channel_oder`", "`channel_order`"]),
            ("Std = [1, 1, 1]", ["`Std`", "`std`"]),
            ("class = \"imagenet-1k\"", ["`class`", "`classes`"]),
            ("[source]\nurl = \"x\"\nmean = [0.5, 0.5, 0.5]", ["`source.mean`", "above `[source]`"]),
            ("filter = \"bilinaer\"", ["filter is \"bilinaer\"", "\"lanczos\""]),
            ("channel_order = \"RGB\"", ["channel_order is \"RGB\"", "\"bgr\""]),
            ("exif_orientation = true", ["exif_orientation is true", "\"apply\""]),
            ("mean = 0.5", ["mean is 0.5", "three numbers"]),
            ("mean = [0.5, 0.5]", ["mean is [0.5, 0.5]", "three numbers"]),
            ("input_size = [3, 224, 224]", ["input_size is [3, 224, 224]", "height and width"]),
            ("input_size = \"224\"", ["input_size is \"224\"", "height and width"]),
            ("input_size = [0, 224]", ["out of range", "height and width"]),
            ("grid = [0, 7]", ["grid is [0, 7]", "rows and columns"]),
            ("name = 7", ["name is 7", "a text"]),
            ("mean = [0.5", ["TOML", ""]),
        ] {
            let refusal = read_card(card).unwrap_err();
            assert!(expected.iter().all(|text| refusal.contains(text)), "{card}: {refusal}");
        }
    }

    #[test]
    fn keys_that_resemble_nothing_are_free() {
        let card = "mean = [0, 0, 0]\nlicence = \"MIT\"\nexif = \"none\"\ncrop_pct = 0.9\nnotes = \"\"\ninterpolation = \"bicubic\"\n\
                    [timm]\nmean = [0.5, 0.5, 0.5]\nname = \"x\"\n[dataset]\nclasses = 10\n";
        let values = read_card(card).unwrap();
        assert_eq!(values.mean, Some([0.0; 3]));
        let remarks = values.remarks.keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(remarks, ["crop_pct", "dataset", "exif", "interpolation", "licence", "notes", "timm"]);
    }

    #[test]
    fn metadata_of_this_program_is_checked_and_that_of_others_passed_over() {
        let values = read_metadata(
            [
                ("relabel.mean", "[0.1, 0.1, 0.1]"),
                ("mean", "[0.9, 0.9, 0.9]"),
                ("filter", "box"),
                ("std", "[1]"),
                ("means", "7"),
            ]
            .into_iter(),
        )
        .unwrap();
        assert_eq!((values.mean, values.std, values.filter.is_some()), (Some([0.1; 3]), None, true));
        for (key, value, expected) in [
            ("relabel.filer", "box", ["`relabel.filer`", "`relabel.filter`"]),
            ("relabel_mean", "[0.1, 0.1, 0.1]", ["`relabel_mean`", "`relabel.mean`"]),
            ("Relabel.mean", "[0.1, 0.1, 0.1]", ["`Relabel.mean`", "`relabel.mean`"]),
            ("relabel.std", "0.2", ["`relabel.std` is 0.2", "three positive numbers"]),
            ("relabel.filter", "cubic", ["\"cubic\"", "\"bicubic\""]),
            ("relabel.output", "logits", ["not read from metadata", "into the card"]),
            ("relabel.classes", "my.txt", ["imagenet-1k", "in the card"]),
        ] {
            let refusal = read_metadata([(key, value)].into_iter()).unwrap_err();
            assert!(expected.iter().all(|text| refusal.contains(text)), "{key}: {refusal}");
        }
        assert!(read_metadata([("relabeled_by", "me"), ("relabel.notes", "x")].into_iter()).is_ok());
    }
}
