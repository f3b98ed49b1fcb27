//! The list of a teacher's classes: names its outputs, and finds the class of a folder.

use std::collections::HashMap;
use std::path::Path;

use crate::shared::error::Error;

/// Names of a teacher's outputs, in the order of the outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassList {
    source: String,
    entries: Vec<ClassEntry>,
}

/// One class: the id that folders are named after, and a display name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassEntry {
    /// Name of this class's folder: a `WordNet` id such as `n01440764`, or the name itself.
    pub id: String,
    /// Display name: `tench, Tinca tinca`.
    pub name: String,
}

/// Errors of parsing a class list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassListError {
    /// A line in the middle is empty.
    #[error(
        "class list: line {line} is empty\n  help: write one class per line, in the order of the teacher's outputs"
    )]
    EmptyLine {
        /// Line number, from 1.
        line: usize,
    },
    /// An id is listed twice.
    #[error(
        "class list: `{id}` is on line {first} and again on line {second}\n  help: write one class per line, each once, in the order of the teacher's outputs"
    )]
    Duplicate {
        /// Id of the class.
        id: String,
        /// First line with this id, from 1.
        first: usize,
        /// Second line with this id, from 1.
        second: usize,
    },
    /// The file is empty.
    #[error("class list: no classes\n  help: write one class per line, in the order of the teacher's outputs")]
    NoClasses,
}

impl ClassList {
    /// The value of a card's `classes` that selects the embedded list.
    pub const IMAGENET_1K: &'static str = "imagenet-1k";

    /// Returns the 1,000 classes of ImageNet's challenge, in the order of their `WordNet` ids
    /// (`manifests/imagenet1k_classes.tsv`).
    #[must_use]
    pub fn imagenet_1k() -> Self {
        let table = include_str!("../../manifests/imagenet1k_classes.tsv");
        let entries = table.lines().skip(1).filter_map(|line| {
            let (_, entry) = line.split_once('\t')?;
            Some(ClassEntry::from_line(entry))
        });
        Self { source: Self::IMAGENET_1K.to_owned(), entries: entries.collect() }
    }

    /// Returns classes without known names: `class 0`, `class 1`, ...
    #[must_use]
    pub fn unnamed(count: usize) -> Self {
        let entry = |class| ClassEntry { id: String::new(), name: format!("class {class}") };
        Self { source: "unnamed".to_owned(), entries: (0..count).map(entry).collect() }
    }

