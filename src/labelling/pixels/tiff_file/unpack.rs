//! Decompression of strips and tiles. Damage that libtiff tolerates is refused.

use flate2::{Decompress, FlushDecompress, Status};

use super::super::image_error::inexact;
use super::page::Compression;
use crate::shared::error::ImageError;

/// Decompresses the first `size` bytes.
///
/// # Errors
/// Returns an error if there are fewer bytes, or an encoder would not write such data.
pub(super) fn unpack(compression: Compression, packed: &[u8], size: usize) -> Result<Vec<u8>, ImageError> {
    match compression {
        Compression::None => Some(packed.to_vec()),
        Compression::Lzw => lzw(packed, size)?,
        Compression::Deflate => deflate(packed, size),
        Compression::PackBits => pack_bits(packed, size),
    }
    .filter(|bytes| bytes.len() == size)
    .ok_or_else(|| inexact("TIFF", "damage in compressed data"))
}

/// Decompresses a complete stream, including its checksum.
fn deflate(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; size];
    let mut inflate = Decompress::new(true);
    let status = inflate.decompress(packed, &mut bytes, FlushDecompress::None).ok()?;
    (status == Status::StreamEnd && inflate.total_out() as usize == size).then_some(bytes)
}

fn pack_bits(packed: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = packed;
    while bytes.len() < size {
        let (head, tail) = rest.split_first()?;
        match *head {
            128 => rest = tail,
            count @ ..128 => {
                let (literal, after) = tail.split_at_checked(usize::from(count) + 1)?;
                bytes.extend_from_slice(literal);
                rest = after;
            }
            count => {
                let (value, after) = tail.split_first()?;
                bytes.resize(bytes.len() + 257 - usize::from(count), *value);
                rest = after;
            }
        }
    }
    Some(bytes)
}

/// Codes of 9 to 12 bits, most significant bit first; the width increases one code early.
fn lzw(packed: &[u8], size: usize) -> Result<Option<Vec<u8>>, ImageError> {
    const CLEAR: usize = 256;
    const END: usize = 257;
    const FIRST_FREE: usize = 258;
    const MAX_TABLE: usize = 4096;
    if matches!(packed, [0, second, ..] if second & 1 == 1) {
        return Err(inexact("TIFF", "LZW with the bit order of old files"));
    }
    let mut bytes: Vec<u8> = Vec::new();
    // Offset in `bytes` and length of the string of each code.
    let mut table: Vec<(usize, usize)> = Vec::new();
    let mut before: Option<(usize, usize)> = None;
    let (mut bits, mut bit_count, mut code_bits) = (0_u32, 0, 9);
    let mut is_cleared = false;
    let mut rest = packed.iter();
    while bytes.len() < size {
        while bit_count < code_bits {
            let Some(byte) = rest.next() else { return Ok(None) };
            bits = bits << 8 | u32::from(*byte);
            bit_count += 8;
        }
        bit_count -= code_bits;
        let code = (bits >> bit_count) as usize & ((1 << code_bits) - 1);
        bits &= (1 << bit_count) - 1;
        if code == CLEAR {
            table.clear();
            (before, code_bits, is_cleared) = (None, 9, true);
            continue;
        }
        if !is_cleared || code == END {
            return Ok(None);
        }
        let at = bytes.len();
        let known = match (code, before) {
            (..CLEAR, _) => {
                bytes.push(code as u8);
                true
            }
            (_, Some((from, length))) => match table.get(code - FIRST_FREE).copied() {
                Some((from, length)) => {
                    bytes.extend_from_within(from..from + length);
                    true
                }
                None if code - FIRST_FREE == table.len() => {
                    bytes.extend_from_within(from..from + length);
                    bytes.push(bytes[from]);
                    true
                }
                None => false,
            },
            _ => false,
        };
        if !known {
            return Ok(None);
        }
        if let Some((from, length)) = before {
            if FIRST_FREE + table.len() >= MAX_TABLE {
                return Ok(None);
            }
            // The previous string and the first byte of this one, which are adjacent.
            table.push((from, length + 1));
            code_bits = match FIRST_FREE + table.len() {
                ..511 => 9,
                511..1023 => 10,
                1023..2047 => 11,
                _ => 12,
            };
        }
        before = Some((at, bytes.len() - at));
    }
    bytes.truncate(size);
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pack_bits_reads_runs_and_literals() {
        assert_eq!(pack_bits(&[254, 7, 128, 1, 8, 9], 5), Some(vec![7, 7, 7, 8, 9]));
        assert_eq!(pack_bits(&[254, 7], 4), None);
        assert_eq!(pack_bits(&[3, 7], 4), None);
    }

    #[test]
    fn lzw_codes_before_a_clear_code_are_refused() {
        assert_eq!(lzw(&[0x80, 0x0b, 0x60, 0x50, 0x22, 0x0c, 0x0c, 0x85, 0x01], 9).unwrap().unwrap().len(), 9);
        assert_eq!(lzw(&[0x20, 0x0b, 0x60, 0x50], 2), Ok(None));
        assert!(lzw(&[0, 1, 0], 1).is_err());
    }
}
