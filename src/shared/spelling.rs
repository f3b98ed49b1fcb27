//! Finds names that nearly match a known name: a misspelled key, or the same string in a different Unicode form.

use icu_normalizer::ComposingNormalizerBorrowed;
use strsim::osa_distance;

/// Returns the name of `known` that `given` was probably meant to be: one edit away (a letter inserted, missing, wrong or
/// swapped with its neighbour), or different only in case, spaces, `-` and `_`. `None` if `given` is one of them, or
/// resembles none.
#[must_use]
pub fn suggestion<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    if known.contains(&given) {
        return None;
    }
    let plain = bare(given);
    known
        .iter()
        .filter_map(|name| Some((distance(&plain, &bare(name))?, *name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Returns only the letters and digits, in lower case.
fn bare(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Names at least this long are recognised with two edits.
const LONG_NAME: usize = 8;

/// Returns the number of edits between two bare names; `None` if there are too many.
fn distance(given: &str, known: &str) -> Option<usize> {
    let edits = osa_distance(given, known);
    let (given_letters, letters) = (given.chars().count(), known.chars().count());
    let most = if letters >= LONG_NAME { 2 } else { 1 };
    // Nearly every word of one or two letters is one edit away from `id`.
    let too_short = letters < 3
        && edits > 0
        && (given_letters < letters || given_letters == letters && !same_letters(given, known));
    let is_singular = known.strip_suffix("es") == Some(given);
    (edits <= most && !too_short || is_singular).then_some(edits)
}

fn same_letters(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(one) == sorted(other)
}

/// Returns a path or name in a normalised form: composed Unicode (NFC), lower case, `/` between folders, no spaces around
/// its parts and no leading `./`. Two names that are equal in this form are probably meant to be the same.
#[must_use]
pub fn folded(name: &str) -> String {
    let composed = ComposingNormalizerBorrowed::new_nfc().normalize(name);
    let parts = composed.split(['/', '\\']).map(str::trim).filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/").to_lowercase()
}

/// Describes how two strings with the same folded form differ.
#[must_use]
pub fn difference_of_form(one: &str, other: &str) -> &'static str {
    let nfc = |text: &str| ComposingNormalizerBorrowed::new_nfc().normalize(text).into_owned();
    let trimmed = |text: &str| text.split('/').map(str::trim).collect::<Vec<_>>().join("/");
    if one.contains('\\') != other.contains('\\') {
        "`\\` and `/` between folders"
    } else if nfc(one) == nfc(other) {
        "in their Unicode form (NFC and NFD)"
    } else if one.to_lowercase() == other.to_lowercase() {
        "in upper and lower case"
    } else if trimmed(one) == trimmed(other) {
        "in spaces"
    } else {
        "in their written form"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 7] = ["name", "input_size", "mean", "std", "filter", "channel_order", "classes"];

    #[test]
    fn misspellings_are_recognised() {
        for (given, known) in [
            ("filer", "filter"),
            ("fliter", "filter"),
            ("filters", "filter"),
            ("Filter", "filter"),
            ("means", "mean"),
            ("input-size", "input_size"),
            ("inputSize", "input_size"),
            ("channel_oder", "channel_order"),
            (" std", "std"),
            ("class", "classes"),
        ] {
            assert_eq!(suggestion(given, &KEYS), Some(known), "{given}");
        }
        assert_eq!(suggestion("di", &["id"]), Some("id"));
        assert_eq!(suggestion("ids", &["id"]), Some("id"));
    }

    #[test]
    fn other_names_are_not_corrected() {
        let free = ["mean", "licence", "notes", "model", "paper", "source", "weights", "map_size", "exif", "crop_pct"];
        for given in free {
            assert_eq!(suggestion(given, &KEYS), None, "{given}");
        }
        for given in ["is", "i", "x", "row", "url"] {
            assert_eq!(suggestion(given, &["id", "path", "label", "bytes"]), None, "{given}");
        }
    }

    #[test]
    fn forms_of_one_name_fold_to_the_same() {
        for (one, other, how) in [
            ("a/e\u{301}", "a/\u{e9}", "Unicode"),
            ("a/X", "a/x", "case"),
            ("a\\x", "a/x", "between folders"),
            ("a/x ", "a/x", "spaces"),
        ] {
            assert_eq!(folded(one), folded(other));
            assert!(difference_of_form(one, other).contains(how), "{one:?} {other:?}");
        }
        assert_ne!(folded("a/x"), folded("a/y"));
    }
}
