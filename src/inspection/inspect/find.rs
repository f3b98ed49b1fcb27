//! Lookup of an image or a class by any of its names.

use strsim::jaro_winkler;

use crate::shared::classes::ClassList;
use crate::shared::manifest::{AmbiguousName, Manifest, NameKind, RowIndex};

/// Maximum number of similar names in an error.
const MAX_SIMILAR: usize = 5;

/// Minimum Jaro-Winkler similarity (1 for equal strings) of a suggested name.
const MIN_SIMILARITY: f64 = 0.85;

/// Reason a name does not identify an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindImageError {
    /// Two images have this name.
    #[error(
        "`{name}` could mean two images: {} and {}\n  help: pass the row: `row:{}` or `row:{}`",
        images[0], images[1], rows[0], rows[1]
    )]
    TwoImages {
        /// Name that was given.
        name: String,
        /// Descriptions of the images, with id and path.
        images: [String; 2],
        /// Rows of the images.
        rows: [usize; 2],
    },
    /// Several files have this name.
    #[error("`{name}` is the name of several images: {}\n  help: pass the id of one", ids.join(", "))]
    SeveralImages {
        /// Name that was given.
        name: String,
        /// Ids of some of the images.
        ids: Vec<String>,
    },
    /// No image has this name.
    #[error("image `{name}` not found\n  help: {advice}")]
    NotFound {
        /// Name that was given.
        name: String,
        /// Similar names, or which names are accepted.
        advice: String,
    },
}

/// Reason a name does not identify a class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindClassError {
    /// Several classes have this name.
    #[error(
        "`{name}` is the name of several classes, such as {} ({}) and {} ({})\n  help: pass the id or the folder of one",
        classes[0], folders[0], classes[1], folders[1]
    )]
    SeveralClasses {
        /// Name that was given.
        name: String,
        /// First two classes.
        classes: [u32; 2],
        /// Folders of these classes.
        folders: [String; 2],
    },
    /// No class has this name, but some names contain it.
    #[error("class `{name}` not found\n  help: similar names: {}", similar.join(", "))]
    SimilarNames {
        /// Name that was given.
        name: String,
        /// Names of classes that contain it, with their ids.
        similar: Vec<String>,
    },
    /// No class has this name or a similar one.
    #[error("class `{name}` not found\n  help: pass a folder, a name or a class id (0 to {last})")]
    NotFound {
        /// Name that was given.
        name: String,
        /// Highest class id.
        last: u32,
    },
}

/// Returns the row of an image, looked up by id, path, file name (with or without extension) and row number, in this
/// order. `row:17` is always row 17.
///
/// # Errors
/// Returns an error if the name matches no image or more than one; it lists these, or similar names.
pub fn find_image(manifest: &Manifest, name: &str) -> Result<usize, FindImageError> {
    let rows = 0..manifest.len();
    let image = |row: usize| format!("`{}` (row {row}, {})", manifest.id(row), manifest.path(row));
    let index = RowIndex::new(manifest);
    match index.find(manifest, name, NameKind::IdOrPath) {
        Ok(Some(row)) => return Ok(row),
        Ok(None) => {}
        Err(AmbiguousName { first, second }) => {
            let images = [image(first), image(second)];
            return Err(FindImageError::TwoImages { name: name.to_owned(), images, rows: [first, second] });
        }
    }
    if let Some(row) = name.strip_prefix("row:").and_then(row_number).filter(|row| rows.contains(row)) {
        return Ok(row);
    }
    let by_number = row_number(name).filter(|row| rows.contains(row));
    let has_file_name = |row: &usize| file_name(manifest.path(*row)) == name || file_name(manifest.id(*row)) == name;
    let by_file_name: Vec<usize> = rows.filter(has_file_name).take(6).collect();
    match (&by_file_name[..], by_number) {
        (&[row], None) | ([], Some(row)) => Ok(row),
        (&[row], Some(number)) if row == number => Ok(row),
        (&[row], Some(number)) => {
            let images = [image(row), format!("row {number}, {}", image(number))];
            Err(FindImageError::TwoImages { name: name.to_owned(), images, rows: [row, number] })
        }
        ([], None) => {
            let advice = index.advice(manifest, name).unwrap_or_else(|| similar_ids(manifest, name));
            Err(FindImageError::NotFound { name: name.to_owned(), advice })
        }
        (several, _) => {
            let ids = several.iter().map(|&row| manifest.id(row).to_owned()).collect();
            Err(FindImageError::SeveralImages { name: name.to_owned(), ids })
        }
    }
}

