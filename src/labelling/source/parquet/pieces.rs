//! Pieces of Parquet files, decoded once and kept for a while: images that stand together are read together.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader as _, Length, SerializedFileReader};

use super::columns::{Columns, next_values, values};
use crate::labelling::source::archives::{Archives, ReadAt as _};
use crate::labelling::source::index::short_digest;
use crate::labelling::source::{ReadError, unreadable};
use crate::shared::error::Error;
use crate::shared::regular_file::concerns_file;

/// Images that are decoded at a time. Hugging Face's row groups of 100 images of ImageNet have about 11 MB.
const PIECE_BYTES: u64 = 64 << 20;

/// Decoded images that are kept, from all files together.
const KEPT_BYTES: u64 = 256 << 20;

/// Pieces that are kept however large they are: threads stand on both sides of a border.
const KEPT_PIECES: usize = 2;

/// Files whose table of contents is kept.
const OPEN_FILES: usize = 8;

/// Reads images out of Parquet files.
pub(super) struct Pieces<'a> {
    archives: &'a Archives,
    open: Mutex<VecDeque<(usize, Arc<OpenFile>)>>,
    kept: Mutex<VecDeque<(Key, Slot)>>,
}

/// Archive, row group, and number of the piece in it.
type Key = (usize, usize, u64);

/// A piece that one thread decodes while others that need it wait.
#[derive(Clone)]
struct Slot {
    bytes: u64,
    piece: Arc<OnceLock<Result<Piece, String>>>,
}

struct Piece {
    images: Vec<Option<ByteArray>>,
    /// Short digests of the names beside the images, where there are names.
    checks: Vec<u64>,
}

/// A Parquet file and where its row groups begin.
struct OpenFile {
    file: PositionedFile,
    reader: SerializedFileReader<PositionedFile>,
    columns: Columns,
    first_rows: Vec<u64>,
    failure: Failure,
}

/// The error of the machine (its number, 0 for none) that a file's reader met: what it makes of it may hide that.
#[derive(Clone, Default)]
struct Failure(Arc<AtomicI32>);

impl Failure {
    fn noted<T>(&self, read: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &read
            && !concerns_file(error)
        {
            self.0.store(error.raw_os_error().unwrap_or(0), Ordering::Release);
        }
        read
    }

    /// What a problem of the reader means for an image.
    fn explains(&self, archives: &Archives, archive: usize, problem: &str) -> ReadError {
        match self.0.load(Ordering::Acquire) {
            0 => ReadError::Image(unreadable(format!("{}: {problem}", archives.file_name(archive)))),
            number => {
                ReadError::Machine(Error::file("read", archives.path(archive))(io::Error::from_raw_os_error(number)))
            }
        }
    }
}

/// Where a row is.
struct Where {
    key: Key,
    /// Rows of the piece, counted from the beginning of its group.
    first_row: u64,
    rows: u64,
    /// The row, counted from the beginning of the piece.
    row: usize,
    bytes: u64,
}

/// What stands in a row now.
pub(super) enum Found {
    Image(Vec<u8>),
    /// Other rows have come, or the file has become another.
    Other,
    /// The row has no image.
    Null,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(archives: &'a Archives) -> Self {
        Self { archives, open: Mutex::default(), kept: Mutex::default() }
    }

    /// The image in a row of a file. `check` stands for the name that was beside it when it was listed, 0 for none.
    pub(super) fn image(&self, archive: usize, row: u64, check: u64) -> Result<Found, ReadError> {
        let file = self.open(archive)?;
        let Some(place) = file.find(archive, row) else { return Ok(Found::Other) };
        let slot = self.slot(&place);
        let decode = || {
            catch_unwind(AssertUnwindSafe(|| file.decode(&place)))
                .unwrap_or_else(|_| Err(ParquetError::General("its reader gave up in an unexpected way".to_owned())))
                .map_err(|error| format!("row group {}: {error}", place.key.1))
        };
        let piece = slot.piece.get_or_init(decode).as_ref();
        let piece = piece.map_err(|problem| file.failure.explains(self.archives, archive, problem))?;
        if check != 0 && piece.checks.get(place.row) != Some(&check) {
            return Ok(Found::Other);
        }
        Ok(match piece.images.get(place.row) {
            None => Found::Other,
            Some(None) => Found::Null,
            Some(Some(image)) => Found::Image(image.data().to_vec()),
        })
    }

