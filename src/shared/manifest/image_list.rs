//! The list of images in memory.

/// The fixed list of a data set's images.
///
/// A data set has millions of images, so strings are packed into one allocation: an image takes about 50 bytes plus its path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    paths: PackedStrings,
    /// Chosen ids; empty where the id is the path without its extension. `None` if no row has one.
    ids: Option<PackedStrings>,
    /// Positions in `class_names`, or [`NO_CLASS`].
    folder_classes: Vec<u32>,
    class_names: Vec<String>,
    lengths: Vec<u64>,
}

/// The folder class of an image that has none.
const NO_CLASS: u32 = u32::MAX;

impl Manifest {
    /// Keeps only the first `count` rows.
    pub fn truncate(&mut self, count: usize) {
        self.paths.truncate(count);
        self.folder_classes.truncate(count);
        self.lengths.truncate(count);
        if let Some(ids) = &mut self.ids {
            ids.truncate(count);
        }
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Returns whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Path below the source.
    ///
    /// # Panics
    /// Panics if the row is out of range, as do the other methods that take a row.
    #[must_use]
    pub fn path(&self, row: usize) -> &str {
        self.paths.get(row)
    }

    /// Id: the path without its extension, unless a different one was chosen or two images would share it.
    #[must_use]
    pub fn id(&self, row: usize) -> &str {
        self.chosen_id(row).unwrap_or_else(|| id_from_path(self.path(row)))
    }

    /// Id that is not the path without its extension.
    pub(super) fn chosen_id(&self, row: usize) -> Option<&str> {
        self.ids.as_ref().map(|ids| ids.get(row)).filter(|id| !id.is_empty())
    }

    /// Returns whether any row has a chosen id.
    pub(super) fn has_chosen_ids(&self) -> bool {
        self.ids.is_some()
    }

    /// The class that the image is filed under, if any.
    #[must_use]
    pub fn folder_class(&self, row: usize) -> Option<&str> {
        self.class_names.get(self.folder_classes[row] as usize).map(String::as_str)
    }

    /// Length of the file when it was listed; 0 if it is not known.
    #[must_use]
    pub fn bytes(&self, row: usize) -> u64 {
        self.lengths[row]
    }

    /// Describes the first row in which two manifests differ; `None` if they list the same images in the same order.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.len() != other.len() {
            return Some(format!("{} images there, {} here", self.len(), other.len()));
        }
        let same = |row: &usize| {
            self.path(*row) == other.path(*row)
                && self.id(*row) == other.id(*row)
                && self.folder_class(*row) == other.folder_class(*row)
        };
        (0..self.len()).find(|row| !same(row)).map(|row| {
            format!(
                "row {row} is `{}` ({}) there, `{}` ({}) here",
                self.path(row),
                self.id(row),
                other.path(row),
                other.id(row)
            )
        })
    }

    /// Adds a row. `class` is a position among the class names.
    pub(super) fn push(&mut self, path: &str, chosen_id: Option<&str>, class: Option<u32>, bytes: u64) {
        if let Some(id) = chosen_id {
            let rows = self.len();
            self.ids.get_or_insert_with(|| PackedStrings::with_empty(rows)).push(id);
        } else if let Some(ids) = &mut self.ids {
            ids.push("");
        }
        self.paths.push(path);
        self.folder_classes.push(class.unwrap_or(NO_CLASS));
        self.lengths.push(bytes);
    }

    /// Position of the last row's folder class, if it has this name.
    pub(super) fn last_class(&self, name: &str) -> Option<u32> {
        let last = *self.folder_classes.last()?;
        (self.class_names.get(last as usize)? == name).then_some(last)
    }

    /// Adds a class name, and returns its position.
    pub(super) fn add_class(&mut self, name: &str) -> u32 {
        self.class_names.push(name.to_owned());
        (self.class_names.len() - 1) as u32
    }

    /// Makes complete paths the ids of `rows`, which are in order.
    pub(super) fn keep_extensions(&mut self, rows: &[usize]) {
        let mut ids = PackedStrings::default();
        let mut next = rows.iter().copied().peekable();
        for row in 0..self.len() {
            let keeps = next.next_if_eq(&row).is_some();
            ids.push(if keeps { self.path(row) } else { self.chosen_id(row).unwrap_or_default() });
        }
        self.ids = Some(ids);
    }
}

/// Many short strings in one allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PackedStrings {
    text: String,
    /// End of each string in `text`.
    ends: Vec<usize>,
}

impl PackedStrings {
    /// Returns `count` empty strings.
    fn with_empty(count: usize) -> Self {
        Self { text: String::new(), ends: vec![0; count] }
    }

    fn push(&mut self, string: &str) {
        self.text.push_str(string);
        self.ends.push(self.text.len());
    }

    fn get(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }

    fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

/// Returns a path without the extension of its file: `n01440764/n01440764_10026` for `n01440764/n01440764_10026.JPEG`.
pub(super) fn id_from_path(path: &str) -> &str {
    let file_at = path.rfind('/').map_or(0, |slash| slash + 1);
    match path[file_at..].rfind('.') {
        Some(dot) if dot > 0 => &path[..file_at + dot],
        _ => path,
    }
}

/// Returns whether a manifest may list this path: only files below the source are read.
pub(crate) fn is_path_below_source(path: &str) -> bool {
    let bad_part = |part: &str| part.is_empty() || part == "." || part == "..";
    !path.contains('\0') && !path.split('/').any(bad_part)
}

/// Returns the first folder of a path, which is the image's class.
#[must_use]
pub(crate) fn folder_class_from_path(path: &str) -> Option<&str> {
    path.split_once('/').map(|(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_returned_as_they_were_pushed() {
        let mut strings = PackedStrings::with_empty(1);
        for string in ["ä", "", "xyz"] {
            strings.push(string);
        }
        assert_eq!([0, 1, 2, 3].map(|at| strings.get(at)), ["", "ä", "", "xyz"]);
        strings.truncate(2);
        strings.push("new");
        assert_eq!(strings.get(2), "new");
    }
}
