//! Finding an image or a class by any of its names.

use strsim::jaro_winkler;

use crate::classes::ClassList;
use crate::manifest::Manifest;

/// Finds an image by id, path, file name (with or without extension), or row number, in this order.
///
/// # Errors
/// When there is none, or several have that name; a few that come close are named.
pub fn find(manifest: &Manifest, wanted: &str) -> Result<usize, String> {
    let rows = 0..manifest.len();
    let file_name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let exact = |row: &usize| manifest.id(*row) == wanted || manifest.path(*row) == wanted;
    if let Some(row) = rows.clone().find(exact) {
        return Ok(row);
    }
    let by_file = |row: &usize| file_name(manifest.path(*row)) == wanted || file_name(manifest.id(*row)) == wanted;
    let named: Vec<usize> = rows.clone().filter(by_file).take(6).collect();
    match named[..] {
        [row] => return Ok(row),
        [] => {}
        _ => {
            let ids: Vec<_> = named.iter().map(|&row| manifest.id(row)).collect();
            return Err(format!("`{wanted}` is the name of several images: {}. Name one by its id", ids.join(", ")));
        }
    }
    if let Some(row) = wanted.parse().ok().filter(|row| rows.contains(row)) {
        return Ok(row);
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

/// Names that are suggested.
const MOST_CLOSE: usize = 5;

/// From this likeness on (Jaro and Winkler's, 1 for the same text) a name may have been meant.
const ALIKE: f64 = 0.85;

/// Finds a class by what its folder is called, its name, its short name, or its number.
///
/// # Errors
/// When there is none; a few that come close are named.
pub fn find_class(classes: &ClassList, wanted: &str) -> Result<u32, String> {
    let count = classes.entries().len() as u32;
    if let Some(&class) = classes.by_label().get(wanted) {
        return Ok(class);
    }
    if let Some(class) = wanted.parse().ok().filter(|class| *class < count) {
        return Ok(class);
    }
    let lower = wanted.to_lowercase();
    let named = |class: &u32| classes.short_name(*class).to_lowercase();
    if let Some(class) = (0..count).find(|class| named(class) == lower) {
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
    use crate::manifest::Entry;

    #[test]
    fn images_are_found_by_any_name() {
        let entry = |path: &str| Entry { path: path.into(), ..Entry::default() };
        let manifest = Manifest::from_entries(["a/one.jpg", "a/two.jpg", "b/two.jpg"].map(entry).to_vec()).unwrap();
        for (wanted, row) in [("a/one", 0), ("a/one.jpg", 0), ("one.jpg", 0), ("one", 0), ("2", 2), ("b/two", 2)] {
            assert_eq!(find(&manifest, wanted), Ok(row), "{wanted}");
        }
        assert!(find(&manifest, "two").unwrap_err().contains("a/two, b/two"));
        assert!(find(&manifest, "TW").unwrap_err().contains("Close to it: a/two"));
        assert!(find(&manifest, "b/tow").unwrap_err().ends_with("Close to it: b/two"), "a slip of the finger");
        assert!(find(&manifest, "zebra").unwrap_err().contains("such as a/one"));
    }

    #[test]
    fn classes_are_found_by_any_name() {
        let classes = ClassList::imagenet_1k();
        for wanted in ["n07920052", "espresso", "Espresso", "967"] {
            assert_eq!(find_class(&classes, wanted), Ok(967), "{wanted}");
        }
        assert!(find_class(&classes, "terrier").unwrap_err().contains("Border terrier (182)"));
        assert!(find_class(&classes, "1000").unwrap_err().contains("0 to 999"));
        assert_eq!(find_class(&ClassList::unnamed(3), "2"), Ok(2));
    }
}
