//! Reads the orientation from metadata, like PIL's `Image.getexif` and `ImageOps.exif_transpose`.

use std::collections::BTreeMap;

use super::image_error::broken;
use crate::shared::error::ImageError;

/// EXIF orientation, 1 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orientation(u8);

impl Orientation {
    /// Pixels as they are stored.
    pub(super) const NONE: Self = Self(1);

    /// Converts an EXIF number; other numbers mean no rotation.
    pub(super) fn from_number(number: f64) -> Self {
        // Not a range of floats: 6.5 is not an orientation.
        (2..=8).find(|known| f64::from(*known).total_cmp(&number).is_eq()).map_or(Self::NONE, Self)
    }

    pub(super) fn number(self) -> u8 {
        self.0
    }

    /// Whether height and width are swapped.
    pub(super) fn swaps_sides(self) -> bool {
        self.0 >= 5
    }
}

/// Metadata of an image that may contain its orientation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OrientationMetadata<'a> {
    /// A TIFF-like block, with or without a leading `Exif\0\0`.
    pub(super) exif: Option<&'a [u8]>,
    /// Hexadecimal string, used without an EXIF block (PNG).
    pub(super) raw_profile: Option<&'a [u8]>,
    /// An XMP packet, used if EXIF has no orientation tag.
    pub(super) xmp: Option<&'a [u8]>,
}

impl OrientationMetadata<'_> {
    /// Returns the orientation.
    ///
    /// # Errors
    /// Returns an error if PIL cannot read the EXIF block, since it then cannot apply the orientation.
    pub(super) fn orientation(self) -> Result<Orientation, ImageError> {
        let tag = match (self.exif, self.raw_profile) {
            (Some(block), _) => orientation_from_exif(block)?,
            (None, Some(text)) => orientation_from_exif(&from_hex(text)?)?,
            (None, None) => None,
        };
        Ok(tag.or_else(|| self.xmp.and_then(orientation_from_xmp)).unwrap_or(Orientation::NONE))
    }
}

/// Orientation tag of an EXIF block, if any. `Exif\0\0` may occur up to twice.
fn orientation_from_exif(block: &[u8]) -> Result<Option<Orientation>, ImageError> {
    let once = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    let bytes = once.strip_prefix(b"Exif\0\0").unwrap_or(once);
    if bytes.is_empty() {
        return Ok(None);
    }
    let head = bytes.first_chunk::<8>().and_then(|head| Some((Endian::of_tiff(head)?, head)));
    let Some((endian, head)) = head.filter(|(_, head)| head[2] != 43) else {
        return Err(broken("EXIF: no TIFF header"));
    };
    let at = endian.u32(&head[4..]);
    let directory = Directory::read(bytes, at as usize, endian);
    Ok(directory.tag(ORIENTATION).map(|value| value.orientation(endian)))
}

/// EXIF tag of the orientation.
pub(super) const ORIENTATION: u16 = 274;

/// Byte order of a TIFF or EXIF block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

impl Endian {
    /// `PREFIXES` of `TiffImagePlugin`, including the two invalid ones.
    pub(super) fn of_tiff(head: &[u8]) -> Option<Self> {
        match head {
            [b'I', b'I', 0x2a | 0x2b, 0, ..] | [b'I', b'I', 0, 0x2a, ..] => Some(Self::Little),
            [b'M', b'M', 0, 0x2a | 0x2b, ..] | [b'M', b'M', 0x2a, 0, ..] => Some(Self::Big),
            _ => None,
        }
    }

    /// Reads a u16 from the first two bytes; missing bytes count as 0.
    pub(super) fn u16(self, bytes: &[u8]) -> u16 {
        self.number(bytes, 2) as u16
    }

    /// Reads a u32 from the first four bytes.
    pub(super) fn u32(self, bytes: &[u8]) -> u32 {
        self.number(bytes, 4) as u32
    }

    fn number(self, bytes: &[u8], size: usize) -> u64 {
        let bytes = &bytes[..bytes.len().min(size)];
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, fold),
            Self::Big => bytes.iter().fold(0, fold),
        }
    }
}

/// Tags of a directory, read like `ImageFileDirectory_v2.load`.
#[derive(Debug, Default)]
pub(super) struct Directory<'a> {
    tags: BTreeMap<u16, TagValue<'a>>,
    /// The directory or a value extends beyond the file. PIL stops there with a warning.
    pub(super) is_cut: bool,
    /// Entries were skipped: unknown types, repeated tags, or no value.
    pub(super) has_gaps: bool,
}