    fn open(&self, archive: usize) -> Result<Arc<OpenFile>, ReadError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = open.iter().find(|(number, _)| *number == archive) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(OpenFile::open(self.archives, archive)?);
        if open.len() == OPEN_FILES {
            open.pop_front();
        }
        open.push_back((archive, Arc::clone(&file)));
        Ok(file)
    }

    /// The slot of a piece; the pieces that were not needed for longest make room for it.
    fn slot(&self, place: &Where) -> Slot {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(key, _)| *key == place.key)
            && let Some(found) = kept.remove(at)
        {
            kept.push_back(found.clone());
            return found.1;
        }
        let slot = Slot { bytes: place.bytes, piece: Arc::default() };
        kept.push_back((place.key, slot.clone()));
        while kept.len() > KEPT_PIECES && kept.iter().map(|(_, slot)| slot.bytes).sum::<u64>() > KEPT_BYTES {
            kept.pop_front();
        }
        slot
    }
}

impl OpenFile {
    fn open(archives: &Archives, archive: usize) -> Result<Self, ReadError> {
        let file = PositionedFile::open(archives, archive);
        let file = file.map_err(|error| ReadError::of_archive(archives.path(archive), error))?;
        let failure = file.failure.clone();
        let refused = |problem: &str| failure.explains(archives, archive, problem);
        let reader = SerializedFileReader::new(file.clone()).map_err(|error| refused(&error.to_string()))?;
        let columns = Columns::of(reader.metadata()).map_err(|problem| refused(&problem))?;
        let mut next_row = 0;
        let mut first_rows = Vec::new();
        for group in reader.metadata().row_groups() {
            first_rows.push(next_row);
            next_row += u64::try_from(group.num_rows()).unwrap_or(0);
        }
        Ok(Self { file, reader, columns, first_rows, failure })
    }

    fn find(&self, archive: usize, row: u64) -> Option<Where> {
        let group = self.first_rows.partition_point(|&first| first <= row).checked_sub(1)?;
        let metadata = self.reader.metadata().row_groups().get(group)?;
        let rows_in_group = u64::try_from(metadata.num_rows()).ok()?;
        let row = row - self.first_rows[group];
        let bytes = u64::try_from(metadata.column(self.columns.image.at).uncompressed_size()).ok()?;
        let pieces = bytes.div_ceil(PIECE_BYTES).clamp(1, rows_in_group.max(1));
        let rows = rows_in_group.div_ceil(pieces).max(1);
        let number = row / rows;
        (row < rows_in_group).then(|| Where {
            key: (archive, group, number),
            first_row: number * rows,
            rows,
            row: (row % rows) as usize,
            bytes: bytes / pieces,
        })
    }

    fn decode(&self, place: &Where) -> Result<Piece, ParquetError> {
        let group = self.reader.get_row_group(place.key.1)?;
        let (first, rows) = (place.first_row as usize, place.rows as usize);
        let column = |column| {
            let mut values = values::<ByteArrayType>(&self.file, group.as_ref(), column)?;
            let mut passed = 0;
            while passed < first {
                match values.skip_records(first - passed)? {
                    0 => return Ok(Vec::new()),
                    skipped => passed += skipped,
                }
            }
            next_values(&mut values, column, rows)
        };
        let images = column(self.columns.image)?;
        let names = self.columns.path.map(column).transpose()?.unwrap_or_default();
        let check = |name: Option<ByteArray>| name.map_or(0, |name| short_digest(&[name.data()]));
        Ok(Piece { images, checks: names.into_iter().map(check).collect() })
    }
}

/// A file for many readers at once: every read says where.
#[derive(Clone)]
pub(super) struct PositionedFile {
    file: Arc<File>,
    bytes: u64,
    failure: Failure,
}

impl PositionedFile {
    pub(super) fn open(archives: &Archives, archive: usize) -> io::Result<Self> {
        let file = archives.open(archive)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes, failure: Failure::default() })
    }
}

impl Length for PositionedFile {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for PositionedFile {
    type T = BufReader<ReadFrom>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let (file, failure) = (Arc::clone(&self.file), self.failure.clone());
        Ok(BufReader::new(ReadFrom { file, at: start, end: self.bytes, failure }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // Before memory is taken for a length that lies.
        if start.checked_add(length as u64).is_none_or(|end| end > self.bytes) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of a file of {}", self.bytes)));
        }
        let mut bytes = vec![0; length];
        self.failure.noted(self.file.read_at(&mut bytes, start))?;
        Ok(bytes.into())
    }
}

/// Reads on from a place in a file.
pub(super) struct ReadFrom {
    file: Arc<File>,
    at: u64,
    end: u64,
    failure: Failure,
}

impl Read for ReadFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX));
        self.failure.noted(self.file.read_at(&mut buffer[..length], self.at))?;
        self.at += length as u64;
        Ok(length)
    }
}
