//! A cache of decoded rows of Parquet files: images that are stored together are decoded together, once.

use std::collections::VecDeque;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader as _, Length, SerializedFileReader};

use super::image_columns::{ImageColumns, ParquetImagesError, column_reader, next_values};
use crate::labelling::source::archives::{Archives, ReadAt as _};
use crate::labelling::source::image_location::fingerprint;
use crate::labelling::source::image_reader::{ReadError, unreadable};
use crate::shared::error::Error;
use crate::shared::numbers::exact_bytes;
use crate::shared::regular_file::concerns_file;

/// Size of the blocks that are decoded at a time. Hugging Face's row groups of 100 ImageNet images have about 11 MB.
const BLOCK_BYTES: u64 = 64 << 20;

/// Decoded images that are kept, of all files together.
const KEPT_BYTES: u64 = 256 << 20;

/// Blocks that are kept whatever their size: threads read on both sides of a boundary.
const KEPT_BLOCKS: usize = 2;

/// Files whose metadata is kept.
const OPEN_FILES: usize = 8;

/// Reads images of Parquet files, and keeps the blocks of rows that were decoded last.
pub(super) struct BlockCache<'a> {
    archives: &'a Archives,
    open: Mutex<VecDeque<(usize, Arc<OpenFile>)>>,
    kept: Mutex<VecDeque<(BlockKey, BlockSlot)>>,
}

/// Archive, row group, and number of the block in it.
type BlockKey = (usize, usize, u64);

/// A block that one thread decodes while others that need it wait.
#[derive(Clone)]
struct BlockSlot {
    bytes: u64,
    block: Arc<OnceLock<Result<RowBlock, ParquetImagesError>>>,
}

/// Consecutive rows of a row group, decoded.
struct RowBlock {
    images: Vec<Option<ByteArray>>,
    /// Fingerprints of the images' names, if there are names.
    checks: Vec<u64>,
}

/// A Parquet file and the first rows of its row groups.
struct OpenFile {
    file: PositionedFile,
    reader: SerializedFileReader<PositionedFile>,
    columns: ImageColumns,
    first_rows: Vec<u64>,
    failure: MachineFailure,
}

/// Last I/O error of the host (its errno, 0 for none) while a file was read: Parquet's own errors hide it.
#[derive(Clone, Default)]
struct MachineFailure(Arc<AtomicI32>);

impl MachineFailure {
    /// Records the error of a read if it is an I/O error of the host.
    fn record<T>(&self, read: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &read
            && !concerns_file(error)
        {
            self.0.store(error.raw_os_error().unwrap_or(0), Ordering::Release);
        }
        read
    }

    /// Returns the error of an image whose Parquet file could not be read.
    fn read_error(&self, archives: &Archives, archive: usize, problem: &dyn Display) -> ReadError {
        match self.0.load(Ordering::Acquire) {
            0 => ReadError::Image(unreadable(format!("{}: {problem}", archives.file_name(archive)))),
            errno => {
                ReadError::Machine(Error::file("read", archives.path(archive))(io::Error::from_raw_os_error(errno)))
            }
        }
    }
}

/// The position of a row in its file.
struct RowPosition {
    key: BlockKey,
    /// First row of the block, counted from the beginning of its group.
    first_row: u64,
    rows: u64,
    /// The row, counted from the beginning of the block.
    row: usize,
    bytes: u64,
}

/// Current content of a row.
pub(super) enum StoredImage {
    Image(Vec<u8>),
    /// The file was changed: it has other rows.
    Changed,
    /// The row has no image.
    Null,
}

impl<'a> BlockCache<'a> {
    pub(super) fn new(archives: &'a Archives) -> Self {
        Self { archives, open: Mutex::default(), kept: Mutex::default() }
    }

