//! Detects the format of a file by its first bytes. `ImageNet` contains a PNG named `.JPEG`.

use super::image_error::inexact;
use crate::shared::error::{ImageError, ImageErrorKind};

/// A supported format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImageFormat {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Tiff,
    Pnm,
}

/// Detects the format of a file.
///
/// # Errors
/// Returns an error if the file is empty, or the format is unknown or not supported.
pub(super) fn detect_format(bytes: &[u8]) -> Result<ImageFormat, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError { kind: ImageErrorKind::Empty, reason: "the file has no bytes".to_owned() });
    }
    // The same checks as `_accept` of PIL's plugins.
    Ok(match bytes {
        [0xff, 0xd8, 0xff, ..] => ImageFormat::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => ImageFormat::Png,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => ImageFormat::WebP,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => ImageFormat::Gif,
        [b'B', b'M', ..] => ImageFormat::Bmp,
        [b'I', b'I', 0x2a | 0x2b, 0, ..]
        | [b'I', b'I', 0, 0x2a, ..]
        | [b'M', b'M', 0, 0x2a | 0x2b, ..]
        | [b'M', b'M', 0x2a, 0, ..] => ImageFormat::Tiff,
        [b'P', b'0'..=b'6' | b'f' | b'y', ..] => ImageFormat::Pnm,
        _ => {
            return Err(match unsupported_format(bytes) {
                Some(name) => inexact(name, "the format"),
                None => ImageError {
                    kind: ImageErrorKind::NotAnImage,
                    reason: format!("unrecognised image format, the file begins with {}", first_bytes(bytes)),
                },
            });
        }
    })
}

/// Name of an unsupported format. PIL reads most of them.
fn unsupported_format(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.first_chunk()? {
            b"avif" | b"avis" => "AVIF",
            b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1" => {
                if brand.windows(4).take(64).any(|word| word == b"avif") { "AVIF" } else { "HEIC" }
            }
            b"jp2 " | b"jpx " => "JPEG 2000",
            _ => return None,
        },
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => "JPEG 2000",
        [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] | [0xff, 0x0a, ..] => "JPEG XL",
        [b'q', b'o', b'i', b'f', ..] => "QOI",
        [0, 0, 1, 0, ..] => "ICO",
        [0, 0, 2, 0, _, _, ..] if !is_tga(bytes) => "CUR",
        [b'8', b'B', b'P', b'S', ..] => "PSD",
        [b'D', b'D', b'S', b' ', ..] => "DDS",
        [b'i', b'c', b'n', b's', ..] => "ICNS",
        [0x01, 0xda, ..] => "SGI",
        [0x59, 0xa6, 0x6a, 0x95, ..] => "Sun raster",
        [b'#', b'?', b'R', b'A', b'D', ..] => "Radiance HDR",
        [0x76, 0x2f, 0x31, 0x01, ..] => "OpenEXR",
        [b'%', b'!', b'P', b'S', ..] | [0xc5, 0xd0, 0xd3, 0xc6, ..] => "EPS",
        [b'S', b'I', b'M', b'P', b'L', b'E', ..] => "FITS",
        [0xd7, 0xcd, 0xc6, 0x9a, ..] => "WMF",
        [b'/', b'*', b' ', b'X', b'P', b'M', ..] => "XPM",
        [0x0a, 0 | 2 | 3 | 5, 1, ..] => "PCX",
        [12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0, ..] => "DIB (a BMP without its first header)",
        _ if is_svg(bytes) => "SVG",
        _ if is_tga(bytes) => "TGA",
        _ => return None,
    })
}

fn is_svg(bytes: &[u8]) -> bool {
    let text = &bytes[..bytes.len().min(256)];
    text.starts_with(b"<") && text.windows(4).any(|word| word == b"<svg")
}

/// TGA has no magic number; its header is recognised by plausible values.
fn is_tga(bytes: &[u8]) -> bool {
    let [
        _,
        map @ (0 | 1),
        kind @ (1 | 2 | 3 | 9 | 10 | 11),
        _,
        _,
        _,
        _,
        map_bits,
        _,
        _,
        _,
        _,
        w0,
        w1,
        h0,
        h1,
        bits,
        flags,
        ..,
    ] = bytes
    else {
        return false;
    };
    let has_sides = (*w0 | *w1) != 0 && (*h0 | *h1) != 0;
    let map_fits = (*map == 1) == matches!(kind, 1 | 9) && matches!(map_bits, 0 | 15 | 16 | 24 | 32);
    has_sides && map_fits && matches!(bits, 1 | 8 | 15 | 16 | 24 | 32) && flags & 0xc0 == 0
}

fn first_bytes(bytes: &[u8]) -> String {
    let first = &bytes[..bytes.len().min(12)];
    if first.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ' || *byte == b'\n') {
        return format!("{:?}", String::from_utf8_lossy(first));
    }
    first.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_detected_by_content() {
        assert_eq!(detect_format(b"\xff\xd8\xff\xe0").unwrap(), ImageFormat::Jpeg);
        assert_eq!(detect_format(b"\x89PNG\r\n\x1a\n").unwrap(), ImageFormat::Png);
        assert_eq!(detect_format(b"RIFF\x10\0\0\0WEBPVP8 ").unwrap(), ImageFormat::WebP);
    }

    #[test]
    fn unsupported_formats_are_named() {
        for (first, name) in [
            (b"\0\0\0\x1cftypavif\0\0\0\0".as_slice(), "AVIF"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
            (b"\xff\x4f\xff\x51", "JPEG 2000"),
            (b"\xff\x0a\xfa", "JPEG XL"),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
            (b"qoif", "QOI"),
            (b"\0\0\x01\0\x01\0", "ICO"),
            (b"\0\0\x02\0\0\0\0\0\0\0\0\0\x20\0\x20\0\x18\0\0", "TGA"),
            (b"<?xml version=\"1.0\"?><svg width=\"1\">", "SVG"),
        ] {
            let error = detect_format(first).unwrap_err();
            assert_eq!(error.kind, ImageErrorKind::Inexact);
            assert!(error.reason.starts_with(name), "{error}");
            assert!(error.reason.contains("not decoded exactly; convert it"), "{error}");
        }
    }

    #[test]
    fn unrecognised_files_show_their_first_bytes() {
        assert_eq!(detect_format(b"").unwrap_err().kind, ImageErrorKind::Empty);
        let text = detect_format(b"not an image").unwrap_err();
        assert_eq!(text.kind, ImageErrorKind::NotAnImage);
        assert!(text.reason.contains("not an image"), "{}", text.reason);
    }
}
