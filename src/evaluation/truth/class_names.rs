//! Classes of a truth, by id or name.

use std::collections::HashMap;

use super::truth_error::{TruthError, beginning};
use crate::shared::classes::ClassList;

/// Finds the class that an entry of a truth means.
pub(super) struct ClassNames {
    list: String,
    count: usize,
    by_folder_class: HashMap<String, u32>,
    /// Each synonym in lower case with spaces, and its class; `None` if two classes have it.
    by_synonym: HashMap<String, Option<u32>>,
    /// Whether a class has a number as its name, so that text such as `3` could be a name or an id.
    has_numbers: bool,
}

/// Largest number of classes of one image.
pub(super) const MAX_CLASSES: usize = 1 << 16;

impl ClassNames {
    pub(super) fn new(classes: &ClassList) -> Self {
        let mut by_synonym: HashMap<String, Option<u32>> = HashMap::new();
        let named = if classes.is_unnamed() { &classes.entries()[..0] } else { classes.entries() };
        for (entry, class) in named.iter().zip(0_u32..) {
            for synonym in entry.name.split(',') {
                let known = by_synonym.entry(folded(synonym)).or_insert(Some(class));
                *known = known.filter(|&first| first == class);
            }
        }
        let is_number = |name: &str| number(name).is_some();
        Self {
            list: classes.source().to_owned(),
            count: classes.entries().len(),
            by_folder_class: classes.by_folder_class(),
            by_synonym,
            has_numbers: named.iter().any(|entry| is_number(&entry.id) || is_number(&entry.name)),
        }
    }

    /// Returns the class with this id.
    pub(super) fn by_id(&self, entry: &str, id: i64) -> Result<u32, TruthError> {
        let class = u32::try_from(id).ok().filter(|&class| (class as usize) < self.count);
        class.ok_or_else(|| TruthError::ClassId { entry: beginning(entry), id, classes: self.count })
    }

    /// Returns the class that text means: an id, a folder name, a name, or one of a name's synonyms.
    pub(super) fn by_text(&self, entry: &str, text: &str) -> Result<u32, TruthError> {
        let text = text.trim();
        self.find(entry, text)?.ok_or_else(|| TruthError::ClassName {
            entry: beginning(entry),
            name: beginning(text),
            classes: self.count,
            list: self.list.clone(),
        })
    }

    /// Returns the class that trimmed text means; `None` if it is not a name.
    ///
    /// # Errors
    /// Returns [`TruthError::AmbiguousClass`] for text that means two classes, and [`TruthError::ClassId`] for a number that
    /// is not an id.
    pub(super) fn find(&self, entry: &str, text: &str) -> Result<Option<u32>, TruthError> {
        let ambiguous =
            |is_number| TruthError::AmbiguousClass { entry: beginning(entry), name: beginning(text), is_number };
        if let Some(id) = number(text) {
            if !self.has_numbers {
                return self.by_id(entry, id).map(Some);
            }
            let named = self.by_folder_class.get(text).copied();
            return if named.is_some() && named == self.by_id(entry, id).ok() {
                Ok(named)
            } else {
                Err(ambiguous(true))
            };
        }
        if let Some(&class) = self.by_folder_class.get(text) {
            return Ok(Some(class));
        }
        match self.by_synonym.get(&folded(text)) {
            Some(None) => Err(ambiguous(false)),
            Some(&class) => Ok(class),
            None => Ok(None),
        }
    }

    /// Appends the classes of a cell of a table: one class, several with `|`, `;`, `,` or spaces between them, or a list in
    /// brackets.
    pub(super) fn read_cell(&self, entry: &str, cell: &str, classes: &mut Vec<u32>) -> Result<(), TruthError> {
        let cell = cell.trim();
        if let Some(list) = cell.strip_prefix('[') {
            let list = list.strip_suffix(']').and_then(list_items);
            let items = list.ok_or_else(|| TruthError::Cell { entry: beginning(entry), cell: beginning(cell) })?;
            return self.read_items(entry, items.into_iter(), classes);
        }
        let separator = ['|', ';', ','].into_iter().find(|&separator| cell.contains(separator));
        let is_one = separator.is_none() && !cell.contains(char::is_whitespace);
        // A name may contain commas and spaces.
        if !is_one && let Some(class) = self.find(entry, cell)? {
            classes.push(class);
            return Ok(());
        }
        match separator {
            Some(separator) => self.read_items(entry, cell.split(separator), classes),
            None => self.read_items(entry, cell.split_whitespace(), classes),
        }
    }

