//! Run-length encoding, with the treatment of gaps and ends of `BmpRleDecoder`.

use super::super::file_bytes::FileBytes;
use super::super::samples::SampleLayout;

/// Layout of the unpacked bytes, one per pixel. `None` for true colour, which PIL does not read from runs.
pub(super) fn layout(layout: SampleLayout) -> Option<SampleLayout> {
    match layout {
        SampleLayout::Index { .. } => Some(SampleLayout::Index { bits: 8, skipped: 0 }),
        SampleLayout::Gray { .. } => Some(SampleLayout::Gray { bits: 8, inverted: false }),
        // Bytes of black and white: everything but 0 is white.
        SampleLayout::Bits { .. } => Some(SampleLayout::NonZero),
        _ => None,
    }
}

/// Unpacks one byte per pixel, bottom row first. Returns fewer bytes if the runs end early, which PIL refuses.
pub(super) fn unpack(file: &mut FileBytes, four_bits: bool, width: u32, height: u32) -> Vec<u8> {
    let (width, wanted) = (width as usize, width as usize * height as usize);
    let mut data = Vec::new();
    let mut x = 0;
    while data.len() < wanted {
        let Ok([count, byte]) = file.array::<2>() else { break };
        let high_low = [byte >> 4, byte & 15];
        match (count, byte) {
            (1.., _) => {
                let mut count = usize::from(count);
                if x + count > width {
                    count = width.saturating_sub(x);
                }
                data.extend((0..count).map(|index| if four_bits { high_low[index % 2] } else { byte }));
                x += count;
            }
            (0, 0) => {
                data.resize(data.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let Ok([right, up]) = file.array::<2>() else { break };
                let gap = usize::from(right) + usize::from(up) * width;
                data.resize(data.len() + gap.min(wanted - data.len()), 0);
                x = data.len() % width;
            }
            (0, _) => {
                let count = usize::from(byte).min(wanted - data.len());
                let bytes = if four_bits { count.div_ceil(2) } else { count };
                let read = file.read(bytes as u64);
                if four_bits {
                    let nibbles = read.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                    data.extend(nibbles.take(count));
                } else {
                    data.extend_from_slice(read);
                }
                if read.len() < bytes || data.len() == wanted {
                    break;
                }
                x += usize::from(byte);
                file.seek(file.position().next_multiple_of(2));
            }
        }
    }
    data
}
