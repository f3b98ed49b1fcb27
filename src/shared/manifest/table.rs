//! Manifests as Parquet: the store's own `manifest.parquet`, and lists that users bring.

use std::panic::{UnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Type as Physical, ZstdLevel};
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, FileReader as _, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::columns::{self, SPLIT, SplitCounts};
use super::pages::check_pages;
use super::row_budget::RowBudget;
use super::{Manifest, ManifestBuilder, label_from_path};
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::regular_file;

const SCHEMA: &str = "message manifest {
    required int64 row;
    required binary id (string);
    required binary path (string);
    optional binary label (string);
    required int64 bytes;
}";

/// Rows that are held at a time while a manifest is written.
const ROWS_PER_GROUP: usize = 1 << 17;

/// Rows that are decoded at a time, so that run lengths that stand for any number of rows are noticed early.
const ROWS_AT_A_TIME: usize = 1 << 13;

type ParquetResult<T> = Result<T, parquet::errors::ParquetError>;

/// `manifest.parquet` of a store: a pure function of the list, so that the file's digest stands for the list.
///
/// # Errors
/// Whatever the Parquet writer reports.
pub fn manifest_bytes(manifest: &Manifest) -> Result<Vec<u8>, String> {
    encode(manifest).map_err(|error| error.to_string())
}

fn encode(manifest: &Manifest) -> ParquetResult<Vec<u8>> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        // The writer's version would make the digest change with it.
        .set_created_by("relabel".to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    for first in (0..manifest.len()).step_by(ROWS_PER_GROUP) {
        let rows = first..manifest.len().min(first + ROWS_PER_GROUP);
        let text = |value: &str| ByteArray::from(value.as_bytes().to_vec());
        let mut group = writer.next_row_group()?;
        let numbers: Vec<i64> = rows.clone().map(|row| row as i64).collect();
        write_column::<Int64Type>(&mut group, &numbers, None)?;
        let ids: Vec<ByteArray> = rows.clone().map(|row| text(manifest.id(row))).collect();
        write_column::<ByteArrayType>(&mut group, &ids, None)?;
        let paths: Vec<ByteArray> = rows.clone().map(|row| text(manifest.path(row))).collect();
        write_column::<ByteArrayType>(&mut group, &paths, None)?;
        let labels: Vec<ByteArray> = rows.clone().filter_map(|row| manifest.label(row)).map(text).collect();
        let present: Vec<i16> = rows.clone().map(|row| i16::from(manifest.label(row).is_some())).collect();
        write_column::<ByteArrayType>(&mut group, &labels, Some(&present))?;
        let lengths: Vec<i64> = rows.map(|row| manifest.bytes(row) as i64).collect();
        write_column::<Int64Type>(&mut group, &lengths, None)?;
        group.close()?;
    }
    writer.into_inner()
}

fn write_column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    present: Option<&[i16]>,
) -> ParquetResult<()> {
    let missing = || parquet::errors::ParquetError::General("the schema has no further column".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, present, None)?;
    column.close()
}

/// Reads a store's `manifest.parquet`.
///
/// # Errors
/// When the file cannot be read or is no manifest.
pub fn read_manifest_parquet(path: &Path) -> Result<Manifest, Error> {
    let problem = |problem: String| Error::Manifest { path: path.to_path_buf(), problem: problem.into() };
    let bytes = regular_file::read(path, u64::MAX)?.or_problem().map_err(problem)?;
    read_manifest_bytes(bytes).map_err(problem)
}

/// Reads a manifest from the bytes of a Parquet file.
///
/// # Errors
/// When they are no manifest, in words.
pub fn read_manifest_bytes(bytes: Vec<u8>) -> Result<Manifest, String> {
    read_rows(bytes)?.finish()
}

/// Reads the manifest of a store of so many images.
pub(crate) fn read_manifest_of(bytes: impl Into<Bytes>, images: usize) -> Result<Manifest, String> {
    read_rows_of(&bytes.into(), images)?.finish()
}

/// Reads the manifest of a store of so many images from bytes whose digest the store vouches for: that no name stands twice
/// was checked when it was written, and takes as long again as reading it.
pub(crate) fn read_known_manifest_bytes(bytes: Vec<u8>, images: usize) -> Result<Manifest, String> {
    Ok(read_rows_of(&bytes.into(), images)?.manifest)
}

/// Returns how many rows the footer of a manifest names; `None` where the file is missing or damaged.
///
/// # Errors
/// Returns [`Error::File`] if the system fails to open it.
pub(crate) fn manifest_rows(path: &Path) -> Result<Option<usize>, Error> {
    let Ok((file, _)) = regular_file::open(path)?.or_problem() else { return Ok(None) };
    Ok(rows_in(file))
}

