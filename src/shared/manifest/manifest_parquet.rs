//! Manifests as Parquet: the store's own `manifest.parquet`, and lists that users make.

use std::panic::{UnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Type as PhysicalType, ZstdLevel};
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, FileReader as _, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::image_list::{Manifest, folder_class_from_path};
use super::list_columns::{SPLIT, SplitCounts, check_column_names};
use super::manifest_builder::ManifestBuilder;
use super::manifest_error::ManifestError;
use super::page_sizes::RowBudget;
use super::page_sizes::check_pages;
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;
use crate::shared::regular_file;
use crate::shared::threads::join_two;

const SCHEMA: &str = "message manifest {
    required int64 row;
    required binary id (string);
    required binary path (string);
    optional binary label (string);
    required int64 bytes;
}";

/// Rows that are kept in memory while a manifest is written.
const ROWS_PER_GROUP: usize = 1 << 17;

/// Rows that are decoded at a time, so that run lengths that expand to any number of rows are detected early.
const ROWS_AT_A_TIME: usize = 1 << 13;

/// Encodes a manifest as the `manifest.parquet` of a store. The bytes depend only on the list, so the file's digest
/// identifies it.
///
/// # Errors
/// Returns [`ManifestError::Encode`] if the Parquet writer fails.
pub fn manifest_bytes(manifest: &Manifest) -> Result<Vec<u8>, ManifestError> {
    encode(manifest).map_err(ManifestError::Encode)
}

fn encode(manifest: &Manifest) -> Result<Vec<u8>, ParquetError> {
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
        let classes: Vec<ByteArray> = rows.clone().filter_map(|row| manifest.folder_class(row)).map(text).collect();
        let present: Vec<i16> = rows.clone().map(|row| i16::from(manifest.folder_class(row).is_some())).collect();
        write_column::<ByteArrayType>(&mut group, &classes, Some(&present))?;
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
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("the schema has fewer columns".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, present, None)?;
    column.close()
}

/// Reads a store's `manifest.parquet`.
///
/// # Errors
/// Returns [`Error::File`] if the file cannot be read, and [`Error::Manifest`] if it is not a manifest.
pub fn read_manifest_parquet(path: &Path) -> Result<Manifest, Error> {
    let refused = |problem: ManifestError| Error::Manifest { path: path.to_path_buf(), problem: problem.into() };
    let bytes = regular_file::read(path, u64::MAX)?.usable().map_err(ManifestError::Unusable).map_err(refused)?;
    read_manifest_bytes(bytes).map_err(refused)
}

/// Reads a manifest from the bytes of a Parquet file.
///
/// # Errors
/// Returns [`ManifestError`] if they are not a manifest.
pub fn read_manifest_bytes(bytes: Vec<u8>) -> Result<Manifest, ManifestError> {
    read_rows(bytes)?.finish()
}

/// Reads the manifest of a store of `images` images.
pub(crate) fn read_manifest_of(bytes: impl Into<Bytes>, images: usize) -> Result<Manifest, ManifestError> {
    read_rows_of(&bytes.into(), images)?.finish()
}

/// Reads the manifest of a store of `images` images from bytes with the digest that the store recorded. Names were
/// checked to be unique when it was written, and checking takes as long again as reading.
pub(crate) fn read_known_manifest_bytes(bytes: Vec<u8>, images: usize) -> Result<Manifest, ManifestError> {
    Ok(read_rows_of(&bytes.into(), images)?.finish_unchecked())
}

/// Returns the number of rows that the footer of a manifest records; `None` if the file is missing or damaged.
///
/// # Errors
/// Returns [`Error::File`] if it cannot be opened.
pub(crate) fn manifest_rows(path: &Path) -> Result<Option<usize>, Error> {
    let Ok((file, _)) = regular_file::open(path)?.usable() else { return Ok(None) };
    Ok(rows_in(file))
}

/// Returns the number of rows that the footer of a manifest records; `None` if the bytes are damaged.
pub(crate) fn rows_in_manifest(bytes: &Bytes) -> Option<usize> {
    rows_in(bytes.clone())
}

fn rows_in(file: impl ChunkReader + UnwindSafe + 'static) -> Option<usize> {
    let rows = catching_panics(|| {
        let reader = SerializedFileReader::new(file).map_err(ManifestError::Parquet)?;
        Ok(reader.metadata().file_metadata().num_rows())
    });
    usize::try_from(rows.ok()?).ok()
}

