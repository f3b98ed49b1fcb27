//! The columns of a list that a user made.

use std::collections::BTreeMap;

use super::manifest_error::ManifestError;
use crate::shared::spelling::suggestion;

/// The columns that are read; others are ignored.
const KNOWN_COLUMNS: [&str; 4] = ["path", "id", "label", "bytes"];

/// The column that names each image's split. It is not stored, but a list of several splits is reported.
pub(super) const SPLIT: &str = "split";

/// Number of rows in each split, by the column `split`; empty if that column is missing.
pub type SplitCounts = BTreeMap<String, usize>;

/// Checks the names of a list's columns, so that a misspelled column is not ignored.
///
/// # Errors
/// Returns [`ManifestError::DuplicateColumn`] or [`ManifestError::MisspelledColumn`].
pub(super) fn check_column_names(names: &[&str]) -> Result<(), ManifestError> {
    let missing: Vec<&'static str> = KNOWN_COLUMNS.iter().copied().filter(|column| !names.contains(column)).collect();
    for (at, name) in names.iter().enumerate() {
        if KNOWN_COLUMNS.contains(name) {
            if names[..at].contains(name) {
                return Err(ManifestError::DuplicateColumn { column: (*name).to_owned() });
            }
            continue;
        }
        let spaced = KNOWN_COLUMNS.iter().copied().find(|column| *column == name.trim());
        if let Some(column) = spaced.or_else(|| suggestion(name, &missing)) {
            return Err(ManifestError::MisspelledColumn {
                name: (*name).to_owned(),
                column,
                has_spaces: spaced.is_some(),
                known: &KNOWN_COLUMNS,
            });
        }
    }
    Ok(())
}

/// Parses a cell of the column `bytes`; 0 if the cell is empty.
///
/// # Errors
/// Returns [`ManifestError::Length`] if it is not a number.
pub(super) fn parse_length(row: usize, cell: &str) -> Result<u64, ManifestError> {
    match cell.trim() {
        "" => Ok(0),
        text => text.parse().map_err(|_| ManifestError::Length { row, value: text.to_owned() }),
    }
}

/// Checks a cell of the column `label`: spaces around it would make it a different class, unless the folder has that name.
///
/// # Errors
/// Returns [`ManifestError::SpacesAroundLabel`].
pub(super) fn check_label(row: usize, label: &str, folder: Option<&str>) -> Result<(), ManifestError> {
    if label.trim() == label || folder == Some(label) {
        return Ok(());
    }
    Err(ManifestError::SpacesAroundLabel { row, label: label.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_columns_are_refused_with_both_names() {
        for (names, expected) in [
            (&["path", " label"][..], ["` label`", "`label`"]),
            (&["path", "lable"], ["`lable`", "`label`"]),
            (&["path", "labels"], ["`labels`", "`label`"]),
            (&["Path", "label"], ["`Path`", "`path`"]),
            (&["path", "ID"], ["`ID`", "`id`"]),
            (&["path", "label", "label "], ["`label `", "`label`"]),
            (&["path", "label", "label"], ["two columns", "`label`"]),
        ] {
            let refusal = check_column_names(names).unwrap_err().to_string();
            assert!(expected.iter().all(|text| refusal.contains(text)), "{names:?}: {refusal}");
        }
        for names in [&["path"][..], &["path", "row", "width", "url", ""], &["label", "labels", "path", "id", "ids"]] {
            assert!(check_column_names(names).is_ok(), "{names:?}");
        }
    }
}
