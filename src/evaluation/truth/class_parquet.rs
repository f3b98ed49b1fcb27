//! Truths as Parquet: a column that names images, and one of ids, names or lists of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use parquet::basic::Type as PhysicalType;
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::file::reader::{FileReader as _, RowGroupReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::table_columns::TruthColumns;
use super::truth_builder::{EntryClass, EntryClasses, TruthBuilder};
use super::truth_error::TruthError;
use crate::shared::manifest::{RowBudget, check_pages};

/// Rows that are decoded at a time, so that run lengths that expand to any number of rows are detected early.
const ROWS_AT_A_TIME: usize = 1 << 12;

/// Values in a list column of a row group: 50 for each image of ImageNet.
const MAX_LEVELS: usize = 1 << 26;

/// Reads a Parquet file. Parquet's reader panics on some damaged files; that is an error here.
pub(super) fn read_parquet(bytes: Vec<u8>, truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
    catch_unwind(AssertUnwindSafe(|| read_rows(&Bytes::from(bytes), truth))).unwrap_or(Err(TruthError::ReaderPanicked))
}

fn read_rows(file: &Bytes, truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
    let reader = SerializedFileReader::new(file.clone())?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    // The column of a list has the names of its levels, too: `labels.list.element`.
    let names: Vec<&str> =
        schema.columns().iter().map(|column| column.path().parts().first().map_or("", String::as_str)).collect();
    let columns = TruthColumns::find(&names)?;
    let mut budget = RowBudget::for_file(file.len() as u64);
    for number in 0..reader.num_row_groups() {
        let group = reader.get_row_group(number)?;
        let open = |at: usize| TruthColumn::open(file, group.as_ref(), &schema.column(at), at);
        let (mut images, mut classes) = (open(columns.image)?, open(columns.classes)?);
        if images.is_list {
            return Err(type_error(&schema.column(columns.image), "text or integers"));
        }
        loop {
            let (names, lists) = (images.next()?, classes.next()?);
            if names.len() != lists.len() {
                let problem = format!("columns of {} and {} rows", names.len(), lists.len());
                return Err(parquet::errors::ParquetError::General(problem).into());
            }
            if names.is_empty() {
                break;
            }
            for (name, list) in names.into_iter().zip(&lists) {
                let name = match name {
                    EntryClasses::Cell(name) => name,
                    EntryClasses::Items(items) => match items.as_slice() {
                        [EntryClass::Id(number)] => number.to_string(),
                        _ => String::new(),
                    },
                };
                budget.take(name.len() + memory(list)).map_err(TruthError::RowBudget)?;
                truth.add(&name, list)?;
            }
        }
    }
    Ok(())
}

fn memory(classes: &EntryClasses) -> usize {
    match classes {
        EntryClasses::Cell(cell) => cell.len(),
        EntryClasses::Items(items) => items.len() * size_of::<u32>(),
    }
}

fn type_error(column: &ColumnDescriptor, expected: &'static str) -> TruthError {
    TruthError::ColumnTypeOf { column: column.path().string(), found: column.physical_type().to_string(), expected }
}

/// A column of a row group, at its first row.
struct TruthColumn {
    name: String,
    is_list: bool,
    values: ColumnOfType,
}

enum ColumnOfType {
    Texts(LeafValues<ByteArrayType>),
    Integers(LeafValues<Int32Type>),
    LongIntegers(LeafValues<Int64Type>),
}

impl TruthColumn {
    fn open(
        file: &Bytes,
        group: &dyn RowGroupReader,
        column: &ColumnDescriptor,
        at: usize,
    ) -> Result<Self, TruthError> {
        const EXPECTED: &str = "text, integers, or lists of them";
        let is_list = column.max_rep_level() == 1;
        // A struct has further levels, and a list of lists has two that repeat.
        let max_levels = if is_list { 3 } else { 1 };
        if column.max_rep_level() > 1 || column.max_def_level() > max_levels {
            return Err(type_error(column, EXPECTED));
        }
        check_pages(file, group.metadata().column(at)).map_err(TruthError::PageSize)?;
        if is_list {
            check_levels(group, column, at)?;
        }
        let reader = group.get_column_reader(at)?;
        let values = match column.physical_type() {
            PhysicalType::BYTE_ARRAY => ColumnOfType::Texts(LeafValues::new(get_typed_column_reader(reader), column)),
            PhysicalType::INT32 => ColumnOfType::Integers(LeafValues::new(get_typed_column_reader(reader), column)),
            PhysicalType::INT64 => ColumnOfType::LongIntegers(LeafValues::new(get_typed_column_reader(reader), column)),
            _ => return Err(type_error(column, EXPECTED)),
        };
        Ok(Self { name: column.path().string(), is_list, values })
    }

    /// Returns the values of the next rows; none at the end. A null is an empty list.
    fn next(&mut self) -> Result<Vec<EntryClasses>, TruthError> {
        let text = |value: &ByteArray| match value.as_utf8() {
            Ok(text) => Ok(EntryClass::Text(text.to_owned())),
            Err(_) => Err(TruthError::ColumnNotUtf8 { column: self.name.clone() }),
        };
        let rows = match &mut self.values {
            ColumnOfType::Texts(values) => values.next(text)?,
            ColumnOfType::Integers(values) => values.next(|value| Ok(EntryClass::Id(i64::from(*value))))?,
            ColumnOfType::LongIntegers(values) => values.next(|value| Ok(EntryClass::Id(*value)))?,
        };
        if self.is_list {
            return Ok(rows.into_iter().map(EntryClasses::Items).collect());
        }
        let cell = |mut items: Vec<EntryClass>| match items.pop() {
            Some(EntryClass::Text(text)) => EntryClasses::Cell(text),
            other => EntryClasses::Items(other.into_iter().collect()),
        };
        Ok(rows.into_iter().map(cell).collect())
    }
}

/// Checks that a row group does not declare more values of a list column than any truth has: a few bytes can repeat one value
/// any number of times, and the reader decodes a row's list at once.
fn check_levels(group: &dyn RowGroupReader, column: &ColumnDescriptor, at: usize) -> Result<(), TruthError> {
    let mut pages = group.get_column_page_reader(at)?;
    let mut levels = 0_usize;
    while let Some(page) = pages.peek_next_page()? {
        levels = levels.saturating_add(page.num_levels.or(page.num_rows).unwrap_or(0));
        if levels > MAX_LEVELS {
            return Err(TruthError::TooManyClasses { entry: column.path().string(), limit: MAX_LEVELS });
        }
        pages.skip_next_page()?;
    }
    Ok(())
}

/// The values of a leaf column, by row.
struct LeafValues<T: DataType> {
    reader: ColumnReaderImpl<T>,
    /// Level of a value that is present.
    present: i16,
    is_list: bool,
}

impl<T: DataType> LeafValues<T> {
    fn new(reader: ColumnReaderImpl<T>, column: &ColumnDescriptor) -> Self {
        Self { reader, present: column.max_def_level(), is_list: column.max_rep_level() > 0 }
    }

    fn next(
        &mut self,
        class: impl Fn(&T::T) -> Result<EntryClass, TruthError>,
    ) -> Result<Vec<Vec<EntryClass>>, TruthError> {
        let mut rows: Vec<Vec<EntryClass>> = Vec::new();
        while rows.len() < ROWS_AT_A_TIME {
            let (mut values, mut present, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
            let defined = (self.present > 0).then_some(&mut present);
            let levels = self.is_list.then_some(&mut repeated);
            let (records, _, _) =
                self.reader.read_records(ROWS_AT_A_TIME - rows.len(), defined, levels, &mut values)?;
            if records == 0 {
                break;
            }
            let mut values = values.iter();
            if self.present == 0 {
                // Levels exist only with nulls.
                present = vec![0; values.len()];
            }
            for (slot, level) in present.into_iter().enumerate() {
                let continues = self.is_list && repeated.get(slot).is_some_and(|&level| level > 0);
                if !continues {
                    rows.push(Vec::new());
                }
                if let (true, Some(row)) = (level == self.present, rows.last_mut()) {
                    row.extend(values.next().map(&class).transpose()?);
                }
            }
        }
        Ok(rows)
    }
}