/// Reads the manifest of a store of `images` images, and checks that it has the digest that the store recorded.
pub(crate) fn read_known_manifest(
    path: &Path,
    sha256: &Digest,
    most_bytes: u64,
    images: usize,
) -> Result<Manifest, Error> {
    let refused = |problem: ManifestError| Error::Manifest { path: path.to_path_buf(), problem: problem.into() };
    let bytes = regular_file::read(path, most_bytes)?.usable().map_err(ManifestError::Unusable).map_err(refused)?;
    let found = digest_bytes(&bytes);
    if found != *sha256 {
        return Err(refused(ManifestError::OtherDigest { found, expected: sha256.clone() }));
    }
    read_known_manifest_bytes(bytes, images).map_err(refused)
}

/// Reads the columns `path`, `id`, `label` and `bytes` by name; others are ignored.
fn read_rows(bytes: Vec<u8>) -> Result<ManifestBuilder, ManifestError> {
    catching_panics(|| {
        let file = Bytes::from(bytes);
        Ok(decode_rows(&open_parquet(file.clone())?, &file)?.0)
    })
}

/// Reads the rows of a store's manifest, which must have `images` rows and use only the codec that relabel writes.
fn read_rows_of(bytes: &Bytes, images: usize) -> Result<ManifestBuilder, ManifestError> {
    catching_panics(|| {
        let reader = open_parquet(bytes.clone())?;
        let rows = reader.metadata().file_metadata().num_rows();
        if usize::try_from(rows) != Ok(images) {
            return Err(ManifestError::RowCount { rows, images });
        }
        for column in reader.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns) {
            if !matches!(column.compression(), Compression::ZSTD(_) | Compression::UNCOMPRESSED) {
                return Err(ManifestError::Codec {
                    column: column.column_path().string(),
                    codec: column.compression().to_string(),
                });
            }
        }
        let rows = decode_rows(&reader, bytes)?.0;
        if rows.rows().len() != images {
            return Err(ManifestError::RowCount { rows: rows.rows().len() as i64, images });
        }
        Ok(rows)
    })
}

/// Reads a list that a user made: its columns are checked first, and the values of `split` are counted.
pub(super) fn read_list(bytes: Vec<u8>) -> Result<(ManifestBuilder, SplitCounts), ManifestError> {
    catching_panics(|| {
        let file = Bytes::from(bytes);
        let reader = open_parquet(file.clone())?;
        LeafColumns::new(&reader, &file).check()?;
        decode_rows(&reader, &file)
    })
}

/// Turns a panic into an error. Parquet's reader panics on some damaged files, such as one with a negative offset
/// (test `fuzz::a_parquet_manifest_is_read_or_refused`).
fn catching_panics<T>(read: impl FnOnce() -> Result<T, ManifestError> + UnwindSafe) -> Result<T, ManifestError> {
    catch_unwind(read).unwrap_or(Err(ManifestError::ReaderPanicked))
}

fn open_parquet(file: Bytes) -> Result<SerializedFileReader<Bytes>, ManifestError> {
    SerializedFileReader::new(file).map_err(ManifestError::Parquet)
}