/// The same of the bytes of a manifest.
pub(crate) fn rows_in_manifest(bytes: &Bytes) -> Option<usize> {
    rows_in(bytes.clone())
}

fn rows_in(chunks: impl ChunkReader + UnwindSafe + 'static) -> Option<usize> {
    let rows = or_gave_up(|| {
        let reader = SerializedFileReader::new(chunks).map_err(|error| error.to_string())?;
        usize::try_from(reader.metadata().file_metadata().num_rows()).map_err(|error| error.to_string())
    });
    rows.ok()
}

/// Reads the manifest of a store of so many images, which is the one that the store vouches for or none.
pub(crate) fn read_known_manifest(
    path: &Path,
    sha256: &Digest,
    most_bytes: u64,
    images: usize,
) -> Result<Manifest, Error> {
    let problem = |problem: String| Error::Manifest { path: path.to_path_buf(), problem: problem.into() };
    let bytes = regular_file::read(path, most_bytes)?.or_problem().map_err(problem)?;
    let found = digest_bytes(&bytes);
    if found != *sha256 {
        return Err(problem(format!(
            "it is not the list with which the store was made: its sha256 is {found}, not {sha256}. Put the original \
             back; the run command that made the store makes it again"
        )));
    }
    read_known_manifest_bytes(bytes, images).map_err(problem)
}

/// Reads the columns `path`, `id`, `label` and `bytes` by name; others are passed over.
///
/// Parquet's reader panics on some damaged files, for one on offsets that are negative. They are refused as others are
/// (test `fuzz::a_parquet_manifest_is_read_or_refused`).
fn read_rows(bytes: Vec<u8>) -> Result<ManifestBuilder, String> {
    or_gave_up(|| {
        let file = Bytes::from(bytes);
        Ok(rows_of(&open(file.clone())?, &file)?.0)
    })
}

/// The same of a store's manifest, which must have so many rows, and no other compression than we write.
fn read_rows_of(bytes: &Bytes, images: usize) -> Result<ManifestBuilder, String> {
    or_gave_up(|| {
        let reader = open(bytes.clone())?;
        let rows = reader.metadata().file_metadata().num_rows();
        if usize::try_from(rows) != Ok(images) {
            return Err(format!("it has {rows} rows, the arrays have {images}"));
        }
        for column in reader.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns) {
            if !matches!(column.compression(), Compression::ZSTD(_) | Compression::UNCOMPRESSED) {
                let name = column.column_path();
                return Err(format!("column `{name}` is compressed with {}, not zstd", column.compression()));
            }
        }
        let rows = rows_of(&reader, bytes)?.0;
        if rows.manifest.len() != images {
            return Err(format!("its columns have {} rows, the arrays have {images}", rows.manifest.len()));
        }
        Ok(rows)
    })
}

/// Reads a list that a user made: its columns are checked first, and the values of `split` are counted.
pub(super) fn read_list(bytes: Vec<u8>) -> Result<(ManifestBuilder, SplitCounts), String> {
    or_gave_up(|| {
        let file = Bytes::from(bytes);
        let reader = open(file.clone())?;
        Columns::of(&reader, &file).check()?;
        rows_of(&reader, &file)
    })
}

fn or_gave_up<T>(read: impl FnOnce() -> Result<T, String> + UnwindSafe) -> Result<T, String> {
    let gave_up = "it is no readable Parquet file: its reader gave up in an unexpected way";
    catch_unwind(read).unwrap_or_else(|_| Err(gave_up.to_owned()))
}

fn open(file: Bytes) -> Result<SerializedFileReader<Bytes>, String> {
    SerializedFileReader::new(file).map_err(|error| format!("it is no readable Parquet file: {error}"))
}

