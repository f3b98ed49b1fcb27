//! Finding an image or a class by any of its names.

use strsim::jaro_winkler;

use crate::shared::classes::ClassList;
use crate::shared::manifest::{Manifest, NameKind, RowIndex, TwoImages};

/// Finds an image by id, path, file name (with or without extension), or row number, in this order. `row:17` is row 17,
/// whatever images are called.
///
/// # Errors
/// If no image or more than one can be meant; the message names them, or a few that come close.
pub fn find(manifest: &Manifest, wanted: &str) -> Result<usize, String> {
    let rows = 0..manifest.len();
    let image = |row: usize| format!("`{}` (row {row}, {})", manifest.id(row), manifest.path(row));
    let two_images = |one: &str, other: &str, rows: [usize; 2]| {
        let [first, second] = rows;
        format!(
            "`{wanted}` could mean two images: {one} and {other}\n  help: name one by its row: `row:{first}` or `row:{second}`"
        )
    };
    let index = RowIndex::new(manifest);
    match index.find(manifest, wanted, NameKind::IdOrPath) {
        Ok(Some(row)) => return Ok(row),
        Ok(None) => {}
        Err(TwoImages { first, second }) => {
            return Err(two_images(&image(first), &image(second), [first, second]));
        }
    }
    if let Some(row) = wanted.strip_prefix("row:").and_then(row_number).filter(|row| rows.contains(row)) {
        return Ok(row);
    }
    let by_number = row_number(wanted).filter(|row| rows.contains(row));
    let file_name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let by_file = |row: &usize| file_name(manifest.path(*row)) == wanted || file_name(manifest.id(*row)) == wanted;
    let named: Vec<usize> = rows.clone().filter(by_file).take(6).collect();
    match (&named[..], by_number) {
        (&[row], None) | ([], Some(row)) => return Ok(row),
        (&[row], Some(number)) if row == number => return Ok(row),
        (&[row], Some(number)) => {
            return Err(two_images(&image(row), &format!("row {number}, {}", image(number)), [row, number]));
        }
        ([], None) => {}
        _ => {
            let ids: Vec<_> = named.iter().map(|&row| manifest.id(row)).collect();
            return Err(format!("`{wanted}` is the name of several images: {}. Name one by its id", ids.join(", ")));
        }
    }
    if let Some(advice) = index.advice(manifest, wanted) {
        return Err(format!("no image is called `{wanted}`\n  help: {advice}"));
    }
    let lower = wanted.to_lowercase();
    let mut close: Vec<_> = rows
        .clone()
        .map(|row| manifest.id(row))
        .filter(|id| id.to_lowercase().contains(&lower))
        .take(MOST_CLOSE)
        .collect();
    if close.is_empty() {
        let likeness = |row: usize| {
            let id = manifest.id(row);
            jaro_winkler(id, wanted).max(jaro_winkler(&file_name(id), wanted))
        };
        let mut alike: Vec<_> =
            rows.map(|row| (likeness(row), row)).filter(|(likeness, _)| *likeness > ALIKE).collect();
        alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let best = alike.first().map_or(1.0, |(likeness, _)| *likeness);
        alike.retain(|(likeness, _)| *likeness > best - 0.05);
        close = alike.into_iter().take(MOST_CLOSE).map(|(_, row)| manifest.id(row)).collect();
    }
    let first = if manifest.is_empty() { Default::default() } else { manifest.id(0) };
    Err(if close.is_empty() {
        format!(
            "no image is called `{wanted}`. Name one by id, path, file name or row (0 to {}), such as {first}",
            manifest.len().saturating_sub(1)
        )
    } else {
        format!("no image is called `{wanted}`. Close to it: {}", close.join(", "))
    })
}

/// What [`find`] takes for a row: its id, or `row:17` where the id could mean another image too.
#[must_use]
pub fn name_of(manifest: &Manifest, row: usize) -> String {
    let id = manifest.id(row);
    if find(manifest, id) == Ok(row) { id.to_owned() } else { format!("row:{row}") }
}

/// A row as people write it: without zeros before it, which are part of a file's name.
fn row_number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|row: &usize| row.to_string() == text)
}

/// Names that are suggested.
const MOST_CLOSE: usize = 5;

/// From this likeness on (Jaro and Winkler's, 1 for the same text) a name may have been meant.
const ALIKE: f64 = 0.85;

