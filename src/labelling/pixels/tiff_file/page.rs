//! Size and pixel format of a page: `TiffImageFile._setup` and its table `OPEN_INFO`, without rare entries.

use super::super::exif::{Directory, Endian};
use super::super::image_error::{broken, inexact};
use super::super::samples::{Palette, SampleLayout};
use crate::shared::error::ImageError;

const BITS_PER_SAMPLE: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
const SAMPLES_PER_PIXEL: u16 = 277;
const X_RESOLUTION: u16 = 282;
const Y_RESOLUTION: u16 = 283;
const PLANAR_CONFIGURATION: u16 = 284;
const PREDICTOR: u16 = 317;
const EXTRA_SAMPLES: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;
const JPEG_XR: u16 = 0xbc01;

/// Size and pixel format of a page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) compression: Compression,
    /// Layout of the samples after decompression.
    pub(super) layout: SampleLayout,
    pub(super) palette: Palette,
    /// Whether the bits of each byte are reversed.
    pub(super) bits_reversed: bool,
    /// Set if each sample is stored as the difference from the pixel to its left.
    pub(super) differences: Option<Differences>,
    /// Whether 16-bit samples are swapped to little-endian after decompression, as libtiff does.
    pub(super) swapped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
}

/// Horizontal differencing: libtiff's predictor 2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Differences {
    pub(super) samples: usize,
    pub(super) two_bytes: bool,
}

/// Reads tags with unsigned numbers; other types are not supported.
pub(super) struct NumericTags<'a>(pub(super) &'a Directory<'a>, pub(super) Endian);

impl NumericTags<'_> {
    pub(super) fn list(&self, tag: u16) -> Result<Option<Vec<u32>>, ImageError> {
        let Some(value) = self.0.tag(tag) else { return Ok(None) };
        let list = value.numbers(self.1).filter(|list| !list.is_empty());
        list.map(Some).ok_or_else(|| inexact("TIFF", &format!("tag {tag} of type {}", value.kind)))
    }

    pub(super) fn one(&self, tag: u16) -> Result<Option<u32>, ImageError> {
        match self.list(tag)?.as_deref() {
            None => Ok(None),
            Some(&[value]) => Ok(Some(value)),
            Some(list) => Err(inexact("TIFF", &format!("tag {tag} with {} values", list.len()))),
        }
    }
}

impl Page {
    pub(super) fn read(directory: &Directory, endian: Endian) -> Result<Self, ImageError> {
        let numbers = NumericTags(directory, endian);
        let one = |tag, default| numbers.one(tag).map(|value| value.unwrap_or(default));
        if directory.tag(JPEG_XR).is_some() {
            return Err(inexact("TIFF", "Windows Media Photo"));
        }
        for tag in [X_RESOLUTION, Y_RESOLUTION] {
            if directory.tag(tag).is_some_and(|value| matches!(value.kind, 1 | 2 | 7)) {
                return Err(inexact("TIFF", "a non-numeric resolution"));
            }
        }
        let side = |tag| numbers.one(tag)?.ok_or_else(|| broken("TIFF: no width or height"));
        let (width, height) = (side(256)?, side(257)?);
        let compression = match one(COMPRESSION, 1)? {
            1 => Compression::None,
            5 => Compression::Lzw,
            8 | 32946 => Compression::Deflate,
            32773 => Compression::PackBits,
            other => return Err(inexact("TIFF", &compression_name(other))),
        };
        if one(PLANAR_CONFIGURATION, 1)? != 1 {
            return Err(inexact("TIFF", "a separate plane for each channel"));
        }
        let bits_reversed = match one(FILL_ORDER, 1)? {
            1 => false,
            2 if compression == Compression::None => true,
            _ => return Err(inexact("TIFF", "compressed bits in reverse order")),
        };
        let mut format = numbers.list(SAMPLE_FORMAT)?.unwrap_or_else(|| vec![1]);
        if format.iter().all(|other| *other == format[0]) {
            format.truncate(1);
        }
        let extra = numbers.list(EXTRA_SAMPLES)?.unwrap_or_default();
        let bits = bits_per_sample(&numbers)?;
        let samples = SampleFormat {
            photometric: one(PHOTOMETRIC, 0)?,
            format: &format,
            bits: &bits,
            extra: &extra,
            big_endian: endian == Endian::Big,
            bits_reversed,
            is_packed: compression != Compression::None,
        };
        let (layout, swapped) = samples.layout()?;
        let differences = match (compression, one(PREDICTOR, 1)?) {
            // `PackBits` and uncompressed files have no predictor, whatever the tag.
            (Compression::None | Compression::PackBits, _) | (_, 1) => None,
            (_, 2) if matches!(bits[0], 8 | 16) => Some(Differences { samples: bits.len(), two_bytes: bits[0] == 16 }),
            (_, other) => return Err(inexact("TIFF", &format!("predictor {other} with {} bits", bits[0]))),
        };
        let palette = match layout {
            SampleLayout::Index { .. } => super::palette(directory, endian)?,
            _ => Palette::BLACK,
        };
        Ok(Self { width, height, compression, layout, palette, bits_reversed, differences, swapped })
    }
}