fn rows_of(reader: &SerializedFileReader<Bytes>, file: &Bytes) -> Result<(ManifestBuilder, SplitCounts), String> {
    let columns = Columns::of(reader, file);
    let mut budget = RowBudget::of_file(file.len() as u64);
    let Some(path_column) = columns.find("path") else {
        return Err(format!("it has no column `path`; it has {}", columns.names.join(", ")));
    };
    let (id_column, label_column, split_column) = (columns.find("id"), columns.find("label"), columns.split());
    let length_column = columns.find("bytes").filter(|&column| columns.kinds[column] == Physical::INT64);
    let (mut rows, mut counts) = (ManifestBuilder::default(), SplitCounts::new());
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(|error| format!("row group {group}: {error}"))?;
        let group = group.as_ref();
        let mut path_texts = columns.texts(group, path_column)?;
        let texts = |column: Option<usize>| column.map(|column| columns.texts(group, column)).transpose();
        let (mut id_texts, mut label_texts, mut split_texts) =
            (texts(id_column)?, texts(label_column)?, texts(split_column)?);
        let mut length_values = length_column.map(|column| columns.values::<Int64Type>(group, column)).transpose()?;
        loop {
            // Paths and ids are nearly all of the file.
            let (paths, (ids, labels, splits, lengths)) = rayon::join(
                || path_texts.next(),
                || {
                    let lengths = length_values.as_mut().map(Values::next).transpose();
                    (
                        Texts::next_of(&mut id_texts),
                        Texts::next_of(&mut label_texts),
                        Texts::next_of(&mut split_texts),
                        lengths,
                    )
                },
            );
            let (paths, ids, labels, splits, lengths) = (paths?, ids?, labels?, splits?, lengths?);
            if paths.len() == 0 {
                break;
            }
            for row in 0..paths.len() {
                let path = paths.get(row)?.unwrap_or_default();
                let id = ids.as_ref().map(|ids| ids.get(row)).transpose()?.flatten();
                let label = match &labels {
                    Some(labels) => labels.get(row)?,
                    None => label_from_path(path),
                };
                let split = splits.as_ref().map(|splits| splits.get(row)).transpose()?.map(Option::unwrap_or_default);
                budget.take([Some(path), id, label, split].into_iter().flatten().map(str::len).sum())?;
                let length = lengths.as_ref().and_then(|lengths| *lengths.get(row)?).unwrap_or(0);
                let length =
                    u64::try_from(length).map_err(|_| format!("row {}: bytes is {length}", rows.manifest.len()))?;
                rows.push(path, id, label, length)?;
                if let Some(split) = split {
                    *counts.entry(split.to_owned()).or_default() += 1;
                }
            }
        }
    }
    Ok((rows, counts))
}

/// The leaf columns of a Parquet file.
struct Columns {
    file: Bytes,
    names: Vec<String>,
    kinds: Vec<Physical>,
    nullable: Vec<bool>,
    nested: Vec<bool>,
}

impl Columns {
    fn of(reader: &SerializedFileReader<Bytes>, file: &Bytes) -> Self {
        let schema = reader.metadata().file_metadata().schema_descr();
        let columns = schema.columns();
        Self {
            file: file.clone(),
            names: columns.iter().map(|column| column.path().string()).collect(),
            kinds: columns.iter().map(|column| column.physical_type()).collect(),
            nullable: columns.iter().map(|column| column.max_def_level() > 0).collect(),
            nested: columns.iter().map(|column| column.max_rep_level() > 0 || column.max_def_level() > 1).collect(),
        }
    }

    /// Checks that no column that was meant to be read is passed over, for its name or its type.
    fn check(&self) -> Result<(), String> {
        let tops: Vec<&str> = self.names.iter().map(|name| name.split('.').next().unwrap_or(name)).collect();
        let mut of_list = tops.clone();
        // The leaves of a struct share its name.
        of_list.dedup();
        columns::check(&of_list)?;
        for name in ["path", "id", "label", "bytes"] {
            let Some(at) = tops.iter().position(|top| *top == name) else { continue };
            if self.find(name).is_none() {
                return Err(format!(
                    "the column `{name}` holds lists or structs, and would not be read\n  help: make it flat"
                ));
            }
            if name == "bytes" && self.kinds[at] != Physical::INT64 {
                return Err(format!("column `bytes` holds {}, not INT64", self.kinds[at]));
            }
        }
        Ok(())
    }

    /// The column `split`, where it holds text.
    fn split(&self) -> Option<usize> {
        let is_split = |name: &String| name.trim().eq_ignore_ascii_case(SPLIT);
        self.names.iter().position(is_split).filter(|&at| self.kinds[at] == Physical::BYTE_ARRAY)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|column| column == name).filter(|&column| !self.nested[column])
    }

    fn texts(&self, group: &dyn RowGroupReader, column: usize) -> Result<Texts<'_>, String> {
        let name = &self.names[column];
        Ok(match self.kinds[column] {
            Physical::BYTE_ARRAY => Texts::Texts(self.values(group, column)?),
            Physical::INT64 => Texts::Numbers(self.values(group, column)?),
            kind => return Err(format!("column `{name}` holds {kind}, not text")),
        })
    }

    /// A column of a row group, at its first row.
    fn values<T: DataType>(&self, group: &dyn RowGroupReader, column: usize) -> Result<Values<'_, T>, String> {
        let name = &self.names[column];
        check_pages(&self.file, group.metadata().column(column))?;
        let chunk = group.get_column_reader(column).map_err(|error| format!("column `{name}`: {error}"))?;
        Ok(Values { name, nullable: self.nullable[column], chunk: get_typed_column_reader::<T>(chunk) })
    }
}

