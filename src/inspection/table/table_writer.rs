//! Writer of tables in any of the formats.

use std::io::{self, Write};

use ::parquet::errors::ParquetError;

use super::columns::Table;
use super::csv::CsvTable;
use super::json::JsonTable;
use super::parquet::ParquetTable;

/// Format of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// Apache Parquet, compressed with zstd, without timestamps and without the version of the writer.
    Parquet,
    /// CSV with a header. Items of lists are separated by `;`.
    Csv,
    /// An array of objects.
    Json,
}

/// Writes a table, one batch of rows after the other.
pub struct TableWriter<'a, W: Write + Send, R> {
    file: FormatWriter<'a, W, R>,
}

enum FormatWriter<'a, W: Write + Send, R> {
    Parquet(ParquetTable<'a, W, R>),
    Csv(CsvTable<'a, W, R>),
    Json(JsonTable<'a, W, R>),
}

impl<'a, W: Write + Send, R> TableWriter<'a, W, R> {
    /// Starts a table.
    ///
    /// # Errors
    /// Returns an error if `out` cannot be written.
    pub fn new(format: TableFormat, out: W, table: &Table<'a, R>) -> io::Result<Self> {
        let file = match format {
            TableFormat::Parquet => FormatWriter::Parquet(ParquetTable::new(out, table).map_err(io_error)?),
            TableFormat::Csv => FormatWriter::Csv(CsvTable::new(out, table.columns)?),
            TableFormat::Json => FormatWriter::Json(JsonTable::new(out, table)?),
        };
        Ok(Self { file })
    }

    /// Writes rows, and the values of the list column, row by row, if the table has one. In Parquet they become a row
    /// group.
    ///
    /// # Errors
    /// Returns an error if they cannot be written.
    pub fn write(&mut self, rows: &[R], lists: Option<&[f32]>) -> io::Result<()> {
        match &mut self.file {
            FormatWriter::Parquet(table) => table.write(rows, lists).map_err(io_error),
            FormatWriter::Csv(table) => table.write(rows),
            FormatWriter::Json(table) => table.write(rows, lists),
        }
    }

    /// Completes the table.
    ///
    /// # Errors
    /// Returns an error if the end of the file cannot be written.
    pub fn finish(self) -> io::Result<()> {
        match self.file {
            FormatWriter::Parquet(table) => table.finish().map_err(io_error),
            FormatWriter::Csv(table) => table.finish(),
            FormatWriter::Json(table) => table.finish(),
        }
    }
}

/// Unwraps an error of the operating system, such as a full disk.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => io::Error::other(source),
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;
    use crate::inspection::table::columns::{ColumnValues, TableColumn};

    struct Row(Option<Vec<f32>>, Vec<&'static str>);

    const IDS: &[u32] = &[7, 3_000_000_000];

    #[test]
    fn lists_are_null_empty_or_have_items() {
        let columns = [
            TableColumn::nullable("numbers", ColumnValues::RealLists(|row: &Row| row.0.as_deref())),
            TableColumn::required("texts", ColumnValues::TextLists(|row| Some(row.1.clone()))),
            TableColumn::nullable("ids", ColumnValues::IntegerLists(|row| row.0.is_some().then_some(IDS))),
            TableColumn::required("double", ColumnValues::Doubles(|_| Some(0.1))),
        ];
        let rows = [
            Row(Some(vec![0.5, 2.5]), vec!["a"]),
            Row(None, vec![]),
            Row(Some(vec![]), vec!["é", ""]),
            Row(Some(vec![1.5]), vec!["b"]),
        ];
        let write = |format: TableFormat| {
            let mut out = Vec::new();
            let table = Table { name: "lists", columns: &columns, list_column: None };
            let mut writer = TableWriter::new(format, &mut out, &table).unwrap();
            writer.write(&rows, None).unwrap();
            writer.finish().unwrap();
            out
        };
        let parquet = write(TableFormat::Parquet);
        assert_eq!(parquet, write(TableFormat::Parquet), "the same rows give the same bytes");
        let read = SerializedFileReader::new(bytes::Bytes::from(parquet)).unwrap();
        let read: Vec<String> = read.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(
            read,
            [
                "{numbers: [0.5, 2.5], texts: [\"a\"], ids: [7, 3000000000], double: 0.1}",
                "{numbers: null, texts: [], ids: null, double: 0.1}",
                "{numbers: [], texts: [\"é\", \"\"], ids: [7, 3000000000], double: 0.1}",
                "{numbers: [1.5], texts: [\"b\"], ids: [7, 3000000000], double: 0.1}"
            ]
        );
        let json: serde_json::Value = serde_json::from_slice(&write(TableFormat::Json)).unwrap();
        assert_eq!((&json[1]["numbers"], &json[2]["texts"][0]), (&serde_json::Value::Null, &"é".into()));
        assert_eq!((&json[0]["ids"][1], &json[0]["double"]), (&3_000_000_000_u32.into(), &0.1.into()));
        let csv = String::from_utf8(write(TableFormat::Csv)).unwrap();
        assert!(csv.starts_with("numbers,texts,ids,double\n0.5;2.5,a,7;3000000000,0.1\n"), "{csv}");
    }
}
