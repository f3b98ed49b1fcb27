//! TIFF, as `TiffImagePlugin` and libtiff read it: uncompressed, LZW, deflate and `PackBits`, in strips or tiles, in the usual
//! sample layouts. Rare variants are refused.

mod page;
mod unpack;
mod segments;

use super::exif::{Directory, Endian, ORIENTATION, Orientation, orientation_from_xmp};
use super::image_error::{broken, inexact, truncated};
use super::limits::DecodeLimits;
use super::orientation;
use super::rgb_image::RgbImage;
use super::samples::Palette;
use crate::shared::error::ImageError;
use page::Page;
use segments::Segments;

const XMP: u16 = 700;

/// Decodes the first page and applies its orientation, as PIL does for every TIFF. Alpha is dropped.
///
/// # Errors
/// Returns an error if PIL refuses the file, or its layout or compression is not supported.
pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let Some((endian, head)) = Endian::of_tiff(bytes).zip(bytes.first_chunk::<8>()) else {
        return Err(truncated("TIFF: unexpected end of file in the header"));
    };
    if !matches!(head, [b'I', b'I', 0x2a, 0, ..] | [b'M', b'M', 0, 0x2a, ..]) {
        return Err(inexact("TIFF", "BigTIFF or a non-standard header"));
    }
    let directory = Directory::read(bytes, endian.u32(&head[4..]) as usize, endian);
    if directory.is_cut {
        return Err(inexact("TIFF", "a directory that extends beyond the file"));
    }
    let orientation = read_orientation(&directory, endian)?;
    let page = Page::read(&directory, endian)?;
    let (width, height) = (page.width, page.height);
    limits.check(height, width, 3)?;
    let segments = Segments::read(&directory, endian, &page)?;
    let upright_bytes = if orientation == Orientation::NONE { 0 } else { 3 };
    let page_bytes = u64::from(width) * u64::from(height) * (3 + upright_bytes);
    limits.check_bytes(height, width, page_bytes.saturating_add(segments.unpacked_bytes(&page)))?;
    if orientation.swaps_sides() && segments.is_one() && page.is_mapped() {
        // Given a path, PIL maps such a page into memory with height and width swapped; given an open file, it does not.
        return Err(inexact("TIFF", "an uncompressed page rotated by 90 degrees, which PIL reads in two ways,"));
    }
    let mut rgb = vec![0; height as usize * width as usize * 3];
    segments.unpack(bytes, &page, &mut rgb)?;
    Ok(orientation::apply(RgbImage::new(height, width, rgb)?, orientation))
}

/// Reads the orientation from the tag, or else from the XMP packet.
fn read_orientation(directory: &Directory, endian: Endian) -> Result<Orientation, ImageError> {
    if let Some(value) = directory.tag(ORIENTATION) {
        return Ok(value.orientation(endian));
    }
    match directory.tag(XMP) {
        None => Ok(Orientation::NONE),
        Some(packet) if matches!(packet.kind, 1 | 7) => {
            Ok(orientation_from_xmp(packet.bytes).unwrap_or(Orientation::NONE))
        }
        Some(packet) => Err(broken(format!("TIFF: XMP packet of type {}", packet.kind))),
    }
}

/// Reads `COLORMAP`: all reds, then all greens, then all blues, 16 bits each.
fn palette(directory: &Directory, endian: Endian) -> Result<Palette, ImageError> {
    const COLOR_MAP: u16 = 320;
    let Some(map) = directory.tag(COLOR_MAP).and_then(|map| map.numbers(endian)) else {
        return Err(broken("TIFF: no palette"));
    };
    let colours = map.len() / 3;
    let entries: Vec<u8> = (0..colours)
        .flat_map(|number| [number, number + colours, number + 2 * colours])
        .map(|at| (map[at] / 256) as u8)
        .collect();
    let is_short = map.iter().all(|value| *value < 65536);
    let palette = Palette::from_entries::<3>(&entries, [0, 1, 2]).filter(|_| is_short);
    palette.ok_or_else(|| broken(format!("TIFF: palette of {colours} colours")))
}
