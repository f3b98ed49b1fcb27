//! Uploads files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload,
};

use super::remote_files::RemoteFiles;
use crate::shared::digest::Digest;
use crate::shared::error::Error;

/// Files up to this length are uploaded in one request.
const PART_BYTES: u64 = 16 << 20;
/// Object stores accept 10,000 parts of a file.
const MAX_PARTS: u64 = 9_000;

/// Source of the bytes of an uploaded file.
#[derive(Clone, Copy, Debug)]
pub enum UploadSource<'a> {
    /// Memory.
    Bytes(&'a [u8]),
    /// A local file.
    File(&'a Path),
}

impl RemoteFiles {
    /// Uploads a file atomically, with its digest as metadata for [`RemoteFiles::stored_digest`].
    ///
    /// # Errors
    /// Returns [`Error::Remote`] if the server cannot be reached or refuses; [`Error::File`] if the source cannot be read.
    pub fn put(&self, inside: &str, source: UploadSource<'_>, sha256: &Digest) -> Result<(), Error> {
        let attributes = Attributes::from_iter([
            (Attribute::Metadata(DIGEST_METADATA.into()), sha256.to_string()),
            (Attribute::ContentType, content_type(inside).to_owned()),
        ]);
        let path = match source {
            UploadSource::Bytes(bytes) => return self.put_single(inside, bytes.to_vec(), attributes),
            UploadSource::File(path) => path,
        };
        let bytes = std::fs::metadata(path).map_err(Error::file("read", path))?.len();
        if bytes <= PART_BYTES {
            return self.put_single(inside, std::fs::read(path).map_err(Error::file("read", path))?, attributes);
        }
        self.put_multipart(inside, path, bytes.div_ceil(MAX_PARTS).max(PART_BYTES), attributes)
    }

    fn put_single(&self, inside: &str, bytes: Vec<u8>, attributes: Attributes) -> Result<(), Error> {
        let location = self.address.location(inside)?;
        let options = PutOptions { attributes, ..PutOptions::default() };
        let bytes = PutPayload::from(bytes);
        let put = self.request(&async |store: &dyn ObjectStore| {
            store.put_opts(&location, bytes.clone(), options.clone()).await
        })?;
        put.map(drop).map_err(|error| self.failure(inside, "write the file", &error))
    }

    fn put_multipart(&self, inside: &str, path: &Path, part_bytes: u64, attributes: Attributes) -> Result<(), Error> {
        let location = self.address.location(inside)?;
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let put = self.request(&async |store: &dyn ObjectStore| {
            let mut file = File::open(path).map_err(local_file_error)?;
            let mut upload = store.put_multipart_opts(&location, options.clone()).await?;
            loop {
                let mut part = Vec::with_capacity(part_bytes as usize);
                let sent = match file.by_ref().take(part_bytes).read_to_end(&mut part) {
                    Ok(0) => break,
                    Ok(_) => upload.put_part(PutPayload::from(part)).await,
                    Err(error) => Err(local_file_error(error)),
                };
                if let Err(error) = sent {
                    // Uploaded parts would be kept, and billed.
                    let _ = upload.abort().await;
                    return Err(error);
                }
            }
            upload.complete().await
        })?;
        put.map(drop).map_err(|error| self.failure(inside, "write the file", &error))
    }

    /// Returns the digest that was uploaded with a file; `None` if the file or its digest is missing.
    ///
    /// # Errors
    /// Returns [`Error::Remote`] if the server cannot be reached or refuses.
    pub fn stored_digest(&self, inside: &str) -> Result<Option<String>, Error> {
        let location = self.address.location(inside)?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        let response =
            self.request(&async |store: &dyn ObjectStore| store.get_opts(&location, options.clone()).await)?;
        match response {
            Ok(response) => {
                Ok(response.attributes.get(&Attribute::Metadata(DIGEST_METADATA.into())).map(|value| value.to_string()))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failure(inside, "read the metadata of the file", &error)),
        }
    }

    /// Deletes a file if it exists.
    ///
    /// # Errors
    /// Returns [`Error::Remote`] if the server cannot be reached or refuses.
    pub fn remove(&self, inside: &str) -> Result<(), Error> {
        let location = self.address.location(inside)?;
        let removed = self.request(&async |store: &dyn ObjectStore| store.delete(&location).await)?;
        match removed {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failure(inside, "delete the file", &error)),
        }
    }
}

/// Wraps a failure to read the uploaded file.
fn local_file_error(error: std::io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "file", source: Box::new(error) }
}

/// Name of the metadata; Azure allows letters and digits only.
const DIGEST_METADATA: &str = "sha256";

/// Returns the content type for browsers.
fn content_type(inside: &str) -> &'static str {
    match inside.rsplit_once('.').map(|(_, ending)| ending) {
        Some("json") => "application/json",
        Some("md") => "text/markdown; charset=utf-8",
        Some("png") => "image/png",
        Some("parquet") => "application/vnd.apache.parquet",
        _ if !inside.contains('/') => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