/// Returns a name by which [`find_image`] finds a row: its id, or `row:17` if the id is ambiguous.
#[must_use]
pub fn name_of_row(manifest: &Manifest, row: usize) -> String {
    let id = manifest.id(row);
    if find_image(manifest, id) == Ok(row) { id.to_owned() } else { format!("row:{row}") }
}

/// Parses a row number. Leading zeros are not accepted: a number with zeros is a file name.
fn row_number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|row: &usize| row.to_string() == text)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Advice for a name that no image has: ids that contain it, otherwise ids that are spelled alike, otherwise an example.
fn similar_ids(manifest: &Manifest, name: &str) -> String {
    let rows = 0..manifest.len();
    let lower = name.to_lowercase();
    let containing = rows.clone().map(|row| manifest.id(row)).filter(|id| id.to_lowercase().contains(&lower));
    let mut similar: Vec<_> = containing.take(MAX_SIMILAR).collect();
    if similar.is_empty() {
        let similarity = |row: usize| {
            let id = manifest.id(row);
            jaro_winkler(id, name).max(jaro_winkler(file_name(id), name))
        };
        let scored = rows.map(|row| (similarity(row), row));
        let mut scored: Vec<_> = scored.filter(|(similarity, _)| *similarity > MIN_SIMILARITY).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let best = scored.first().map_or(1.0, |(similarity, _)| *similarity);
        scored.retain(|(similarity, _)| *similarity > best - 0.05);
        similar = scored.into_iter().take(MAX_SIMILAR).map(|(_, row)| manifest.id(row)).collect();
    }
    if !similar.is_empty() {
        return format!("similar names: {}", similar.join(", "));
    }
    let example = if manifest.is_empty() { Default::default() } else { manifest.id(0) };
    format!(
        "pass an id, a path, a file name or a row (0 to {}), for example {example}",
        manifest.len().saturating_sub(1)
    )
}

