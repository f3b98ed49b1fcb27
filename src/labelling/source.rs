//! Where images come from: folders, tars and Parquet files. The only reader of image storage.
//!
//! [`open`] recognises what `--in` names. A source lists its images once, and finds the images of a manifest again
//! ([`Source::locate`]); then they are read by row, from many threads.

mod image_name;
mod image_reader;
mod splits;
mod source_error;
mod image_source;
mod archives;
mod image_location;
mod source_index;
mod archive_source;
mod tar;
mod parquet;
mod folder_walk;
mod folder_source;
mod pattern;
mod open_source;

pub use folder_source::FolderSource;
pub use image_reader::{ImageReader, LengthCheck, ReadError};
pub use image_source::{ListedImages, Located, Source};
pub use open_source::open;
pub use parquet::{ParquetImagesError, list_parquet_bytes};
pub use source_error::SourceError;
pub use splits::{SplitsFound, splits_of_column};
pub use tar::{TarDamage, TarProblem, list_tar_bytes};
