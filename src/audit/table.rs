//! A table in one of the formats.

use std::io::{self, Write};

use parquet::errors::ParquetError;

use super::columns::Column;
use super::csv::CsvTable;
use super::json::JsonTable;
use super::parquet::ParquetTable;

/// What a table is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
    Json,
}

/// Writes a table, rows after rows.
pub(super) enum TableWriter<'a, W: Write + Send, R> {
    Parquet(ParquetTable<'a, W, R>),
    Csv(CsvTable<'a, W, R>),
    Json(JsonTable<'a, W, R>),
}

impl<'a, W: Write + Send, R> TableWriter<'a, W, R> {
    pub(super) fn new(format: Format, out: W, columns: &'a [Column<R>], with_pred_probs: bool) -> io::Result<Self> {
        Ok(match format {
            Format::Parquet => Self::Parquet(ParquetTable::new(out, columns, with_pred_probs).map_err(inner)?),
            Format::Csv => Self::Csv(CsvTable::new(out, columns)?),
            Format::Json => Self::Json(JsonTable::new(out, columns)?),
        })
    }

    /// Writes rows, and the pooled probabilities of all classes, row by row, if the table has them.
    pub(super) fn write(&mut self, rows: &[R], pred_probs: Option<&[f32]>) -> io::Result<()> {
        match self {
            Self::Parquet(table) => table.write(rows, pred_probs).map_err(inner),
            Self::Csv(table) => table.write(rows),
            Self::Json(table) => table.write(rows, pred_probs),
        }
    }

    pub(super) fn end(self) -> io::Result<()> {
        match self {
            Self::Parquet(table) => table.end().map_err(inner),
            Self::Csv(table) => table.end(),
            Self::Json(table) => table.end(),
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
