//! Finds the columns of a Parquet file that contain images, names and classes, and reads the names and classes.

use parquet::basic::Type as PhysicalType;
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, FileReader, RowGroupReader};

use crate::shared::manifest::{ManifestError, RowBudget, RowBudgetError, SplitCounts, check_pages};
use crate::shared::spelling::suggestion;

/// Columns that may contain an image's bytes: Hugging Face's struct first.
const IMAGE_COLUMNS: [&str; 7] = ["image.bytes", "image", "jpg", "jpeg", "png", "img.bytes", "bytes"];
/// Columns that may contain an image's name.
const PATH_COLUMNS: [&str; 3] = ["image.path", "img.path", "path"];
/// Columns that may contain an image's class.
const CLASS_COLUMNS: [&str; 2] = ["label", "cls"];
/// The column that names each image's split. Its values are only counted.
const SPLIT_COLUMNS: [&str; 1] = ["split"];

/// Rows that are decoded at a time.
const ROWS_AT_A_TIME: usize = 1 << 14;

/// Reason a Parquet file is rejected as a source of images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParquetImagesError {
    /// The file is not Parquet, or is damaged.
    #[error("not a readable Parquet file: {0}")]
    Parquet(#[source] ParquetError),
    /// Parquet's reader panicked.
    #[error("the Parquet reader failed in an unexpected way")]
    ReaderPanicked,
    /// No column contains images.
    #[error(
        "no column contains images (looked for binary columns {}); the columns are {}\n  help: rename the image column to `image`",
        IMAGE_COLUMNS.join(", "),
        columns.join(", ")
    )]
    NoImageColumn {
        /// The columns of the file.
        columns: Vec<String>,
    },
    /// A column is named almost like one that is read.
    #[error(
        "the column `{name}` would not be read: it is not `{column}`\n  help: rename it to `{column}`, or to a name that \
         resembles none of {}",
        known.join(", ")
    )]
    MisspelledColumn {
        /// Name of the column.
        name: String,
        /// The name that was probably meant.
        column: &'static str,
        /// The columns that are read.
        known: &'static [&'static str],
    },
    /// A row group is damaged.
    #[error("row group {row_group}: {problem}")]
    RowGroup {
        /// Number of the row group.
        row_group: usize,
        /// Underlying error.
        #[source]
        problem: ParquetError,
    },
    /// A row group has a different number of images than rows.
    #[error("row group {row_group} declares {rows} rows, but {images} images")]
    ImageCount {
        /// Number of the row group.
        row_group: usize,
        /// Rows that it declares.
        rows: usize,
        /// Images that its column declares.
        images: i64,
    },
    /// A column has fewer values than the row group has rows.
    #[error("row group {row_group} declares {rows} rows, but a column has {values}")]
    TooFewValues {
        /// Number of the row group.
        row_group: usize,
        /// Rows that it declares.
        rows: usize,
        /// Values of the column.
        values: usize,
    },
    /// A column has more values than the row group has rows.
    #[error("row group {row_group} declares {rows} rows, but a column has more")]
    TooManyValues {
        /// Number of the row group.
        row_group: usize,
        /// Rows that it declares.
        rows: usize,
    },
    /// The rows would take too much memory.
    #[error(transparent)]
    RowBudget(#[from] RowBudgetError),
    /// The images cannot be listed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The columns that are read, by position.
#[derive(Clone, Copy, Debug)]
pub(super) struct ImageColumns {
    pub(super) image: ColumnRef,
    pub(super) path: Option<ColumnRef>,
    class: Option<ColumnRef>,
    split: Option<ColumnRef>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnRef {
    pub(super) at: usize,
    physical_type: PhysicalType,
    /// Definition level of a value that is not null: how many of the column and the structs around it may be null.
    defined: i16,
}

impl ImageColumns {
    /// Finds the columns by their names and types.
    ///
    /// # Errors
    /// Returns [`ParquetImagesError::NoImageColumn`] or [`ParquetImagesError::MisspelledColumn`].
    pub(super) fn find(metadata: &ParquetMetaData) -> Result<Self, ParquetImagesError> {
        let schema = metadata.file_metadata().schema_descr();
        let names: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
        let find = |names: &[&str], types: &[PhysicalType]| {
            let named = |name: &&str| {
                let fits = |at: &usize| {
                    let column = schema.column(*at);
                    column.path().string() == **name
                        && column.max_rep_level() == 0
                        && types.contains(&column.physical_type())
                };
                (0..schema.num_columns()).find(fits)
            };
            let at = names.iter().find_map(named)?;
            let column = schema.column(at);
            Some(ColumnRef { at, physical_type: column.physical_type(), defined: column.max_def_level() })
        };
        let Some(image) = find(&IMAGE_COLUMNS, &[PhysicalType::BYTE_ARRAY]) else {
            check_names(&names, &IMAGE_COLUMNS)?;
            return Err(ParquetImagesError::NoImageColumn { columns: names });
        };
        let path = find(&PATH_COLUMNS, &[PhysicalType::BYTE_ARRAY]);
        let class = find(&CLASS_COLUMNS, &[PhysicalType::INT64, PhysicalType::INT32, PhysicalType::BYTE_ARRAY]);
        for known in [&PATH_COLUMNS[..], &CLASS_COLUMNS] {
            check_names(&names, known)?;
        }
        let split = find(&SPLIT_COLUMNS, &[PhysicalType::BYTE_ARRAY]);
        Ok(Self { image, path, class, split })
    }
}

/// Checks that no column is a misspelling of one of `known`. If one of these exists, others may resemble it.
fn check_names(names: &[String], known: &'static [&'static str]) -> Result<(), ParquetImagesError> {
    for name in names {
        let spaced = known.iter().find(|column| **column == name.trim()).filter(|_| name.trim() != name);
        let is_present = names.iter().any(|name| known.contains(&name.as_str()));
        // The columns of a struct or a list begin with its name.
        let top_name = name.split('.').next().unwrap_or(name);
        let resembled = if is_present { None } else { suggestion(name, known).or_else(|| suggestion(top_name, known)) };
        if let Some(column) = spaced.copied().or(resembled) {
            return Err(ParquetImagesError::MisspelledColumn { name: name.clone(), column, known });
        }
    }
    Ok(())
}

/// Name and class of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedRow {
    pub(super) path: Option<String>,
    pub(super) class: Option<String>,
}

