//! The columns of a list that a user made.

use std::collections::BTreeMap;

use crate::shared::spelling::meant;

/// The columns that are read; others are free.
const READ: [&str; 4] = ["path", "id", "label", "bytes"];

/// The column that tells the splits of a data set apart. It is not stored, but a list of several splits is noticed.
pub(super) const SPLIT: &str = "split";

/// How many rows of a list are in each split, by the column `split`; empty where that column is missing.
pub type SplitCounts = BTreeMap<String, usize>;

/// Checks the names of a list's columns, so that none that was meant to be read is passed over.
///
/// # Errors
/// When a column is there twice, or a name is a slip of one that is read; the message has both names.
pub(super) fn check(names: &[&str]) -> Result<(), String> {
    let missing: Vec<&str> = READ.iter().copied().filter(|column| !names.contains(column)).collect();
    for (at, name) in names.iter().enumerate() {
        if READ.contains(name) {
            if names[..at].contains(name) {
                return Err(format!("it has two columns `{name}`\n  help: remove one, or give it another name"));
            }
            continue;
        }
        let spaced = READ.iter().copied().find(|column| *column == name.trim());
        if let Some(column) = spaced.or_else(|| meant(name, &missing)) {
            let reason = if spaced.is_some() { "it has spaces around it, and" } else { "it" };
            return Err(format!(
                "the column `{name}` would not be read: {reason} is not `{column}`\n  help: call it `{column}`, or give it a \
                 name that resembles no column that is read ({})",
                READ.join(", ")
            ));
        }
    }
    Ok(())
}

/// The number in a cell of the column `bytes`; 0 where the cell is empty.
///
/// # Errors
/// When it is no length.
pub(super) fn length(cell: &str) -> Result<u64, String> {
    match cell.trim() {
        "" => Ok(0),
        text => text.parse().map_err(|_| format!("bytes is `{text}`; it is a whole number of bytes, or empty")),
    }
}

/// Checks that a label is what it seems to be: spaces around it would make it another class, unless the folder is called so.
///
/// # Errors
/// When it has spaces around it.
pub(super) fn check_label(label: &str, folder: Option<&str>) -> Result<(), String> {
    if label.trim() == label || folder == Some(label) {
        return Ok(());
    }
    Err(format!("the label `{label}` has spaces around it, so that it is not the class `{}`", label.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_in_names_are_refused_with_both_names() {
        for (names, expected) in [
            (&["path", " label"][..], ["` label`", "`label`"]),
            (&["path", "lable"], ["`lable`", "`label`"]),
            (&["path", "labels"], ["`labels`", "`label`"]),
            (&["Path", "label"], ["`Path`", "`path`"]),
            (&["path", "ID"], ["`ID`", "`id`"]),
            (&["path", "label", "label "], ["`label `", "`label`"]),
            (&["path", "label", "label"], ["two columns", "`label`"]),
        ] {
            let refusal = check(names).unwrap_err();
            assert!(expected.iter().all(|text| refusal.contains(text)), "{names:?}: {refusal}");
        }
        for names in [&["path"][..], &["path", "row", "width", "url", ""], &["label", "labels", "path", "id", "ids"]] {
            assert_eq!(check(names), Ok(()), "{names:?}");
        }
    }
}