fn decode_rows(
    reader: &SerializedFileReader<Bytes>,
    file: &Bytes,
) -> Result<(ManifestBuilder, SplitCounts), ManifestError> {
    let columns = LeafColumns::new(reader, file);
    let mut budget = RowBudget::for_file(file.len() as u64);
    let Some(path_column) = columns.find("path") else {
        return Err(ManifestError::MissingPathColumn { columns: columns.names });
    };
    let (id_column, label_column, split_column) = (columns.find("id"), columns.find("label"), columns.split());
    let length_column = columns.find("bytes").filter(|&column| columns.types[column] == PhysicalType::INT64);
    let (mut rows, mut counts) = (ManifestBuilder::default(), SplitCounts::new());
    for number in 0..reader.num_row_groups() {
        let group = reader.get_row_group(number);
        let group = group.map_err(|problem| ManifestError::RowGroup { row_group: number, problem })?;
        let group = group.as_ref();
        let mut path_texts = columns.strings(group, path_column)?;
        let texts = |column: Option<usize>| column.map(|column| columns.strings(group, column)).transpose();
        let (mut id_texts, mut label_texts, mut split_texts) =
            (texts(id_column)?, texts(label_column)?, texts(split_column)?);
        let mut length_values = length_column.map(|column| columns.values::<Int64Type>(group, column)).transpose()?;
        loop {
            // Paths and ids are nearly all of the file.
            let (paths, (ids, labels, splits, lengths)) = join_two(
                || path_texts.next(),
                || {
                    let lengths = length_values.as_mut().map(ColumnValues::next).transpose();
                    (
                        TextColumn::next_if_present(&mut id_texts),
                        TextColumn::next_if_present(&mut label_texts),
                        TextColumn::next_if_present(&mut split_texts),
                        lengths,
                    )
                },
            );
            let (paths, ids, labels, splits, lengths) = (paths?, ids?, labels?, splits?, lengths?);
            if paths.len() == 0 {
                break;
            }
            for at in 0..paths.len() {
                let path = paths.get(at)?.unwrap_or_default();
                let id = ids.as_ref().map(|ids| ids.get(at)).transpose()?.flatten();
                let label = match &labels {
                    Some(labels) => labels.get(at)?,
                    None => folder_class_from_path(path),
                };
                let split = splits.as_ref().map(|splits| splits.get(at)).transpose()?.map(Option::unwrap_or_default);
                budget.take([Some(path), id, label, split].into_iter().flatten().map(str::len).sum())?;
                let length = lengths.as_ref().and_then(|lengths| *lengths.get(at)?).unwrap_or(0);
                let length = u64::try_from(length)
                    .map_err(|_| ManifestError::Length { row: rows.rows().len(), value: length.to_string() })?;
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
struct LeafColumns {
    file: Bytes,
    names: Vec<String>,
    types: Vec<PhysicalType>,
    nullable: Vec<bool>,
    nested: Vec<bool>,
}

impl LeafColumns {
    fn new(reader: &SerializedFileReader<Bytes>, file: &Bytes) -> Self {
        let schema = reader.metadata().file_metadata().schema_descr();
        let columns = schema.columns();
        Self {
            file: file.clone(),
            names: columns.iter().map(|column| column.path().string()).collect(),
            types: columns.iter().map(|column| column.physical_type()).collect(),
            nullable: columns.iter().map(|column| column.max_def_level() > 0).collect(),
            nested: columns.iter().map(|column| column.max_rep_level() > 0 || column.max_def_level() > 1).collect(),
        }
    }

    /// Checks that no known column is ignored because of its name or its type.
    fn check(&self) -> Result<(), ManifestError> {
        let top_names: Vec<&str> = self.names.iter().map(|name| name.split('.').next().unwrap_or(name)).collect();
        let mut distinct = top_names.clone();
        // The leaves of a struct share its name.
        distinct.dedup();
        check_column_names(&distinct)?;
        for name in ["path", "id", "label", "bytes"] {
            let Some(at) = top_names.iter().position(|top| *top == name) else { continue };
            if self.find(name).is_none() {
                return Err(ManifestError::NestedColumn { column: name.to_owned() });
            }
            if name == "bytes" && self.types[at] != PhysicalType::INT64 {
                return Err(self.type_error(at, "INT64"));
            }
        }
        Ok(())
    }

    fn type_error(&self, column: usize, expected: &'static str) -> ManifestError {
        ManifestError::ColumnType {
            column: self.names[column].clone(),
            found: self.types[column].to_string(),
            expected,
        }
    }

    /// Position of the column `split`, if it contains strings.
    fn split(&self) -> Option<usize> {
        let is_split = |name: &String| name.trim().eq_ignore_ascii_case(SPLIT);
        self.names.iter().position(is_split).filter(|&at| self.types[at] == PhysicalType::BYTE_ARRAY)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|column| column == name).filter(|&column| !self.nested[column])
    }

    fn strings(&self, group: &dyn RowGroupReader, column: usize) -> Result<TextColumn<'_>, ManifestError> {
        Ok(match self.types[column] {
            PhysicalType::BYTE_ARRAY => TextColumn::Texts(self.values(group, column)?),
            PhysicalType::INT64 => TextColumn::Numbers(self.values(group, column)?),
            _ => return Err(self.type_error(column, "text")),
        })
    }

    /// A column of a row group, at its first row.
    fn values<T: DataType>(
        &self,
        group: &dyn RowGroupReader,
        column: usize,
    ) -> Result<ColumnValues<'_, T>, ManifestError> {
        let name = &self.names[column];
        check_pages(&self.file, group.metadata().column(column))?;
        let reader = group.get_column_reader(column);
        let reader = reader.map_err(|problem| ManifestError::Column { column: name.clone(), problem })?;
        Ok(ColumnValues { name, nullable: self.nullable[column], reader: get_typed_column_reader::<T>(reader) })
    }
}

/// The values of a column, read some rows at a time.
struct ColumnValues<'a, T: DataType> {
    name: &'a str,
    nullable: bool,
    reader: ColumnReaderImpl<T>,
}

