//! The chunks of a WebP file. Truncated and malformed files are refused like in libwebp's `demux.c`.

use super::super::image_error::{broken, truncated};
use crate::shared::error::ImageError;

const ANIMATION_FLAG: u8 = 0x02;
const XMP_FLAG: u8 = 0x04;
const EXIF_FLAG: u8 = 0x08;
const ALPHA_FLAG: u8 = 0x10;
const ICCP_FLAG: u8 = 0x20;
const VALID_FLAGS: u8 = ANIMATION_FLAG | XMP_FLAG | EXIF_FLAG | ALPHA_FLAG | ICCP_FLAG;
/// `MAX_IMAGE_AREA` of libwebp's `format_constants.h`.
const MAX_AREA: u64 = 1 << 32;
/// `MAX_CHUNK_PAYLOAD`.
const MAX_PAYLOAD: u32 = u32::MAX - 8 - 1;

/// The parts of a file that are needed to decode its first frame.
#[derive(Debug)]
pub(super) struct Container<'a> {
    /// Width and height in pixels.
    pub(super) canvas: (u32, u32),
    pub(super) first: WebpFrame<'a>,
    pub(super) exif: Option<&'a [u8]>,
    pub(super) xmp: Option<&'a [u8]>,
}

/// A frame; size and position in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct WebpFrame<'a> {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    /// The chunks for `WebPDecode`: an optional ALPH, then VP8 or VP8L.
    pub(super) bytes: &'a [u8],
}

impl WebpFrame<'_> {
    /// Memory of libwebp per pixel: its result, and intermediate values of lossless images.
    pub(super) fn bytes_per_pixel(&self) -> u64 {
        match self.bytes.first_chunk() {
            Some(b"VP8 ") => 3,
            Some(b"VP8L") => 4 + 4,
            _ => 4 + 1 + 4,
        }
    }
}

impl<'a> Container<'a> {
    /// Reads all chunks like `WebPDemux`.
    ///
    /// # Errors
    /// Returns an error of kind `Truncated` if the file is shorter than its header states, `Broken` if chunks are invalid.
    pub(super) fn read(file: &'a [u8]) -> Result<Self, ImageError> {
        let size = file.get(4..8).map_or(0, u32_of);
        if !(8..=MAX_PAYLOAD).contains(&size) {
            return Err(broken(format!("WebP: invalid length of {size} bytes")));
        }
        let stated = u64::from(size) + 8;
        let Some(file_part) = usize::try_from(stated).ok().and_then(|stated| file.get(..stated)) else {
            return Err(truncated(format!("WebP: file has {} of {stated} bytes", file.len())));
        };
        // `WebPAnimDecoderNew` checks this before the demuxer.
        webp::BitstreamFeatures::new(file).ok_or_else(|| malformed("no image header"))?;
        let mut chunks = Chunks { file: file_part, at: 12 };
        match chunks.peek() {
            Some(b"VP8 " | b"VP8L") => {
                let Some((width, height, bytes)) = chunks.frame(false)?.image else {
                    return Err(malformed("no image"));
                };
                let first = WebpFrame { left: 0, top: 0, width, height, bytes };
                Ok(Self { canvas: (width, height), first, exif: None, xmp: None })
            }
            Some(b"VP8X") => Self::extended(&mut chunks),
            _ => Err(malformed("first chunk is not an image")),
        }
    }

    fn extended(chunks: &mut Chunks<'a>) -> Result<Self, ImageError> {
        let head = chunks.next()?;
        let Some(&[flags, _, _, _, w0, w1, w2, h0, h1, h2]) = head.content.first_chunk() else {
            return Err(malformed("header is too short"));
        };
        let canvas = (1 + u32_of(&[w0, w1, w2, 0]), 1 + u32_of(&[h0, h1, h2, 0]));
        if u64::from(canvas.0) * u64::from(canvas.1) >= MAX_AREA || flags & !VALID_FLAGS != 0 {
            return Err(malformed("invalid header"));
        }
        let is_animation = flags & ANIMATION_FLAG != 0;
        let (mut first, mut exif, mut xmp, mut has_animation_header) = (None, None, None, false);
        while !chunks.is_at_end() {
            match chunks.peek() {
                Some(b"VP8X") => return Err(malformed("several headers")),
                Some(b"ALPH" | b"VP8 " | b"VP8L") => {
                    if is_animation || has_animation_header || first.is_some() {
                        return Err(malformed("image outside the animation"));
                    }
                    let found = chunks.frame(flags & ALPHA_FLAG != 0)?;
                    let Some((width, height, bytes)) = found.image else { return Err(malformed("no image")) };
                    if (width, height) != canvas {
                        return Err(malformed("image size differs from the canvas"));
                    }
                    first = Some(WebpFrame { left: 0, top: 0, width, height, bytes });
                }
                Some(b"ANMF") => {
                    if !has_animation_header {
                        return Err(malformed("frame before the animation header"));
                    }
                    let frame = chunks.animation_frame()?;
                    if !is_animation {
                        continue;
                    }
                    let Some(frame) = frame else { continue };
                    let fits = |at: u32, side: u32, limit: u32| u64::from(at) + u64::from(side) <= u64::from(limit);
                    if !fits(frame.left, frame.width, canvas.0) || !fits(frame.top, frame.height, canvas.1) {
                        return Err(malformed("frame exceeds the canvas"));
                    }
                    first = first.or(Some(frame));
                }
                _ => {
                    let chunk = chunks.next()?;
                    match chunk.kind {
                        b"ANIM" if chunk.content.len() + chunk.content.len() % 2 < 6 => {
                            return Err(malformed("animation header is too short"));
                        }
                        b"ANIM" => has_animation_header = true,
                        b"EXIF" if flags & EXIF_FLAG != 0 => exif = exif.or(Some(chunk.content)),
                        b"XMP " if flags & XMP_FLAG != 0 => xmp = xmp.or(Some(chunk.content)),
                        _ => {}
                    }
                }
            }
        }
        let first = first.ok_or_else(|| malformed("no image"))?;
        let non_empty = |content: Option<&'a [u8]>| content.filter(|content| !content.is_empty());
        Ok(Self { canvas, first, exif: non_empty(exif), xmp: non_empty(xmp) })
    }
}

