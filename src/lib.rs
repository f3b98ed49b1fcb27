//! relabel
pub mod error;
pub mod geometry;
pub mod digest;
pub mod classes;
pub mod label_map;
pub mod manifest;
pub mod source;
pub mod pixels;
pub mod teacher;
pub mod store;
