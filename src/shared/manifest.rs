//! The manifest: the fixed list of a data set's images. Its order is the row order of every array in the store.

mod page_sizes;
mod manifest_error;
mod image_list;
mod row_index;
mod manifest_builder;
mod list_columns;
mod manifest_csv;
mod manifest_parquet;
mod read_list;

pub use image_list::Manifest;
pub(crate) use image_list::folder_class_from_path;
#[cfg(feature = "label")]
pub(crate) use image_list::is_path_below_source;
pub use list_columns::SplitCounts;
pub use manifest_builder::{ManifestBuilder, ManifestEntry};
pub use manifest_error::ManifestError;
pub use manifest_parquet::{manifest_bytes, read_manifest_bytes, read_manifest_parquet};
pub(crate) use manifest_parquet::{
    manifest_rows, read_known_manifest, read_known_manifest_bytes, read_manifest_of, rows_in_manifest,
};
pub use page_sizes::PageSizeError;
#[cfg(feature = "label")]
pub(crate) use page_sizes::RowBudget;
pub use page_sizes::RowBudgetError;
#[cfg(feature = "label")]
pub(crate) use page_sizes::check_pages;
#[cfg(feature = "label")]
pub(crate) use row_index::name_without_extension;
pub use row_index::{AmbiguousName, LookupError, NameKind, RowIndex};
