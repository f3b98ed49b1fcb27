//! The first frame of a GIF on its screen, as `GifImagePlugin` reads it.

mod lzw;

use super::file_bytes::{FileBytes, u16_le};
use super::image_error::{broken, truncated};
use super::limits::DecodeLimits;
use super::rgb_image::RgbImage;
use super::samples::Palette;
use crate::shared::error::ImageError;
use lzw::{FrameRect, Lzw, LzwProgress};

/// `ImageFile.MAXBLOCK`: how much PIL reads at once. It matters for files with data after the end of their pixels.
const MAX_BLOCK: usize = 65536;

/// Decodes the first frame. The screen around it has the transparent colour, or else the first one; a frame larger than the
/// screen enlarges it.
///
/// # Errors
/// Returns an error if PIL refuses the file.
pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let mut file = FileBytes::new(bytes, 0);
    let screen: [u8; 13] = file.array()?;
    let global = match screen[10] {
        flags if flags & 0x80 != 0 => read_palette(&mut file, flags)?,
        _ => None,
    };
    let first = find_frame(&mut file)?;
    let frame = first.frame;
    let (right, bottom) = (frame.left + frame.width, frame.top + frame.height);
    let width = u32::from(u16_le(&screen, 6)?).max(right);
    let height = u32::from(u16_le(&screen, 8)?).max(bottom);
    limits.check(height, width, 4)?;
    if frame.width == 0 || frame.height == 0 {
        return Err(broken("GIF: first frame has no pixels"));
    }
    // PIL ignores a local palette that is a gray ramp and uses the global one.
    let palette = first.palette.or(global).unwrap_or_else(Palette::grays);
    let mut indices = vec![first.transparent.unwrap_or(0); height as usize * width as usize];
    read_pixels(file.rest(), Lzw::new(first.bits, frame, width), &mut indices)?;
    let rgb = indices.into_iter().flat_map(|number| palette.colour(number)).collect();
    RgbImage::new(height, width, rgb)
}

/// Header of the first frame.
struct FirstFrame {
    frame: FrameRect,
    palette: Option<Palette>,
    transparent: Option<u8>,
    /// Size of the first codes in bits.
    bits: u8,
}

/// `GifImageFile._seek(0)`: skips extensions and unknown bytes.
fn find_frame(file: &mut FileBytes) -> Result<FirstFrame, ImageError> {
    let mut transparent = None;
    loop {
        match file.byte() {
            None | Some(b';') => return Err(truncated("GIF: no frame")),
            Some(b'!') => extension(file, &mut transparent)?,
            Some(b',') => break,
            Some(_) => {}
        }
    }
    let head: [u8; 9] = file.array()?;
    let side = |at| u16_le(&head, at).map(u32::from);
    let flags = head[8];
    let palette = if flags & 0x80 != 0 { read_palette(file, flags)? } else { None };
    let bits = file.byte().ok_or_else(no_end)?;
    let frame =
        FrameRect { left: side(0)?, top: side(2)?, width: side(4)?, height: side(6)?, interlaced: flags & 0x40 != 0 };
    Ok(FirstFrame { frame, palette, transparent, bits })
}

fn extension(file: &mut FileBytes, transparent: &mut Option<u8>) -> Result<(), ImageError> {
    const GRAPHIC_CONTROL: u8 = 249;
    const COMMENT: u8 = 254;
    const APPLICATION: u8 = 255;
    let label = file.byte();
    let mut block = sub_block(file);
    match (label.ok_or_else(no_end)?, block) {
        (GRAPHIC_CONTROL, Some(control)) => {
            let flags = *control.first().ok_or_else(no_end)?;
            if flags & 1 != 0 {
                *transparent = Some(*control.get(3).ok_or_else(no_end)?);
            }
            u16_le(control, 1)?;
        }
        (COMMENT, _) => {
            while block.is_some_and(|text| !text.is_empty()) {
                block = sub_block(file);
            }
            return Ok(());
        }
        (APPLICATION, Some(name)) if name.starts_with(b"NETSCAPE2.0") => {
            sub_block(file);
        }
        _ => {}
    }
    while sub_block(file).is_some_and(|block| !block.is_empty()) {}
    Ok(())
}

fn sub_block<'a>(file: &mut FileBytes<'a>) -> Option<&'a [u8]> {
    let length = file.byte().filter(|length| *length != 0)?;
    Some(file.read(u64::from(length)))
}

/// Reads a palette; `None` for a gray ramp (`_is_palette_needed`).
fn read_palette(file: &mut FileBytes, flags: u8) -> Result<Option<Palette>, ImageError> {
    let colours = file.read(3 << ((flags & 7) + 1));
    let is_gray = |(number, colour): (usize, &[u8; 3])| colour.iter().all(|value| usize::from(*value) == number);
    let (complete, rest) = colours.as_chunks::<3>();
    let needed = !complete.iter().enumerate().all(is_gray);
    if !needed && !rest.is_empty() {
        return Err(no_end());
    }
    Ok(Palette::from_entries::<3>(colours, [0, 1, 2]).filter(|_| needed))
}

fn read_pixels(data: &[u8], mut lzw: Lzw, indices: &mut [u8]) -> Result<(), ImageError> {
    let (mut done, mut read) = (0, 0);
    loop {
        if read == data.len() {
            return Err(no_end());
        }
        read = data.len().min(read + MAX_BLOCK);
        match lzw.decode(&data[done..read], indices) {
            LzwProgress::NeedsMore(count) => done += count,
            LzwProgress::Complete => return Ok(()),
            LzwProgress::Broken => return Err(broken("GIF: invalid LZW codes")),
        }
    }
}

fn no_end() -> ImageError {
    truncated("GIF: unexpected end of file")
}
