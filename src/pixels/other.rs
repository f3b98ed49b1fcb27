//! PNG, WebP, BMP, GIF, TIFF and PNM through `image`, turned into 8-bit RGB by PIL's rules.

use std::io::Cursor;

use image::error::ImageError as DecoderError;
use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader};

use super::{RgbImage, broken, check_pixels};
use crate::error::{ImageError, ImageErrorKind};

pub(super) fn decode(bytes: &[u8], format: ImageFormat) -> Result<RgbImage, ImageError> {
    let problem = |error: DecoderError| failure(format, &error);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.no_limits(); // the number of pixels is checked below
    let decoder = reader.into_decoder().map_err(problem)?;
    let (width, height) = decoder.dimensions();
    check_pixels(height, width)?;
    let image = DynamicImage::from_decoder(decoder).map_err(problem)?;
    RgbImage::new(height, width, rgb_bytes(image))
}

/// As PIL's `convert("RGB")`: alpha is dropped, not blended; 16-bit colour loses its low byte; 16-bit grey (mode
/// `I;16`) is cut off at 255.
fn rgb_bytes(image: DynamicImage) -> Vec<u8> {
    let high_bytes = |samples: &[u16]| samples.iter().map(|sample| (sample >> 8) as u8).collect::<Vec<u8>>();
    match image {
        DynamicImage::ImageLuma16(grey) => grey.iter().flat_map(|&sample| [sample.min(255) as u8; 3]).collect(),
        DynamicImage::ImageLumaA16(grey) => grey.pixels().flat_map(|pixel| [(pixel.0[0] >> 8) as u8; 3]).collect(),
        DynamicImage::ImageRgb16(colour) => high_bytes(&colour),
        DynamicImage::ImageRgba16(colour) => {
            colour.pixels().flat_map(|pixel| [0, 1, 2].map(|channel| (pixel.0[channel] >> 8) as u8)).collect()
        }
        DynamicImage::ImageRgba8(colour) => {
            colour.pixels().flat_map(|pixel| [pixel.0[0], pixel.0[1], pixel.0[2]]).collect()
        }
        DynamicImage::ImageLumaA8(grey) => grey.pixels().flat_map(|pixel| [pixel.0[0]; 3]).collect(),
        image => image.into_rgb8().into_raw(),
    }
}

fn failure(format: ImageFormat, error: &DecoderError) -> ImageError {
    let name = format.extensions_str().first().copied().unwrap_or("image").to_ascii_uppercase();
    let ends_early = matches!(error, DecoderError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof);
    if ends_early {
        return ImageError {
            kind: ImageErrorKind::Truncated,
            reason: format!("the {name} ends before its image does"),
        };
    }
    broken(format!("{name}: {error}"))
}
