//! The content of a report.

use super::photographs::Photographs;
use super::row_selection::RowSelection;
use crate::shared::manifest::Manifest;
use crate::shared::store::StoreReader;

/// The content of a report.
pub struct Report<'a> {
    /// The store.
    pub store: &'a StoreReader,
    /// The manifest of the store.
    pub manifest: &'a Manifest,
    /// The rows on the page.
    pub selection: &'a RowSelection,
    /// The photographs; without them the page shows maps only.
    pub photographs: Option<Photographs<'a>>,
}