/// Returns the class with this folder, name, short name or class id.
///
/// # Errors
/// Returns an error if the name matches no class or more than one; it lists these, or similar names.
pub fn find_class(classes: &ClassList, name: &str) -> Result<u32, FindClassError> {
    let count = classes.entries().len() as u32;
    if let Some(&class) = classes.by_folder_class().get(name) {
        return Ok(class);
    }
    let lower = name.to_lowercase();
    let short_name = |class: &u32| classes.short_name(*class).to_lowercase();
    match (0..count).filter(|class| short_name(class) == lower).collect::<Vec<_>>()[..] {
        [class] => return Ok(class),
        [first, second, ..] => {
            let folders = [first, second].map(|class| classes.entries()[class as usize].id.clone());
            return Err(FindClassError::SeveralClasses { name: name.to_owned(), classes: [first, second], folders });
        }
        [] => {}
    }
    // If classes are named by numbers, a number is a name and not a class id.
    let has_numeric_names = (0..count).any(|class| short_name(&class).parse::<u32>().is_ok());
    if let Some(class) = name.parse().ok().filter(|class| *class < count && !has_numeric_names) {
        return Ok(class);
    }
    let similar = (0..count).filter(|class| short_name(class).contains(&lower)).take(MAX_SIMILAR);
    let similar: Vec<_> = similar.map(|class| format!("{} ({class})", classes.short_name(class))).collect();
    Err(if similar.is_empty() {
        FindClassError::NotFound { name: name.to_owned(), last: count.saturating_sub(1) }
    } else {
        FindClassError::SimilarNames { name: name.to_owned(), similar }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::ManifestEntry;

    #[test]
    fn images_are_found_by_any_name() {
        let entry = |path: &str| ManifestEntry { path: path.into(), ..ManifestEntry::default() };
        let manifest = Manifest::from_entries(["a/one.jpg", "a/two.jpg", "b/two.jpg"].map(entry).to_vec()).unwrap();
        for (name, row) in [("a/one", 0), ("a/one.jpg", 0), ("one.jpg", 0), ("one", 0), ("2", 2), ("b/two", 2)] {
            assert_eq!(find_image(&manifest, name), Ok(row), "{name}");
        }
        assert_eq!(find_image(&manifest, "row:1"), Ok(1));
        assert_eq!(find_image(&manifest, "a/one.webp"), Ok(0), "a different extension");
        let refusal = |name: &str| find_image(&manifest, name).unwrap_err().to_string();
        assert!(refusal("data/a/one.jpg").contains("`a/one.jpg` is the image `a/one`"));
        assert!(refusal("two").contains("a/two, b/two"));
        assert!(refusal("TW").contains("similar names: a/two"));
        assert!(refusal("b/tow").ends_with("similar names: b/two"), "a typing error");
        assert!(refusal("zebra").contains("for example a/one"));
    }

    #[test]
    fn an_ambiguous_name_is_refused_with_both_images() {
        let entry = |path: &str| ManifestEntry { path: path.into(), ..ManifestEntry::default() };
        let list = |paths: &[&str]| Manifest::from_entries(paths.iter().map(|path| entry(path)).collect()).unwrap();
        let manifest = list(&["a.jpg", "a.jpg.png", "b/2.jpg", "b/7.jpg", "c/0003.jpg", "d.png", "d.webp"]);
        for (name, expected) in [
            ("a.jpg", ["row 0, a.jpg", "row 1, a.jpg.png", "`row:0`"]),
            ("d.jpg", ["d.png", "d.webp", "`row:6`"]),
            ("d", ["d.png", "d.webp", "`row:5`"]),
        ] {
            let refusal = find_image(&manifest, name).unwrap_err().to_string();
            assert!(expected.iter().all(|text| refusal.contains(text)), "{name}: {refusal}");
        }
        assert_eq!(find_image(&manifest, "2"), Ok(2), "the file of this name is in this row");
        assert_eq!(find_image(&manifest, "7"), Ok(3), "row 7 does not exist");
        assert_eq!([0, 1].map(|row| name_of_row(&manifest, row)), ["a", "row:1"]);
        assert_eq!(find_image(&manifest, "0003"), Ok(4), "a file name, not row 3");
        let numbered = list(&["a/0.jpg", "a/2.jpg", "a/1.jpg"]);
        let refusal = find_image(&numbered, "1").unwrap_err().to_string();
        assert!(refusal.contains("`a/1` (row 2, a/1.jpg) and row 1, `a/2`"), "{refusal}");
        assert_eq!(find_image(&numbered, "row:1"), Ok(1));
    }

    #[test]
    fn classes_are_found_by_any_name() {
        let classes = ClassList::imagenet_1k();
        for name in ["n07920052", "espresso", "Espresso", "967"] {
            assert_eq!(find_class(&classes, name), Ok(967), "{name}");
        }
        let refusal = |name: &str| find_class(&classes, name).unwrap_err().to_string();
        let crane = refusal("crane");
        assert!(crane.contains("134 (n02012849)") && crane.contains("517 (n03126707)"), "{crane}");
        assert!(refusal("terrier").contains("Border terrier (182)"));
        assert!(refusal("1000").contains("0 to 999"));
        assert_eq!(find_class(&ClassList::unnamed(3), "2"), Ok(2));
    }
}