impl Page {
    /// Whether PIL can map the pixels from the file: `_MAPMODES` of `Image.py`.
    pub(super) fn is_mapped(&self) -> bool {
        let is_as_stored = matches!(
            self.layout,
            SampleLayout::Gray { bits: 8, inverted: false }
                | SampleLayout::Index { bits: 8, skipped: 0 }
                | SampleLayout::Gray16 { .. }
                | SampleLayout::Cmyk { bytes: 4, .. }
                | SampleLayout::Channels { rgb: [0, 1, 2], bytes: 4 }
        );
        is_as_stored && self.compression == Compression::None && !self.bits_reversed
    }
}

/// Bits of each sample.
fn bits_per_sample(numbers: &NumericTags) -> Result<Vec<u32>, ImageError> {
    const MAX_SAMPLES: u32 = 6;
    let mut bits = numbers.list(BITS_PER_SAMPLE)?.unwrap_or_else(|| vec![1]);
    let samples = numbers.one(SAMPLES_PER_PIXEL)?.unwrap_or(1);
    if !(1..=MAX_SAMPLES).contains(&samples) {
        return Err(broken(format!("TIFF: unsupported {samples} samples per pixel")));
    }
    if bits.len() == 1 {
        bits = vec![bits[0]; samples as usize];
    }
    bits.truncate(samples as usize);
    if bits.len() == samples as usize {
        Ok(bits)
    } else {
        Err(broken(format!("TIFF: {samples} samples per pixel, but bits for {}", bits.len())))
    }
}

/// Key of `OPEN_INFO`.
struct SampleFormat<'a> {
    photometric: u32,
    format: &'a [u32],
    bits: &'a [u32],
    extra: &'a [u32],
    big_endian: bool,
    bits_reversed: bool,
    is_packed: bool,
}