/// Reads the names and classes of all rows of a file, and counts the rows of each split. Images are not read.
///
/// # Errors
/// Returns [`ParquetImagesError`] if the file is damaged, or is not one of images.
pub(super) fn read_named_rows(
    reader: &dyn FileReader,
    file: &impl ChunkReader,
) -> Result<(Vec<NamedRow>, SplitCounts), ParquetImagesError> {
    let columns = ImageColumns::find(reader.metadata())?;
    let mut budget = RowBudget::for_file(file.len());
    let (mut rows, mut splits) = (Vec::new(), SplitCounts::new());
    for number in 0..reader.num_row_groups() {
        let in_group = |problem: ParquetError| ParquetImagesError::RowGroup { row_group: number, problem };
        let group = reader.get_row_group(number).map_err(in_group)?;
        let group = group.as_ref();
        let count = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let images = group.metadata().column(columns.image.at).num_values();
        if images != count as i64 {
            return Err(ParquetImagesError::ImageCount { row_group: number, rows: count, images });
        }
        // Without a second column, the declared count would be trusted unchecked.
        if columns.path.is_none() && columns.class.is_none() {
            count_images(file, group, columns.image, count).map_err(in_group)?;
        }
        let strings = |column: Option<ColumnRef>| column.map(|column| TextReader::new(file, group, column)).transpose();
        let mut path_strings = strings(columns.path).map_err(in_group)?;
        let mut class_strings = strings(columns.class).map_err(in_group)?;
        let mut split_strings = strings(columns.split).map_err(in_group)?;
        let mut left = count;
        while left > 0 {
            let now = left.min(ROWS_AT_A_TIME);
            left -= now;
            let next = |strings: &mut Option<TextReader>| {
                let read = strings.as_mut().map(|strings| strings.next(now)).transpose().map_err(in_group)?;
                match read.as_ref().map(Vec::len) {
                    Some(read) if read < now => {
                        let values = count - left - now + read;
                        Err(ParquetImagesError::TooFewValues { row_group: number, rows: count, values })
                    }
                    _ => Ok(read.into_iter().flatten()),
                }
            };
            let (mut paths, mut classes) = (next(&mut path_strings)?, next(&mut class_strings)?);
            let mut row_splits = next(&mut split_strings)?;
            for _ in 0..now {
                let path = paths.next().flatten();
                // Hugging Face writes -1 for an unknown class.
                let class = classes.next().flatten().filter(|class| class != "-1");
                budget.take([&path, &class].into_iter().flatten().map(String::len).sum())?;
                rows.push(NamedRow { path, class });
                if let Some(split) = row_splits.next() {
                    budget.take(split.as_ref().map_or(0, String::len))?;
                    *splits.entry(split.unwrap_or_default()).or_default() += 1;
                }
            }
        }
        for strings in [&mut path_strings, &mut class_strings, &mut split_strings].into_iter().flatten() {
            if !strings.next(1).map_err(in_group)?.is_empty() {
                return Err(ParquetImagesError::TooManyValues { row_group: number, rows: count });
            }
        }
    }
    Ok((rows, splits))
}

