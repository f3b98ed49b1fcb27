//! relabel
pub mod classes;
pub mod digest;
pub mod error;
pub mod geometry;
pub mod inspect;
pub mod label_map;
pub mod manifest;
pub mod monitor;
pub mod pipeline;
pub mod pixels;
pub mod source;
pub mod store;
pub mod teacher;
