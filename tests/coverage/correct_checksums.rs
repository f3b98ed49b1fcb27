//! Corrects checksums, which would otherwise reject almost every change.

/// Corrects the checksum of every header of a tar.
pub fn correct_tar_checksums(tar: &[u8]) -> Vec<u8> {
    let mut corrected = tar.to_vec();
    for block in corrected.as_chunks_mut::<512>().0 {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    corrected
}

/// Corrects the checksum of every chunk of a PNG. Returns `None` for other files.
pub fn correct_png_checksums(png: &[u8]) -> Option<Vec<u8>> {
    const SIGNATURE_BYTES: usize = 8;
    if !png.starts_with(b"\x89PNG\r\n\x1a\n") {
        return None;
    }
    let mut corrected = png.to_vec();
    let mut at = SIGNATURE_BYTES;
    while let Some(header) = corrected.get(at..at + 4) {
        let length = header.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let end = at + 8 + length;
        let Some(sum) = corrected.get(at + 4..end).map(crc32) else { break };
        let Some(stored) = corrected.get_mut(end..end + 4) else { break };
        stored.copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
    Some(corrected)
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
    })
}