/// Counts the images of a group without decoding them.
fn count_images(
    file: &impl ChunkReader,
    group: &dyn RowGroupReader,
    column: ColumnRef,
    expected: usize,
) -> Result<(), ParquetError> {
    let mut values = column_reader::<ByteArrayType>(file, group, column)?;
    let (mut count, mut left) = (0, expected);
    while left > 0 {
        let skipped = values.skip_records(left)?;
        if skipped == 0 {
            return Err(ParquetError::General(format!("it declares {expected} rows, but has {count} images")));
        }
        count += skipped;
        left = left.saturating_sub(skipped);
    }
    Ok(())
}

/// Returns a column's reader, at the beginning of the group.
pub(super) fn column_reader<T: DataType>(
    file: &impl ChunkReader,
    group: &dyn RowGroupReader,
    column: ColumnRef,
) -> Result<ColumnReaderImpl<T>, ParquetError> {
    check_pages(file, group.metadata().column(column.at)).map_err(|error| ParquetError::General(error.to_string()))?;
    Ok(get_typed_column_reader::<T>(group.get_column_reader(column.at)?))
}

/// Reads the next `count` values, fewer only at the end of the group.
pub(super) fn next_values<T: DataType>(
    values: &mut ColumnReaderImpl<T>,
    column: ColumnRef,
    count: usize,
) -> Result<Vec<Option<T::T>>, ParquetError> {
    let mut all = Vec::new();
    while all.len() < count {
        let wanted = (count - all.len()).min(ROWS_AT_A_TIME);
        let (mut present, mut levels) = (Vec::new(), Vec::new());
        let (records, _, _) =
            values.read_records(wanted, (column.defined > 0).then_some(&mut levels), None, &mut present)?;
        if records == 0 {
            break;
        }
        let mut present = present.into_iter();
        if column.defined > 0 {
            all.extend(levels.into_iter().map(|level| if level == column.defined { present.next() } else { None }));
        } else {
            all.extend(present.map(Some));
        }
    }
    Ok(all)
}

/// A column that is read as strings.
enum TextReader {
    Bytes(ColumnReaderImpl<ByteArrayType>, ColumnRef),
    Int64(ColumnReaderImpl<Int64Type>, ColumnRef),
    Int32(ColumnReaderImpl<Int32Type>, ColumnRef),
}

impl TextReader {
    fn new(file: &impl ChunkReader, group: &dyn RowGroupReader, column: ColumnRef) -> Result<Self, ParquetError> {
        Ok(match column.physical_type {
            PhysicalType::INT64 => Self::Int64(column_reader(file, group, column)?, column),
            PhysicalType::INT32 => Self::Int32(column_reader(file, group, column)?, column),
            _ => Self::Bytes(column_reader(file, group, column)?, column),
        })
    }

    /// Reads the next `count` strings, fewer only at the end of the group.
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
