//! Tables as Parquet, CSV and JSON, all from one list of columns.

mod column;
mod parquet;
mod csv;
mod json;

use std::io::{self, Write};

use ::parquet::errors::ParquetError;

use self::csv::CsvTable;
use self::json::JsonTable;
use self::parquet::ParquetTable;

pub use column::{Column, Values};

/// What a table is.
pub struct Table<'a, R> {
    /// What Parquet calls it.
    pub name: &'static str,
    /// Its columns, in order.
    pub columns: &'a [Column<R>],
    /// A last column of lists that are all of one length, whose values are too many to be asked of each row; CSV leaves
    /// it out.
    pub block: Option<&'static str>,
}

/// What a table is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet, compressed with zstd, without times and the writer's version.
    Parquet,
    /// CSV with a header. Items of lists are parted by `;`.
    Csv,
    /// A list of objects.
    Json,
}

/// Writes a table, rows after rows.
pub struct TableWriter<'a, W: Write + Send, R> {
    file: File<'a, W, R>,
}

enum File<'a, W: Write + Send, R> {
    Parquet(ParquetTable<'a, W, R>),
    Csv(CsvTable<'a, W, R>),
    Json(JsonTable<'a, W, R>),
}

impl<'a, W: Write + Send, R> TableWriter<'a, W, R> {
    /// Begins a table.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(format: Format, out: W, table: &Table<'a, R>) -> io::Result<Self> {
        let file = match format {
            Format::Parquet => File::Parquet(ParquetTable::new(out, table).map_err(inner)?),
            Format::Csv => File::Csv(CsvTable::new(out, table.columns)?),
            Format::Json => File::Json(JsonTable::new(out, table)?),
        };
        Ok(Self { file })
    }

    /// Writes rows, and the values of the table's block, row by row, if it has one. In Parquet they are a row group.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, rows: &[R], block: Option<&[f32]>) -> io::Result<()> {
        match &mut self.file {
            File::Parquet(table) => table.write(rows, block).map_err(inner),
            File::Csv(table) => table.write(rows),
            File::Json(table) => table.write(rows, block),
        }
    }

    /// Ends the table.
    ///
    /// # Errors
    /// When its end cannot be written.
    pub fn end(self) -> io::Result<()> {
        match self.file {
            File::Parquet(table) => table.end().map_err(inner),
            File::Csv(table) => table.end(),
            File::Json(table) => table.end(),
        }
    }
}

/// A full disk is the operating system's error, without Parquet's words around it.
fn inner(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => io::Error::other(source),
        error => io::Error::other(error),
    }
}
