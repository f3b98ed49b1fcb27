//! Converts stored rows to 8-bit RGB, like Pillow's `Unpack.c` and `convert("RGB")`.

use super::cmyk;

/// How a row stores its pixels, and how PIL converts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SampleLayout {
    /// One bit per pixel, black and white.
    Bits { inverted: bool },
    /// One byte per pixel: black for 0, else white.
    NonZero,
    /// 1, 2, 4 or 8 bits of gray, scaled to 8 bits.
    Gray { bits: u8, inverted: bool },
    /// Palette indices of 1, 2, 4 or 8 bits, followed by `skipped` bytes per pixel.
    Index { bits: u8, skipped: u8 },
    /// 16 bits of gray. PIL clips at 255 instead of scaling (`I16_RGB` in `Convert.c`).
    Gray16 { big_endian: bool },
    /// 32-bit signed gray, clipped.
    Gray32 { big_endian: bool },
    /// 32-bit float gray, clipped and truncated (`f2l`).
    Float { big_endian: bool },
    /// 8 bits of gray, followed by samples that are dropped.
    GrayWithExtra { bytes: u8 },
    /// Red, green and blue at offsets `rgb` of a pixel of `bytes` bytes.
    Channels { rgb: [u8; 3], bytes: u8 },
    /// Red, green and blue premultiplied by alpha, which PIL divides out. Samples are `step` bytes apart, with the high byte
    /// at `high`; a pixel has `bytes` bytes.
    Premultiplied { step: u8, high: u8, bytes: u8 },
    /// Five or six bits per channel in two bytes, blue lowest.
    Packed16 { green_bits: u8 },
    /// CMYK. Samples are `step` bytes apart, with the high byte at `high`; a pixel has `bytes` bytes.
    Cmyk { step: u8, high: u8, bytes: u8 },
}

impl SampleLayout {
    /// Bits per pixel: `bits` of Pillow's table of unpackers.
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Bits { .. } => 1,
            Self::NonZero => 8,
            Self::Gray { bits, .. } => u64::from(bits),
            Self::Index { bits, skipped } => u64::from(bits) + 8 * u64::from(skipped),
            Self::Gray16 { .. } | Self::Packed16 { .. } => 16,
            Self::Gray32 { .. } | Self::Float { .. } => 32,
            Self::GrayWithExtra { bytes }
            | Self::Channels { bytes, .. }
            | Self::Premultiplied { bytes, .. }
            | Self::Cmyk { bytes, .. } => 8 * u64::from(bytes),
        }
    }

    /// Bytes of a row of `pixels` pixels.
    pub(super) fn row_bytes(self, pixels: u32) -> u64 {
        (u64::from(pixels) * self.bits()).div_ceil(8)
    }

    /// Pixel `x` of a row that is long enough.
    pub(super) fn pixel(self, row: &[u8], x: usize, palette: &Palette) -> [u8; 3] {
        match self {
            Self::Bits { inverted } => [if (small(row, x, 1) != 0) ^ inverted { 255 } else { 0 }; 3],
            Self::NonZero => [if row[x] != 0 { 255 } else { 0 }; 3],
            Self::Gray { bits, inverted } => {
                let gray = match bits {
                    1 => small(row, x, 1) * 255,
                    2 => small(row, x, 2) * 0x55,
                    4 => small(row, x, 4) * 0x11,
                    _ => row[x],
                };
                [if inverted { !gray } else { gray }; 3]
            }
            Self::Index { bits, skipped } => {
                let index = if bits == 8 { row[x * (1 + usize::from(skipped))] } else { small(row, x, bits) };
                palette.colour(index)
            }
            Self::Gray16 { big_endian } => {
                let two = [row[2 * x], row[2 * x + 1]];
                let value = if big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) };
                [value.min(255) as u8; 3]
            }
            Self::Gray32 { big_endian } => {
                let bytes = four(row, x, 1, 0, 4);
                let value = if big_endian { i32::from_be_bytes(bytes) } else { i32::from_le_bytes(bytes) };
                [value.clamp(0, 255) as u8; 3]
            }
            Self::Float { big_endian } => {
                let bytes = four(row, x, 1, 0, 4);
                [(if big_endian { f32::from_be_bytes(bytes) } else { f32::from_le_bytes(bytes) }) as u8; 3]
            }
            Self::GrayWithExtra { bytes } => [row[x * usize::from(bytes)]; 3],
            Self::Channels { rgb, bytes } => rgb.map(|offset| row[x * usize::from(bytes) + usize::from(offset)]),
            Self::Premultiplied { step, high, bytes } => {
                let [r, g, b, alpha] = four(row, x, step, high, bytes);
                let divided = |value: u8| match alpha {
                    0 => 0,
                    255 => value,
                    _ => (u32::from(value) * 255 / u32::from(alpha)).min(255) as u8,
                };
                [r, g, b].map(divided)
            }
            Self::Packed16 { green_bits } => {
                let value = u32::from(u16::from_le_bytes([row[2 * x], row[2 * x + 1]]));
                let max_green = (1 << green_bits) - 1;
                let five = |bits: u32| ((bits & 31) * 255 / 31) as u8;
                let green = ((value >> 5) & max_green) * 255 / max_green;
                [five(value >> (5 + green_bits)), green as u8, five(value)]
            }
            Self::Cmyk { step, high, bytes } => cmyk::ink_to_rgb(four(row, x, step, high, bytes)),
        }
    }

    /// Converts `out.len() / 3` pixels of a row.
    pub(super) fn unpack(self, row: &[u8], palette: &Palette, out: &mut [u8]) {
        if self == (Self::Channels { rgb: [0, 1, 2], bytes: 3 }) {
            out.copy_from_slice(&row[..out.len()]);
            return;
        }
        let (pixels, _) = out.as_chunks_mut::<3>();
        if self == (Self::Channels { rgb: [0, 1, 2], bytes: 4 }) {
            let (stored, _) = row.as_chunks::<4>();
            pixels.iter_mut().zip(stored).for_each(|(rgb, [r, g, b, _])| *rgb = [*r, *g, *b]);
            return;
        }
        for (x, rgb) in pixels.iter_mut().enumerate() {
            *rgb = self.pixel(row, x, palette);
        }
    }
}