/// Finds a class by what its folder is called, its name, its short name, or its number.
///
/// # Errors
/// If no class or more than one is called so; the message names them, or a few that come close.
pub fn find_class(classes: &ClassList, wanted: &str) -> Result<u32, String> {
    let count = classes.entries().len() as u32;
    if let Some(&class) = classes.by_label().get(wanted) {
        return Ok(class);
    }
    let lower = wanted.to_lowercase();
    let named = |class: &u32| classes.short_name(*class).to_lowercase();
    match (0..count).filter(|class| named(class) == lower).collect::<Vec<_>>()[..] {
        [class] => return Ok(class),
        [first, second, ..] => {
            return Err(format!(
                "`{wanted}` is the name of several classes, such as {first} ({}) and {second} ({})\n  help: name one by its \
                 number or its folder",
                classes.entries()[first as usize].id,
                classes.entries()[second as usize].id
            ));
        }
        [] => {}
    }
    // Where classes are called by numbers, another number is none of them.
    let is_numbered = (0..count).any(|class| named(&class).parse::<u32>().is_ok());
    if let Some(class) = wanted.parse().ok().filter(|class| *class < count && !is_numbered) {
        return Ok(class);
    }
    let close = (0..count).filter(|class| named(class).contains(&lower)).take(5);
    let close: Vec<_> = close.map(|class| format!("{} ({class})", classes.short_name(class))).collect();
    Err(if close.is_empty() {
        format!("no class is called `{wanted}`. Name one by folder, name or number (0 to {})", count.saturating_sub(1))
    } else {
        format!("no class is called `{wanted}`. Close to it: {}", close.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::Entry;

    #[test]
    fn images_are_found_by_any_name() {
        let entry = |path: &str| Entry { path: path.into(), ..Entry::default() };
        let manifest = Manifest::from_entries(["a/one.jpg", "a/two.jpg", "b/two.jpg"].map(entry).to_vec()).unwrap();
        for (wanted, row) in [("a/one", 0), ("a/one.jpg", 0), ("one.jpg", 0), ("one", 0), ("2", 2), ("b/two", 2)] {
            assert_eq!(find(&manifest, wanted), Ok(row), "{wanted}");
        }
        assert_eq!(find(&manifest, "row:1"), Ok(1));
        assert_eq!(find(&manifest, "a/one.webp"), Ok(0), "another extension");
        assert!(find(&manifest, "data/a/one.jpg").unwrap_err().contains("`a/one.jpg` is the image `a/one`"));
        assert!(find(&manifest, "two").unwrap_err().contains("a/two, b/two"));
        assert!(find(&manifest, "TW").unwrap_err().contains("Close to it: a/two"));
        assert!(find(&manifest, "b/tow").unwrap_err().ends_with("Close to it: b/two"), "a slip of the finger");
        assert!(find(&manifest, "zebra").unwrap_err().contains("such as a/one"));
    }

    #[test]
    fn a_name_that_could_mean_two_images_is_refused_with_both() {
        let entry = |path: &str| Entry { path: path.into(), ..Entry::default() };
        let list = |paths: &[&str]| Manifest::from_entries(paths.iter().map(|path| entry(path)).collect()).unwrap();
        let manifest = list(&["a.jpg", "a.jpg.png", "b/2.jpg", "b/7.jpg", "c/0003.jpg", "d.png", "d.webp"]);
        for (wanted, named) in [
            ("a.jpg", ["row 0, a.jpg", "row 1, a.jpg.png", "`row:0`"]),
            ("d.jpg", ["d.png", "d.webp", "`row:6`"]),
            ("d", ["d.png", "d.webp", "`row:5`"]),
        ] {
            let refusal = find(&manifest, wanted).unwrap_err();
            assert!(named.iter().all(|text| refusal.contains(text)), "{wanted}: {refusal}");
        }
        assert_eq!(find(&manifest, "2"), Ok(2), "the file of this name is in this row");
        assert_eq!(find(&manifest, "7"), Ok(3), "there is no row 7");
        assert_eq!([0, 1].map(|row| name_of(&manifest, row)), ["a", "row:1"]);
        assert_eq!(find(&manifest, "0003"), Ok(4), "a file's name, not row 3");
        let numbered = list(&["a/0.jpg", "a/2.jpg", "a/1.jpg"]);
        assert!(find(&numbered, "1").unwrap_err().contains("`a/1` (row 2, a/1.jpg) and row 1, `a/2`"));
        assert_eq!(find(&numbered, "row:1"), Ok(1));
    }

    #[test]
    fn classes_are_found_by_any_name() {
        let classes = ClassList::imagenet_1k();
        for wanted in ["n07920052", "espresso", "Espresso", "967"] {
            assert_eq!(find_class(&classes, wanted), Ok(967), "{wanted}");
        }
        let crane = find_class(&classes, "crane").unwrap_err();
        assert!(crane.contains("134 (n02012849)") && crane.contains("517 (n03126707)"), "{crane}");
        assert!(find_class(&classes, "terrier").unwrap_err().contains("Border terrier (182)"));
        assert!(find_class(&classes, "1000").unwrap_err().contains("0 to 999"));
        assert_eq!(find_class(&ClassList::unnamed(3), "2"), Ok(2));
    }
}
