//! Tables as Parquet.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::{Column, Table, Values};

/// Writes a table, rows after rows.
pub(super) struct ParquetTable<'a, W: Write + Send, R> {
    columns: &'a [Column<R>],
    file: SerializedFileWriter<W>,
}

impl<'a, W: Write + Send, R> ParquetTable<'a, W, R> {
    pub(super) fn new(out: W, table: &Table<'a, R>) -> Result<Self, ParquetError> {
        let schema = Arc::new(parse_message_type(&schema(table))?);
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by("relabel".to_owned());
        if let Some(name) = table.block {
            let block = ColumnPath::from([name, "list", "element"].map(str::to_owned).to_vec());
            // Few of its numbers are the same, so that a list of the different ones saves nothing.
            properties = properties.set_column_dictionary_enabled(block, false);
        }
        Ok(Self { columns: table.columns, file: SerializedFileWriter::new(out, schema, Arc::new(properties.build()))? })
    }

    /// Writes rows as a row group, with the values of the table's block, row by row, if it has one.
    pub(super) fn write(&mut self, rows: &[R], block: Option<&[f32]>) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for column in self.columns {
            let is_nullable = column.is_nullable;
            match column.values {
                Values::Integers(number) => {
                    let values = rows.iter().map(|row| number(row).map(|number| number as i64));
                    write_column::<Int64Type, W>(&mut group, values, is_nullable)?;
                }
                Values::Reals(number) => {
                    write_column::<FloatType, W>(&mut group, rows.iter().map(number), is_nullable)?;
                }
                Values::Texts(text) => {
                    let values = rows.iter().map(|row| text(row).map(bytes));
                    write_column::<ByteArrayType, W>(&mut group, values, is_nullable)?;
                }
                Values::TextLists(texts) => {
                    let lists = rows.iter().map(|row| texts(row).map(|texts| texts.into_iter().map(bytes).collect()));
                    write_lists::<ByteArrayType, W>(&mut group, lists, is_nullable)?;
                }
                Values::RealLists(numbers) => {
                    let lists = rows.iter().map(|row| numbers(row).map(<[f32]>::to_vec));
                    write_lists::<FloatType, W>(&mut group, lists, is_nullable)?;
                }
            }
        }
        if let Some(values) = block {
            let per_row = values.len() / rows.len().max(1);
            let continues: Vec<i16> = (0..values.len()).map(|at| i16::from(at % per_row != 0)).collect();
            let mut column = next_column(&mut group)?;
            column.typed::<FloatType>().write_batch(values, Some(&vec![1; values.len()]), Some(&continues))?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    pub(super) fn end(self) -> Result<(), ParquetError> {
        self.file.close()?;
        Ok(())
    }
}

fn schema<R>(table: &Table<'_, R>) -> String {
    let mut fields = String::new();
    for column in table.columns {
        let need = if column.is_nullable { "optional" } else { "required" };
        fields += &match column.values {
            Values::Integers(_) => format!("{need} int64 {};\n", column.name),
            Values::Reals(_) => format!("{need} float {};\n", column.name),
            Values::Texts(_) => format!("{need} binary {} (string);\n", column.name),
            Values::TextLists(_) => list(need, column.name, "binary element (string)"),
            Values::RealLists(_) => list(need, column.name, "float element"),
        };
    }
    if let Some(name) = table.block {
        fields += &list("required", name, "float element");
    }
    format!("message {} {{\n{fields}}}", table.name)
}

fn list(need: &str, name: &str, element: &str) -> String {
    format!("{need} group {name} (list) {{ repeated group list {{ required {element}; }} }}\n")
}

fn bytes(text: &str) -> ByteArray {
    ByteArray::from(text.as_bytes().to_vec())
}

fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = Option<T::T>>,
    is_nullable: bool,
) -> Result<(), ParquetError> {
    let (mut present, mut held) = (Vec::new(), Vec::new());
    for value in values {
        present.push(i16::from(value.is_some()));
        held.extend(value);
    }
    let mut column = next_column(group)?;
    column.typed::<T>().write_batch(&held, is_nullable.then_some(&present), None)?;
    column.close()
}

/// Definition levels, as Parquet calls them, count what is there: the list if it may be missing, and the item.
fn write_lists<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    lists: impl Iterator<Item = Option<Vec<T::T>>>,
    is_nullable: bool,
) -> Result<(), ParquetError> {
    let empty = i16::from(is_nullable);
    let (mut present, mut continues, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        let items = list.as_ref().map_or(0, Vec::len);
        if items == 0 {
            present.push(if list.is_some() { empty } else { 0 });
            continues.push(0);
        }
        for at in 0..items {
            present.push(empty + 1);
            continues.push(i16::from(at > 0));
        }
        held.extend(list.into_iter().flatten());
    }
    let mut column = next_column(group)?;
    column.typed::<T>().write_batch(&held, Some(&present), Some(&continues))?;
    column.close()
}

fn next_column<'g, W: Write + Send>(
    group: &'g mut SerializedRowGroupWriter<'_, W>,
) -> Result<SerializedColumnWriter<'g>, ParquetError> {
    group.next_column()?.ok_or_else(|| ParquetError::General("the schema has no further column".to_owned()))
}

#[cfg(test)]
mod tests {
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;
    use crate::inspection::table::{Format, TableWriter};

    struct Row(Option<Vec<f32>>, Vec<&'static str>);

    #[test]
    fn lists_are_missing_empty_or_have_items() {
        let columns = [
            Column::nullable("numbers", Values::RealLists(|row: &Row| row.0.as_deref())),
            Column::always("texts", Values::TextLists(|row| Some(row.1.clone()))),
        ];
        let rows = [
            Row(Some(vec![0.5, 2.5]), vec!["a"]),
            Row(None, vec![]),
            Row(Some(vec![]), vec!["é", ""]),
            Row(Some(vec![1.5]), vec!["b"]),
        ];
        let write = |format: Format| {
            let mut out = Vec::new();
            let table = Table { name: "lists", columns: &columns, block: None };
            let mut writer = TableWriter::new(format, &mut out, &table).unwrap();
            writer.write(&rows, None).unwrap();
            writer.end().unwrap();
            out
        };
        let parquet = write(Format::Parquet);
        assert_eq!(parquet, write(Format::Parquet), "the same rows give the same bytes");
        let read = SerializedFileReader::new(bytes::Bytes::from(parquet)).unwrap();
        let read: Vec<String> = read.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(
            read,
            [
                "{numbers: [0.5, 2.5], texts: [\"a\"]}",
                "{numbers: null, texts: []}",
                "{numbers: [], texts: [\"é\", \"\"]}",
                "{numbers: [1.5], texts: [\"b\"]}"
            ]
        );
        let json: serde_json::Value = serde_json::from_slice(&write(Format::Json)).unwrap();
        assert_eq!((&json[1]["numbers"], &json[2]["texts"][0]), (&serde_json::Value::Null, &"é".into()));
        assert!(String::from_utf8(write(Format::Csv)).unwrap().starts_with("numbers,texts\n0.5;2.5,a\n"));
    }
}
