//! Collects the entries of a truth by row.

use super::class_names::ClassNames;
use super::image_names::ImageNames;
use super::true_boxes::{BoxLists, FileBox, clipped_boxes};
use super::true_classes::ClassLists;
use super::truth_error::{TruthError, beginning};
use crate::shared::classes::ClassList;
use crate::shared::manifest::{Manifest, RowIndex};

/// The entries of a truth that have an image, by row, and the number of the others.
#[derive(Clone, Debug, Default)]
pub(super) struct TruthRows {
    pub(super) classes: ClassLists,
    pub(super) boxes: BoxLists,
    pub(super) entries: usize,
    pub(super) unmatched: usize,
    /// Name of the first entry without an image.
    pub(super) unmatched_example: Option<String>,
    pub(super) boxes_clipped: usize,
    pub(super) crowds: usize,
}

/// Matches the entries of a truth with rows.
pub(super) struct TruthBuilder<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) images: ImageNames<'a>,
    pub(super) classes: ClassNames,
    rows: TruthRows,
    first: Option<String>,
    /// The classes of one entry.
    scratch: Vec<u32>,
}

/// The classes of an entry, as a file has them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum EntryClasses {
    /// Ids and names, each of one class.
    Items(Vec<EntryClass>),
    /// Text with the classes of an image, as in a cell of a table.
    Cell(String),
}

/// A class of an entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum EntryClass {
    /// An id.
    Id(i64),
    /// A name, or an id as text.
    Text(String),
}

impl<'a> TruthBuilder<'a> {
    pub(super) fn new(manifest: &'a Manifest, index: &'a RowIndex, classes: &ClassList) -> Self {
        Self {
            manifest,
            images: ImageNames::new(manifest, index, classes),
            classes: ClassNames::new(classes),
            rows: TruthRows { classes: ClassLists::new(manifest.len()), ..TruthRows::default() },
            first: None,
            scratch: Vec::new(),
        }
    }

    /// Counts an entry, and returns the row that its name means.
    pub(super) fn row(&mut self, name: &str) -> Result<Option<usize>, TruthError> {
        if name.trim().is_empty() {
            return Err(TruthError::NoName { entry: self.rows.entries + 1 });
        }
        let row = self.images.find(name)?;
        self.count(name, row);
        Ok(row)
    }

    /// Counts an entry whose row is known.
    pub(super) fn count(&mut self, name: &str, row: Option<usize>) {
        self.rows.entries += 1;
        if self.first.is_none() {
            self.first = Some(beginning(name));
        }
        if row.is_none() {
            self.rows.unmatched += 1;
            self.rows.unmatched_example.get_or_insert_with(|| beginning(name));
        }
    }

    /// Adds an entry with classes.
    pub(super) fn add(&mut self, name: &str, classes: &EntryClasses) -> Result<(), TruthError> {
        match classes {
            EntryClasses::Cell(cell) => self.add_cell(name, cell),
            EntryClasses::Items(items) => {
                let Some(row) = self.row(name)? else { return Ok(()) };
                let mut found = std::mem::take(&mut self.scratch);
                found.clear();
                for item in items {
                    found.push(match item {
                        EntryClass::Id(id) => self.classes.by_id(name, *id)?,
                        EntryClass::Text(text) => self.classes.by_text(name, text)?,
                    });
                }
                self.add_classes(row, name, &mut found)?;
                self.scratch = found;
                Ok(())
            }
        }
    }

    /// Adds an entry of a table.
    pub(super) fn add_cell(&mut self, name: &str, cell: &str) -> Result<(), TruthError> {
        let Some(row) = self.row(name)? else { return Ok(()) };
        let mut found = std::mem::take(&mut self.scratch);
        found.clear();
        self.classes.read_cell(name, cell, &mut found)?;
        self.add_classes(row, name, &mut found)?;
        self.scratch = found;
        Ok(())
    }

    /// Adds the classes of a row. Repeated classes are removed.
    pub(super) fn add_classes(&mut self, row: usize, name: &str, classes: &mut Vec<u32>) -> Result<(), TruthError> {
        // The order of a file is kept: ReaL's lists begin with the most likely class.
        if classes.len() > 1 {
            let mut seen = std::collections::HashSet::new();
            classes.retain(|class| seen.insert(*class));
        }
        let Some(before) = self.rows.classes.get(row) else {
            self.rows.classes.set(row, classes);
            return Ok(());
        };
        let sorted = |classes: &[u32]| {
            let mut sorted = classes.to_vec();
            sorted.sort_unstable();
            sorted
        };
        if sorted(before) == sorted(classes) {
            return Ok(());
        }
        let listed = |classes: &[u32]| {
            let ids: Vec<String> = classes.iter().take(10).map(u32::to_string).collect();
            format!("classes [{}]", ids.join(", "))
        };
        Err(self.repeated(row, name, listed(before), listed(classes)))
    }

    /// Adds the boxes of a row; the size of its image is width, height.
    pub(super) fn add_boxes(
        &mut self,
        row: usize,
        name: &str,
        size: [u32; 2],
        boxes: &[FileBox],
    ) -> Result<(), TruthError> {
        let (image, clipped) = clipped_boxes(&beginning(name), size, boxes)?;
        match self.rows.boxes.get(row) {
            None => {
                self.rows.boxes_clipped += clipped;
                self.rows.boxes.set(self.manifest.len(), row, image);
                Ok(())
            }
            Some(before) if *before == image => Ok(()),
            Some(before) => {
                let (before, now) = (before.boxes.len(), image.boxes.len());
                Err(self.repeated(row, name, format!("{before} boxes"), format!("{now} boxes")))
            }
        }
    }

    /// Counts annotations of groups, which are not read.
    pub(super) fn add_crowds(&mut self, crowds: usize) {
        self.rows.crowds += crowds;
    }

    fn repeated(&self, row: usize, name: &str, before: String, now: String) -> TruthError {
        TruthError::Repeated { name: beginning(name), id: self.manifest.id(row).to_owned(), before, now }
    }

    /// Returns the rows.
    ///
    /// # Errors
    /// Returns [`TruthError`] if the truth has no entries, or none for an image of the store.
    pub(super) fn finish(self) -> Result<TruthRows, TruthError> {
        let Some(entry) = self.first else { return Err(TruthError::NoEntries) };
        if self.rows.unmatched == self.rows.entries {
            let images = self.manifest.len();
            let image = if images == 0 { String::new() } else { self.manifest.id(0).to_owned() };
            return Err(TruthError::NothingInCommon { entries: self.rows.entries, entry, images, image });
        }
        Ok(self.rows)
    }
}
