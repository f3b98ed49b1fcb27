//! Columns of a table, or keys of an object, that name an image and list its classes.

use super::truth_error::TruthError;

/// Names of columns with ids or paths of images, in lower case.
const IMAGE_COLUMNS: [&str; 14] = [
    "id",
    "path",
    "file",
    "file_name",
    "filename",
    "file_path",
    "filepath",
    "image",
    "image_id",
    "imageid",
    "image_name",
    "image_path",
    "img",
    "img_path",
];
/// Names of columns with several classes. They take precedence over those with one.
const LIST_COLUMNS: [&str; 15] = [
    "ids",
    "labels",
    "classes",
    "class_ids",
    "label_ids",
    "multi_labels",
    "multilabels",
    "multi_label",
    "multilabel",
    "real",
    "real_labels",
    "true_labels",
    "true_classes",
    "targets",
    "wnids",
];
/// Names of columns with one class, or with several.
const CLASS_COLUMNS: [&str; 14] = [
    "label",
    "class",
    "gt",
    "class_id",
    "label_id",
    "target",
    "ground_truth",
    "true_label",
    "true_class",
    "category",
    "class_index",
    "label_index",
    "wnid",
    "synset",
];

/// Returns the form in which a column's name is compared.
pub(super) fn plain_name(name: &str) -> String {
    name.trim_start_matches('\u{feff}').trim().to_lowercase().replace([' ', '-'], "_")
}

/// Returns whether a column names images.
pub(super) fn names_images(name: &str) -> bool {
    IMAGE_COLUMNS.contains(&plain_name(name).as_str())
}

/// Returns whether a column has classes.
pub(super) fn has_classes(name: &str) -> bool {
    let name = plain_name(name);
    LIST_COLUMNS.contains(&name.as_str()) || CLASS_COLUMNS.contains(&name.as_str())
}

/// Positions of the two columns that are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TruthColumns {
    pub(super) image: usize,
    pub(super) classes: usize,
}

impl TruthColumns {
    /// Finds the columns by their names.
    ///
    /// # Errors
    /// Returns [`TruthError`] if one is missing, or if several columns could be meant.
    pub(super) fn find(names: &[impl AsRef<str>]) -> Result<Self, TruthError> {
        let plain: Vec<String> = names.iter().map(|name| plain_name(name.as_ref())).collect();
        let among = |known: &[&str]| -> Vec<usize> {
            (0..plain.len()).filter(|&at| known.contains(&plain[at].as_str())).collect()
        };
        let only = |what: &'static str, found: &[usize], known: &[&str]| match found {
            [] => Err(TruthError::MissingColumn {
                what,
                found: names.iter().take(20).map(|name| super::truth_error::beginning(name.as_ref())).collect(),
                known: known.join(", "),
            }),
            &[at] => Ok(at),
            several => {
                let columns = several.iter().map(|&at| names[at].as_ref().to_owned()).collect();
                Err(TruthError::AmbiguousColumns { what, columns })
            }
        };
        let mut images = among(&IMAGE_COLUMNS);
        // As in the manifest of a store, where both name the same image.
        if let &[first, second] = images.as_slice()
            && let ("id", "path") | ("path", "id") = (plain[first].as_str(), plain[second].as_str())
        {
            images.retain(|&at| plain[at] == "id");
        }
        let lists = among(&LIST_COLUMNS);
        let classes = if lists.is_empty() { among(&CLASS_COLUMNS) } else { lists };
        Ok(Self {
            image: only("images", &images, &IMAGE_COLUMNS)?,
            classes: only("classes", &classes, &[CLASS_COLUMNS.as_slice(), &LIST_COLUMNS].concat())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_never_guessed() {
        for (names, image, classes) in [
            (&["file", "gt", "ids", "probs"][..], 0, 2),
            (&["row", "id", "path", "label", "bytes"], 1, 3),
            (&["\u{feff}File Name", "Labels"], 0, 1),
            (&["label", "image-id"], 1, 0),
        ] {
            assert_eq!(TruthColumns::find(names).unwrap(), TruthColumns { image, classes }, "{names:?}");
        }
        for (names, problem) in [
            (&["n01/x.jpg", "3"][..], "no column has the images; the columns are `n01/x.jpg`, `3`"),
            (&["file", "score"], "no column has the classes"),
            (&["file", "image_id", "label"], "the columns `file`, `image_id` could all have the images"),
            (&["id", "label", "class"], "the columns `label`, `class` could all have the classes"),
            (&["id", "id", "label"], "could all"),
        ] {
            let message = TruthColumns::find(names).unwrap_err().to_string();
            assert!(message.contains(problem), "{message}");
        }
    }
}
