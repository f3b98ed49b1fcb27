//! Errors of reading a manifest.

use parquet::errors::ParquetError;

use super::page_sizes::PageSizeError;
use super::page_sizes::RowBudgetError;
use crate::shared::digest::Digest;
use crate::shared::regular_file::UnusableFile;

/// Errors of reading, checking or encoding a manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A row has no path.
    #[error("row {row}: the path is empty\n  help: write the path of the image below the source, or delete the row")]
    EmptyPath {
        /// Row in the manifest.
        row: usize,
    },
    /// A path is absolute, or leaves the source.
    #[error(
        "row {row}: `{path}` is not a path below the source\n  help: write a relative path without `..` and `//`, such as `n01440764/x.JPEG`"
    )]
    PathOutsideSource {
        /// Row in the manifest.
        row: usize,
        /// Rejected path.
        path: String,
    },
    /// Two rows have the same path or id.
    #[error("`{name}` is listed in row {first} and again in row {second}\n  help: list each path and each id once")]
    Duplicate {
        /// Repeated path or id.
        name: String,
        /// First row with this name.
        first: usize,
        /// Second row with this name.
        second: usize,
    },
    /// A chosen id is the path of another image.
    #[error(
        "row {row} (`{path}`) has the id `{id}`, which is the path of the image in row {other}\n  help: choose ids that are \
         not paths of other images"
    )]
    IdIsPath {
        /// Row in the manifest.
        row: usize,
        /// Path of that row.
        path: String,
        /// Chosen id of that row.
        id: String,
        /// Row of the image with that path.
        other: usize,
    },
    /// The paths separate folders with backslashes.
    #[error("`{path}` has `\\` between its folders, as on Windows\n  help: write `/`, as in `{}`", path.replace('\\', "/"))]
    Backslashes {
        /// First such path.
        path: String,
    },
    /// The extension is not that of a manifest.
    #[error("unknown extension\n  help: pass a .csv, .tsv or .parquet file")]
    UnknownExtension,
    /// The table has no rows.
    #[error("no images\n  help: list one image per row, with the column `path`")]
    Empty,
    /// The required column is missing.
    #[error("the column `path` is missing; found {}\n  help: call the column with the paths below the source `path`", .columns.join(", "))]
    MissingPathColumn {
        /// Columns of the file.
        columns: Vec<String>,
    },
    /// A column that is read is present twice.
    #[error("two columns `{column}`\n  help: remove or rename one")]
    DuplicateColumn {
        /// Name of the column.
        column: String,
    },
    /// A column is named almost like one that is read.
    #[error(
        "the column `{name}` would not be read: it {}is not `{column}`\n  help: call it `{column}`, or give it a name that \
         resembles no column that is read ({})",
        if *has_spaces { "has spaces around it, and " } else { "" },
        known.join(", ")
    )]
    MisspelledColumn {
        /// Name of the column.
        name: String,
        /// Name that was probably meant.
        column: &'static str,
        /// Whether the names differ in spaces.
        has_spaces: bool,
        /// Names of the columns that are read.
        known: &'static [&'static str],
    },
    /// A column that is read contains lists or structs.
    #[error("the column `{column}` contains lists or structs, and would not be read\n  help: make it flat")]
    NestedColumn {
        /// Name of the column.
        column: String,
    },
    /// A column has the wrong type.
    #[error("column `{column}` has the type {found}, expected {expected}\n  help: write the column as {expected}")]
    ColumnType {
        /// Name of the column.
        column: String,
        /// Type of the column.
        found: String,
        /// Expected type.
        expected: &'static str,
    },
    /// A length is not a number of bytes.
    #[error(
        "row {row}: bytes is `{value}`, expected an integer\n  help: write the length of the file in bytes, or leave the cell empty"
    )]
    Length {
        /// Row in the manifest.
        row: usize,
        /// Value of the cell.
        value: String,
    },
    /// A folder class has spaces around it, which would make it a different class.
    #[error("row {row}: the label `{label}` has spaces around it\n  help: write `{}`", label.trim())]
    SpacesAroundLabel {
        /// Row in the manifest.
        row: usize,
        /// Value of the cell.
        label: String,
    },
    /// A string column contains bytes that are not UTF-8.
    #[error("column `{column}` contains bytes that are not UTF-8\n  help: write the file as UTF-8")]
    NotUtf8 {
        /// Name of the column.
        column: String,
    },
    /// The number of rows of a store's manifest differs from that of its arrays.
    #[error("{rows} rows, but the arrays have {images}")]
    RowCount {
        /// Number of rows of the manifest.
        rows: i64,
        /// Number of rows of the arrays.
        images: usize,
    },
    /// A store's manifest is compressed with a codec that relabel does not write.
    #[error("column `{column}` is compressed with {codec}, not zstd")]
    Codec {
        /// Name of the column.
        column: String,
        /// Codec of the column.
        codec: String,
    },
    /// A store's manifest is not the one that the store was created with.
    #[error(
        "not the manifest that the store was created with: sha256 {found}, expected {expected}\n  help: restore the \
         original manifest.parquet, or repeat the run command that created the store"
    )]
    OtherDigest {
        /// Digest of the file.
        found: Digest,
        /// Digest that the store recorded.
        expected: Digest,
    },
    /// The file is missing, or is something other than a regular file.
    #[error(transparent)]
    Unusable(#[from] UnusableFile),
    /// The CSV cannot be read.
    #[error("{0}")]
    Csv(#[source] ::csv::Error),
    /// The file is not Parquet, or is damaged.
    #[error("not a readable Parquet file: {0}")]
    Parquet(#[source] ParquetError),
    /// A row group is damaged.
    #[error("row group {row_group}: {problem}")]
    RowGroup {
        /// Number of the row group.
        row_group: usize,
        /// Underlying error.
        #[source]
        problem: ParquetError,
    },
    /// A column is damaged.
    #[error("column `{column}`: {problem}")]
    Column {
        /// Name of the column.
        column: String,
        /// Underlying error.
        #[source]
        problem: ParquetError,
    },
    /// A page would take too much memory.
    #[error(transparent)]
    PageSize(#[from] PageSizeError),
    /// The rows would take too much memory.
    #[error(transparent)]
    RowBudget(#[from] RowBudgetError),
    /// Parquet's reader panicked.
    #[error("not a readable Parquet file: the Parquet reader panicked")]
    ReaderPanicked,
    /// The Parquet writer failed.
    #[error("cannot encode the manifest as Parquet: {0}")]
    Encode(#[source] ParquetError),
}
