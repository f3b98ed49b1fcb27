//! Which columns of a Parquet file hold images, and the names and classes in it.

use parquet::basic::Type as Physical;
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, FileReader, RowGroupReader};

use crate::shared::manifest::{RowBudget, SplitCounts, check_pages};
use crate::shared::spelling::meant;

/// Columns that may hold an image's bytes: Hugging Face's struct first.
const IMAGE_COLUMNS: [&str; 7] = ["image.bytes", "image", "jpg", "jpeg", "png", "img.bytes", "bytes"];
/// Columns that may hold an image's name.
const PATH_COLUMNS: [&str; 3] = ["image.path", "img.path", "path"];
/// Columns that may hold an image's class.
const LABEL_COLUMNS: [&str; 2] = ["label", "cls"];
/// The column that tells the splits of a data set apart. It is only counted.
const SPLIT_COLUMNS: [&str; 1] = ["split"];

/// Rows that are decoded at a time.
const ROWS_AT_A_TIME: usize = 1 << 14;

/// The columns that matter, by position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    pub(super) image: Column,
    pub(super) path: Option<Column>,
    label: Option<Column>,
    split: Option<Column>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) at: usize,
    kind: Physical,
    /// Definition level of a value that is there: how many of the column and the structs around it may be null.
    defined: i16,
}

impl Columns {
    /// # Errors
    /// When no column holds images; the message names those that there are. When a column was probably meant to be read, but
    /// is called otherwise.
    pub(super) fn of(metadata: &ParquetMetaData) -> Result<Self, String> {
        let schema = metadata.file_metadata().schema_descr();
        let names: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
        let find = |names: &[&str], kinds: &[Physical]| {
            let named = |name: &&str| {
                let fits = |at: &usize| {
                    let column = schema.column(*at);
                    column.path().string() == **name
                        && column.max_rep_level() == 0
                        && kinds.contains(&column.physical_type())
                };
                (0..schema.num_columns()).find(fits)
            };
            let at = names.iter().find_map(named)?;
            let column = schema.column(at);
            Some(Column { at, kind: column.physical_type(), defined: column.max_def_level() })
        };
        let image = find(&IMAGE_COLUMNS, &[Physical::BYTE_ARRAY]).ok_or_else(|| {
            if let Err(slip) = check_names(&names, &IMAGE_COLUMNS) {
                return slip;
            }
            format!(
                "no column holds images (looked for binary columns {}); it has {}",
                IMAGE_COLUMNS.join(", "),
                names.join(", ")
            )
        })?;
        let path = find(&PATH_COLUMNS, &[Physical::BYTE_ARRAY]);
        let label = find(&LABEL_COLUMNS, &[Physical::INT64, Physical::INT32, Physical::BYTE_ARRAY]);
        for known in [&PATH_COLUMNS[..], &LABEL_COLUMNS] {
            check_names(&names, known)?;
        }
        let split = find(&SPLIT_COLUMNS, &[Physical::BYTE_ARRAY]);
        Ok(Self { image, path, label, split })
    }
}

/// Checks that no column was meant to be one of `known`, but is called otherwise. Where one of these is there by its name,
/// others may resemble it.
fn check_names(names: &[String], known: &[&str]) -> Result<(), String> {
    for name in names {
        let spaced = known.iter().find(|column| **column == name.trim()).filter(|_| name.trim() != name);
        let is_there = names.iter().any(|name| known.contains(&name.as_str()));
        // The column of a struct, or of a list, goes by the name of the whole.
        let whole = name.split('.').next().unwrap_or(name);
        let slip = if is_there { None } else { meant(name, known).or_else(|| meant(whole, known)) };
        if let Some(column) = spaced.copied().or(slip) {
            return Err(format!(
                "the column `{name}` would not be read: it is not `{column}`\n  help: call it `{column}`, or give it a name that \
                 resembles none of {}",
                known.join(", ")
            ));
        }
    }
    Ok(())
}

/// Name and class of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedRow {
    pub(super) path: Option<String>,
    pub(super) label: Option<String>,
}

