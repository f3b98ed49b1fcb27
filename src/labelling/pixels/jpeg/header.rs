//! The header of a JPEG up to its first scan, read like PIL's `JpegImageFile._open`.

use super::markers::{Unread, is_bare, is_frame};
use crate::labelling::pixels::image_error::broken;
use crate::shared::error::ImageError;

const SOI: u8 = 0xd8;
const SOS: u8 = 0xda;
const DRI: u8 = 0xdd;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP14: u8 = 0xee;
const APP15: u8 = 0xef;
const COM: u8 = 0xfe;

/// Header of a JPEG.
#[derive(Debug)]
pub(super) struct JpegHeader<'a> {
    /// Number of columns, from the frame header; not zero.
    pub(super) width_pixels: u16,
    /// Number of rows; not zero.
    pub(super) height_pixels: u16,
    /// 1 (gray), 3 (`YCbCr` or RGB) or 4 (CMYK or YCCK).
    pub(super) components: u8,
    /// Bytes of all coefficients, two per sample.
    sample_bytes: u64,
    /// Segments up to and including the first SOS, in file order.
    segments: Vec<Segment<'a>>,
    /// All bytes after the first SOS segment.
    scans: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Segment<'a> {
    marker: u8,
    /// Without the two length bytes.
    payload: &'a [u8],
}

impl<'a> JpegHeader<'a> {
    /// Reads the markers. Like PIL, skips junk between segments and repeated `FF`.
    ///
    /// # Errors
    /// Returns an error if the file ends before a scan, a marker is invalid, or PIL does not support the frame.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ImageError> {
        let mut unread = Unread(bytes);
        let mut frame = None;
        let mut segments = Vec::new();
        loop {
            let marker = unread.next_marker()?;
            if is_bare(marker) {
                continue;
            }
            let payload = unread.segment()?;
            segments.push(Segment { marker, payload });
            if is_frame(marker) {
                frame = Some(FrameHeader::read(payload)?);
            }
            if marker == SOS {
                break;
            }
        }
        let FrameHeader { width_pixels, height_pixels, components, sample_bytes } =
            frame.ok_or_else(|| broken("JPEG: no frame header before the first scan"))?;
        Ok(Self { width_pixels, height_pixels, components, sample_bytes, segments, scans: unread.0 })
    }

    /// Whether rows need several scans: libjpeg's `has_multiple_scans`.
    pub(super) fn has_several_scans(&self) -> bool {
        self.segments.iter().any(|segment| match (segment.marker, segment.payload) {
            (0xc2 | 0xc6 | 0xca | 0xce, _) => true,
            (SOS, &[in_scan, ..]) => in_scan < self.components,
            _ => false,
        })
    }

    /// Bytes of coefficients that libjpeg keeps until the last scan; 0 if there is only one.
    pub(super) fn coefficient_bytes(&self) -> u64 {
        if self.has_several_scans() { self.sample_bytes } else { 0 }
    }

    /// Upper bound for the number of scans. The start code of a scan does not occur within one.
    pub(super) fn scans(&self) -> u64 {
        let starts = self.scans.windows(2).filter(|pair| *pair == [0xff, SOS]).count() as u64;
        if self.has_several_scans() { 1 + starts } else { 1 }
    }

    /// Whether the first scan has restart markers.
    pub(super) fn has_restarts(&self) -> bool {
        let interval = self.segments.iter().rfind(|segment| segment.marker == DRI);
        interval.is_some_and(|segment| segment.payload != [0, 0])
    }

    /// Whether the first scan ends at a marker of any code rather than with the file.
    pub(super) fn scan_ends_at_marker(&self) -> bool {
        let has_restarts = self.has_restarts();
        self.scans.windows(2).any(|pair| match *pair {
            // libjpeg skips expected restart markers, and lower codes when it searches for one.
            [0xff, code @ 0x01..=0xfe] => !has_restarts || matches!(code, 0xc0..=0xcf | 0xd8..=0xfe),
            _ => false,
        })
    }

    /// Payloads of all APP1 segments: EXIF and XMP.
    pub(super) fn app1(&self) -> impl Iterator<Item = &'a [u8]> {
        self.segments.iter().filter(|segment| segment.marker == APP1).map(|segment| segment.payload)
    }

    /// Whether a JFIF header has a resolution in dots per inch or centimetre.
    pub(super) fn has_resolution(&self) -> bool {
        let is_set =
            |payload: &[u8]| payload.len() >= 12 && payload.starts_with(b"JFIF") && matches!(payload[7], 1 | 2);
        self.segments.iter().any(|segment| segment.marker == APP0 && is_set(segment.payload))
    }

    /// The same image as a file whose header does not make libjpeg warn.
    ///
    /// Metadata and junk are left out. Only the application segments that determine the colour space are kept
    /// (`default_decompress_parms` in `jdapimin.c`), with unknown values replaced by those that libjpeg assumes.
    pub(super) fn with_plain_metadata(&self) -> Vec<u8> {
        let mut plain = vec![0xff, SOI];
        for &Segment { marker, payload } in &self.segments {
            let is_metadata = matches!(marker, APP0..=APP15 | COM);
            let sets_colour_space = (marker == APP0 && payload.starts_with(b"JFIF\0") && payload.len() >= 14)
                || (marker == APP14 && payload.starts_with(b"Adobe") && payload.len() >= 12);
            if is_metadata && !sets_colour_space {
                continue;
            }
            plain.extend([0xff, marker]);
            plain.extend(((payload.len() + 2) as u16).to_be_bytes());
            let start = plain.len();
            plain.extend_from_slice(payload);
            match marker {
                // Major version; only 1 is known.
                APP0 => plain[start + 5] = 1,
                APP14 => plain[start + 11] = self.known_adobe_transform(payload[11]),
                _ => {}
            }
        }
        plain.extend_from_slice(self.scans);
        plain
    }

    fn known_adobe_transform(&self, transform: u8) -> u8 {
        match (self.components, transform) {
            (3, 0 | 1) | (4, 0 | 2) => transform,
            (4, _) => 2,
            _ => 1,
        }
    }
}

