//! Remote stores and releases: object stores (S3 and compatible ones, Google Cloud Storage, Azure) and web
//! servers. The only module that uses `object_store` and asynchronous code; its public functions block.
//!
//! Credentials come from the variables that the caller passes, and no message contains one
//! (test `remote::credentials_are_never_printed`).

mod settings;
mod address;
mod connector;
mod response_body;
mod failure;
mod client;
mod remote_files;
mod read;
mod upload;
mod cached_files;

pub use address::is_address;
pub use cached_files::CachedFiles;
pub use remote_files::RemoteFiles;
pub use settings::{Access, RemoteSettings, StopCheck};
pub use upload::UploadSource;
