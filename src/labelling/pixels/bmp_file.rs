//! BMP, as `BmpImagePlugin` reads it: Windows and OS/2 headers, bit fields, run-length encoding.

mod run_lengths;

use super::file_bytes::{FileBytes, u16_le, u32_le};
use super::image_error::{broken, truncated};
use super::limits::DecodeLimits;
use super::rgb_image::RgbImage;
use super::samples::{Palette, SampleLayout};
use crate::shared::error::ImageError;

/// Decodes a BMP. Alpha is dropped.
///
/// # Errors
/// Returns an error if PIL refuses the file: unsupported headers, compressions and bit layouts, or missing rows.
pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let mut file = FileBytes::new(bytes, 0);
    let offset = u64::from(u32_le(file.read(14), 10)?);
    let header = BmpHeader::read(&mut file, offset)?;
    let (width, height) = (header.width, header.height);
    limits.check(height, width, 4)?;
    let (layout, palette) = header.colours(&mut file)?;
    let offset = if header.offset == 0 { file.position() } else { header.offset };
    let stride;
    let unpacked;
    file.seek(offset);
    let (rows, layout) = if let Some(four_bits) = header.runs {
        let layout = run_lengths::layout(layout).ok_or_else(|| broken("BMP: run-length encoded true colour"))?;
        unpacked = run_lengths::unpack(&mut file, four_bits, width, height);
        stride = u64::from(width);
        (unpacked.as_slice(), layout)
    } else {
        stride = ((u64::from(width) * u64::from(header.bits) + 31) >> 3) & !3;
        (file.rest(), layout)
    };
    let row_bytes = layout.row_bytes(width);
    if row_bytes > stride {
        return Err(broken(format!("BMP: rows have {stride} bytes, expected {row_bytes}")));
    }
    if (rows.len() as u64) < u64::from(height - 1) * stride + row_bytes {
        return Err(truncated("BMP: unexpected end of file"));
    }
    let line = width as usize * 3;
    let mut rgb = vec![0; height as usize * line];
    for (number, out) in rgb.chunks_exact_mut(line).enumerate() {
        let row = if header.from_top { number } else { height as usize - 1 - number };
        layout.unpack(&rows[row * stride as usize..], &palette, out);
    }
    RgbImage::new(height, width, rgb)
}

struct BmpHeader {
    width: u32,
    height: u32,
    bits: u16,
    colours: u64,
    /// Bytes per palette entry.
    entry: u64,
    from_top: bool,
    layout: SampleLayout,
    /// Set for run-length encoding: whether with four bits per pixel.
    runs: Option<bool>,
    /// Offset of the pixels; 0 if they follow the palette.
    offset: u64,
}

const RAW: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BITFIELDS: u32 = 3;

impl BmpHeader {
    /// `BmpImageFile._bitmap`, up to the palette.
    fn read(file: &mut FileBytes, mut offset: u64) -> Result<Self, ImageError> {
        let size = u32_le(file.read(4), 0)?;
        let data = file.exact(u64::from(size.saturating_sub(4)))?;
        let (width, height, from_top, bits, compression, mut colours, entry);
        match size {
            12 => {
                (width, height) = (u32::from(u16_le(data, 0)?), u32::from(u16_le(data, 2)?));
                (from_top, bits, compression, colours, entry) = (false, u16_le(data, 6)?, RAW, 0, 3);
            }
            40 | 52 | 56 | 64 | 108 | 124 => {
                width = u32_le(data, 0)?;
                from_top = data[7] == 0xff;
                height = if from_top { u32_le(data, 4)?.wrapping_neg() } else { u32_le(data, 4)? };
                (bits, compression, colours, entry) =
                    (u16_le(data, 10)?, u32_le(data, 12)?, u64::from(u32_le(data, 28)?), 4);
            }
            other => return Err(broken(format!("BMP: unsupported header of {other} bytes"))),
        }
        let mut masks = [0; 4];
        if compression == BITFIELDS {
            for (number, mask) in masks.iter_mut().enumerate() {
                *mask = match (number, data.len()) {
                    (0..3, 48..) | (3, 52..) => u32_le(data, 36 + number * 4)?,
                    (0..3, _) => u32_le(file.read(4), 0)?,
                    _ => 0,
                };
            }
        }
        if colours == 0 {
            colours = 1 << bits.min(32);
        }
        if offset == 14 + u64::from(size) && bits <= 8 {
            offset += entry * colours;
        }
        let layout = match bits {
            1 | 4 | 8 => SampleLayout::Index { bits: bits as u8, skipped: 0 },
            16 => SampleLayout::Packed16 { green_bits: 5 },
            24 => SampleLayout::Channels { rgb: [2, 1, 0], bytes: 3 },
            32 => SampleLayout::Channels { rgb: [2, 1, 0], bytes: 4 },
            other => return Err(broken(format!("BMP: unsupported {other} bits per pixel"))),
        };
        let (layout, runs) = match compression {
            RAW => (layout, None),
            RLE8 | RLE4 => (layout, Some(compression == RLE4)),
            BITFIELDS => (layout_from_masks(bits, masks)?, None),
            other => return Err(broken(format!("BMP: unsupported compression {other}"))),
        };
        Ok(Self { width, height, bits, colours, entry, from_top, layout, runs, offset })
    }