/// The values of a column, read some rows at a time.
struct Values<'a, T: DataType> {
    name: &'a str,
    nullable: bool,
    chunk: ColumnReaderImpl<T>,
}

impl<T: DataType> Values<'_, T> {
    /// The next [`ROWS_AT_A_TIME`] values, fewer only at the end.
    fn next(&mut self) -> Result<Vec<Option<T::T>>, String> {
        let mut all = Vec::new();
        while all.len() < ROWS_AT_A_TIME {
            let (mut values, mut present) = (Vec::new(), Vec::new());
            let levels = self.nullable.then_some(&mut present);
            let read = self.chunk.read_records(ROWS_AT_A_TIME - all.len(), levels, None, &mut values);
            let (records, _, _) = read.map_err(|error| format!("column `{}`: {error}", self.name))?;
            if records == 0 {
                break;
            }
            if self.nullable {
                let mut values = values.into_iter();
                all.extend(present.into_iter().map(|level| if level > 0 { values.next() } else { None }));
            } else {
                all.extend(values.into_iter().map(Some));
            }
        }
        Ok(all)
    }
}

/// A column of texts, or of numbers as texts.
enum Texts<'a> {
    Texts(Values<'a, ByteArrayType>),
    Numbers(Values<'a, Int64Type>),
}

impl<'a> Texts<'a> {
    /// The same of a column that may not be there.
    fn next_of(texts: &mut Option<Self>) -> Result<Option<SomeTexts<'a>>, String> {
        texts.as_mut().map(Self::next).transpose()
    }

    /// The next [`ROWS_AT_A_TIME`] texts, fewer only at the end.
    fn next(&mut self) -> Result<SomeTexts<'a>, String> {
        Ok(match self {
            Self::Texts(values) => SomeTexts::Texts(values.next()?, values.name),
            Self::Numbers(values) => {
                let numbers = values.next()?;
                SomeTexts::Numbers(numbers.into_iter().map(|number| number.map(|number| number.to_string())).collect())
            }
        })
    }
}

/// Some rows of a column of texts; of texts that are bytes still, with the column's name.
enum SomeTexts<'a> {
    Texts(Vec<Option<ByteArray>>, &'a str),
    Numbers(Vec<Option<String>>),
}

impl SomeTexts<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Texts(values, _) => values.len(),
            Self::Numbers(values) => values.len(),
        }
    }

    /// The text in one of the rows; `None` where it is null or the column is shorter.
    fn get(&self, row: usize) -> Result<Option<&str>, String> {
        match self {
            Self::Numbers(values) => Ok(values.get(row).and_then(Option::as_deref)),
            Self::Texts(values, name) => values
                .get(row)
                .and_then(Option::as_ref)
                .map(|text| text.as_utf8().map_err(|_| format!("column `{name}` holds text that is not UTF-8")))
                .transpose(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::Entry;

    fn manifest(rows: usize) -> Manifest {
        let entry = |row: usize| Entry {
            path: if row.is_multiple_of(7) {
                format!("top{row}.jpg")
            } else {
                format!("n{:02}/é{row}.JPEG", row % 10)
            },
            id: row.is_multiple_of(5).then(|| format!("chosen-{row}")),
            label: (!row.is_multiple_of(7)).then(|| format!("n{:02}", row % 10)),
            bytes: row as u64 * 1000,
        };
        Manifest::from_entries((0..rows).map(entry).collect()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        for rows in [1, 100, ROWS_PER_GROUP + 3] {
            let written = manifest(rows);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), manifest_bytes(&written).unwrap()).unwrap();
            let read = read_manifest_parquet(file.path()).unwrap();
            assert_eq!(read.difference(&written), None);
            assert_eq!(read_known_manifest_bytes(manifest_bytes(&written).unwrap(), rows).unwrap(), read);
            assert!((0..rows).all(|row| read.bytes(row) == written.bytes(row)));
        }
    }

    #[test]
    fn the_same_list_gives_the_same_bytes() {
        assert_eq!(manifest_bytes(&manifest(50)).unwrap(), manifest_bytes(&manifest(50)).unwrap());
    }

    #[test]
    fn negative_offsets_are_refused() {
        // The shortest damage that was found: one byte of the footer, read as a varint, makes an offset negative.
        let whole = manifest_bytes(&manifest(3)).unwrap();
        let refusals = (0..whole.len()).filter_map(|at| {
            let mut damaged = whole.clone();
            damaged[at] = 159;
            read_manifest_bytes(damaged).err()
        });
        assert!(refusals.filter(|refusal| refusal.contains("unexpected way")).count() > 0);
    }

    #[test]
    fn other_files_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"PAR1 no PAR1").unwrap();
        assert!(read_manifest_parquet(file.path()).unwrap_err().to_string().contains("no readable Parquet"));
    }
}
