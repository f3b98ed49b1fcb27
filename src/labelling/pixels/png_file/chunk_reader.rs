//! Reads the chunks of a PNG in order, like `PngStream`.

use super::super::file_bytes::FileBytes;
use super::super::image_error::{broken, truncated};
use super::chunk::PngChunk;
use super::inflate::PixelInflater;
use super::metadata::PngMetadata;
use crate::shared::error::ImageError;

/// `ImageFile.MAXBLOCK`: how much PIL hands to zlib at once.
const MAX_BLOCK: u64 = 65536;

/// Reads the chunks of a file in order.
#[derive(Debug)]
pub(super) struct ChunkReader<'a> {
    file: FileBytes<'a>,
    /// A chunk whose header was read ahead.
    pushed: Option<PngChunk>,
    pub(super) metadata: PngMetadata<'a>,
}

impl<'a> ChunkReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { file: FileBytes::new(bytes, 8), pushed: None, metadata: PngMetadata::default() }
    }

    /// Reads the next chunk header.
    ///
    /// # Errors
    /// Returns an error of kind `Truncated` at the end of the file, `Broken` if the name of the chunk is invalid.
    pub(super) fn next(&mut self) -> Result<PngChunk, ImageError> {
        if let Some(chunk) = self.pushed.take() {
            self.file.seek(chunk.at);
            return Ok(chunk);
        }
        let head = self.file.read(8);
        let Some(([a, b, c, d], kind)) = head.split_first_chunk() else {
            return Err(truncated("PNG: unexpected end of file"));
        };
        let length = u64::from(u32::from_be_bytes([*a, *b, *c, *d]));
        match <[u8; 4]>::try_from(kind) {
            Ok(kind) if kind.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') => {
                Ok(PngChunk { kind, at: self.file.position(), length })
            }
            _ => Err(broken(format!("PNG: invalid chunk name {:?}", String::from_utf8_lossy(kind)))),
        }
    }

    /// Reads the content of a chunk.
    pub(super) fn content(&mut self, chunk: PngChunk) -> Result<&'a [u8], ImageError> {
        self.file.exact(chunk.length)
    }

    /// Verifies the checksum after a chunk. PIL does so only before the pixels.
    pub(super) fn verify_checksum(&mut self, chunk: PngChunk, content: &[u8]) -> Result<(), ImageError> {
        let stored = u32::from_be_bytes(self.file.array()?);
        let mut sum = flate2::Crc::new();
        sum.update(&chunk.kind);
        sum.update(content);
        if sum.sum() == stored { Ok(()) } else { Err(chunk.refuse("wrong checksum")) }
    }

    /// Passes the pixels to zlib in the same blocks as PIL, which decides whether damaged streams are accepted.
    pub(super) fn read_pixels(&mut self, first: PngChunk, inflater: &mut PixelInflater) -> Result<(), ImageError> {
        let mut left = first.length;
        loop {
            while left == 0 {
                self.file.read(4); // the checksum, which PIL does not verify here
                let chunk = self.next()?;
                left = match &chunk.kind {
                    b"IDAT" | b"DDAT" => chunk.length,
                    b"fdAT" => self.frame_data(chunk)?.length,
                    _ => {
                        self.pushed = Some(chunk);
                        return Err(truncated("PNG: rows are missing"));
                    }
                };
            }
            let count = left.min(MAX_BLOCK);
            left -= count;
            let block = self.file.read(count);
            if block.is_empty() {
                return Err(truncated("PNG: unexpected end of file"));
            }
            if inflater.inflate(block)? {
                self.file.read(left);
                return Ok(());
            }
        }
    }

    /// Reads the chunks after the pixels. PIL refuses a file with errors there, except a missing end.
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
                    self.metadata.read_chunk(chunk, content)?;
                }
            }
        }
    }

    /// Checks the sequence number of frame data and returns the rest of the chunk.
    pub(super) fn frame_data(&mut self, chunk: PngChunk) -> Result<PngChunk, ImageError> {
        if chunk.length < 4 {
            return Err(chunk.refuse("too short"));
        }
        let sequence = u32::from_be_bytes(self.file.array()?);
        let expected = self.metadata.sequence.and_then(|last| last.checked_add(1));
        if expected != Some(sequence) {
            return Err(chunk.refuse("frames are out of order"));
        }
        self.metadata.sequence = Some(sequence);
        Ok(PngChunk { at: chunk.at + 4, length: chunk.length - 4, ..chunk })
    }
}
