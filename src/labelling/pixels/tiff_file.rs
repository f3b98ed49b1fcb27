//! TIFF as `TiffImagePlugin` and libtiff read it: uncompressed, LZW, deflate and `PackBits`, in strips or tiles, of the
//! layouts that are usual. What is rarer is refused, not guessed.

mod pages;
mod pieces;
mod unpack;

use super::exif::{Directory, Endian, ORIENTATION, Orientation, of_xmp};
use super::limits::Limits;
use super::samples::Palette;
use super::{RgbImage, broken, inexact, orientation, truncated};
use crate::shared::error::ImageError;
use pages::Page;
use pieces::Pieces;

const XMP: u16 = 700;

/// Decodes the first page, turned as its orientation asks: PIL turns every TIFF. Alpha is dropped.
///
/// # Errors
/// What PIL refuses, and the layouts and compressions that are not decoded exactly.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, ImageError> {
    let Some((endian, head)) = Endian::of_tiff(bytes).zip(bytes.first_chunk::<8>()) else {
        return Err(truncated("the TIFF ends in its header".to_owned()));
    };
    if !matches!(head, [b'I', b'I', 0x2a, 0, ..] | [b'M', b'M', 0, 0x2a, ..]) {
        return Err(inexact("TIFF", "BigTIFF, or a header that is not standard,"));
    }
    let directory = Directory::read(bytes, endian.u32(&head[4..]) as usize, endian);
    if directory.is_cut {
        return Err(inexact("TIFF", "a directory that is cut, or whose values lie outside the file,"));
    }
    let turned = orientation_of(&directory, endian)?;
    let page = Page::read(&directory, endian)?;
    let (width, height) = (page.width, page.height);
    limits.check(height, width, 3)?;
    let pieces = Pieces::read(&directory, endian, &page)?;
    let turned_bytes = if turned == Orientation::NONE { 0 } else { 3 };
    let page_bytes = u64::from(width) * u64::from(height) * (3 + turned_bytes);
    limits.check_bytes(height, width, page_bytes.saturating_add(pieces.unpacked_bytes(&page)))?;
    if turned.swaps_sides() && pieces.is_one() && page.is_mapped() {
        // Given a path, PIL maps such a page into memory with height for width; given an open file, it does not.
        return Err(inexact("TIFF", "an uncompressed page on its side, which PIL reads in two ways,"));
    }
    let mut rgb = vec![0; height as usize * width as usize * 3];
    pieces.unpack(bytes, &page, &mut rgb)?;
    Ok(orientation::apply(RgbImage::new(height, width, rgb)?, turned))
}

/// The tag, or else the XMP packet.
fn orientation_of(directory: &Directory, endian: Endian) -> Result<Orientation, ImageError> {
    if let Some(value) = directory.tag(ORIENTATION) {
        return Ok(value.orientation(endian));
    }
    match directory.tag(XMP) {
        None => Ok(Orientation::NONE),
        Some(packet) if matches!(packet.kind, 1 | 7) => Ok(of_xmp(packet.bytes).unwrap_or(Orientation::NONE)),
        Some(packet) => Err(broken(format!("TIFF: an XMP packet of type {}", packet.kind))),
    }
}

/// `COLORMAP`: all reds, then all greens, then all blues, of 16 bits each.
fn palette(directory: &Directory, endian: Endian) -> Result<Palette, ImageError> {
    const COLOR_MAP: u16 = 320;
    let Some(map) = directory.tag(COLOR_MAP).and_then(|map| map.numbers(endian)) else {
        return Err(broken("TIFF: no palette".to_owned()));
    };
    let colours = map.len() / 3;
    let entries: Vec<u8> = (0..colours)
        .flat_map(|number| [number, number + colours, number + 2 * colours])
        .map(|at| (map[at] / 256) as u8)
        .collect();
    let is_short = map.iter().all(|value| *value < 65536);
    let palette = Palette::of_entries::<3>(&entries, [0, 1, 2]).filter(|_| is_short);
    palette.ok_or_else(|| broken(format!("TIFF: a palette of {colours} colours")))
}