/// The value of a tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct TagValue<'a> {
    pub(super) kind: u16,
    pub(super) bytes: &'a [u8],
}

impl<'a> Directory<'a> {
    /// Reads the directory at `at`.
    pub(super) fn read(file: &'a [u8], at: usize, endian: Endian) -> Self {
        let mut directory = Self { is_cut: true, ..Self::default() };
        let Some([a, b, entries @ ..]) = file.get(at..) else { return directory };
        let count = usize::from(endian.u16(&[*a, *b]));
        let mut total_size = 0;
        for entry in 0..count {
            let Some(entry) = entries.get(entry * 12..entry * 12 + 12) else { return directory };
            let (tag, kind) = (endian.u16(entry), endian.u16(&entry[2..]));
            let Some(unit) = unit_bytes(kind).filter(|_| !directory.tags.contains_key(&tag)) else {
                directory.has_gaps = true;
                continue;
            };
            let size = u64::from(endian.u32(&entry[4..])) * unit;
            let bytes = if size > 4 {
                total_size += size;
                if total_size > file.len() as u64 {
                    directory.has_gaps = true;
                    continue;
                }
                let from = endian.u32(&entry[8..]) as usize;
                match file.get(from..).and_then(|rest| rest.get(..size as usize)) {
                    Some(bytes) => bytes,
                    None => return directory,
                }
            } else {
                &entry[8..8 + size as usize]
            };
            if bytes.is_empty() {
                directory.has_gaps = true;
            } else {
                directory.tags.insert(tag, TagValue { kind, bytes });
            }
        }
        directory.is_cut = entries.len() < count * 12 + 4;
        directory
    }

    pub(super) fn tag(&self, tag: u16) -> Option<TagValue<'a>> {
        self.tags.get(&tag).copied()
    }
}

impl TagValue<'_> {
    /// Converts the first number to an orientation. PIL accepts every numeric type: `6`, `6.0` and `6/1` are equal. Bytes and
    /// text are not numeric.
    pub(super) fn orientation(self, endian: Endian) -> Orientation {
        let bits = |size| endian.number(self.bytes, size);
        Orientation::from_number(match self.kind {
            3 | 4 | 13 | 16 => bits(unit_bytes(self.kind).unwrap_or_default() as usize) as f64,
            5 => quotient(endian.u32(self.bytes) as f64, endian.u32(&self.bytes[4..]) as f64),
            6 => f64::from(bits(1) as i8),
            8 => f64::from(bits(2) as i16),
            9 => f64::from(bits(4) as i32),
            10 => quotient(f64::from(bits(4) as i32), f64::from(endian.u32(&self.bytes[4..]) as i32)),
            11 => f64::from(f32::from_bits(bits(4) as u32)),
            12 => f64::from_bits(bits(8)),
            _ => return Orientation::NONE,
        })
    }

    /// Unsigned numbers of a value of type SHORT or LONG.
    pub(super) fn numbers(self, endian: Endian) -> Option<Vec<u32>> {
        match self.kind {
            3 => Some(self.bytes.chunks_exact(2).map(|two| u32::from(endian.u16(two))).collect()),
            4 => Some(self.bytes.chunks_exact(4).map(|four| endian.u32(four)).collect()),
            _ => None,
        }
    }
}

fn quotient(a: f64, b: f64) -> f64 {
    if b == 0.0 { f64::NAN } else { a / b }
}

/// Size of one number of a type in bytes; `None` for types that PIL does not read.
fn unit_bytes(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 => Some(8),
        _ => None,
    }
}

/// Finds the first `tiff:Orientation="6"` or `<tiff:Orientation>6`.
pub(super) fn orientation_from_xmp(text: &[u8]) -> Option<Orientation> {
    const NAME: &[u8] = b"tiff:Orientation";
    let starts = text.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let digit = starts.into_iter().find_map(|(at, _)| match &text[at + NAME.len()..] {
        [b'=', b'"', digit @ b'0'..=b'9', ..] | [b'>', digit @ b'0'..=b'9', ..] => Some(digit - b'0'),
        _ => None,
    })?;
    Some(Orientation::from_number(f64::from(digit)))
}

