//! The segments (strips or tiles) of a page.

use super::super::exif::{Directory, Endian};
use super::super::image_error::{broken, inexact, truncated};
use super::super::limits::DecodeLimits;
use super::page::{Compression, Differences, NumericTags, Page};
use super::unpack;
use crate::shared::error::ImageError;

const STRIP_OFFSETS: u16 = 273;
const ROWS_PER_STRIP: u16 = 278;
const STRIP_BYTE_COUNTS: u16 = 279;
const TILE_WIDTH: u16 = 322;
const TILE_LENGTH: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTE_COUNTS: u16 = 325;
/// Tags of nested directories, which PIL reads when it applies the orientation.
const SUB_DIRECTORIES: [u16; 3] = [34665, 34853, 40965];

/// Offsets of the segments in the file, in row-major order. Sides in pixels.
pub(super) struct Segments {
    width: u32,
    height: u32,
    is_tiled: bool,
    offsets: Vec<u32>,
    /// Empty for uncompressed pages.
    byte_counts: Vec<u32>,
}

impl Segments {
    pub(super) fn read(directory: &Directory, endian: Endian, page: &Page) -> Result<Self, ImageError> {
        let tags = NumericTags(directory, endian);
        for tag in SUB_DIRECTORIES {
            tags.one(tag)?;
        }
        let is_compressed = page.compression != Compression::None;
        // libtiff, which reads compressed pages, is stricter than PIL's own reader.
        if is_compressed && directory.has_gaps {
            return Err(inexact("TIFF", "a compressed page with an irregular directory"));
        }
        let is_tiled = directory.tag(STRIP_OFFSETS).is_none();
        let (offsets_tag, counts_tag) =
            if is_tiled { (TILE_OFFSETS, TILE_BYTE_COUNTS) } else { (STRIP_OFFSETS, STRIP_BYTE_COUNTS) };
        let offsets = tags.list(offsets_tag)?.ok_or_else(|| broken("TIFF: no strips or tiles"))?;
        let (width, height) = if is_tiled {
            (tags.one(TILE_WIDTH)?.unwrap_or(0), tags.one(TILE_LENGTH)?.unwrap_or(0))
        } else {
            (page.width, tags.one(ROWS_PER_STRIP)?.unwrap_or(page.height).min(page.height))
        };
        if width == 0 || height == 0 {
            return Err(broken(format!("TIFF: strips or tiles of {height}x{width} pixels")));
        }
        let expected = u64::from(page.width.div_ceil(width)) * u64::from(page.height.div_ceil(height));
        // A tile may be larger than the page, and all tiles may share the same bytes.
        DecodeLimits::check_work(expected, u64::from(width) * u64::from(height), "strips or tiles")?;
        let byte_counts = if is_compressed { tags.list(counts_tag)?.unwrap_or_default() } else { Vec::new() };
        if offsets.len() as u64 != expected || (is_compressed && byte_counts.len() as u64 != expected) {
            return Err(inexact(
                "TIFF",
                &format!("a page of {expected} strips or tiles with {} offsets", offsets.len()),
            ));
        }
        if is_compressed && is_tiled && (!width.is_multiple_of(16) || !height.is_multiple_of(16)) {
            return Err(inexact("TIFF", &format!("tiles of {height}x{width} pixels")));
        }
        if is_compressed && !is_tiled && directory.tag(TILE_WIDTH).is_some() {
            return Err(inexact("TIFF", "a page with both strips and tiles"));
        }
        Ok(Self { width, height, is_tiled, offsets, byte_counts })
    }

    /// Size of the largest segment after decompression, in bytes.
    pub(super) fn unpacked_bytes(&self, page: &Page) -> u64 {
        match page.compression {
            Compression::None => 0,
            _ => page.layout.row_bytes(self.width).saturating_mul(u64::from(self.height)),
        }
    }

    pub(super) fn is_one(&self) -> bool {
        self.offsets.len() == 1
    }

    /// Decompresses all segments into `rgb`.
    pub(super) fn unpack(&self, file: &[u8], page: &Page, rgb: &mut [u8]) -> Result<(), ImageError> {
        let across = page.width.div_ceil(self.width) as usize;
        for (number, offset) in self.offsets.iter().enumerate() {
            let left = (number % across) as u32 * self.width;
            let top = (number / across) as u32 * self.height;
            let (columns, rows) = (self.width.min(page.width - left), self.height.min(page.height - top));
            let data = file.get(*offset as usize..).unwrap_or_default();
            let mut target = SegmentTarget { page, left, top, columns, rows, rgb };
            if page.compression == Compression::None {
                // PIL reads a tile at the right edge with its full width, and all others with the visible width.
                let stride = if u64::from(left) + u64::from(self.width) > u64::from(page.width) {
                    u64::from(self.width) * page.layout.bits() / 8
                } else {
                    page.layout.row_bytes(columns)
                };
                target.copy(data, stride)?;
                continue;
            }
            let compressed = data.get(..self.byte_counts[number] as usize).ok_or_else(no_end)?;
            let stride = page.layout.row_bytes(self.width);
            let stored_rows = if self.is_tiled { self.height } else { rows };
            let size = usize::try_from(stride * u64::from(stored_rows)).map_err(|_| no_end())?;
            let mut samples = unpack::unpack(page.compression, compressed, size)?;
            if page.swapped {
                samples.as_chunks_mut::<2>().0.iter_mut().for_each(|two| two.reverse());
            }
            if let Some(differences) = page.differences {
                samples.chunks_exact_mut(stride as usize).for_each(|row| differences.undo(row));
            }
            target.copy(&samples, stride)?;
        }
        Ok(())
    }
}

/// Position of a segment in the image, in pixels.
struct SegmentTarget<'a> {
    page: &'a Page,
    left: u32,
    top: u32,
    columns: u32,
    rows: u32,
    rgb: &'a mut [u8],
}

impl SegmentTarget<'_> {
    fn copy(&mut self, data: &[u8], stride: u64) -> Result<(), ImageError> {
        let Page { layout, palette, .. } = self.page;
        let row_bytes = layout.row_bytes(self.columns);
        if stride < row_bytes {
            return Err(broken(format!("TIFF: rows have {stride} bytes, expected {row_bytes}")));
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
    truncated("TIFF: unexpected end of file")
}
