//! Metadata from the chunks of a PNG, and the chunks that PIL refuses.

use flate2::{Decompress, FlushDecompress, Status};

use super::super::exif::{Orientation, OrientationMetadata};
use super::super::image_error::{inexact, too_large};
use super::super::samples::SampleLayout;
use super::chunk::PngChunk;
use super::refuse_text_name;
use crate::shared::error::ImageError;

/// `PngImagePlugin.MAX_TEXT_CHUNK`: limit of one unpacked text chunk or profile, in bytes.
const MAX_TEXT_CHUNK: usize = 1 << 20;
/// `PngImagePlugin.MAX_TEXT_MEMORY`: limit of all text chunks, in characters.
const MAX_TEXT_MEMORY: usize = 64 * MAX_TEXT_CHUNK;
/// Limit of all unpacked text chunks and profiles, in bytes. PIL has no such limit and would unpack ten thousand profiles.
const MAX_UNPACKED_BYTES: usize = 2 * MAX_TEXT_MEMORY;

/// Metadata from all chunks read so far.
#[derive(Debug, Default)]
pub(super) struct PngMetadata<'a> {
    /// Width and height in pixels.
    pub(super) size: (u32, u32),
    /// `None` before a supported header was read.
    pub(super) layout: Option<SampleLayout>,
    pub(super) interlaced: bool,
    pub(super) palette: Option<&'a [u8]>,
    /// Whether exactly one palette entry is transparent, which PIL looks up in the palette.
    pub(super) has_one_transparent_index: bool,
    /// Left, top, right, bottom of the first frame.
    pub(super) area: Option<[u32; 4]>,
    frames: Option<u32>,
    /// 1 if the image comes before the frames, else 0.
    default_images: u32,
    /// Sequence number of the last frame chunk.
    pub(super) sequence: Option<u32>,
    text_memory: usize,
    /// Total size of unpacked text chunks and profiles.
    unpacked_bytes: usize,
    exif: Option<Vec<u8>>,
    raw_profile: Option<Vec<u8>>,
    xmp_text: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
    /// A text chunk named like metadata that PIL does not treat as such.
    odd_metadata: Option<Vec<u8>>,
}

impl PngMetadata<'_> {
    /// Whether PIL stops reading at the next frame.
    pub(super) fn is_animated(&self) -> bool {
        self.frames.unwrap_or(1).saturating_add(self.default_images) > 1
    }

    /// Returns the orientation.
    ///
    /// # Errors
    /// Returns an error if PIL cannot read the metadata.
    pub(super) fn orientation(&self) -> Result<Orientation, ImageError> {
        if self.odd_metadata.is_some() {
            return Err(inexact("PNG", "EXIF or XMP in a text chunk of that name"));
        }
        let raw_profile = self.raw_profile.as_deref();
        let xmp = self.xmp_text.as_deref().filter(|text| !text.is_empty()).or(self.xmp.as_deref());
        OrientationMetadata { exif: self.exif.as_deref(), raw_profile, xmp }.orientation()
    }
}