    fn read_items<'a>(
        &self,
        entry: &str,
        items: impl Iterator<Item = &'a str>,
        classes: &mut Vec<u32>,
    ) -> Result<(), TruthError> {
        for item in items.map(str::trim).filter(|item| !item.is_empty()) {
            if classes.len() == MAX_CLASSES {
                return Err(TruthError::TooManyClasses { entry: beginning(entry), limit: MAX_CLASSES });
            }
            classes.push(self.by_text(entry, item)?);
        }
        Ok(())
    }
}

/// Returns text as an integer, also as pandas writes one in a column with gaps: `3.0`.
fn number(text: &str) -> Option<i64> {
    let digits = text.strip_suffix(".0").unwrap_or(text);
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let is_number = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(i64::MAX))
}

fn folded(name: &str) -> String {
    name.trim().replace('_', " ").to_lowercase()
}

/// Returns the items of a list as Python or NumPy prints it, without its brackets; `None` if a quote is not closed.
fn list_items(list: &str) -> Option<Vec<&str>> {
    let mut items = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches(|letter: char| letter == ',' || letter.is_whitespace());
        let Some(first) = rest.chars().next() else { return Some(items) };
        if first == '"' || first == '\'' {
            let (item, after) = rest[1..].split_once(first)?;
            items.push(item);
            rest = after;
        } else {
            let end = rest.find(|letter: char| letter == ',' || letter.is_whitespace()).unwrap_or(rest.len());
            items.push(&rest[..end]);
            rest = &rest[end..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::classes::ClassEntry;

    fn read(names: &ClassNames, cell: &str) -> Result<Vec<u32>, String> {
        let mut classes = Vec::new();
        names.read_cell("x.jpg", cell, &mut classes).map_err(|problem| problem.to_string())?;
        Ok(classes)
    }

    #[test]
    fn cells_have_ids_and_names_in_many_forms() {
        let names = ClassNames::new(&ClassList::imagenet_1k());
        for (cell, classes) in [
            ("", &[][..]),
            ("[]", &[]),
            ("7", &[7]),
            (" 7.0 ", &[7]),
            ("0,391", &[0, 391]),
            ("0, 391,", &[0, 391]),
            ("0;391", &[0, 391]),
            ("0|391", &[0, 391]),
            ("0 391", &[0, 391]),
            ("[0, 391]", &[0, 391]),
            ("[0 391]", &[0, 391]),
            ("['n01440764', \"goldfish, Carassius auratus\"]", &[0, 1]),
            ("n01440764 n01443537", &[0, 1]),
            ("tench, Tinca tinca", &[0]),
            ("Tench|goldfish", &[0, 1]),
            ("Scottish_deerhound", &[177]),
            ("tench,goldfish", &[0, 1]),
        ] {
            assert_eq!(read(&names, cell).as_deref(), Ok(classes), "{cell}");
        }
        for (cell, problem) in [
            ("1000", "class id 1000, but the teacher has 1,000 classes, 0 to 999"),
            ("-1", "class id -1"),
            ("99999999999999999999", "class id 9223372036854775807"),
            ("[1, 2", "not a list of classes"),
            ("['n01440764]", "not a list of classes"),
            ("[[1]]", "`[1]` is none of the 1,000 classes"),
            ("person", "`person` is none of the 1,000 classes of the teacher (imagenet-1k)"),
            ("1.5", "`1.5` is none"),
            ("crane", "`crane` could mean two classes"),
        ] {
            let message = read(&names, cell).unwrap_err();
            assert!(message.contains(problem) && message.contains("`x.jpg`"), "{cell}: {message}");
        }
    }

    #[test]
    fn a_number_that_is_also_a_name_is_ambiguous() {
        let list = |names: &[&str]| {
            let entry = |name: &&str| ClassEntry { id: (*name).to_owned(), name: (*name).to_owned() };
            ClassNames::new(&ClassList::from_entries("digits.txt".to_owned(), names.iter().map(entry).collect()))
        };
        assert_eq!(read(&list(&["0", "1", "2"]), "0 2"), Ok(vec![0, 2]), "names and ids agree");
        for cell in ["1", "3", "0"] {
            assert!(read(&list(&["1", "2", "3"]), cell).unwrap_err().contains("the one with this name"), "{cell}");
        }
        assert_eq!(list(&["1", "2", "3"]).by_id("x.jpg", 1).ok(), Some(1));
        assert_eq!(read(&ClassNames::new(&ClassList::unnamed(3)), "2"), Ok(vec![2]));
        assert!(read(&ClassNames::new(&ClassList::unnamed(3)), "class 2").is_err());
    }
}
