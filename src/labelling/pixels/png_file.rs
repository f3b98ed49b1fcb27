//! PNG, as `PngImagePlugin` reads it. PIL tolerates a missing end and rows missing after a complete stream; it refuses wrong
//! checksums before the pixels, short chunks, and text chunks and profiles that unpack to more than its limits.

mod chunk;
mod metadata;
mod inflate;
mod chunk_reader;

use super::image_error::{broken, inexact};
use super::limits::DecodeLimits;
use super::orientation::{self, ExifOrientation};
use super::rgb_image::RgbImage;
use super::samples::{Palette, SampleLayout};
use crate::shared::error::ImageError;
use chunk::PngChunk;
use chunk_reader::ChunkReader;
use inflate::{FrameArea, PixelInflater};

/// Decodes a PNG, or the first image that PIL shows of an animated one. Alpha is dropped.
///
/// # Errors
/// Returns an error if PIL refuses the file, or a text chunk is named like one of PIL's own attributes.
pub(super) fn decode(bytes: &[u8], exif: ExifOrientation, limits: &DecodeLimits) -> Result<RgbImage, ImageError> {
    let mut reader = ChunkReader::new(bytes);
    let data = open(&mut reader)?;
    let (width, height) = reader.metadata.size;
    let Some(layout) = reader.metadata.layout else { return Err(broken("PNG: no header before the pixels")) };
    let upright_bytes = if exif == ExifOrientation::Apply { 3 } else { 0 };
    let row_bytes = 2 * layout.row_bytes(width);
    limits.check_bytes(height, width, u64::from(width) * u64::from(height) * (3 + upright_bytes) + row_bytes)?;
    let palette = palette(&reader, layout)?;
    let [x0, y0, x1, y1] = reader.metadata.area.unwrap_or([0, 0, width, height]);
    if x0 >= x1 || y0 >= y1 {
        return Err(broken("PNG: first frame has no pixels"));
    }
    let mut pixels = vec![0; height as usize * width as usize * 3];
    // Pixels without a row have the first colour. Black is not written, so no memory is touched yet.
    if matches!(layout, SampleLayout::Index { .. }) && palette.colour(0) != [0; 3] {
        pixels.as_chunks_mut::<3>().0.fill(palette.colour(0));
    }
    let area = FrameArea { left: x0, top: y0, width: x1 - x0, height: y1 - y0, image_width: width };
    let mut inflated = PixelInflater::new(layout, area, reader.metadata.interlaced, &palette, &mut pixels);
    let is_animated = reader.metadata.is_animated();
    let lacks_palette = matches!(layout, SampleLayout::Index { .. }) && reader.metadata.palette.is_none();
    reader.read_pixels(data, &mut inflated)?;
    reader.read_rest(is_animated)?;
    // `exif_transpose` gives the image a palette, possibly an empty one.
    if reader.metadata.has_one_transparent_index && lacks_palette && exif == ExifOrientation::Ignore {
        return Err(broken("PNG: transparent palette entry without a palette"));
    }
    let image = RgbImage::new(height, width, pixels)?;
    match exif {
        ExifOrientation::Ignore => Ok(image),
        ExifOrientation::Apply => {
            let orientation = reader.metadata.orientation()?;
            Ok(orientation::apply(image, orientation))
        }
    }
}

/// Reads the chunks before the pixels and returns the first chunk with pixels.
fn open(reader: &mut ChunkReader) -> Result<PngChunk, ImageError> {
    loop {
        let chunk = reader.next()?;
        match &chunk.kind {
            b"IDAT" if reader.metadata.layout.is_some() => return Ok(chunk),
            b"fdAT" => {
                let chunk = reader.frame_data(chunk)?;
                if reader.metadata.layout.is_some() {
                    return Ok(chunk);
                }
                return Err(broken("PNG: frame data before the header"));
            }
            b"IEND" => return Err(broken("PNG: no pixels")),
            _ => {
                let content = reader.content(chunk)?;
                reader.metadata.read_chunk(chunk, content)?;
                reader.verify_checksum(chunk, content)?;
            }
        }
    }
}

fn palette(reader: &ChunkReader, layout: SampleLayout) -> Result<Palette, ImageError> {
    match (layout, reader.metadata.palette) {
        (SampleLayout::Index { .. }, Some(entries)) => Palette::from_entries::<3>(entries, [0, 1, 2])
            .ok_or_else(|| broken(format!("PNG: palette of {} colours", entries.len() / 3))),
        _ => Ok(Palette::BLACK),
    }
}

/// The refusal of a text whose name PIL uses for an attribute of its own.
fn refuse_text_name(name: &[u8]) -> ImageError {
    inexact("PNG", &format!("a text chunk named {:?}", String::from_utf8_lossy(name)))
}