impl<'a> PngMetadata<'a> {
    /// Reads a chunk like `PngStream.chunk_*`, or returns an error if PIL refuses it.
    pub(super) fn read_chunk(&mut self, chunk: PngChunk, content: &'a [u8]) -> Result<(), ImageError> {
        let at_least = |bytes: usize| {
            if content.len() < bytes { Err(chunk.refuse("too short")) } else { Ok(()) }
        };
        match &chunk.kind {
            b"IHDR" => {
                at_least(13)?;
                self.header(chunk, content)
            }
            b"PLTE" => {
                if matches!(self.layout, Some(SampleLayout::Index { .. })) {
                    self.palette = Some(content);
                }
                Ok(())
            }
            b"tRNS" => self.transparency(content, at_least),
            b"gAMA" => at_least(4),
            b"cHRM" => at_least(32),
            b"sRGB" => at_least(1),
            b"pHYs" => at_least(9),
            b"iCCP" => {
                let name_end = content.iter().position(|byte| *byte == 0).map_or(0, |at| at + 1);
                at_least(name_end + 1)?;
                if content[name_end] != 0 {
                    return Err(chunk.refuse("unknown compression"));
                }
                self.unpacked(chunk, &content[name_end + 1..]).map(drop)
            }
            b"tEXt" => {
                let (name, text) = split_at_nul(content).unwrap_or((content, &[]));
                self.text(chunk, name, text.to_vec(), text.len(), TextKind::Plain)
            }
            b"zTXt" => {
                let (name, text) = split_at_nul(content).unwrap_or((content, &[]));
                if text.first().is_some_and(|method| *method != 0) {
                    return Err(chunk.refuse("unknown compression"));
                }
                let text = self.unpacked(chunk, text.get(1..).unwrap_or_default())?.unwrap_or_default();
                let length = text.len();
                self.text(chunk, name, text, length, TextKind::Packed)
            }
            b"iTXt" => self.international_text(chunk, content),
            b"eXIf" => {
                self.exif = Some(content.to_vec());
                Ok(())
            }
            b"acTL" => {
                at_least(8)?;
                self.animation(content);
                Ok(())
            }
            b"fcTL" => {
                at_least(26)?;
                self.frame(chunk, content)
            }
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum TextKind {
    Plain,
    Packed,
}

impl PngMetadata<'_> {
    fn header(&mut self, chunk: PngChunk, content: &[u8]) -> Result<(), ImageError> {
        self.size = (number(content, 0), number(content, 4));
        if let Some(layout) = layout(content[8], content[9]) {
            self.layout = Some(layout);
        }
        self.interlaced |= content[12] != 0;
        if content[11] == 0 { Ok(()) } else { Err(chunk.refuse("unknown filter")) }
    }

    fn transparency(
        &mut self,
        content: &[u8],
        at_least: impl Fn(usize) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        match self.layout {
            Some(SampleLayout::Index { .. }) => {
                // `_simple_palette` of `PngImagePlugin`, whose `$` allows a line feed at the end.
                let entries = content.strip_suffix(b"\n").unwrap_or(content);
                let translucent = entries.iter().filter(|alpha| **alpha != 255).collect::<Vec<_>>();
                self.has_one_transparent_index = translucent == [&0];
                Ok(())
            }
            Some(SampleLayout::Channels { bytes: 3 | 6, .. }) => at_least(6),
            Some(SampleLayout::Bits { .. } | SampleLayout::Gray { .. } | SampleLayout::Gray16 { .. }) => at_least(2),
            _ => Ok(()),
        }
    }

    fn animation(&mut self, content: &[u8]) {
        let frames = number(content, 0);
        if self.frames.take().is_none() && (1..=0x8000_0000).contains(&frames) {
            self.frames = Some(frames);
            // Otherwise the frame is the image.
            self.default_images = u32::from(self.area.is_none());
        }
    }

    fn frame(&mut self, chunk: PngChunk, content: &[u8]) -> Result<(), ImageError> {
        let sequence = number(content, 0);
        let expected = self.sequence.map_or(Some(0), |last| last.checked_add(1));
        if expected != Some(sequence) {
            return Err(chunk.refuse("frames are out of order"));
        }
        self.sequence = Some(sequence);
        let end = |at: u32, side: u32, limit: u32| at.checked_add(side).filter(|end| *end <= limit);
        let (left, top) = (number(content, 12), number(content, 16));
        let right = end(left, number(content, 4), self.size.0);
        let bottom = end(top, number(content, 8), self.size.1);
        let (Some(right), Some(bottom)) = (right, bottom) else {
            return Err(chunk.refuse("frame exceeds the image"));
        };
        self.area = Some([left, top, right, bottom]);
        self.default_images = 0;
        Ok(())
    }

    fn unpacked(&mut self, chunk: PngChunk, packed: &[u8]) -> Result<Option<Vec<u8>>, ImageError> {
        let text = unpacked(chunk, packed)?;
        // Broken data also took work.
        self.unpacked_bytes += text.as_ref().map_or(packed.len(), Vec::len);
        if self.unpacked_bytes > MAX_UNPACKED_BYTES {
            return Err(too_large(format!(
                "PNG: text chunks and profiles unpack to more than {MAX_UNPACKED_BYTES} bytes"
            )));
        }
        Ok(text)
    }

    fn international_text(&mut self, chunk: PngChunk, content: &[u8]) -> Result<(), ImageError> {
        let Some((name, [is_packed, method, rest @ ..])) = split_at_nul(content) else { return Ok(()) };
        let Some((language, rest)) = split_at_nul(rest) else { return Ok(()) };
        let Some((translated, text)) = split_at_nul(rest) else { return Ok(()) };
        let text = match (is_packed, method) {
            (0, _) => text.to_vec(),
            (_, 0) => match self.unpacked(chunk, text)? {
                Some(text) => text,
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        if name == b"XML:com.adobe.xmp" {
            self.xmp = Some(text.clone());
        }
        let [Ok(_), Ok(_), Ok(characters)] = [language, translated, &text].map(str::from_utf8) else { return Ok(()) };
        let length = characters.chars().count();
        self.store_text(chunk, name, text, length, TextKind::Packed)
    }

    fn text(
        &mut self,
        chunk: PngChunk,
        name: &[u8],
        text: Vec<u8>,
        length: usize,
        kind: TextKind,
    ) -> Result<(), ImageError> {
        if name.is_empty() { Ok(()) } else { self.store_text(chunk, name, text, length, kind) }
    }

    /// PIL stores text chunks in the same dictionary as its own attributes, so names can collide.
    fn store_text(
        &mut self,
        chunk: PngChunk,
        name: &[u8],
        text: Vec<u8>,
        length: usize,
        kind: TextKind,
    ) -> Result<(), ImageError> {
        match name {
            b"interlace" | b"bbox" | b"transparency" | b"default_image" => return Err(refuse_text_name(name)),
            b"exif" if kind == TextKind::Plain => self.exif = Some(text),
            b"exif" | b"xmp" => self.odd_metadata = Some(text),
            b"Raw profile type exif" => self.raw_profile = Some(text),
            b"XML:com.adobe.xmp" => self.xmp_text = Some(text),
            _ => {}
        }
        self.text_memory += length;
        if self.text_memory > MAX_TEXT_MEMORY {
            return Err(chunk.refuse("too much text"));
        }
        Ok(())
    }
}

/// `_MODES` of `PngImagePlugin`.
fn layout(bits: u8, colour_type: u8) -> Option<SampleLayout> {
    Some(match (bits, colour_type) {
        (1, 0) => SampleLayout::Bits { inverted: false },
        (2 | 4 | 8, 0) => SampleLayout::Gray { bits, inverted: false },
        (16, 0) => SampleLayout::Gray16 { big_endian: true },
        (8, 2) => SampleLayout::Channels { rgb: [0, 1, 2], bytes: 3 },
        (16, 2) => SampleLayout::Channels { rgb: [0, 2, 4], bytes: 6 },
        (1 | 2 | 4 | 8, 3) => SampleLayout::Index { bits, skipped: 0 },
        (8, 4) => SampleLayout::GrayWithExtra { bytes: 2 },
        (16, 4) => SampleLayout::GrayWithExtra { bytes: 4 },
        (8, 6) => SampleLayout::Channels { rgb: [0, 1, 2], bytes: 4 },
        (16, 6) => SampleLayout::Channels { rgb: [0, 2, 4], bytes: 8 },
        _ => return None,
    })
}

/// `_safe_zlib_decompress`: `None` for broken data, which PIL ignores.
fn unpacked(chunk: PngChunk, packed: &[u8]) -> Result<Option<Vec<u8>>, ImageError> {
    let mut inflate = Decompress::new(true);
    let mut text = Vec::new();
    loop {
        let (read, size) = (inflate.total_in() as usize, text.len());
        let space = MAX_TEXT_CHUNK.min((size * 2).max(16384)) - size;
        text.resize(size + space, 0);
        let status = inflate.decompress(&packed[read..], &mut text[size..], FlushDecompress::None);
        text.truncate(inflate.total_out() as usize);
        let is_at_end = inflate.total_in() as usize == packed.len();
        match status {
            Err(_) => return Ok(None),
            Ok(Status::StreamEnd) => return Ok(Some(text)),
            Ok(_) if text.len() < size + space => return Ok(Some(text)),
            Ok(_) if text.len() == MAX_TEXT_CHUNK && is_at_end => return Ok(Some(text)),
            Ok(_) if text.len() == MAX_TEXT_CHUNK => {
                return Err(chunk.refuse("unpacks to more than PIL's limit of 1 MiB"));
            }
            Ok(_) => {}
        }
    }
}

fn split_at_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn number(content: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([content[at], content[at + 1], content[at + 2], content[at + 3]])
}
