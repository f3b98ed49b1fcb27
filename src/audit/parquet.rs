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

use super::columns::{Column, Values};
use super::pred_probs::PRED_PROBS;

/// Writes a table, rows after rows.
pub(super) struct ParquetTable<'a, W: Write + Send, R> {
    columns: &'a [Column<R>],
    file: SerializedFileWriter<W>,
}

impl<'a, W: Write + Send, R> ParquetTable<'a, W, R> {
    pub(super) fn new(out: W, columns: &'a [Column<R>], with_pred_probs: bool) -> Result<Self, ParquetError> {
        let schema = Arc::new(parse_message_type(&schema(columns, with_pred_probs))?);
        let pred_probs = ColumnPath::from([PRED_PROBS, "list", "element"].map(str::to_owned).to_vec());
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_created_by("relabel".to_owned())
            // Few probabilities are the same, so that a list of the different ones saves nothing.
            .set_column_dictionary_enabled(pred_probs, false);
        Ok(Self { columns, file: SerializedFileWriter::new(out, schema, Arc::new(properties.build()))? })
    }

    /// Writes rows as a row group, with the pooled probabilities of all classes, row by row, if the table has them.
    pub(super) fn write(&mut self, rows: &[R], pred_probs: Option<&[f32]>) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for column in self.columns {
            match column.values {
                Values::Integers(number) => {
                    let values = rows.iter().map(|row| number(row).map(|number| number as i64));
                    write_column::<Int64Type, W>(&mut group, values, column.is_nullable)?;
                }
                Values::Reals(number) => {
                    write_column::<FloatType, W>(&mut group, rows.iter().map(number), column.is_nullable)?;
                }
                Values::Texts(text) => {
                    let bytes = |text: &str| ByteArray::from(text.as_bytes().to_vec());
                    let values = rows.iter().map(|row| text(row).map(bytes));
                    write_column::<ByteArrayType, W>(&mut group, values, column.is_nullable)?;
                }
            }
        }
        if let Some(probs) = pred_probs {
            let per_row = probs.len() / rows.len().max(1);
            let continues: Vec<i16> = (0..probs.len()).map(|at| i16::from(at % per_row != 0)).collect();
            let mut column = next_column(&mut group)?;
            column.typed::<FloatType>().write_batch(probs, Some(&vec![1; probs.len()]), Some(&continues))?;
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

fn schema<R>(columns: &[Column<R>], with_pred_probs: bool) -> String {
    let mut fields = String::new();
    for column in columns {
        let need = if column.is_nullable { "optional" } else { "required" };
        fields += &match column.values {
            Values::Integers(_) => format!("{need} int64 {};\n", column.name),
            Values::Reals(_) => format!("{need} float {};\n", column.name),
            Values::Texts(_) => format!("{need} binary {} (string);\n", column.name),
        };
    }
    if with_pred_probs {
        fields +=
            &format!("required group {PRED_PROBS} (list) {{ repeated group list {{ required float element; }} }}\n");
    }
    format!("message audit {{\n{fields}}}")
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

fn next_column<'g, W: Write + Send>(
    group: &'g mut SerializedRowGroupWriter<'_, W>,
) -> Result<SerializedColumnWriter<'g>, ParquetError> {
    group.next_column()?.ok_or_else(|| ParquetError::General("the schema has no further column".to_owned()))
}
