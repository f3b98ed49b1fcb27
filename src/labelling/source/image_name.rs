//! Which file names are those of images.

/// Extensions of images, in upper or lower case: torchvision's `IMG_EXTENSIONS`, and GIF.
pub(super) const IMAGE_EXTENSIONS: [&str; 10] =
    ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif"];

/// Returns whether a path has the extension of an image.
pub(super) fn is_image_name(name: &[u8]) -> bool {
    let file = name.rsplit(|&byte| byte == b'/').next().unwrap_or(name);
    let Some(dot) = file.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > 0) else { return false };
    IMAGE_EXTENSIONS.iter().any(|known| file[dot + 1..].eq_ignore_ascii_case(known.as_bytes()))
}