impl SampleFormat<'_> {
    /// Returns the layout, and whether samples must be swapped to little-endian first.
    fn layout(&self) -> Result<(SampleLayout, bool), ImageError> {
        const UNSIGNED: &[u32] = &[1];
        const SIGNED: &[u32] = &[2];
        const FLOAT: &[u32] = &[3];
        // libtiff returns samples in native byte order.
        let swapped = self.is_packed && self.big_endian;
        let big_endian = self.big_endian && !self.is_packed;
        let high = u8::from(!big_endian);
        let plain = |layout| Ok((layout, false));
        let wide = |layout| Ok((layout, swapped));
        let bytes = self.bits.len() as u8;
        let is = |bits: u32| self.bits.iter().all(|other| *other == bits);
        if self.bits_reversed && !self.can_be_reversed() {
            return Err(self.unknown());
        }
        match (self.photometric, self.format, self.bits, self.extra) {
            (photometric @ (0 | 1), UNSIGNED, [1], []) => plain(SampleLayout::Bits { inverted: photometric == 0 }),
            (photometric @ (0 | 1), UNSIGNED, &[bits @ (2 | 4 | 8)], []) => {
                plain(SampleLayout::Gray { bits: bits as u8, inverted: photometric == 0 })
            }
            (1, SIGNED, [8], []) => plain(SampleLayout::Gray { bits: 8, inverted: false }),
            // PIL does not invert 16-bit samples for which 0 is white.
            (0, UNSIGNED, [16], []) if !self.big_endian => plain(SampleLayout::Gray16 { big_endian: false }),
            (1, UNSIGNED, [16], []) => wide(SampleLayout::Gray16 { big_endian }),
            (0 | 1, FLOAT, [32], []) if !swapped => plain(SampleLayout::Float { big_endian }),
            (1, UNSIGNED, [32], []) if !self.big_endian => plain(SampleLayout::Gray32 { big_endian: false }),
            (1, SIGNED, [32], []) if !swapped => plain(SampleLayout::Gray32 { big_endian }),
            (1, UNSIGNED, [8, 8], [0 | 2]) => plain(SampleLayout::GrayWithExtra { bytes: 2 }),
            (1, UNSIGNED, [8, 8], [1]) => Err(broken("TIFF: gray with associated alpha")),
            (2, UNSIGNED, [_, _, _], [])
            | (2, UNSIGNED, [_, _, _, _], [] | [0 | 2 | 999])
            | (2, UNSIGNED, [_, _, _, _, _], [0 | 2, 0])
            | (2, UNSIGNED, [_, _, _, _, _, _], [0 | 2, 0, 0])
                if is(8) =>
            {
                plain(SampleLayout::Channels { rgb: [0, 1, 2], bytes })
            }
            (2, UNSIGNED, [_, _, _, _], [1])
            | (2, UNSIGNED, [_, _, _, _, _], [1, 0])
            | (2, UNSIGNED, [_, _, _, _, _, _], [1, 0, 0])
                if is(8) =>
            {
                plain(SampleLayout::Premultiplied { step: 1, high: 0, bytes })
            }
            (2, UNSIGNED, [_, _, _], []) | (2, UNSIGNED, [_, _, _, _], [] | [0 | 2]) if is(16) => {
                wide(SampleLayout::Channels { rgb: [high, 2 + high, 4 + high], bytes: 2 * bytes })
            }
            (2, UNSIGNED, [_, _, _, _], [1]) if is(16) => {
                wide(SampleLayout::Premultiplied { step: 2, high, bytes: 2 * bytes })
            }
            (3, UNSIGNED, &[bits @ (1 | 2 | 4 | 8)], []) => plain(SampleLayout::Index { bits: bits as u8, skipped: 0 }),
            (3, UNSIGNED, [8, 8], [0 | 2]) => plain(SampleLayout::Index { bits: 8, skipped: 1 }),
            (5, UNSIGNED, [_, _, _, _], [])
            | (5, UNSIGNED, [_, _, _, _, _], [0])
            | (5, UNSIGNED, [_, _, _, _, _, _], [0, 0])
                if is(8) =>
            {
                plain(SampleLayout::Cmyk { step: 1, high: 0, bytes })
            }
            (5, UNSIGNED, [_, _, _, _], []) if is(16) => wide(SampleLayout::Cmyk { step: 2, high, bytes: 2 * bytes }),
            (6, UNSIGNED, _, _) => Err(inexact("TIFF", "YCbCr")),
            (8, UNSIGNED, _, _) => Err(inexact("TIFF", "LAB")),
            _ => Err(self.unknown()),
        }
    }

    /// Whether PIL supports reversed bits for the layout.
    fn can_be_reversed(&self) -> bool {
        let is_usual = self.format == [1] && self.extra.is_empty();
        is_usual
            && match (self.photometric, self.bits) {
                (0 | 1, [1 | 2 | 4]) | (1 | 3, [8]) | (2, [8, 8, 8]) => true,
                (1, [16]) => !self.big_endian,
                _ => false,
            }
    }

    fn unknown(&self) -> ImageError {
        let Self { photometric, format, bits, extra, .. } = self;
        inexact(
            "TIFF",
            &format!("photometric {photometric} with bits {bits:?}, sample format {format:?}, extra {extra:?}"),
        )
    }
}

fn compression_name(number: u32) -> String {
    match number {
        2..=4 => "fax compression (CCITT)".to_owned(),
        6 | 7 => "JPEG compression".to_owned(),
        34925 => "LZMA compression".to_owned(),
        50000 => "Zstandard compression".to_owned(),
        50001 => "WebP compression".to_owned(),
        other => format!("compression {other}"),
    }
}
