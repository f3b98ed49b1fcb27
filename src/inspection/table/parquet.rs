//! Tables as Parquet.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::columns::{ColumnValues, Table, TableColumn};

/// Writes a table as Parquet.
pub(super) struct ParquetTable<'a, W: Write + Send, R> {
    columns: &'a [TableColumn<R>],
    file: SerializedFileWriter<W>,
}

impl<'a, W: Write + Send, R> ParquetTable<'a, W, R> {
    pub(super) fn new(out: W, table: &Table<'a, R>) -> Result<Self, ParquetError> {
        let schema = Arc::new(parse_message_type(&schema(table))?);
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by("relabel".to_owned());
        if let Some(name) = table.list_column {
            let path = ColumnPath::from([name, "list", "element"].map(str::to_owned).to_vec());
            // Few of its values repeat, so a dictionary saves nothing.
            properties = properties.set_column_dictionary_enabled(path, false);
        }
        Ok(Self { columns: table.columns, file: SerializedFileWriter::new(out, schema, Arc::new(properties.build()))? })
    }

    /// Writes rows as a row group, and the values of the list column, row by row, if the table has one.
    pub(super) fn write(&mut self, rows: &[R], lists: Option<&[f32]>) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for column in self.columns {
            let is_nullable = column.is_nullable;
            match column.values {
                ColumnValues::Integers(number) => {
                    let values = rows.iter().map(|row| number(row).map(|number| number as i64));
                    write_column::<Int64Type, W>(&mut group, values, is_nullable)?;
                }
                ColumnValues::Reals(number) => {
                    write_column::<FloatType, W>(&mut group, rows.iter().map(number), is_nullable)?;
                }
                ColumnValues::Doubles(number) => {
                    write_column::<DoubleType, W>(&mut group, rows.iter().map(number), is_nullable)?;
                }
                ColumnValues::IntegersAt(number, at) => {
                    let values = rows.iter().map(|row| number(row, at).map(|number| number as i64));
                    write_column::<Int64Type, W>(&mut group, values, is_nullable)?;
                }
                ColumnValues::DoublesAt(number, at) => {
                    write_column::<DoubleType, W>(&mut group, rows.iter().map(|row| number(row, at)), is_nullable)?;
                }
                ColumnValues::Texts(text) => {
                    let values = rows.iter().map(|row| text(row).map(bytes));
                    write_column::<ByteArrayType, W>(&mut group, values, is_nullable)?;
                }
                ColumnValues::TextLists(texts) => {
                    let lists = rows.iter().map(|row| texts(row).map(|texts| texts.into_iter().map(bytes).collect()));
                    write_lists::<ByteArrayType, W>(&mut group, lists, is_nullable)?;
                }
                ColumnValues::RealLists(numbers) => {
                    let lists = rows.iter().map(|row| numbers(row).map(<[f32]>::to_vec));
                    write_lists::<FloatType, W>(&mut group, lists, is_nullable)?;
                }
                ColumnValues::IntegerLists(numbers) => {
                    let integers = |numbers: &[u32]| numbers.iter().map(|&number| i64::from(number)).collect();
                    let lists = rows.iter().map(|row| numbers(row).map(integers));
                    write_lists::<Int64Type, W>(&mut group, lists, is_nullable)?;
                }
            }
        }
        if let Some(values) = lists {
            let list_len = values.len() / rows.len().max(1);
            let repetition_levels: Vec<i16> = (0..values.len()).map(|at| i16::from(at % list_len != 0)).collect();
            let mut column = next_column(&mut group)?;
            column.typed::<FloatType>().write_batch(values, Some(&vec![1; values.len()]), Some(&repetition_levels))?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), ParquetError> {
        self.file.close()?;
        Ok(())
    }
}

fn schema<R>(table: &Table<'_, R>) -> String {
    let mut fields = String::new();
    for column in table.columns {
        let name = &column.name;
        let repetition = if column.is_nullable { "optional" } else { "required" };
        fields += &match column.values {
            ColumnValues::Integers(_) | ColumnValues::IntegersAt(..) => format!("{repetition} int64 {name};\n"),
            ColumnValues::Reals(_) => format!("{repetition} float {name};\n"),
            ColumnValues::Doubles(_) | ColumnValues::DoublesAt(..) => format!("{repetition} double {name};\n"),
            ColumnValues::Texts(_) => format!("{repetition} binary {name} (string);\n"),
            ColumnValues::TextLists(_) => list(repetition, name, "binary element (string)"),
            ColumnValues::RealLists(_) => list(repetition, name, "float element"),
            ColumnValues::IntegerLists(_) => list(repetition, name, "int64 element"),
        };
    }
    if let Some(name) = table.list_column {
        fields += &list("required", name, "float element");
    }
    format!("message {} {{\n{fields}}}", table.name)
}

fn list(repetition: &str, name: &str, element: &str) -> String {
    format!("{repetition} group {name} (list) {{ repeated group list {{ required {element}; }} }}\n")
}

fn bytes(text: &str) -> ByteArray {
    ByteArray::from(text.as_bytes().to_vec())
}

fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: impl Iterator<Item = Option<T::T>>,
    is_nullable: bool,
) -> Result<(), ParquetError> {
    let (mut definition_levels, mut items) = (Vec::new(), Vec::new());
    for value in values {
        definition_levels.push(i16::from(value.is_some()));
        items.extend(value);
    }
    let mut column = next_column(group)?;
    column.typed::<T>().write_batch(&items, is_nullable.then_some(&definition_levels), None)?;
    column.close()
}

/// Writes a column of lists. Parquet's definition levels count what is present: the list if it is nullable, and the item.
/// Its repetition levels are 1 for items that continue a list.
fn write_lists<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    lists: impl Iterator<Item = Option<Vec<T::T>>>,
    is_nullable: bool,
) -> Result<(), ParquetError> {
    let empty = i16::from(is_nullable);
    let (mut definition_levels, mut repetition_levels, mut items) = (Vec::new(), Vec::new(), Vec::new());
    for list in lists {
        let len = list.as_ref().map_or(0, Vec::len);
        if len == 0 {
            definition_levels.push(if list.is_some() { empty } else { 0 });
            repetition_levels.push(0);
        }
        for at in 0..len {
            definition_levels.push(empty + 1);
            repetition_levels.push(i16::from(at > 0));
        }
        items.extend(list.into_iter().flatten());
    }
    let mut column = next_column(group)?;
    column.typed::<T>().write_batch(&items, Some(&definition_levels), Some(&repetition_levels))?;
    column.close()
}

fn next_column<'g, W: Write + Send>(
    group: &'g mut SerializedRowGroupWriter<'_, W>,
) -> Result<SerializedColumnWriter<'g>, ParquetError> {
    group.next_column()?.ok_or_else(|| ParquetError::General("the schema has no more columns".to_owned()))
}
