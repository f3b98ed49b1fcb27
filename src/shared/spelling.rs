//! Names that are nearly another name: a slip in a key, or the same text in another form.

use icu_normalizer::ComposingNormalizerBorrowed;
use strsim::osa_distance;

/// Returns the one of `known` that `given` was probably meant to be: one edit away (a letter too many, missing, wrong or
/// changed places with its neighbour), or the same but for case, spaces, `-` and `_`. `None` where `given` is itself one
/// of them, or resembles none.
#[must_use]
pub fn meant<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
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

/// Letters and digits alone, in lower case.
fn bare(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Names at least this long may have two slips and still be recognised.
const LONG_NAME: usize = 8;

/// Edits between two bare names, as far as one is a slip of the other.
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

/// A path or name reduced to what remains when form does not matter: composed Unicode (NFC), lower case, `/` between
/// folders, no spaces around its parts and no leading `./`. Two names that are equal then are probably meant to be one.
#[must_use]
pub fn folded(name: &str) -> String {
    let composed = ComposingNormalizerBorrowed::new_nfc().normalize(name);
    let parts = composed.split(['/', '\\']).map(str::trim).filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/").to_lowercase()
}

/// How two texts of one folded form differ, in words.
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
    fn slips_are_recognised() {
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
            assert_eq!(meant(given, &KEYS), Some(known), "{given}");
        }
        assert_eq!(meant("di", &["id"]), Some("id"));
        assert_eq!(meant("ids", &["id"]), Some("id"));
    }

    #[test]
    fn other_names_are_free() {
        let free = ["mean", "licence", "notes", "model", "paper", "source", "weights", "map_size", "exif", "crop_pct"];
        for given in free {
            assert_eq!(meant(given, &KEYS), None, "{given}");
        }
        for given in ["is", "i", "x", "row", "url"] {
            assert_eq!(meant(given, &["id", "path", "label", "bytes"]), None, "{given}");
        }
    }

    #[test]
    fn forms_of_one_name_fold_together() {
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
