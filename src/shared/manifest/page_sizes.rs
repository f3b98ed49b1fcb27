//! The memory that the pages of a Parquet column need, read from their headers before it is allocated.

use std::io::Read as _;

use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;

use crate::shared::numbers::bytes;

/// Size that any page may unpack to; writers make pages of about a megabyte.
const MIN_LIMIT_BYTES: u64 = 64 << 20;
/// Bytes that each byte of a page may unpack to. Large pages contain images, which are compressed already.
const BYTES_PER_PAGE_BYTE: u64 = 16;
/// Bytes that are read for a header: enough for most, or else enough for one with a column's smallest and largest string.
const HEADER_BYTES: [u64; 2] = [1 << 8, 1 << 16];
/// Depth of nested structures; a page's header has two.
const MAX_DEPTH: usize = 4;

/// A page that cannot be read safely.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageSizeError {
    /// The column extends beyond the end of the file.
    #[error("column `{column}`: its data extends beyond the end of the file")]
    OutsideFile {
        /// Name of the column.
        column: String,
    },
    /// The file cannot be read.
    #[error("column `{column}`: {problem}")]
    Read {
        /// Name of the column.
        column: String,
        /// Underlying error.
        #[source]
        problem: ParquetError,
    },
    /// A page's header is damaged.
    #[error("column `{column}`: the header of a page cannot be read")]
    Header {
        /// Name of the column.
        column: String,
    },
    /// A page unpacks to far more than it takes in the file.
    #[error(
        "column `{column}`: a page of {} unpacks to {}; at most {} are accepted",
        bytes(*packed_bytes),
        bytes(*unpacked_bytes),
        bytes(*limit_bytes)
    )]
    TooLarge {
        /// Name of the column.
        column: String,
        /// Length of the page in the file.
        packed_bytes: u64,
        /// Length that its header declares.
        unpacked_bytes: u64,
        /// Largest length that is accepted.
        limit_bytes: u64,
    },
}

/// Checks that no page of a column unpacks to far more than it takes in the file: Parquet's reader allocates that
/// memory at once.
///
/// # Errors
/// Returns [`PageSizeError`] if a header cannot be read, or if a page is too large.
pub(crate) fn check_pages(file: &impl ChunkReader, column: &ColumnChunkMetaData) -> Result<(), PageSizeError> {
    let name = || column.column_path().string();
    let unreadable = |problem: ParquetError| PageSizeError::Read { column: name(), problem };
    let (mut at, column_bytes) = column.byte_range();
    let end = at.checked_add(column_bytes).filter(|end| *end <= file.len());
    let end = end.ok_or_else(|| PageSizeError::OutsideFile { column: name() })?;
    while at < end {
        let mut header = None;
        for header_bytes in HEADER_BYTES {
            if header.is_none() {
                let mut start = Vec::new();
                let reader = file.get_read(at).map_err(unreadable)?;
                let read = reader.take(header_bytes.min(end - at)).read_to_end(&mut start);
                read.map_err(|error| unreadable(error.into()))?;
                header = PageHeader::read(&start);
            }
        }
        let header = header.ok_or_else(|| PageSizeError::Header { column: name() })?;
        let limit_bytes = MIN_LIMIT_BYTES.max(header.bytes.saturating_mul(BYTES_PER_PAGE_BYTE));
        if header.unpacked_bytes > limit_bytes {
            return Err(PageSizeError::TooLarge {
                column: name(),
                packed_bytes: header.bytes,
                unpacked_bytes: header.unpacked_bytes,
                limit_bytes,
            });
        }
        at = at.saturating_add(header.header_bytes).saturating_add(header.bytes);
    }
    Ok(())
}

/// The sizes in a page's header.
#[derive(Debug, Default, PartialEq, Eq)]
struct PageHeader {
    header_bytes: u64,
    unpacked_bytes: u64,
    bytes: u64,
}