struct FrameHeader {
    width_pixels: u16,
    height_pixels: u16,
    components: u8,
    sample_bytes: u64,
}

impl FrameHeader {
    /// `SOF` in `JpegImagePlugin`.
    fn read(payload: &[u8]) -> Result<Self, ImageError> {
        let &[bits, h1, h0, w1, w0, components, ref sampling @ ..] = payload else {
            return Err(broken("JPEG: frame header is too short"));
        };
        let (width_pixels, height_pixels) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        if bits != 8 {
            return Err(broken(format!("JPEG: {bits} bits per sample, only 8 are supported")));
        }
        if !matches!(components, 1 | 3 | 4) {
            return Err(broken(format!("JPEG: {components} colour components, only 1, 3 and 4 are supported")));
        }
        if width_pixels == 0 || height_pixels == 0 {
            return Err(broken(format!("image size is {height_pixels}x{width_pixels} pixels")));
        }
        let factors: Vec<[u64; 2]> =
            sampling.as_chunks::<3>().0.iter().map(|[_, hv, _]| [u64::from(hv >> 4), u64::from(hv & 15)]).collect();
        let units = |pixels: u16, side: usize| {
            let max = factors.iter().map(|factor| factor[side]).max().unwrap_or(1).max(1);
            u64::from(pixels).div_ceil(8 * max)
        };
        let blocks: u64 = factors.iter().map(|[h, v]| h * v).sum();
        let sample_bytes = units(width_pixels, 0) * units(height_pixels, 1) * blocks * 64 * 2;
        Ok(Self { width_pixels, height_pixels, components, sample_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::shared::error::ImageErrorKind;

    #[test]
    fn sizes_and_scans_are_read() {
        for progressive in [false, true] {
            let file = sample(progressive);
            let header = JpegHeader::read(&file).unwrap();
            assert_eq!((header.width_pixels, header.height_pixels, header.components), (40, 24, 3));
            assert_eq!(header.has_several_scans(), progressive);
            assert!(header.scan_ends_at_marker() && !header.has_restarts());
            // 3 times 2 units of 16x16 pixels, each of four blocks of luma and two of chroma.
            assert_eq!(header.coefficient_bytes(), if progressive { 3 * 2 * 6 * 64 * 2 } else { 0 });
            assert_eq!(header.scans() > 1, progressive);
        }
    }

    #[test]
    fn headers_that_pil_refuses_are_refused() {
        let kind = |bytes: &[u8]| JpegHeader::read(bytes).unwrap_err().kind;
        let frame = b"\xff\xd8\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0";
        assert_eq!(kind(frame), ImageErrorKind::Truncated, "no scan");
        assert_eq!(kind(&[frame.as_slice(), b"\xff\x02"].concat()), ImageErrorKind::Broken, "no marker");
        assert_eq!(kind(b"\xff\xd8\xff\xda\0\x02"), ImageErrorKind::Broken, "no frame");
        for (at, value) in [(6, 12), (8, 0), (10, 0), (11, 2)] {
            let mut odd = frame.to_vec();
            odd[at] = value;
            assert_eq!(kind(&odd), ImageErrorKind::Broken, "byte {at} = {value}");
        }
        assert_eq!(kind(b"\xff\xd8\xff\xe0\xff\xff"), ImageErrorKind::Truncated, "a segment longer than the file");
    }
}