    /// Reads the image in a row of a file. `check` is the fingerprint of its name when it was listed, 0 for none.
    pub(super) fn image(&self, archive: usize, row: u64, check: u64) -> Result<StoredImage, ReadError> {
        let file = self.open(archive)?;
        let Some(position) = file.find(archive, row) else { return Ok(StoredImage::Changed) };
        let slot = self.slot(&position);
        let decode = || {
            let panicked = || ParquetError::General("its reader failed in an unexpected way".to_owned());
            catch_unwind(AssertUnwindSafe(|| file.decode(&position)))
                .unwrap_or_else(|_| Err(panicked()))
                .map_err(|problem| ParquetImagesError::RowGroup { row_group: position.key.1, problem })
        };
        let block = slot.block.get_or_init(decode).as_ref();
        let block = block.map_err(|problem| file.failure.read_error(self.archives, archive, problem))?;
        if check != 0 && block.checks.get(position.row) != Some(&check) {
            return Ok(StoredImage::Changed);
        }
        Ok(match block.images.get(position.row) {
            None => StoredImage::Changed,
            Some(None) => StoredImage::Null,
            Some(Some(image)) => StoredImage::Image(image.data().to_vec()),
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

    /// Returns the slot of a block. The least recently used blocks are dropped to free space for it.
    fn slot(&self, position: &RowPosition) -> BlockSlot {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(key, _)| *key == position.key)
            && let Some(found) = kept.remove(at)
        {
            kept.push_back(found.clone());
            return found.1;
        }
        let slot = BlockSlot { bytes: position.bytes, block: Arc::default() };
        kept.push_back((position.key, slot.clone()));
        while kept.len() > KEPT_BLOCKS && kept.iter().map(|(_, slot)| slot.bytes).sum::<u64>() > KEPT_BYTES {
            kept.pop_front();
        }
        slot
    }
}

impl OpenFile {
    fn open(archives: &Archives, archive: usize) -> Result<Self, ReadError> {
        let file = PositionedFile::open(archives, archive);
        let file = file.map_err(|error| ReadError::from_archive_error(archives.path(archive), error))?;
        let failure = file.failure.clone();
        let refused = |problem: &dyn Display| failure.read_error(archives, archive, problem);
        let reader = SerializedFileReader::new(file.clone()).map_err(|error| refused(&error))?;
        let columns = ImageColumns::find(reader.metadata()).map_err(|problem| refused(&problem))?;
        let mut next_row = 0;
        let mut first_rows = Vec::new();
        for group in reader.metadata().row_groups() {
            first_rows.push(next_row);
            next_row += u64::try_from(group.num_rows()).unwrap_or(0);
        }
        Ok(Self { file, reader, columns, first_rows, failure })
    }

    fn find(&self, archive: usize, row: u64) -> Option<RowPosition> {
        let group = self.first_rows.partition_point(|&first| first <= row).checked_sub(1)?;
        let metadata = self.reader.metadata().row_groups().get(group)?;
        let rows_in_group = u64::try_from(metadata.num_rows()).ok()?;
        let row = row - self.first_rows[group];
        let bytes = u64::try_from(metadata.column(self.columns.image.at).uncompressed_size()).ok()?;
        let blocks = bytes.div_ceil(BLOCK_BYTES).clamp(1, rows_in_group.max(1));
        let rows = rows_in_group.div_ceil(blocks).max(1);
        let number = row / rows;
        (row < rows_in_group).then(|| RowPosition {
            key: (archive, group, number),
            first_row: number * rows,
            rows,
            row: (row % rows) as usize,
            bytes: bytes / blocks,
        })
    }

    fn decode(&self, position: &RowPosition) -> Result<RowBlock, ParquetError> {
        let group = self.reader.get_row_group(position.key.1)?;
        let (first, rows) = (position.first_row as usize, position.rows as usize);
        let column = |column| {
            let mut values = column_reader::<ByteArrayType>(&self.file, group.as_ref(), column)?;
            let mut skipped = 0;
            while skipped < first {
                match values.skip_records(first - skipped)? {
                    0 => return Ok(Vec::new()),
                    more => skipped += more,
                }
            }
            next_values(&mut values, column, rows)
        };
        let images = column(self.columns.image)?;
        let names = self.columns.path.map(column).transpose()?.unwrap_or_default();
        let check = |name: Option<ByteArray>| name.map_or(0, |name| fingerprint(&[name.data()]));
        Ok(RowBlock { images, checks: names.into_iter().map(check).collect() })
    }
}

/// A file that is read at explicit offsets, by many threads at once.
#[derive(Clone)]
pub(super) struct PositionedFile {
    file: Arc<File>,
    bytes: u64,
    failure: MachineFailure,
}

impl PositionedFile {
    pub(super) fn open(archives: &Archives, archive: usize) -> io::Result<Self> {
        let file = archives.open(archive)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes, failure: MachineFailure::default() })
    }
}

impl Length for PositionedFile {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for PositionedFile {
    type T = BufReader<OffsetReader>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let (file, failure) = (Arc::clone(&self.file), self.failure.clone());
        Ok(BufReader::new(OffsetReader { file, at: start, end: self.bytes, failure }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // A damaged length must not allocate memory.
        if start.checked_add(length as u64).is_none_or(|end| end > self.bytes) {
            return Err(ParquetError::EOF(format!(
                "{} at offset {start} of a file of {}",
                exact_bytes(length as u64),
                exact_bytes(self.bytes)
            )));
        }
        let mut bytes = vec![0; length];
        self.failure.record(self.file.read_at(&mut bytes, start))?;
        Ok(bytes.into())
    }
}

/// Reads a file from an offset on.
pub(super) struct OffsetReader {
    file: Arc<File>,
    at: u64,
    end: u64,
    failure: MachineFailure,
}

impl Read for OffsetReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX));
        self.failure.record(self.file.read_at(&mut buffer[..length], self.at))?;
        self.at += length as u64;
        Ok(length)
    }
}
