//! A file in memory, read like the file objects of PIL's plugins: `fp.read(n)` returns fewer bytes at the end of the file.

use super::image_error::truncated;
use crate::shared::error::ImageError;

/// The bytes of a file and a position, which may be beyond the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileBytes<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl<'a> FileBytes<'a> {
    pub(super) fn new(bytes: &'a [u8], at: u64) -> Self {
        Self { bytes, at }
    }

    /// Reads up to `count` bytes, like Python's `read`.
    pub(super) fn read(&mut self, count: u64) -> &'a [u8] {
        let rest = self.rest();
        let taken = &rest[..rest.len().min(usize::try_from(count).unwrap_or(usize::MAX))];
        self.at += taken.len() as u64;
        taken
    }

    /// Reads exactly `count` bytes, like PIL's `_safe_read`.
    ///
    /// # Errors
    /// Returns an error of kind `Truncated` if the file ends earlier.
    pub(super) fn exact(&mut self, count: u64) -> Result<&'a [u8], ImageError> {
        let bytes = self.read(count);
        if (bytes.len() as u64) < count { Err(too_short()) } else { Ok(bytes) }
    }

    /// Reads exactly `N` bytes.
    ///
    /// # Errors
    /// Returns an error of kind `Truncated` if the file ends earlier.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        self.read(N as u64).try_into().map_err(|_| too_short())
    }

    /// Reads one byte; `None` at the end of the file.
    pub(super) fn byte(&mut self) -> Option<u8> {
        self.read(1).first().copied()
    }

    /// All bytes from the current position.
    pub(super) fn rest(&self) -> &'a [u8] {
        usize::try_from(self.at).ok().and_then(|at| self.bytes.get(at..)).unwrap_or_default()
    }

    pub(super) fn position(&self) -> u64 {
        self.at
    }

    pub(super) fn seek(&mut self, at: u64) {
        self.at = at;
    }
}

fn too_short() -> ImageError {
    truncated("unexpected end of file")
}

/// Reads a little-endian u16 at `at`, like PIL's `i16le`.
pub(super) fn u16_le(bytes: &[u8], at: usize) -> Result<u16, ImageError> {
    let two = bytes.get(at..).and_then(|rest| rest.first_chunk());
    two.map(|two| u16::from_le_bytes(*two)).ok_or_else(too_short)
}

/// Reads a little-endian u32 at `at`, like PIL's `i32le`.
pub(super) fn u32_le(bytes: &[u8], at: usize) -> Result<u32, ImageError> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk());
    four.map(|four| u32::from_le_bytes(*four)).ok_or_else(too_short)
}
