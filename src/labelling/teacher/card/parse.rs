//! Parses cards and the metadata of models, so no value is ignored because of a misspelling.

use std::collections::BTreeSet;

use serde::Deserialize as _;

use super::keys::{CardKey, KEYS, key_of, meant_key};
use super::{CardError, CardValueError, CardValues};
use crate::shared::classes::ClassList;

/// Prefix of the metadata keys of this program.
const PREFIX: &str = "relabel.";

/// Parses a card.
///
/// # Errors
/// Returns a [`CardError`] if it is not TOML, if a value has the wrong type or is out of range, if a key is a misspelling of
/// one that is read, or if it is inside a table where it would not be read.
pub(super) fn parse_card(text: &str) -> Result<CardValues, CardError> {
    let table: toml::Table = toml::from_str(text).map_err(CardError::Syntax)?;
    for (name, value) in &table {
        if let Some(key) = key_of(name) {
            check_value(key, value).map_err(|problem| CardError::Value {
                key: name.clone(),
                value: value.clone(),
                problem,
            })?;
        } else if let Some(meant) = meant_key(name) {
            return Err(CardError::MisspelledKey { key: name.clone(), meant });
        } else if let toml::Value::Table(inner) = value {
            check_table(name, inner, &table)?;
        }
    }
    for key in KEYS.iter().filter(|key| !table.contains_key(key.name)) {
        if let Some(alias) = key.aliases.iter().find(|alias| table.contains_key(**alias)) {
            tracing::warn!("the key `{alias}` of the card is ignored; the key that is read is `{}`", key.name);
        }
    }
    CardValues::deserialize(table).map_err(CardError::Values)
}

/// Checks a table: every key after a `[header]` belongs to that table, even if it was meant for the card.
fn check_table(name: &str, inner: &toml::Table, card: &toml::Table) -> Result<(), CardError> {
    let lost = KEYS.iter().find(|key| key.is_specific && inner.contains_key(key.name) && !card.contains_key(key.name));
    lost.map_or(Ok(()), |key| Err(CardError::KeyInTable { key: key.name, table: name.to_owned() }))
}

/// Checks one value alone, so an error can include its key.
fn check_value(key: &CardKey, value: &toml::Value) -> Result<(), CardValueError> {
    let alone = toml::Table::from_iter([(key.name.to_owned(), value.clone())]);
    CardValues::deserialize(alone).map(drop).map_err(|error| {
        let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
        CardValueError::Invalid { key: key.name, reason, expected: key.expected }
    })
}

/// Parses the keys of a card in a model's metadata, where exporters left them: `relabel.mean`, or else `mean`, with the value
/// as TOML or as plain text. A key without the prefix `relabel.` may belong to another program, so an unusable value is
/// ignored with a warning.
///
/// # Errors
/// Returns a [`CardError`] if a key with the prefix `relabel.` is a misspelling of one that is read, has an impossible value,
/// or is read from cards only.
pub(crate) fn values_from_metadata<'a>(
    metadata: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<CardValues, CardError> {
    let mut table = toml::Table::new();
    let mut prefixed: BTreeSet<&str> = BTreeSet::new();
    for (full, text) in metadata {
        let name = full.strip_prefix(PREFIX);
        let Some(key) = key_of(name.unwrap_or(full)) else {
            check_misspelling(full)?;
            continue;
        };
        let value = parse_value(text);
        let checked = check_metadata(key, &value);
        match (name, checked) {
            (Some(_), Err(problem)) => return Err(CardError::Metadata { key: full.to_owned(), value, problem }),
            (Some(_), Ok(())) => {
                prefixed.insert(key.name);
                table.insert(key.name.to_owned(), value);
            }
            (None, Ok(())) if !prefixed.contains(key.name) => drop(table.insert(key.name.to_owned(), value)),
            (None, Err(_)) if key.is_in_metadata && key.is_specific => {
                tracing::warn!("the ONNX metadata `{full}` is {value} and is ignored; {full} is {}", key.expected);
            }
            (None, _) => {}
        }
    }
    CardValues::deserialize(table).map_err(CardError::Values)
}

/// Parses a value as TOML, or else takes it as a string.
fn parse_value(text: &str) -> toml::Value {
    let parsed =
        toml::from_str::<toml::Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

fn check_metadata(key: &CardKey, value: &toml::Value) -> Result<(), CardValueError> {
    if !key.is_in_metadata {
        return Err(CardValueError::NotInMetadata { key: key.name });
    }
    if key.name == "classes" && value.as_str() != Some(ClassList::IMAGENET_1K) {
        return Err(CardValueError::ClassListInMetadata);
    }
    check_value(key, value)
}

/// Refuses a name that was meant for this program and is misspelled.
fn check_misspelling(full: &str) -> Result<(), CardError> {
    let program = PREFIX.trim_end_matches('.');
    let rest = full.split_at_checked(program.len()).filter(|(start, _)| start.eq_ignore_ascii_case(program));
    let Some((_, rest)) = rest.filter(|(_, rest)| !rest.starts_with(char::is_alphanumeric)) else {
        return Ok(());
    };
    let name = rest.trim_start_matches(|letter: char| !letter.is_alphanumeric());
    let Some(key) = meant_key(name).or_else(|| key_of(name).map(|key| key.name)) else { return Ok(()) };
    Err(CardError::MisspelledMetadata { key: full.to_owned(), meant: format!("{PREFIX}{key}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_keys_and_impossible_values_are_refused() {
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
            ("name = 7", ["name is 7", "a string"]),
            ("mean = [0.5", ["TOML", ""]),
        ] {
            let refusal = parse_card(card).unwrap_err().to_string();
            assert!(expected.iter().all(|text| refusal.contains(text)), "{card}: {refusal}");
        }
    }

    #[test]
    fn keys_that_resemble_no_known_key_are_remarks() {
        let card = "mean = [0, 0, 0]\nlicence = \"MIT\"\nexif = \"none\"\ncrop_pct = 0.9\nnotes = \"\"\ninterpolation = \"bicubic\"\n\
                    [timm]\nmean = [0.5, 0.5, 0.5]\nname = \"x\"\n[dataset]\nclasses = 10\n";
        let values = parse_card(card).unwrap();
        assert_eq!(values.mean, Some([0.0; 3]));
        let remarks = values.remarks.keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(remarks, ["crop_pct", "dataset", "exif", "interpolation", "licence", "notes", "timm"]);
    }

    #[test]
    fn metadata_of_this_program_are_checked_and_those_of_others_ignored() {
        let values = values_from_metadata(
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
            let refusal = values_from_metadata([(key, value)].into_iter()).unwrap_err().to_string();
            assert!(expected.iter().all(|text| refusal.contains(text)), "{key}: {refusal}");
        }
        assert!(values_from_metadata([("relabeled_by", "me"), ("relabel.notes", "x")].into_iter()).is_ok());
    }
}
