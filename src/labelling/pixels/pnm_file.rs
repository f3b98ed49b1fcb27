//! PBM, PGM, PPM and PFM, as `PpmImagePlugin` reads them.

mod plain_text;

use super::file_bytes::FileBytes;
use super::image_error::{broken, inexact, truncated};
use super::limits::DecodeLimits;
use super::rgb_image::RgbImage;
use super::samples::{Palette, SampleLayout};
use crate::shared::error::ImageError;

/// Decodes a file with magic number P1 to P6 or Pf.
///
/// # Errors
/// Returns an error if PIL refuses the file, or for PIL's own extensions (`P0CMYK`, `PyP` …).
pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let mut file = FileBytes::new(bytes, 0);
    let kind = match magic(&mut file) {
        [b'P', kind @ (b'1'..=b'6' | b'f')] => *kind,
        b"P0CMYK" | b"PyP" | b"PyRGBA" | b"PyCMYK" => return Err(inexact("PNM", "an extension of PIL")),
        other => return Err(broken(format!("PNM: unknown magic number {:?}", String::from_utf8_lossy(other)))),
    };
    let mut side = || {
        let number = integer(&token(&mut file)?)?;
        u32::try_from(number).map_err(|_| broken(format!("PNM: invalid side of {number} pixels")))
    };
    let (width, height) = (side()?, side()?);
    limits.check(height, width, 4)?;
    let rgb = match kind {
        b'1' => plain_text::bits(file.rest(), pixels(height, width))?,
        b'4' => rows(file.rest(), SampleLayout::Bits { inverted: true }, height, width)?,
        b'f' => floats(&mut file, height, width)?,
        _ => {
            let largest = integer(&token(&mut file)?)?;
            let largest = u16::try_from(largest).ok().filter(|largest| *largest > 0);
            let largest = largest.ok_or_else(|| broken("PNM: maximum value is not between 1 and 65,535"))?;
            let samples = pixels(height, width) * if matches!(kind, b'3' | b'6') { 3 } else { 1 };
            let values = match kind {
                b'2' | b'3' => plain_text::numbers(file.rest(), samples, Scale::new(kind, largest))?,
                _ => binary(file.rest(), samples, Scale::new(kind, largest))?,
            };
            if matches!(kind, b'3' | b'6') { values } else { values.into_iter().flat_map(|gray| [gray; 3]).collect() }
        }
    };
    RgbImage::new(height, width, rgb)
}

fn pixels(height: u32, width: u32) -> usize {
    height as usize * width as usize
}

/// Scales values to 8 bits. PIL scales gray with more than 255 steps to 16 bits and then clips at 255.
#[derive(Clone, Copy, Debug)]
struct Scale {
    largest: u16,
    out: f64,
}

impl Scale {
    fn new(kind: u8, largest: u16) -> Self {
        let is_gray16 = matches!(kind, b'2' | b'5') && largest > 255;
        Self { largest, out: if is_gray16 { 65535.0 } else { 255.0 } }
    }

    fn apply(self, value: u64) -> u8 {
        // Python also rounds halves to even.
        (value as f64 / f64::from(self.largest) * self.out).round_ties_even().min(255.0) as u8
    }
}

fn binary(data: &[u8], samples: usize, scale: Scale) -> Result<Vec<u8>, ImageError> {
    if scale.largest == 255 {
        return data.get(..samples).map(<[u8]>::to_vec).ok_or_else(no_end);
    }
    if scale.largest < 256 {
        let scaled: Vec<u8> = (0..=255).map(|value| scale.apply(value)).collect();
        let data = data.get(..samples).ok_or_else(no_end)?;
        return Ok(data.iter().map(|value| scaled[usize::from(*value)]).collect());
    }
    let (values, _) = data.get(..samples * 2).ok_or_else(no_end)?.as_chunks::<2>();
    Ok(values.iter().map(|value| scale.apply(u64::from(u16::from_be_bytes(*value)))).collect())
}

fn rows(data: &[u8], layout: SampleLayout, height: u32, width: u32) -> Result<Vec<u8>, ImageError> {
    let row = layout.row_bytes(width) as usize;
    let data = data.get(..row * height as usize).ok_or_else(no_end)?;
    let mut rgb = vec![0; pixels(height, width) * 3];
    for (row, out) in data.chunks_exact(row).zip(rgb.chunks_exact_mut(width as usize * 3)) {
        layout.unpack(row, &Palette::BLACK, out);
    }
    Ok(rgb)
}

/// Reads 32-bit float gray, bottom row first. Values are clipped and truncated, not scaled (`f2l` in `Convert.c`).
fn floats(file: &mut FileBytes, height: u32, width: u32) -> Result<Vec<u8>, ImageError> {
    let scale = token(file)?;
    let number = str::from_utf8(&scale).ok().and_then(|text| text.parse::<f64>().ok());
    let number = number.filter(|number| number.is_finite() && *number != 0.0);
    let number = number.ok_or_else(|| broken("PFM: scale is missing or 0"))?;
    let mut rows = rows(file.rest(), SampleLayout::Float { big_endian: number > 0.0 }, height, width)?;
    let line = width as usize * 3;
    for row in 0..height as usize / 2 {
        let (upper, lower) = rows.split_at_mut((height as usize - 1 - row) * line);
        upper[row * line..][..line].swap_with_slice(&mut lower[..line]);
    }
    Ok(rows)
}

