//! Imports label maps that other programs published into a store: the `.pt` files of *Re-labeling ImageNet* and
//! `TokenLabeling`.
//!
//! Such a file is one tensor `[2, k, h, w]` for each image, scores and class ids. Reading the files needs PyTorch, so
//! the Python package does it (`python/relabel/exchange`). This module interprets their values and writes the store.

mod file_layout;
mod file_reader;
mod published_files;
mod import;

pub use file_layout::{FileLayout, FileLayoutError};
pub use file_reader::FileReader;
pub use import::Import;
pub use published_files::{PublishedFiles, class_list, list_files};
