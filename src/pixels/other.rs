//! PNG, WebP, BMP, GIF, TIFF and PNM through the `image` crate, brought to 8 bits as PIL does.

use std::io::{Cursor, ErrorKind};

use image::metadata::Orientation;
use image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageError as DecoderError, ImageFormat, ImageReader, Luma, Pixel,
};

use super::{ExifOrientation, RgbImage, broken, check_pixels, orientation, truncated};
use crate::error::ImageError;

/// Decodes a file of a format other than JPEG. Alpha is dropped, the first frame counts.
///
/// # Errors
/// What PIL refuses, and variants that only PIL reads.
pub(super) fn decode(bytes: &[u8], format: ImageFormat, exif: ExifOrientation) -> Result<RgbImage, ImageError> {
    let explain = |error: DecoderError| explain(format, &error);
    if format == ImageFormat::WebP {
        check_riff_length(bytes)?;
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    // The one limit is PIL's, checked below before pixels are allocated.
    reader.no_limits();
    let mut decoder = reader.into_decoder().map_err(explain)?;
    let (width, height) = decoder.dimensions();
    check_pixels(height, width)?;
    let orientation = match (format, exif) {
        // PIL turns every TIFF, asked or not (`TiffImageFile.load_end`).
        (ImageFormat::Tiff, _) => decoder.orientation().map_err(explain)?,
        (_, ExifOrientation::Ignore) => Orientation::NoTransforms,
        (_, ExifOrientation::Apply) => {
            let exif = decoder.exif_metadata().map_err(explain)?;
            let xmp = decoder.xmp_metadata().map_err(explain)?;
            orientation::of_chunks(exif.as_deref(), xmp.as_deref())
        }
    };
    let image = DynamicImage::from_decoder(decoder).map_err(explain)?;
    let rgb = if is_gray16(bytes, format, &image) { clipped(&image.into_luma16()) } else { to_rgb8(format, image) };
    Ok(orientation::apply(RgbImage::new(height, width, rgb)?, orientation))
}

/// `image` shows a WebP whose last bytes are missing, libwebp (and so PIL) does not.
fn check_riff_length(bytes: &[u8]) -> Result<(), ImageError> {
    let promised = match bytes {
        &[_, _, _, _, a, b, c, d, ..] => u64::from(u32::from_le_bytes([a, b, c, d])) + 8,
        _ => 8,
    };
    if (bytes.len() as u64) < promised {
        return Err(truncated(format!("the WebP has {} of {promised} bytes", bytes.len())));
    }
    Ok(())
}

/// Whether PIL has the file as 16-bit gray, mode `I;16` or `I`.
///
/// `image` adds an alpha channel where a PNG names a transparent gray value, PIL does not: the colour type tells.
fn is_gray16(bytes: &[u8], format: ImageFormat, image: &DynamicImage) -> bool {
    const PNG_COLOUR_TYPE: usize = 25;
    const PNG_GRAY: u8 = 0;
    match image {
        DynamicImage::ImageLuma16(_) => true,
        DynamicImage::ImageLumaA16(_) => format == ImageFormat::Png && bytes.get(PNG_COLOUR_TYPE) == Some(&PNG_GRAY),
        _ => false,
    }
}

/// PIL does not scale 16-bit gray, it clips: all from 255 up is white (`I16_RGB` in `Convert.c`).
fn clipped(gray: &ImageBuffer<Luma<u16>, Vec<u16>>) -> Vec<u8> {
    gray.as_raw().iter().flat_map(|&value| [value.min(255) as u8; 3]).collect()
}

/// 8 bits per channel, without alpha.
fn to_rgb8(format: ImageFormat, image: DynamicImage) -> Vec<u8> {
    match image {
        // PNM is scaled to 8 bits (`PpmDecoder`), which `image` does, too.
        image if format == ImageFormat::Pnm => image.into_rgb8().into_raw(),
        // Elsewhere PIL takes the high byte of 16-bit colour: raw modes `RGB;16B`, `LA;16B`, ...
        DynamicImage::ImageLumaA16(image) => high_bytes(&image),
        DynamicImage::ImageRgb16(image) => high_bytes(&image),
        DynamicImage::ImageRgba16(image) => high_bytes(&image),
        image => image.into_rgb8().into_raw(),
    }
}

fn high_bytes<P: Pixel<Subpixel = u16>>(image: &ImageBuffer<P, Vec<u16>>) -> Vec<u8> {
    image.pixels().flat_map(|pixel| pixel.to_rgb().0.map(|value| (value >> 8) as u8)).collect()
}

fn explain(format: ImageFormat, error: &DecoderError) -> ImageError {
    let name = name(format);
    match error {
        DecoderError::IoError(io) if io.kind() == ErrorKind::UnexpectedEof => {
            truncated(format!("the {name} ends before its image does"))
        }
        DecoderError::Unsupported(_) => broken(format!("{name} of a kind that PIL may read, but not we: {error}")),
        _ => broken(format!("{name}: {error}")),
    }
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Tiff => "TIFF",
        ImageFormat::Pnm => "PNM",
        _ => "image",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ImageErrorKind;
    use image::{ImageBuffer, LumaA, Rgb};

    fn rgb(bytes: &[u8], format: ImageFormat) -> Result<Vec<u8>, ImageError> {
        decode(bytes, format, ExifOrientation::Ignore).map(|image| image.data)
    }

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        image.into().write_to(&mut file, ImageFormat::Png).unwrap();
        file.into_inner()
    }

    #[test]
    fn gray_of_16_bits_is_clipped_and_colour_cut() {
        let gray = ImageBuffer::<Luma<u16>, _>::from_raw(3, 1, vec![7, 254, 300]).unwrap();
        assert_eq!(rgb(&png(gray), ImageFormat::Png), Ok(vec![7, 7, 7, 254, 254, 254, 255, 255, 255]));
        let colour = ImageBuffer::<Rgb<u16>, _>::from_raw(1, 1, vec![0x00ff, 0x1280, 0xffff]).unwrap();
        assert_eq!(rgb(&png(colour), ImageFormat::Png), Ok(vec![0x00, 0x12, 0xff]));
        let with_alpha = ImageBuffer::<LumaA<u16>, _>::from_raw(1, 1, vec![0x12ff, 9]).unwrap();
        assert_eq!(rgb(&png(with_alpha), ImageFormat::Png), Ok(vec![0x12; 3]));
    }

    #[test]
    fn alpha_is_dropped() {
        let clear = image::RgbaImage::from_raw(1, 1, vec![10, 20, 30, 0]).unwrap();
        assert_eq!(rgb(&png(clear), ImageFormat::Png), Ok(vec![10, 20, 30]));
    }

    #[test]
    fn pnm_is_scaled() {
        assert_eq!(rgb(b"P1 2 1 1 0", ImageFormat::Pnm), Ok(vec![0, 0, 0, 255, 255, 255]));
        assert_eq!(rgb(b"P3 1 1 15 15 0 3", ImageFormat::Pnm), Ok(vec![255, 0, 51]));
    }

    #[test]
    fn damage_is_told() {
        let whole = png(image::RgbImage::new(20, 20));
        assert_eq!(rgb(&whole[..50], ImageFormat::Png).unwrap_err().kind, ImageErrorKind::Truncated);
        assert_eq!(rgb(b"P6 2 2 255 \0", ImageFormat::Pnm).unwrap_err().kind, ImageErrorKind::Truncated);
        let error = rgb(b"RIFF\x40\0\0\0WEBPVP8 ", ImageFormat::WebP).unwrap_err();
        assert_eq!(error.reason, "the WebP has 16 of 72 bytes");
        assert_eq!(rgb(b"BM", ImageFormat::Bmp).unwrap_err().kind, ImageErrorKind::Truncated);
        assert_eq!(rgb(b"P6 20000 20000 255 ", ImageFormat::Pnm).unwrap_err().kind, ImageErrorKind::TooLarge);
    }
}