/// Parses `Raw profile type exif`: three header lines, then hexadecimal digits.
fn from_hex(text: &[u8]) -> Result<Vec<u8>, ImageError> {
    let lines = text.split(|byte| *byte == b'\n').skip(3);
    let digits: Vec<u8> = lines.flatten().copied().collect();
    let is_space = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    let mut rest = digits.as_slice();
    loop {
        rest = &rest[rest.iter().position(|byte| !is_space(*byte)).unwrap_or(rest.len())..];
        match rest {
            [] => return Ok(bytes),
            [high, low, ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { break };
                bytes.push((high * 16 + low) as u8);
                rest = &rest[2..];
            }
            _ => break,
        }
    }
    Err(broken("PNG: raw EXIF profile is not hexadecimal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(endian: [u8; 2], kind: u16, count: u32, value: &[u8]) -> Vec<u8> {
        let big = endian == *b"MM";
        let u16_of = |number: u16| if big { number.to_be_bytes() } else { number.to_le_bytes() };
        let u32_of = |number: u32| if big { number.to_be_bytes() } else { number.to_le_bytes() };
        let mut bytes = [endian.as_slice(), &u16_of(42), &u32_of(8), &u16_of(1)].concat();
        bytes.extend([u16_of(ORIENTATION), u16_of(kind)].concat());
        bytes.extend(u32_of(count));
        if value.len() > 4 {
            bytes.extend(u32_of(26));
            bytes.extend([0; 4]);
            bytes.extend(value);
        } else {
            bytes.extend(value);
            bytes.extend(vec![0; 4 - value.len()]);
            bytes.extend([0; 4]);
        }
        bytes
    }

    fn number_in(block: &[u8]) -> Option<u8> {
        orientation_from_exif(block).unwrap().map(Orientation::number)
    }

    /// Orientation that PIL 13 reads from the number 6 in each type.
    #[test]
    fn every_numeric_type_is_accepted() {
        for (kind, count, value, expected) in [
            (3, 1, b"\x06\0".as_slice(), 6),
            (3, 2, b"\x06\0\x01\0", 6),
            (4, 1, b"\x06\0\0\0", 6),
            (5, 1, b"\x0c\0\0\0\x02\0\0\0", 6),
            (5, 1, b"\x06\0\0\0\0\0\0\0", 1),
            (6, 1, b"\x06", 6),
            (8, 1, b"\x06\0", 6),
            (9, 1, b"\x06\0\0\0", 6),
            (11, 1, &6f32.to_le_bytes(), 6),
            (12, 1, &6f64.to_le_bytes(), 6),
            (12, 1, &6.5f64.to_le_bytes(), 1),
            (1, 1, b"\x06", 1),
            (2, 2, b"6\0", 1),
            (7, 1, b"\x06", 1),
        ] {
            assert_eq!(number_in(&block(*b"II", kind, count, value)), Some(expected), "type {kind}, {value:?}");
        }
        assert_eq!(number_in(&block(*b"MM", 4, 1, b"\0\0\0\x06")), Some(6));
    }

    #[test]
    fn exif_takes_precedence_over_xmp() {
        let (exif, empty) = (block(*b"II", 3, 1, b"\x06\0"), b"Exif\0\0II*\0\xff\xff\xff\xff");
        let xmp = Some(b"<x tiff:Orientation=\"3\"/>".as_slice());
        let number = |exif, xmp| OrientationMetadata { exif, xmp, raw_profile: None }.orientation().unwrap().number();
        assert_eq!(number(Some(&exif), xmp), 6);
        assert_eq!(number(None, xmp), 3);
        assert_eq!(number(Some(empty), xmp), 3);
        assert_eq!(number(None, None), 1);
        assert!(OrientationMetadata { exif: Some(b"Exif\0\0rubbish."), xmp, raw_profile: None }.orientation().is_err());
    }

    #[test]
    fn xmp_is_searched_as_text() {
        for (text, number) in [
            ("<tiff:Orientation>8</tiff:Orientation>", Some(8)),
            ("tiff:Orientation=\"0\"", Some(1)),
            ("tiff:Orientation='6' tiff:Orientation=\"5\"", Some(5)),
            ("tiff:Orientation", None),
        ] {
            assert_eq!(orientation_from_xmp(text.as_bytes()).map(Orientation::number), number, "{text}");
        }
    }

    #[test]
    fn raw_profiles_are_hexadecimal() {
        assert_eq!(from_hex(b"\nexif\n  4\n4d4d\n 002A\n"), Ok(vec![0x4d, 0x4d, 0, 0x2a]));
        assert!(from_hex(b"\nexif\n  4\n4d4").is_err() && from_hex(b"\n\n\nxy").is_err());
        assert_eq!(from_hex(b"no head"), Ok(vec![]));
    }
}
