//! Labelling: images from a source, decoded and resized, through a teacher into a store. Feature `label`.

pub mod source;
pub mod pixels;
pub mod teacher;
pub mod pipeline;
