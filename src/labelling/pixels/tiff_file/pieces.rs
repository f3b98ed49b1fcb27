//! The strips or tiles of a page, placed on the image.

use super::super::exif::{Directory, Endian};
use super::super::limits::Limits;
use super::super::{broken, inexact, truncated};
use super::pages::{Compression, Differences, Numbers, Page};
use super::unpack;
use crate::shared::error::ImageError;

const STRIP_OFFSETS: u16 = 273;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_BYTE_COUNTS: u16 = 279;
const TILE_WIDTH: u16 = 322;
const TILE_LENGTH: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTE_COUNTS: u16 = 325;
/// Tags of directories inside, which PIL reads when it turns the image.
const SUB_DIRECTORIES: [u16; 3] = [34665, 34853, 40965];

/// Where the pieces lie in the file, row by row of pieces. Sides in pixels.
pub(super) struct Pieces {
    width: u32,
    height: u32,
    is_tiled: bool,
    offsets: Vec<u32>,
    /// Of packed files only.
    byte_counts: Vec<u32>,
}

impl Pieces {
    pub(super) fn read(directory: &Directory, endian: Endian, page: &Page) -> Result<Self, ImageError> {
        let numbers = Numbers(directory, endian);
        for tag in SUB_DIRECTORIES {
            numbers.one(tag)?;
        }
        let is_packed = page.compression != Compression::None;
        // libtiff, which reads packed pages, is stricter than PIL's own reader.
        if is_packed && directory.has_gaps {
            return Err(inexact("TIFF", "a compressed page with an odd directory"));
        }
        let is_tiled = directory.tag(STRIP_OFFSETS).is_none();
        let (offsets_tag, counts_tag) =
            if is_tiled { (TILE_OFFSETS, TILE_BYTE_COUNTS) } else { (STRIP_OFFSETS, STRIP_BYTE_COUNTS) };
        let offsets = numbers.list(offsets_tag)?.ok_or_else(|| broken("TIFF: no strips and no tiles".to_owned()))?;
        let (width, height) = if is_tiled {
            (numbers.one(TILE_WIDTH)?.unwrap_or(0), numbers.one(TILE_LENGTH)?.unwrap_or(0))
        } else {
            (page.width, numbers.one(ROWS_PER_STRIP)?.unwrap_or(page.height).min(page.height))
        };
        if width == 0 || height == 0 {
            return Err(broken(format!("TIFF: pieces of {height}x{width} pixels")));
        }
        let expected = u64::from(page.width.div_ceil(width)) * u64::from(page.height.div_ceil(height));
        // A tile may be larger than the page, and all may be the same bytes of the file.
        Limits::check_work(expected, u64::from(width) * u64::from(height), "pieces")?;
        let byte_counts = if is_packed { numbers.list(counts_tag)?.unwrap_or_default() } else { Vec::new() };
        if offsets.len() as u64 != expected || (is_packed && byte_counts.len() as u64 != expected) {
            return Err(inexact("TIFF", &format!("a page of {expected} pieces that names {}", offsets.len())));
        }
        if is_packed && is_tiled && (!width.is_multiple_of(16) || !height.is_multiple_of(16)) {
            return Err(inexact("TIFF", &format!("tiles of {height}x{width} pixels")));
        }
        if is_packed && !is_tiled && directory.tag(TILE_WIDTH).is_some() {
            return Err(inexact("TIFF", "a page of strips and tiles"));
        }
        Ok(Self { width, height, is_tiled, offsets, byte_counts })
    }

    /// Bytes that the largest piece has when it is unpacked.
    pub(super) fn unpacked_bytes(&self, page: &Page) -> u64 {
        match page.compression {
            Compression::None => 0,
            _ => page.layout.row_bytes(self.width).saturating_mul(u64::from(self.height)),
        }
    }

    pub(super) fn is_one(&self) -> bool {
        self.offsets.len() == 1
    }

    /// Writes all pieces to `rgb`.
    pub(super) fn unpack(&self, file: &[u8], page: &Page, rgb: &mut [u8]) -> Result<(), ImageError> {
        let across = page.width.div_ceil(self.width) as usize;
        for (number, offset) in self.offsets.iter().enumerate() {
            let left = (number % across) as u32 * self.width;
            let top = (number / across) as u32 * self.height;
            let (columns, rows) = (self.width.min(page.width - left), self.height.min(page.height - top));
            let data = file.get(*offset as usize..).unwrap_or_default();
            let mut place = Place { page, left, top, columns, rows, rgb };
            if page.compression == Compression::None {
                // PIL reads a tile at the right edge by its full width, every other one by the pixels that it shows.
                let stride = if u64::from(left) + u64::from(self.width) > u64::from(page.width) {
                    u64::from(self.width) * page.layout.bits() / 8
                } else {
                    page.layout.row_bytes(columns)
                };
                place.copy(data, stride)?;
                continue;
            }
            let packed = data.get(..self.byte_counts[number] as usize).ok_or_else(no_end)?;
            let stride = page.layout.row_bytes(self.width);
            let stored_rows = if self.is_tiled { self.height } else { rows };
            let size = usize::try_from(stride * u64::from(stored_rows)).map_err(|_| no_end())?;
            let mut samples = unpack::unpack(page.compression, packed, size)?;
            if page.swapped {
                samples.as_chunks_mut::<2>().0.iter_mut().for_each(|two| two.reverse());
            }
            if let Some(differences) = page.differences {
                samples.chunks_exact_mut(stride as usize).for_each(|row| differences.undo(row));
            }
            place.copy(&samples, stride)?;
        }
        Ok(())
    }
}

/// Where a piece belongs, in pixels.
struct Place<'a> {
    page: &'a Page,
    left: u32,
    top: u32,
    columns: u32,
    rows: u32,
    rgb: &'a mut [u8],
}

impl Place<'_> {
    fn copy(&mut self, data: &[u8], stride: u64) -> Result<(), ImageError> {
        let Page { layout, palette, .. } = self.page;
        let row_bytes = layout.row_bytes(self.columns);
        if stride < row_bytes {
            return Err(broken(format!("TIFF: a row has {stride} bytes and needs {row_bytes}")));
        }
        if (data.len() as u64) < u64::from(self.rows - 1) * stride + row_bytes {
            return Err(no_end());
        }
        for row in 0..self.rows {
            let samples = &data[(u64::from(row) * stride) as usize..][..row_bytes as usize];
            let at = ((self.top + row) as usize * self.page.width as usize + self.left as usize) * 3;
            let out = &mut self.rgb[at..at + self.columns as usize * 3];
            if self.page.bits_reversed {
                let reversed: Vec<u8> = samples.iter().map(|byte| byte.reverse_bits()).collect();
                layout.unpack(&reversed, palette, out);
            } else {
                layout.unpack(samples, palette, out);
            }
        }
        Ok(())
    }
}

impl Differences {
    fn undo(self, row: &mut [u8]) {
        let step = self.samples * if self.two_bytes { 2 } else { 1 };
        if self.two_bytes {
            for at in (step..row.len()).step_by(2) {
                let before = u16::from_le_bytes([row[at - step], row[at - step + 1]]);
                let value = u16::from_le_bytes([row[at], row[at + 1]]).wrapping_add(before);
                row[at..at + 2].copy_from_slice(&value.to_le_bytes());
            }
        } else {
            for at in step..row.len() {
                row[at] = row[at].wrapping_add(row[at - step]);
            }
        }
    }
}

fn no_end() -> ImageError {
    truncated("the TIFF ends before its image does".to_owned())
}