    /// Reads a file with one class per line, in the order of the outputs: either a name, or an id, a tab and a name.
    /// Empty lines at the end are ignored.
    ///
    /// # Errors
    /// Returns [`Error::File`] if the file cannot be read, and [`Error::Card`] with a [`ClassListError`] if it is not a
    /// class list.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        let source = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self::parse(&source, &text).map_err(|problem| Error::Card { path: path.to_path_buf(), problem: problem.into() })
    }

    fn parse(source: &str, text: &str) -> Result<Self, ClassListError> {
        let mut lines_of_ids: HashMap<&str, usize> = HashMap::new();
        let mut entries = Vec::new();
        for (index, line) in text.trim_end().lines().enumerate() {
            if line.trim().is_empty() {
                return Err(ClassListError::EmptyLine { line: index + 1 });
            }
            let id = line.split('\t').next().unwrap_or(line).trim();
            if let Some(first) = lines_of_ids.insert(id, index) {
                return Err(ClassListError::Duplicate { id: id.to_owned(), first: first + 1, second: index + 1 });
            }
            entries.push(ClassEntry::from_line(line));
        }
        if entries.is_empty() {
            return Err(ClassListError::NoClasses);
        }
        Ok(Self { source: source.to_owned(), entries })
    }

    /// Returns whether the classes have no known names.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        self.source == "unnamed"
    }

    /// Origin of the list: `imagenet-1k`, a file's name, or `unnamed`.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The classes, in the order of the outputs.
    #[must_use]
    pub fn entries(&self) -> &[ClassEntry] {
        &self.entries
    }

    /// Returns the list that a store recorded.
    #[must_use]
    pub fn from_entries(source: String, entries: Vec<ClassEntry>) -> Self {
        Self { source, entries }
    }

    /// Returns the first name of a class: `tench` for `tench, Tinca tinca`.
    #[must_use]
    pub fn short_name(&self, class: u32) -> String {
        match self.entries.get(class as usize) {
            Some(entry) => entry.name.split(',').next().unwrap_or(&entry.name).trim().to_owned(),
            None => format!("class {class}"),
        }
    }

    /// Returns the classes by folder class: by id, name or position among the outputs, in this order.
    ///
    /// A name that two classes share is ambiguous and matches neither. Positions are used only if no id or name is a number: in
    /// a list of `1`, `2`, `3` the folder class `2` is the second class, and `0` is none.
    #[must_use]
    pub fn by_folder_class(&self) -> HashMap<String, u32> {
        let mut classes = HashMap::new();
        let indexed = || self.entries.iter().zip(0..);
        for (entry, class) in indexed().filter(|(entry, _)| !entry.id.is_empty()) {
            classes.entry(entry.id.clone()).or_insert(class);
        }
        if self.source != "unnamed" {
            let mut uses: HashMap<&str, u32> = HashMap::new();
            for entry in &self.entries {
                *uses.entry(&entry.name).or_default() += 1;
            }
            for (entry, class) in indexed().filter(|(entry, _)| uses[entry.name.as_str()] == 1) {
                classes.entry(entry.name.clone()).or_insert(class);
            }
            let is_number = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
            if !self.entries.iter().any(|entry| is_number(&entry.id) || is_number(&entry.name)) {
                for (_, class) in indexed() {
                    classes.entry(class.to_string()).or_insert(class);
                }
            }
        }
        classes
    }
}

impl ClassEntry {
    fn from_line(line: &str) -> Self {
        match line.split_once('\t') {
            Some((id, name)) => Self { id: id.trim().to_owned(), name: name.trim().to_owned() },
            None => Self { id: line.trim().to_owned(), name: line.trim().to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_list_is_imagenet() {
        let list = ClassList::imagenet_1k();
        assert_eq!(list.entries().len(), 1000);
        assert_eq!(list.entries()[0], ClassEntry { id: "n01440764".into(), name: "tench, Tinca tinca".into() });
        assert_eq!(list.short_name(967), "espresso");
        assert!(list.entries().windows(2).all(|pair| pair[0].id < pair[1].id));
        assert_eq!(list.by_folder_class()["n15075141"], 999);
        assert_eq!(list.by_folder_class()["999"], 999);
    }

    #[test]
    fn files_have_one_class_per_line() {
        let list = ClassList::parse("pets.txt", "cat\ndog\n\n").unwrap();
        assert_eq!(list.by_folder_class()["dog"], 1);
        let digits = ClassList::parse("digits.txt", "1\n0\n").unwrap().by_folder_class();
        assert_eq!((digits["0"], digits["1"]), (1, 0), "an id takes precedence over a position");
        let from_one = ClassList::parse("digits.txt", "1\n2\n3\n").unwrap().by_folder_class();
        assert_eq!((from_one.get("0"), from_one["3"]), (None, 2), "no class has the id 0");
        let cranes = ClassList::parse("x", "n01\tcrane\nn02\tcrane\n").unwrap().by_folder_class();
        assert_eq!((cranes.get("crane"), cranes["n02"], cranes["1"]), (None, 1, 1), "a shared name matches no class");
        assert!(ClassList::parse("x", "cat\n\ndog").unwrap_err().to_string().contains("line 2 is empty"));
        assert!(ClassList::parse("x", "cat\ndog\ncat").unwrap_err().to_string().contains("line 1 and again on line 3"));
        assert!(ClassList::parse("x", "\n").is_err());
    }

    #[test]
    fn unnamed_classes_match_no_folder() {
        assert!(ClassList::unnamed(3).by_folder_class().is_empty());
        assert_eq!(ClassList::unnamed(3).short_name(2), "class 2");
    }
}