fn magic<'a>(file: &mut FileBytes<'a>) -> &'a [u8] {
    let six = file.read(6);
    let end = six.iter().position(|byte| is_space(*byte)).unwrap_or(six.len());
    file.seek((end + usize::from(end < six.len())) as u64);
    &six[..end]
}

/// `PpmImageFile._read_token`: up to 10 characters between spaces, without comments.
fn token(file: &mut FileBytes) -> Result<Vec<u8>, ImageError> {
    let mut token = Vec::new();
    while token.len() <= 10 {
        match file.byte() {
            None => break,
            Some(byte) if is_space(byte) => {
                if !token.is_empty() {
                    break;
                }
            }
            Some(b'#') => while file.byte().is_some_and(|byte| !matches!(byte, b'\r' | b'\n')) {},
            Some(byte) => token.push(byte),
        }
    }
    match token.len() {
        0 => Err(truncated("PNM: unexpected end of file in the header")),
        11.. => Err(broken("PNM: number of more than 10 characters")),
        _ => Ok(token),
    }
}

/// Parses an integer like Python's `int`: a sign, and digits with single underscores between them.
fn integer(token: &[u8]) -> Result<i64, ImageError> {
    let negative = token.first() == Some(&b'-');
    let digits = token.strip_prefix(b"-").or(token.strip_prefix(b"+")).unwrap_or(token);
    let is_number = digits.first().is_some_and(u8::is_ascii_digit)
        && digits.last().is_some_and(u8::is_ascii_digit)
        && digits.windows(2).all(|pair| pair != b"__")
        && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'_');
    if !is_number {
        return Err(broken(format!("PNM: {:?} is not a number", String::from_utf8_lossy(token))));
    }
    let value = digits
        .iter()
        .filter(|byte| **byte != b'_')
        .fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    Ok(if negative { -value } else { value })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

fn no_end() -> ImageError {
    truncated("PNM: unexpected end of file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labelling::pixels::budget::MemoryBudget;
    use crate::shared::error::ImageErrorKind;

    fn rgb(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
        decode(bytes, &DecodeLimits::new(&MemoryBudget::new(1 << 30, 1), None)).map(|image| image.data)
    }

    /// Values as PIL 13 decodes them.
    #[test]
    fn values_are_scaled_like_pil() {
        assert_eq!(rgb(b"P1 2 1 1 0"), Ok(vec![0, 0, 0, 255, 255, 255]));
        assert_eq!(rgb(b"P1 2 1 10"), Ok(vec![0, 0, 0, 255, 255, 255]));
        assert_eq!(rgb(b"P3 1 1 15 15 0 3"), Ok(vec![255, 0, 51]));
        assert_eq!(rgb(b"P2 2 1 1000 1 900"), Ok(vec![66, 66, 66, 255, 255, 255]));
        assert_eq!(rgb(b"P5 1 1 65535 \0\x20"), Ok(vec![32; 3]));
    }

    #[test]
    fn comments_do_not_separate_numbers() {
        assert_eq!(rgb(b"P2 1 #wide\n1 255 1#2\n7"), Ok(vec![17; 3]));
        assert_eq!(rgb(b"P2 #a\r1#b\n 1 255 7"), Ok(vec![7; 3]));
    }

    #[test]
    fn floats_are_clipped() {
        let values = [f32::NAN, -1.0, 0.9, 254.9, 300.0].map(f32::to_le_bytes).concat();
        let expected = [0, 0, 0, 254, 255].into_iter().flat_map(|value| [value; 3]).collect();
        assert_eq!(rgb(&[b"Pf 5 1 -1.0\n".as_slice(), &values].concat()), Ok(expected));
    }

    #[test]
    fn invalid_files_are_refused() {
        for (file, kind) in [
            (b"P6 2 2 255 \0".as_slice(), ImageErrorKind::Truncated),
            (b"P6 2", ImageErrorKind::Truncated),
            (b"P6 20000 20000 255 ", ImageErrorKind::TooLarge),
            (b"P2 1 1 255 256", ImageErrorKind::Broken),
            (b"P2 1 1 0 0", ImageErrorKind::Broken),
            (b"P2 -1 1 255 0", ImageErrorKind::Broken),
            (b"P7 1 1 255 0", ImageErrorKind::Broken),
            (b"P1 1 1 2", ImageErrorKind::Broken),
        ] {
            assert_eq!(rgb(file).unwrap_err().kind, kind, "{}", String::from_utf8_lossy(file));
        }
    }
}
