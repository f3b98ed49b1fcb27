//! Why a manifest is refused.

use parquet::errors::ParquetError;

use super::page_sizes::PageSizeError;
use super::row_budget::RowBudgetError;
use crate::shared::digest::Digest;
use crate::shared::regular_file::UnusableFile;

/// Why a manifest cannot be read, or lists what no manifest may.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// A row has no path.
    #[error("row {row}: the path is empty")]
    EmptyPath {
        /// The row.
        row: usize,
    },
    /// A path is absolute, or leaves the source.
    #[error("row {row}: `{path}` is not a path below the source (no `..`, no `//`, not absolute)")]
    PathOutsideSource {
        /// The row.
        row: usize,
        /// The path.
        path: String,
    },
    /// Two rows have the same path or id.
    #[error("`{name}` is listed in row {first} and again in row {second}")]
    Duplicate {
        /// The path or id.
        name: String,
        /// The first row.
        first: usize,
        /// A later row.
        second: usize,
    },
    /// A chosen id is the path of another image.
    #[error(
        "row {row} (`{path}`) has the id `{id}`, which is the path of the image in row {other}\n  help: choose ids that are \
         not paths of other images"
    )]
    IdIsPath {
        /// The row.
        row: usize,
        /// Its path.
        path: String,
        /// Its id.
        id: String,
        /// The row of the other image.
        other: usize,
    },
    /// The paths separate folders with backslashes.
    #[error("`{path}` has `\\` between its folders, as on Windows\n  help: write `/`, as in `{}`", path.replace('\\', "/"))]
    Backslashes {
        /// The first such path.
        path: String,
    },
    /// The extension is not that of a manifest.
    #[error("a manifest is a .csv, .tsv or .parquet file")]
    UnknownExtension,
    /// There are no rows.
    #[error("it lists no images")]
    Empty,
    /// The required column is missing.
    #[error("the column `path` is missing; the columns are {}", .columns.join(", "))]
    MissingPathColumn {
        /// The columns of the file.
        columns: Vec<String>,
    },
    /// A column that is read is there twice.
    #[error("it has two columns `{column}`\n  help: remove one, or give it another name")]
    DuplicateColumn {
        /// Its name.
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
        /// Its name.
        name: String,
        /// The name that was probably meant.
        column: &'static str,
        /// Whether the names differ in spaces.
        has_spaces: bool,
        /// The columns that are read.
        known: &'static [&'static str],
    },
    /// A column that is read contains lists or structs.
    #[error("the column `{column}` contains lists or structs, and would not be read\n  help: make it flat")]
    NestedColumn {
        /// Its name.
        column: String,
    },
    /// A column has another type than it should have.
    #[error("column `{column}` has the type {found}, not {expected}")]
    ColumnType {
        /// Its name.
        column: String,
        /// Its type.
        found: String,
        /// The type that is read.
        expected: &'static str,
    },
    /// A length is not a number of bytes.
    #[error("row {row}: bytes is `{value}`; expected a whole number of bytes, or nothing")]
    Length {
        /// The row.
        row: usize,
        /// The cell.
        value: String,
    },
    /// A folder class has spaces around it, which would make it another class.
    #[error("row {row}: the label `{label}` has spaces around it, so that it is not the class `{}`", label.trim())]
    SpacesAroundLabel {
        /// The row.
        row: usize,
        /// The cell.
        label: String,
    },
    /// A text column contains other bytes.
    #[error("column `{column}` contains text that is not UTF-8")]
    NotUtf8 {
        /// Its name.
        column: String,
    },
    /// A store's manifest has another number of rows than its arrays.
    #[error("it has {rows} rows, the arrays have {images}")]
    RowCount {
        /// Rows of the manifest.
        rows: i64,
        /// Rows of the arrays.
        images: usize,
    },
    /// A store's manifest is compressed with a codec that relabel does not write.
    #[error("column `{column}` is compressed with {codec}, not zstd")]
    Codec {
        /// The column.
        column: String,
        /// Its codec.
        codec: String,
    },
    /// A store's manifest is another file than the one that the store was made with.
    #[error(
        "it is not the list that the store was made with: its sha256 is {found}, not {expected}\n  help: put the original \
         back, or repeat the run command that made the store, which restores it"
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
        /// Its number.
        row_group: usize,
        /// What is wrong.
        #[source]
        problem: ParquetError,
    },
    /// A column is damaged.
    #[error("column `{column}`: {problem}")]
    Column {
        /// Its name.
        column: String,
        /// What is wrong.
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
    #[error("not a readable Parquet file: its reader failed in an unexpected way")]
    ReaderPanicked,
    /// The Parquet writer failed.
    #[error("cannot encode it as Parquet: {0}")]
    Encode(#[source] ParquetError),
}
