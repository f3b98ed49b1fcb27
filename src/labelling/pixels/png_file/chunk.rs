//! Chunk headers.

use super::super::image_error::broken;
use crate::shared::error::ImageError;

/// Header of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct PngChunk {
    pub(super) kind: [u8; 4],
    /// Offset of the content in the file.
    pub(super) at: u64,
    pub(super) length: u64,
}

impl PngChunk {
    /// The error of an invalid chunk.
    pub(super) fn refuse(self, why: &str) -> ImageError {
        broken(format!("PNG: chunk {}: {why}", String::from_utf8_lossy(&self.kind)))
    }
}