/// Names and classes of all rows of a file, and how many there are of each split. Images are not touched.
pub(super) fn named_rows(
    reader: &dyn FileReader,
    file: &impl ChunkReader,
) -> Result<(Vec<NamedRow>, SplitCounts), String> {
    let columns = Columns::of(reader.metadata())?;
    let mut budget = RowBudget::of_file(file.len());
    let (mut rows, mut splits) = (Vec::new(), SplitCounts::new());
    for number in 0..reader.num_row_groups() {
        let in_group = |error: ParquetError| format!("row group {number}: {error}");
        let group = reader.get_row_group(number).map_err(in_group)?;
        let group = group.as_ref();
        let count = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let image_rows = group.metadata().column(columns.image.at).num_values();
        if image_rows != count as i64 {
            return Err(format!("row group {number} says {count} rows, but {image_rows} images"));
        }
        // A count that nothing backs could be any number.
        if columns.path.is_none() && columns.label.is_none() {
            count_images(file, group, columns.image, count).map_err(in_group)?;
        }
        let texts = |column: Option<Column>| column.map(|column| Texts::of(file, group, column)).transpose();
        let mut path_texts = texts(columns.path).map_err(in_group)?;
        let mut label_texts = texts(columns.label).map_err(in_group)?;
        let mut split_texts = texts(columns.split).map_err(in_group)?;
        let mut left = count;
        while left > 0 {
            let now = left.min(ROWS_AT_A_TIME);
            left -= now;
            let next = |texts: &mut Option<Texts>| {
                let some = texts.as_mut().map(|texts| texts.next(now)).transpose().map_err(in_group)?;
                match some.as_ref().map(Vec::len) {
                    Some(there) if there < now => {
                        let there = count - left - now + there;
                        Err(format!("row group {number} says {count} rows, but a column has {there}"))
                    }
                    _ => Ok(some.into_iter().flatten()),
                }
            };
            let (mut paths, mut labels) = (next(&mut path_texts)?, next(&mut label_texts)?);
            let mut split = next(&mut split_texts)?;
            for _ in 0..now {
                let path = paths.next().flatten();
                // Hugging Face writes -1 where the class is not told.
                let label = labels.next().flatten().filter(|label| label != "-1");
                budget.take([&path, &label].into_iter().flatten().map(String::len).sum())?;
                rows.push(NamedRow { path, label });
                if let Some(split) = split.next() {
                    budget.take(split.as_ref().map_or(0, String::len))?;
                    *splits.entry(split.unwrap_or_default()).or_default() += 1;
                }
            }
        }
        for texts in [&mut path_texts, &mut label_texts, &mut split_texts].into_iter().flatten() {
            if !texts.next(1).map_err(in_group)?.is_empty() {
                return Err(format!("row group {number} says {count} rows, but a column has more"));
            }
        }
    }
    Ok((rows, splits))
}

/// Counts the images of a group without decoding them.
fn count_images(
    file: &impl ChunkReader,
    group: &dyn RowGroupReader,
    column: Column,
    expected: usize,
) -> Result<(), ParquetError> {
    let mut values = values::<ByteArrayType>(file, group, column)?;
    let (mut count, mut left) = (0, expected);
    while left > 0 {
        let skipped = values.skip_records(left)?;
        if skipped == 0 {
            return Err(ParquetError::General(format!("it says {expected} rows, but has {count} images")));
        }
        count += skipped;
        left = left.saturating_sub(skipped);
    }
    Ok(())
}

/// A column's reader, at the beginning of the group.
pub(super) fn values<T: DataType>(
    file: &impl ChunkReader,
    group: &dyn RowGroupReader,
    column: Column,
) -> Result<ColumnReaderImpl<T>, ParquetError> {
    check_pages(file, group.metadata().column(column.at)).map_err(ParquetError::General)?;
    Ok(get_typed_column_reader::<T>(group.get_column_reader(column.at)?))
}

/// The next `count` values, fewer only at the end of the group.
pub(super) fn next_values<T: DataType>(
    values: &mut ColumnReaderImpl<T>,
    column: Column,
    count: usize,
) -> Result<Vec<Option<T::T>>, ParquetError> {
    let mut all = Vec::new();
    while all.len() < count {
        let wanted = (count - all.len()).min(ROWS_AT_A_TIME);
        let (mut there, mut levels) = (Vec::new(), Vec::new());
        let (records, _, _) =
            values.read_records(wanted, (column.defined > 0).then_some(&mut levels), None, &mut there)?;
        if records == 0 {
            break;
        }
        let mut there = there.into_iter();
        if column.defined > 0 {
            all.extend(levels.into_iter().map(|level| if level == column.defined { there.next() } else { None }));
        } else {
            all.extend(there.map(Some));
        }
    }
    Ok(all)
}

/// A column as texts.
enum Texts {
    Bytes(ColumnReaderImpl<ByteArrayType>, Column),
    Int64(ColumnReaderImpl<Int64Type>, Column),
    Int32(ColumnReaderImpl<Int32Type>, Column),
}

impl Texts {
    fn of(file: &impl ChunkReader, group: &dyn RowGroupReader, column: Column) -> Result<Self, ParquetError> {
        Ok(match column.kind {
            Physical::INT64 => Self::Int64(values(file, group, column)?, column),
            Physical::INT32 => Self::Int32(values(file, group, column)?, column),
            _ => Self::Bytes(values(file, group, column)?, column),
        })
    }

    /// The next `count` texts, fewer only at the end of the group.
    fn next(&mut self, count: usize) -> Result<Vec<Option<String>>, ParquetError> {
        fn numbers<T: ToString>(values: Vec<Option<T>>) -> Vec<Option<String>> {
            values.into_iter().map(|value| value.map(|value| value.to_string())).collect()
        }
        let text = |value: ByteArray| value.as_utf8().map(str::to_owned);
        match self {
            Self::Int64(values, column) => next_values(values, *column, count).map(numbers),
            Self::Int32(values, column) => next_values(values, *column, count).map(numbers),
            Self::Bytes(values, column) => {
                next_values(values, *column, count)?.into_iter().map(|value| value.map(text).transpose()).collect()
            }
        }
    }
}
