//! Image files to RGB pixels, equal to those of PIL's `Image.open(file).convert("RGB")` and `resize`. Files that PIL refuses
//! are errors.

mod image_error;
mod sniff;
mod budget;
mod limits;
mod file_bytes;
mod cmyk;
mod samples;
mod pixel_crop;
mod rgb_image;
mod exif;
mod orientation;
mod jpeg;
mod png_file;
mod webp_file;
mod gif_file;
mod bmp_file;
mod tiff_file;
mod pnm_file;
mod decoder;

pub use budget::{IMAGE_BYTES, Reservation};
pub use decoder::{Decoder, InputLevels, decode, decode_into};
pub use limits::MAX_PIXELS;
pub use orientation::ExifOrientation;
pub use pixel_crop::PixelCrop;
pub use relabel_resize::Filter;
pub use rgb_image::RgbImage;
