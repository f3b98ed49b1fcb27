//! Tells the format of a file by its first bytes. `ImageNet` has a PNG that is named `.JPEG`.

use image::ImageFormat;

use crate::error::{ImageError, ImageErrorKind};

/// A format that is decoded, by the decoder that does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Other(ImageFormat),
}

pub(super) fn format_of(bytes: &[u8]) -> Result<Format, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError { kind: ImageErrorKind::Empty, reason: "the file has no bytes".to_owned() });
    }
    // The tests of PIL's plugins (`_accept`), so that the same files are recognised.
    Ok(match bytes {
        [0xff, 0xd8, 0xff, ..] => Format::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Format::Other(ImageFormat::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Format::Other(ImageFormat::WebP),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Format::Other(ImageFormat::Gif),
        [b'B', b'M', ..] => Format::Other(ImageFormat::Bmp),
        [b'I', b'I', 0x2a | 0x2b, 0, ..] | [b'M', b'M', 0, 0x2a | 0x2b, ..] => Format::Other(ImageFormat::Tiff),
        [b'P', b'1'..=b'6', ..] => Format::Other(ImageFormat::Pnm),
        _ => {
            return Err(ImageError {
                kind: ImageErrorKind::NotAnImage,
                reason: format!("no image format begins with {}", first_bytes(bytes)),
            });
        }
    })
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
    fn bytes_decide() {
        assert_eq!(format_of(b"\xff\xd8\xff\xe0").unwrap(), Format::Jpeg);
        assert_eq!(format_of(b"\x89PNG\r\n\x1a\n").unwrap(), Format::Other(ImageFormat::Png));
        assert_eq!(format_of(b"RIFF\x10\0\0\0WEBPVP8 ").unwrap(), Format::Other(ImageFormat::WebP));
    }

    #[test]
    fn what_is_no_image_says_what_it_begins_with() {
        assert_eq!(format_of(b"").unwrap_err().kind, ImageErrorKind::Empty);
        let text = format_of(b"not an image").unwrap_err();
        assert_eq!(text.kind, ImageErrorKind::NotAnImage);
        assert!(text.reason.contains("not an image"), "{}", text.reason);
    }
}
