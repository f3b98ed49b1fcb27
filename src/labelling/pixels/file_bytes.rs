//! A file in memory, read as PIL's plugins read theirs: `fp.read(n)` gives fewer bytes at the end of the file.

use super::truncated;
use crate::shared::error::ImageError;

/// The bytes of a file and a position in them, which may lie behind the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileBytes<'a> {
    bytes: &'a [u8],
    at: u64,
}

impl<'a> FileBytes<'a> {
    pub(super) fn new(bytes: &'a [u8], at: u64) -> Self {
        Self { bytes, at }
    }

    /// Up to `count` bytes: Python's `read`.
    pub(super) fn read(&mut self, count: u64) -> &'a [u8] {
        let rest = self.rest();
        let taken = &rest[..rest.len().min(usize::try_from(count).unwrap_or(usize::MAX))];
        self.at += taken.len() as u64;
        taken
    }

    /// Exactly `count` bytes: PIL's `_safe_read`.
    ///
    /// # Errors
    /// Returns `Truncated` if the file ends before.
    pub(super) fn exact(&mut self, count: u64) -> Result<&'a [u8], ImageError> {
        let bytes = self.read(count);
        if (bytes.len() as u64) < count { Err(too_short()) } else { Ok(bytes) }
    }

    /// Exactly `N` bytes.
    ///
    /// # Errors
    /// Returns `Truncated` if the file ends before.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        self.read(N as u64).try_into().map_err(|_| too_short())
    }

    /// One byte, unless the file ends here.
    pub(super) fn byte(&mut self) -> Option<u8> {
        self.read(1).first().copied()
    }

    /// All bytes from the position on.
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
    truncated("the file ends before its image does".to_owned())
}

/// A little-endian number of two bytes at `at`, as PIL's `i16le`.
pub(super) fn u16_le(bytes: &[u8], at: usize) -> Result<u16, ImageError> {
    let two = bytes.get(at..).and_then(|rest| rest.first_chunk());
    two.map(|two| u16::from_le_bytes(*two)).ok_or_else(too_short)
}

/// A little-endian number of four bytes at `at`, as PIL's `i32le`.
pub(super) fn u32_le(bytes: &[u8], at: usize) -> Result<u32, ImageError> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk());
    four.map(|four| u32::from_le_bytes(*four)).ok_or_else(too_short)
}
