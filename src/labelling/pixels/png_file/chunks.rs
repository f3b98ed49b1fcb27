//! The chunks of a PNG one after the other, as `PngStream` reads them.

use super::super::file_bytes::FileBytes;
use super::super::{broken, truncated};
use super::notes::Notes;
use super::zip::Inflated;
use crate::shared::error::ImageError;

/// `ImageFile.MAXBLOCK`: how much PIL hands to zlib at once.
const MAX_BLOCK: u64 = 65536;

/// The head of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) kind: [u8; 4],
    /// Where its content begins in the file.
    at: u64,
    length: u64,
}

/// The chunks of a file, one after the other.
#[derive(Debug)]
pub(super) struct Stream<'a> {
    file: FileBytes<'a>,
    /// A chunk whose head was read too early.
    pushed: Option<Chunk>,
    pub(super) notes: Notes<'a>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { file: FileBytes::new(bytes, 8), pushed: None, notes: Notes::default() }
    }

    /// The next head.
    ///
    /// # Errors
    /// Returns `Truncated` at the end of the file, `Broken` if a chunk's name is none.
    pub(super) fn next(&mut self) -> Result<Chunk, ImageError> {
        if let Some(chunk) = self.pushed.take() {
            self.file.seek(chunk.at);
            return Ok(chunk);
        }
        let head = self.file.read(8);
        let Some(([a, b, c, d], kind)) = head.split_first_chunk() else {
            return Err(truncated("the PNG ends before its pixels do".to_owned()));
        };
        let length = u64::from(u32::from_be_bytes([*a, *b, *c, *d]));
        match <[u8; 4]>::try_from(kind) {
            Ok(kind) if kind.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') => {
                Ok(Chunk { kind, at: self.file.position(), length })
            }
            _ => Err(broken(format!("PNG: no chunk is named {:?}", String::from_utf8_lossy(kind)))),
        }
    }

    pub(super) fn content(&mut self, chunk: Chunk) -> Result<&'a [u8], ImageError> {
        self.file.exact(chunk.length)
    }

    /// Compares the checksum behind a chunk. PIL does so before the pixels only.
    pub(super) fn check_sum(&mut self, chunk: Chunk, content: &[u8]) -> Result<(), ImageError> {
        let stored = u32::from_be_bytes(self.file.array()?);
        let mut sum = flate2::Crc::new();
        sum.update(&chunk.kind);
        sum.update(content);
        if sum.sum() == stored { Ok(()) } else { Err(chunk.refuse("its checksum is wrong")) }
    }

    /// Gives the pixels to zlib in the pieces in which PIL does: it matters for the verdict on damaged streams.
    pub(super) fn read_pixels(&mut self, first: Chunk, inflated: &mut Inflated) -> Result<(), ImageError> {
        let mut left = first.length;
        loop {
            while left == 0 {
                self.file.read(4); // the checksum, which PIL does not look at here
                let chunk = self.next()?;
                left = match &chunk.kind {
                    b"IDAT" | b"DDAT" => chunk.length,
                    b"fdAT" => self.frame_data(chunk)?.length,
                    _ => {
                        self.pushed = Some(chunk);
                        return Err(truncated("the PNG's rows are not complete".to_owned()));
                    }
                };
            }
            let count = left.min(MAX_BLOCK);
            left -= count;
            let piece = self.file.read(count);
            if piece.is_empty() {
                return Err(truncated("the PNG ends before its pixels do".to_owned()));
            }
            if inflated.take(piece)? {
                self.file.read(left);
                return Ok(());
            }
        }
    }

    /// Reads the chunks behind the pixels: what is wrong there makes PIL refuse the file, unless it is a missing end.
    pub(super) fn read_rest(&mut self, is_animated: bool) -> Result<(), ImageError> {
        loop {
            self.file.read(4);
            let Ok(chunk) = self.next() else { return Ok(()) };
            match &chunk.kind {
                b"IEND" => return Ok(()),
                b"fcTL" if is_animated => return Ok(()),
                b"fdAT" => {
                    let chunk = self.frame_data(chunk)?;
                    self.content(chunk)?;
                }
                _ => {
                    let content = self.content(chunk)?;
                    self.notes.note(chunk, content)?;
                }
            }
        }
    }

    /// The pixels of a frame, behind their number.
    pub(super) fn frame_data(&mut self, chunk: Chunk) -> Result<Chunk, ImageError> {
        if chunk.length < 4 {
            return Err(chunk.refuse("it is too short"));
        }
        let sequence = u32::from_be_bytes(self.file.array()?);
        let expected = self.notes.sequence.and_then(|last| last.checked_add(1));
        if expected != Some(sequence) {
            return Err(chunk.refuse("frames are not in order"));
        }
        self.notes.sequence = Some(sequence);
        Ok(Chunk { at: chunk.at + 4, length: chunk.length - 4, ..chunk })
    }
}

impl Chunk {
    pub(super) fn refuse(self, why: &str) -> ImageError {
        broken(format!("PNG: chunk {}: {why}", String::from_utf8_lossy(&self.kind)))
    }
}
