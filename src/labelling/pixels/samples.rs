//! Rows as files store them to 8-bit RGB, by the rules of Pillow's `Unpack.c` and `convert("RGB")`.

use super::cmyk;

/// How a row stores its pixels, and what PIL makes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One bit a pixel: black and white.
    Bits { inverted: bool },
    /// One byte a pixel: black for 0, else white.
    NonZero,
    /// 1, 2, 4 or 8 bits of gray, scaled to 8.
    Gray { bits: u8, inverted: bool },
    /// 1, 2, 4 or 8 bits of a colour's number, and what follows it in a pixel.
    Index { bits: u8, skipped: u8 },
    /// 16 bits of gray. PIL does not scale them, it clips: all from 255 up is white (`I16_RGB` in `Convert.c`).
    Gray16 { big_endian: bool },
    /// 32 bits of gray with a sign, clipped.
    Gray32 { big_endian: bool },
    /// Gray of 32-bit floats, clipped and cut (`f2l`).
    Float { big_endian: bool },
    /// 8 bits of gray and other samples, which are dropped.
    GrayAnd { bytes: u8 },
    /// Bytes of which `[r, g, b]` are at these places of a pixel of `bytes`.
    Places { rgb: [u8; 3], bytes: u8 },
    /// Red, green and blue multiplied by alpha: PIL divides by it. `step` bytes from sample to sample, the high byte at
    /// `high`, `bytes` a pixel.
    Premultiplied { step: u8, high: u8, bytes: u8 },
    /// Five or six bits a channel in two bytes, blue lowest.
    Packed16 { green_bits: u8 },
    /// Ink: `step` bytes from sample to sample, the high byte at `high`, `bytes` a pixel.
    Cmyk { step: u8, high: u8, bytes: u8 },
}

impl Layout {
    /// Bits of a pixel: the `bits` of Pillow's table of unpackers.
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Bits { .. } => 1,
            Self::NonZero => 8,
            Self::Gray { bits, .. } => u64::from(bits),
            Self::Index { bits, skipped } => u64::from(bits) + 8 * u64::from(skipped),
            Self::Gray16 { .. } | Self::Packed16 { .. } => 16,
            Self::Gray32 { .. } | Self::Float { .. } => 32,
            Self::GrayAnd { bytes }
            | Self::Places { bytes, .. }
            | Self::Premultiplied { bytes, .. }
            | Self::Cmyk { bytes, .. } => 8 * u64::from(bytes),
        }
    }

    /// Bytes of a row of `pixels`.
    pub(super) fn row_bytes(self, pixels: u32) -> u64 {
        (u64::from(pixels) * self.bits()).div_ceil(8)
    }

    /// The pixel number `x` of a row that is long enough.
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
            Self::GrayAnd { bytes } => [row[x * usize::from(bytes)]; 3],
            Self::Places { rgb, bytes } => rgb.map(|place| row[x * usize::from(bytes) + usize::from(place)]),
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
                let most = (1 << green_bits) - 1;
                let five = |bits: u32| ((bits & 31) * 255 / 31) as u8;
                let green = ((value >> 5) & most) * 255 / most;
                [five(value >> (5 + green_bits)), green as u8, five(value)]
            }
            Self::Cmyk { step, high, bytes } => cmyk::ink_to_rgb(four(row, x, step, high, bytes)),
        }
    }

    /// Writes `out.len() / 3` pixels of a row.
    pub(super) fn unpack(self, row: &[u8], palette: &Palette, out: &mut [u8]) {
        if self == (Self::Places { rgb: [0, 1, 2], bytes: 3 }) {
            out.copy_from_slice(&row[..out.len()]);
            return;
        }
        let (pixels, _) = out.as_chunks_mut::<3>();
        if self == (Self::Places { rgb: [0, 1, 2], bytes: 4 }) {
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

/// The colours of a palette; what a file leaves out is black.
#[derive(Clone, Debug)]
pub(super) struct Palette([[u8; 3]; 256]);

impl Palette {
    pub(super) const BLACK: Self = Self([[0; 3]; 256]);

    /// Each number its own gray, as PIL shows an image without a palette.
    pub(super) fn grays() -> Self {
        Self(std::array::from_fn(|gray| [gray as u8; 3]))
    }

    /// Entries of `N` bytes each; `rgb` are the places of red, green and blue. None where there are more than 256:
    /// PIL refuses those (`_putpalette`).
    pub(super) fn of_entries<const N: usize>(bytes: &[u8], rgb: [usize; 3]) -> Option<Self> {
        let (entries, _) = bytes.as_chunks::<N>();
        let mut palette = Self::BLACK;
        if entries.len() > 256 {
            return None;
        }
        for (colour, entry) in palette.0.iter_mut().zip(entries) {
            *colour = rgb.map(|place| entry[place]);
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
        let gray = |bits, row: &[u8], x| Layout::Gray { bits, inverted: false }.pixel(row, x, &Palette::BLACK)[0];
        assert_eq!([0, 1, 2, 3].map(|x| gray(2, &[0b00_01_10_11], x)), [0, 85, 170, 255]);
        assert_eq!([0, 1].map(|x| gray(4, &[0x3f], x)), [51, 255]);
        assert_eq!([0, 1].map(|x| gray(1, &[0x40], x)), [0, 255]);
    }

    #[test]
    fn gray_of_16_bits_is_clipped() {
        let layout = Layout::Gray16 { big_endian: true };
        let row = [0, 7, 0, 254, 1, 44];
        assert_eq!([0, 1, 2].map(|x| layout.pixel(&row, x, &Palette::BLACK)[0]), [7, 254, 255]);
    }

    #[test]
    fn associated_alpha_is_divided_out() {
        let layout = Layout::Premultiplied { step: 1, high: 0, bytes: 4 };
        assert_eq!(layout.pixel(&[10, 64, 200, 128], 0, &Palette::BLACK), [19, 127, 255]);
        assert_eq!(layout.pixel(&[10, 64, 200, 0], 0, &Palette::BLACK), [0, 0, 0]);
    }

    #[test]
    fn more_than_256_colours_are_no_palette() {
        assert!(Palette::of_entries::<3>(&[7; 770], [0, 1, 2]).is_some());
        assert!(Palette::of_entries::<3>(&[7; 771], [0, 1, 2]).is_none());
    }
}