struct RiffChunk<'a> {
    kind: &'a [u8; 4],
    /// Without the padding byte.
    content: &'a [u8],
}

/// The image of a frame: width, height and chunks.
#[derive(Default)]
struct FrameImage<'a> {
    image: Option<(u32, u32, &'a [u8])>,
    has_alpha_chunk: bool,
}

struct Chunks<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Chunks<'a> {
    fn is_at_end(&self) -> bool {
        self.at == self.file.len()
    }

    fn peek(&self) -> Option<&'a [u8; 4]> {
        self.file.get(self.at..)?.first_chunk()
    }

    fn next(&mut self) -> Result<RiffChunk<'a>, ImageError> {
        let rest = &self.file[self.at..];
        let (Some(kind), Some(length)) = (rest.first_chunk::<4>(), rest.get(4..8).map(u32_of)) else {
            return Err(malformed("incomplete chunk at the end"));
        };
        let padded = u64::from(length) + u64::from(length % 2);
        if length > MAX_PAYLOAD || padded > rest.len() as u64 - 8 {
            return Err(malformed("chunk exceeds the file"));
        }
        self.at += 8 + padded as usize;
        Ok(RiffChunk { kind, content: &rest[8..8 + length as usize] })
    }

    /// `StoreFrame`: reads an optional ALPH and one image, up to a chunk that is neither. Without `keeps_alpha`, ALPH is
    /// dropped (`ParseSingleImage`).
    fn frame(&mut self, keeps_alpha: bool) -> Result<FrameImage<'a>, ImageError> {
        let mut found = FrameImage::default();
        let mut alpha_at = None;
        loop {
            let at = self.at;
            let chunk = self.next()?;
            match chunk.kind {
                b"ALPH" if !found.has_alpha_chunk => {
                    found.has_alpha_chunk = true;
                    if found.image.is_some() && keeps_alpha {
                        return Err(malformed("alpha after its image"));
                    }
                    alpha_at = Some(at).filter(|_| keeps_alpha);
                }
                kind @ (b"VP8 " | b"VP8L") if found.image.is_none() => {
                    if kind == b"VP8L" && found.has_alpha_chunk {
                        return Err(malformed("several alpha channels"));
                    }
                    let features = webp::BitstreamFeatures::new(&self.file[at..self.at]);
                    let features = features.ok_or_else(|| malformed("image without a header"))?;
                    let bytes = &self.file[alpha_at.unwrap_or(at)..self.at];
                    found.image = Some((features.width(), features.height(), bytes));
                }
                _ => {
                    self.at = at;
                    return Ok(found);
                }
            }
            if self.is_at_end() {
                return Ok(found);
            }
        }
    }

    /// `ParseAnimationFrame`: `None` for a frame without image and alpha, which is ignored.
    fn animation_frame(&mut self) -> Result<Option<WebpFrame<'a>>, ImageError> {
        let start = self.at + 8;
        let chunk = self.next()?;
        let end = self.at;
        let Some(&[x0, x1, x2, y0, y1, y2, w0, w1, w2, h0, h1, h2, ..]) = chunk.content.first_chunk::<16>() else {
            return Err(malformed("frame is too short"));
        };
        let (left, top) = (2 * u32_of(&[x0, x1, x2, 0]), 2 * u32_of(&[y0, y1, y2, 0]));
        let (width, height) = (1 + u32_of(&[w0, w1, w2, 0]), 1 + u32_of(&[h0, h1, h2, 0]));
        if u64::from(width) * u64::from(height) >= MAX_AREA {
            return Err(malformed("frame is too large"));
        }
        self.at = start + 16;
        let found = self.frame(true)?;
        if self.at > end {
            return Err(malformed("frame exceeds its chunk"));
        }
        match found {
            // The size in the bitstream counts; `WebPDecode` checks no other.
            FrameImage { image: Some((width, height, bytes)), .. } => {
                Ok(Some(WebpFrame { left, top, width, height, bytes }))
            }
            FrameImage { has_alpha_chunk: true, .. } => Err(malformed("alpha without an image")),
            FrameImage { .. } => Ok(None),
        }
    }
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn malformed(what: &str) -> ImageError {
    broken(format!("WebP: {what}"))
}
