//! The marker structure of a JPEG file: its frame header, its EXIF segment, and whether it has an end.

/// What the markers of a JPEG say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Markers {
    /// The frame header (SOF), where one was found.
    pub(super) frame: Option<Frame>,
    /// An end-of-image marker stands where the decoder would meet it.
    pub(super) has_end: bool,
    /// Byte range of the TIFF data in the EXIF segment.
    pub(super) exif: Option<std::ops::Range<usize>>,
    /// Byte ranges of the header's segments, markers included, up to the first scan.
    pub(super) header: Vec<std::ops::Range<usize>>,
    /// Where the first scan's marker stands.
    pub(super) first_scan: Option<usize>,
}

/// A frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) height_pixels: u32,
    pub(super) width_pixels: u32,
    pub(super) components: u8,
    pub(super) progressive: bool,
}

mod code {
    pub(super) const SOI: u8 = 0xd8;
    pub(super) const EOI: u8 = 0xd9;
    pub(super) const SOS: u8 = 0xda;
    pub(super) const APP1: u8 = 0xe1;
}

/// Walks from marker to marker, and stops at the end of the image or of the bytes.
pub(super) fn walk(bytes: &[u8]) -> Markers {
    let mut found = Markers::default();
    let mut at = 2;
    // `next_marker` passes over anything that is no marker: entropy-coded data, and rubbish as libjpeg does.
    while let Some((start, marker)) = next_marker(bytes, at) {
        at = start + 2;
        match marker {
            code::EOI => {
                found.has_end = true;
                break;
            }
            // Without a length.
            0x01 | code::SOI | 0xd0..=0xd7 => continue,
            _ => {}
        }
        let Some(length) = bytes.get(at..at + 2).map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]]))) else {
            break;
        };
        let Some(body) = bytes.get(at + 2..at + length.max(2)) else { break };
        match marker {
            // SOF0..SOF15 without DHT, JPG and DAC, which share the numbers.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) && found.frame.is_none() && body.len() >= 6 => {
                found.frame = Some(Frame {
                    height_pixels: u32::from(u16::from_be_bytes([body[1], body[2]])),
                    width_pixels: u32::from(u16::from_be_bytes([body[3], body[4]])),
                    components: body[5],
                    progressive: matches!(marker, 0xc2 | 0xc6 | 0xca | 0xce),
                });
            }
            code::APP1 if found.exif.is_none() && body.starts_with(b"Exif\0\0") => {
                found.exif = Some(at + 8..at + length);
            }
            code::SOS if found.first_scan.is_none() => found.first_scan = Some(start),
            _ => {}
        }
        if found.first_scan.is_none() {
            found.header.push(start..at + length.max(2));
        }
        at += length.max(2);
    }
    found
}

/// The next marker at or after `from`, as (position, code). Stuffed zeros and fill bytes are no markers.
fn next_marker(bytes: &[u8], from: usize) -> Option<(usize, u8)> {
    let mut at = from;
    loop {
        let offset = bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        at += offset;
        match bytes.get(at + 1)? {
            0xff => at += 1,
            0x00 => at += 2,
            &marker => return Some((at, marker)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] =
        b"\xff\xd8\xff\xe1\x00\x0aExif\0\0II\xff\xc2\x00\x0b\x08\x00\x02\x00\x03\x01\x01\x11\x00\xff\xda\x00\x04ab";

    #[test]
    fn header_and_end_are_found() {
        let mut bytes = HEADER.to_vec();
        bytes.extend(b"data\xff\x00\xff\xd0more");
        let open = walk(&bytes);
        assert_eq!(open.frame, Some(Frame { height_pixels: 2, width_pixels: 3, components: 1, progressive: true }));
        assert_eq!(&bytes[open.exif.clone().unwrap()], b"II");
        assert_eq!((open.header.len(), open.has_end), (2, false));
        bytes.extend(b"\xff\xff\xd9rubbish");
        assert!(walk(&bytes).has_end);
    }

    #[test]
    fn any_bytes_are_walked_without_panic() {
        for cut in 0..HEADER.len() {
            let _ = walk(&HEADER[..cut]);
        }
        assert!(!walk(b"\xff\xd8\xff\xda\xff\xff").has_end);
    }
}