impl<T: DataType> ColumnValues<'_, T> {
    /// Returns the next [`ROWS_AT_A_TIME`] values, fewer only at the end.
    fn next(&mut self) -> Result<Vec<Option<T::T>>, ManifestError> {
        let mut all = Vec::new();
        while all.len() < ROWS_AT_A_TIME {
            let (mut values, mut present) = (Vec::new(), Vec::new());
            let levels = self.nullable.then_some(&mut present);
            let read = self.reader.read_records(ROWS_AT_A_TIME - all.len(), levels, None, &mut values);
            let (records, _, _) =
                read.map_err(|problem| ManifestError::Column { column: self.name.to_owned(), problem })?;
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

/// A column of strings, or of numbers that are read as strings.
enum TextColumn<'a> {
    Texts(ColumnValues<'a, ByteArrayType>),
    Numbers(ColumnValues<'a, Int64Type>),
}

impl<'a> TextColumn<'a> {
    /// Reads the next strings of a column, if the file has it.
    fn next_if_present(column: &mut Option<Self>) -> Result<Option<TextBatch<'a>>, ManifestError> {
        column.as_mut().map(Self::next).transpose()
    }

    /// Returns the next [`ROWS_AT_A_TIME`] strings, fewer only at the end.
    fn next(&mut self) -> Result<TextBatch<'a>, ManifestError> {
        Ok(match self {
            Self::Texts(values) => TextBatch::Bytes(values.next()?, values.name),
            Self::Numbers(values) => {
                let numbers = values.next()?;
                TextBatch::Strings(numbers.into_iter().map(|number| number.map(|number| number.to_string())).collect())
            }
        })
    }
}

/// Some rows of a string column: bytes that are not yet checked to be UTF-8, with the column's name, or strings.
enum TextBatch<'a> {
    Bytes(Vec<Option<ByteArray>>, &'a str),
    Strings(Vec<Option<String>>),
}

impl TextBatch<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(values, _) => values.len(),
            Self::Strings(values) => values.len(),
        }
    }

    /// Value in one of the rows; `None` if it is null or the column is shorter.
    fn get(&self, at: usize) -> Result<Option<&str>, ManifestError> {
        match self {
            Self::Strings(values) => Ok(values.get(at).and_then(Option::as_deref)),
            Self::Bytes(values, name) => values
                .get(at)
                .and_then(Option::as_ref)
                .map(|text| text.as_utf8().map_err(|_| ManifestError::NotUtf8 { column: (*name).to_owned() }))
                .transpose(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::manifest::ManifestEntry;

    fn manifest(rows: usize) -> Manifest {
        let entry = |row: usize| ManifestEntry {
            path: if row.is_multiple_of(7) {
                format!("top{row}.jpg")
            } else {
                format!("n{:02}/é{row}.JPEG", row % 10)
            },
            id: row.is_multiple_of(5).then(|| format!("chosen-{row}")),
            folder_class: (!row.is_multiple_of(7)).then(|| format!("n{:02}", row % 10)),
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
        // The smallest such damage: one byte of the footer, read as a varint, makes an offset negative.
        let intact = manifest_bytes(&manifest(3)).unwrap();
        let refusals = (0..intact.len()).filter_map(|at| {
            let mut damaged = intact.clone();
            damaged[at] = 159;
            read_manifest_bytes(damaged).err()
        });
        assert!(refusals.filter(|refusal| matches!(refusal, ManifestError::ReaderPanicked)).count() > 0);
    }

    #[test]
    fn other_files_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"PAR1 no PAR1").unwrap();
        assert!(read_manifest_parquet(file.path()).unwrap_err().to_string().contains("not a readable Parquet"));
    }
}
