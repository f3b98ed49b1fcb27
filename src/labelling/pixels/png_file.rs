//! PNG as `PngImagePlugin` reads it: what PIL forgives (no end, rows that are missing behind a complete stream) and what
//! it refuses (checksums before the pixels, short chunks, texts and profiles that unpack to more than its limits).

mod chunks;
mod notes;
mod zip;

use super::limits::Limits;
use super::samples::{Layout, Palette};
use super::{ExifOrientation, RgbImage, broken, inexact, orientation};
use crate::shared::error::ImageError;
use chunks::{Chunk, Stream};
use zip::{Area, Inflated};

/// Decodes a PNG; of an animated one, what PIL shows first. Alpha is dropped.
///
/// # Errors
/// What PIL refuses, and text chunks that are named like PIL's own notes on an image.
pub(super) fn decode(bytes: &[u8], exif: ExifOrientation, limits: &Limits) -> Result<RgbImage, ImageError> {
    let mut stream = Stream::new(bytes);
    let data = open(&mut stream)?;
    let (width, height) = stream.notes.size;
    let Some(layout) = stream.notes.layout else { return Err(broken("PNG: no header before its pixels".to_owned())) };
    let turned_bytes = if exif == ExifOrientation::Apply { 3 } else { 0 };
    let row_bytes = 2 * layout.row_bytes(width);
    limits.check_bytes(height, width, u64::from(width) * u64::from(height) * (3 + turned_bytes) + row_bytes)?;
    let palette = palette(&stream, layout)?;
    let [x0, y0, x1, y1] = stream.notes.area.unwrap_or([0, 0, width, height]);
    if x0 >= x1 || y0 >= y1 {
        return Err(broken("PNG: its first frame has no pixels".to_owned()));
    }
    let mut pixels = vec![0; height as usize * width as usize * 3];
    // What no row fills has the first colour. Black needs no writing, and so no memory yet.
    if matches!(layout, Layout::Index { .. }) && palette.colour(0) != [0; 3] {
        pixels.as_chunks_mut::<3>().0.fill(palette.colour(0));
    }
    let area = Area { left: x0, top: y0, width: x1 - x0, height: y1 - y0, image_width: width };
    let mut inflated = Inflated::new(layout, area, stream.notes.interlaced, &palette, &mut pixels);
    let is_animated = stream.notes.is_animated();
    let lacks_palette = matches!(layout, Layout::Index { .. }) && stream.notes.palette.is_none();
    stream.read_pixels(data, &mut inflated)?;
    stream.read_rest(is_animated)?;
    // A turned image has a palette, if an empty one.
    if stream.notes.has_one_transparent_number && lacks_palette && exif == ExifOrientation::Ignore {
        return Err(broken("PNG: a transparent palette entry, but no palette".to_owned()));
    }
    let image = RgbImage::new(height, width, pixels)?;
    match exif {
        ExifOrientation::Ignore => Ok(image),
        ExifOrientation::Apply => {
            let orientation = stream.notes.orientation()?;
            Ok(orientation::apply(image, orientation))
        }
    }
}

/// Reads the chunks before the pixels, and gives the first chunk that holds some.
fn open(stream: &mut Stream) -> Result<Chunk, ImageError> {
    loop {
        let chunk = stream.next()?;
        match &chunk.kind {
            b"IDAT" if stream.notes.layout.is_some() => return Ok(chunk),
            b"fdAT" => {
                let chunk = stream.frame_data(chunk)?;
                if stream.notes.layout.is_some() {
                    return Ok(chunk);
                }
                return Err(broken("PNG: frame data before the header".to_owned()));
            }
            b"IEND" => return Err(broken("PNG: no pixels".to_owned())),
            _ => {
                let content = stream.content(chunk)?;
                stream.notes.note(chunk, content)?;
                stream.check_sum(chunk, content)?;
            }
        }
    }
}

fn palette(stream: &Stream, layout: Layout) -> Result<Palette, ImageError> {
    match (layout, stream.notes.palette) {
        (Layout::Index { .. }, Some(entries)) => Palette::of_entries::<3>(entries, [0, 1, 2])
            .ok_or_else(|| broken(format!("PNG: a palette of {} colours", entries.len() / 3))),
        _ => Ok(Palette::BLACK),
    }
}

/// Names of texts that PIL would take for its own notes on the image.
fn refuse_note(name: &[u8]) -> ImageError {
    inexact("PNG", &format!("a text named {:?}", String::from_utf8_lossy(name)))
}