fn small(row: &[u8], x: usize, bits: u8) -> u8 {
    let at = x * usize::from(bits);
    (row[at / 8] << (at % 8)) >> (8 - bits)
}

fn four(row: &[u8], x: usize, step: u8, high: u8, bytes: u8) -> [u8; 4] {
    [0, 1, 2, 3].map(|sample| row[x * usize::from(bytes) + sample * usize::from(step) + usize::from(high)])
}

/// The colours of a palette; missing entries are black.
#[derive(Clone, Debug)]
pub(super) struct Palette([[u8; 3]; 256]);

impl Palette {
    pub(super) const BLACK: Self = Self([[0; 3]; 256]);

    /// Gray levels, as PIL shows an image without a palette.
    pub(super) fn grays() -> Self {
        Self(std::array::from_fn(|gray| [gray as u8; 3]))
    }

    /// Reads entries of `N` bytes with red, green and blue at offsets `rgb`. `None` if there are more than 256, which PIL
    /// refuses (`_putpalette`).
    pub(super) fn from_entries<const N: usize>(bytes: &[u8], rgb: [usize; 3]) -> Option<Self> {
        let (entries, _) = bytes.as_chunks::<N>();
        let mut palette = Self::BLACK;
        if entries.len() > 256 {
            return None;
        }
        for (colour, entry) in palette.0.iter_mut().zip(entries) {
            *colour = rgb.map(|offset| entry[offset]);
        }
        Some(palette)
    }

    pub(super) fn colour(&self, index: u8) -> [u8; 3] {
        self.0[usize::from(index)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_samples_are_scaled() {
        let gray = |bits, row: &[u8], x| SampleLayout::Gray { bits, inverted: false }.pixel(row, x, &Palette::BLACK)[0];
        assert_eq!([0, 1, 2, 3].map(|x| gray(2, &[0b00_01_10_11], x)), [0, 85, 170, 255]);
        assert_eq!([0, 1].map(|x| gray(4, &[0x3f], x)), [51, 255]);
        assert_eq!([0, 1].map(|x| gray(1, &[0x40], x)), [0, 255]);
    }

    #[test]
    fn sixteen_bit_gray_is_clipped() {
        let layout = SampleLayout::Gray16 { big_endian: true };
        let row = [0, 7, 0, 254, 1, 44];
        assert_eq!([0, 1, 2].map(|x| layout.pixel(&row, x, &Palette::BLACK)[0]), [7, 254, 255]);
    }

    #[test]
    fn associated_alpha_is_divided_out() {
        let layout = SampleLayout::Premultiplied { step: 1, high: 0, bytes: 4 };
        assert_eq!(layout.pixel(&[10, 64, 200, 128], 0, &Palette::BLACK), [19, 127, 255]);
        assert_eq!(layout.pixel(&[10, 64, 200, 0], 0, &Palette::BLACK), [0, 0, 0]);
    }

    #[test]
    fn palettes_of_more_than_256_colours_are_refused() {
        assert!(Palette::from_entries::<3>(&[7; 770], [0, 1, 2]).is_some());
        assert!(Palette::from_entries::<3>(&[7; 771], [0, 1, 2]).is_none());
    }
}