impl PageHeader {
    /// Reads Thrift's compact encoding; returns `None` for other bytes.
    fn read(bytes: &[u8]) -> Option<Self> {
        const UNPACKED_BYTES: i64 = 2;
        const BYTES: i64 = 3;
        let mut rest = Compact { bytes, at: 0 };
        let (mut header, mut field) = (Self::default(), 0);
        let mut kind = rest.field(&mut field)?;
        while kind != Compact::STOP {
            match (field, kind) {
                (UNPACKED_BYTES, Compact::INT32) => header.unpacked_bytes = u64::try_from(rest.signed()?).ok()?,
                (BYTES, Compact::INT32) => header.bytes = u64::try_from(rest.signed()?).ok()?,
                _ => rest.skip(kind, MAX_DEPTH)?,
            }
            kind = rest.field(&mut field)?;
        }
        header.header_bytes = rest.at as u64;
        Some(header)
    }
}

/// A reader of Thrift's compact protocol. The numbers of its types are fixed.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    const STOP: u8 = 0;
    const INT32: u8 = 5;

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn skip_bytes(&mut self, count: u64) -> Option<()> {
        self.at = self.at.checked_add(usize::try_from(count).ok()?).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.unsigned()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Returns the type of the next field and sets `field` to its number; [`Self::STOP`] at the end of the structure.
    fn field(&mut self, field: &mut i64) -> Option<u8> {
        let byte = self.byte()?;
        if byte == Self::STOP {
            return Some(byte);
        }
        *field = match byte >> 4 {
            0 => self.signed()?,
            more => field.checked_add(i64::from(more))?,
        };
        Some(byte & 15).filter(|kind| *kind != Self::STOP)
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1 | 2 => Some(()),
            3 => self.skip_bytes(1),
            4..=6 => self.unsigned().map(drop),
            7 => self.skip_bytes(8),
            8 => self.unsigned().and_then(|length| self.skip_bytes(length)),
            12 => {
                let depth = depth.checked_sub(1)?;
                let mut field = 0;
                let mut kind = self.field(&mut field)?;
                while kind != Self::STOP {
                    self.skip(kind, depth)?;
                    kind = self.field(&mut field)?;
                }
                Some(())
            }
            // Lists and maps, which no page header has.
            _ => None,
        }
    }
}

/// Memory that a file's rows may take, however short the file is.
const MIN_BUDGET_BYTES: u64 = 16 << 20;
/// Memory that each byte of a file may expand to. A million sequential names, written so that they take the least, have 1,600.
const BYTES_PER_FILE_BYTE: u64 = 2000;
/// Memory of a row without its strings.
const ROW_BYTES: u64 = 64;

/// Memory left for the rows of a file. In Parquet a few bytes can expand to any number of equal rows.
#[derive(Debug)]
pub(crate) struct RowBudget {
    file_bytes: u64,
    left_bytes: u64,
}

/// A file whose rows take more memory than a file of its length should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} expand to more rows than a list of this size has: the file is damaged, or was made to exhaust memory\n  help: write the list again, or pass a different one",
    bytes(*file_bytes)
)]
pub struct RowBudgetError {
    file_bytes: u64,
}

impl RowBudget {
    /// Returns the budget of a file of this length.
    pub(crate) fn for_file(file_bytes: u64) -> Self {
        Self { file_bytes, left_bytes: MIN_BUDGET_BYTES.max(file_bytes.saturating_mul(BYTES_PER_FILE_BYTE)) }
    }

    /// Takes the memory of one row with strings of `text_bytes` in total.
    ///
    /// # Errors
    /// Returns [`RowBudgetError`] if the budget is exhausted.
    pub(crate) fn take(&mut self, text_bytes: usize) -> Result<(), RowBudgetError> {
        let left = self.left_bytes.checked_sub(ROW_BYTES + text_bytes as u64);
        self.left_bytes = left.ok_or(RowBudgetError { file_bytes: self.file_bytes })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_a_header() {
        // type 0, unpacked 300, packed 20, a checksum, a structure of two numbers, a field with an explicit number.
        let header = [0x15, 0, 0x15, 0xd8, 0x04, 0x15, 40, 0x15, 2, 0x1c, 0x15, 24, 0x15, 0, 0, 0x08, 40, 1, 65, 0, 99];
        let found = PageHeader::read(&header).unwrap();
        assert_eq!(found, PageHeader { header_bytes: header.len() as u64 - 1, unpacked_bytes: 300, bytes: 20 });
        for end in 0..header.len() - 1 {
            assert_eq!(PageHeader::read(&header[..end]), None, "{end}");
        }
        for negative in [[0x25, 1, 0], [0x35, 1, 0]] {
            assert_eq!(PageHeader::read(&negative), None);
        }
    }
}