    /// Reads the layout and the palette. If the palette is a gray ramp, PIL drops it and reads the bytes as gray, however many
    /// bits a pixel has.
    fn colours(&self, file: &mut FileBytes) -> Result<(SampleLayout, Palette), ImageError> {
        let SampleLayout::Index { .. } = self.layout else { return Ok((self.layout, Palette::BLACK)) };
        if self.colours > 65536 {
            return Err(broken(format!("BMP: palette of {} colours", self.colours)));
        }
        let entries = file.read(self.entry * self.colours);
        let is_gray = (0..self.colours).all(|number| {
            let value = if self.colours == 2 { number * 255 } else { number } as u8;
            let at = (number * self.entry) as usize;
            entries.get(at..at + 3).is_some_and(|colour| colour == [value; 3])
        });
        if is_gray {
            let bits = if self.colours <= 2 { 1 } else { 8 };
            let layout = if bits == 1 {
                SampleLayout::Bits { inverted: false }
            } else {
                SampleLayout::Gray { bits, inverted: false }
            };
            return Ok((layout, Palette::BLACK));
        }
        let palette = match self.entry {
            4 => Palette::from_entries::<4>(entries, [2, 1, 0]),
            _ => Palette::from_entries::<3>(entries, [2, 1, 0]),
        };
        let too_many = || broken(format!("BMP: palette of {} colours", self.colours));
        Ok((self.layout, palette.ok_or_else(too_many)?))
    }
}

/// `MASK_MODES` of `BmpImagePlugin`: masks of red, green, blue and alpha.
fn layout_from_masks(bits: u16, masks: [u32; 4]) -> Result<SampleLayout, ImageError> {
    let channels = |rgb| Ok(SampleLayout::Channels { rgb, bytes: (bits / 8) as u8 });
    match (bits, masks) {
        (32, [0x00ff_0000, 0xff00, 0xff, 0 | 0xff00_0000] | [0, 0, 0, 0]) | (24, [0x00ff_0000, 0xff00, 0xff, _]) => {
            channels([2, 1, 0])
        }
        (32, [0xff00_0000, 0x00ff_0000, 0xff00, 0 | 0xff]) => channels([3, 2, 1]),
        (32, [0xff00_0000, 0xff00, 0xff, 0 | 0x00ff_0000]) => channels([3, 1, 0]),
        (32, [0xff, 0xff00, 0x00ff_0000, 0xff00_0000]) => channels([0, 1, 2]),
        (16, [0xf800, 0x7e0, 0x1f, _]) => Ok(SampleLayout::Packed16 { green_bits: 6 }),
        (16, [0x7c00, 0x3e0, 0x1f, _]) => Ok(SampleLayout::Packed16 { green_bits: 5 }),
        _ => Err(broken(format!("BMP: unsupported {bits} bits per pixel with masks {masks:x?}"))),
    }
}
