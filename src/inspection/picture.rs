//! Pictures of label maps, as PNG.

mod font;
mod canvas;
mod panels;
mod annotations;
mod image_picture;
mod maps_picture;

pub use canvas::PictureError;
pub use image_picture::{Scene, draw_image};
pub use maps_picture::draw_maps;
