//! Files put into a place.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload,
};

use super::Remote;
use super::words::failure;
use crate::shared::digest::Digest;
use crate::shared::error::Error;

/// Files up to this length are sent in one piece.
const PIECE_BYTES: u64 = 16 << 20;
/// Object stores accept 10,000 pieces of a file.
const MOST_PIECES: u64 = 9_000;

/// Where the bytes of a file that is sent come from.
#[derive(Clone, Copy, Debug)]
pub enum Sent<'a> {
    /// Memory.
    Bytes(&'a [u8]),
    /// A file of this machine.
    File(&'a Path),
}

impl Remote {
    /// Puts a file in place, whole or not at all, with its digest as a remark that [`Remote::noted_digest`] reads.
    ///
    /// # Errors
    /// When the place cannot be reached or refuses; when the file cannot be read.
    pub fn put(&self, inside: &str, sent: Sent<'_>, sha256: &Digest) -> Result<(), Error> {
        let attributes = Attributes::from_iter([
            (Attribute::Metadata(NOTED_DIGEST.into()), sha256.to_string()),
            (Attribute::ContentType, content_type(inside).to_owned()),
        ]);
        let path = match sent {
            Sent::Bytes(bytes) => return self.put_piece(inside, bytes.to_vec(), attributes),
            Sent::File(path) => path,
        };
        let bytes = std::fs::metadata(path).map_err(Error::file("read", path))?.len();
        if bytes <= PIECE_BYTES {
            return self.put_piece(inside, std::fs::read(path).map_err(Error::file("read", path))?, attributes);
        }
        self.put_pieces(inside, path, bytes.div_ceil(MOST_PIECES).max(PIECE_BYTES), attributes)
    }

    fn put_piece(&self, inside: &str, bytes: Vec<u8>, attributes: Attributes) -> Result<(), Error> {
        let location = self.address.of_file(inside)?;
        let options = PutOptions { attributes, ..PutOptions::default() };
        let bytes = PutPayload::from(bytes);
        let put =
            self.ask(&async |store: &dyn ObjectStore| store.put_opts(&location, bytes.clone(), options.clone()).await)?;
        put.map(drop).map_err(|error| failure(self, inside, "write it", &error))
    }

    fn put_pieces(&self, inside: &str, path: &Path, piece_bytes: u64, attributes: Attributes) -> Result<(), Error> {
        let location = self.address.of_file(inside)?;
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let put = self.ask(&async |store: &dyn ObjectStore| {
            let mut file = File::open(path).map_err(of_file)?;
            let mut upload = store.put_multipart_opts(&location, options.clone()).await?;
            loop {
                let mut piece = Vec::with_capacity(piece_bytes as usize);
                let sent = match file.by_ref().take(piece_bytes).read_to_end(&mut piece) {
                    Ok(0) => break,
                    Ok(_) => upload.put_part(PutPayload::from(piece)).await,
                    Err(error) => Err(of_file(error)),
                };
                if let Err(error) = sent {
                    // What was sent of it would be kept, and paid for.
                    let _ = upload.abort().await;
                    return Err(error);
                }
            }
            upload.complete().await
        })?;
        put.map(drop).map_err(|error| failure(self, inside, "write it", &error))
    }

    /// The digest that was noted with a file when it was put there; `None` where the file or the note is not there.
    ///
    /// # Errors
    /// When the place cannot be reached or refuses.
    pub fn noted_digest(&self, inside: &str) -> Result<Option<String>, Error> {
        let location = self.address.of_file(inside)?;
        let options = GetOptions { head: true, ..GetOptions::default() };
        let asked = self.ask(&async |store: &dyn ObjectStore| store.get_opts(&location, options.clone()).await)?;
        match asked {
            Ok(asked) => {
                Ok(asked.attributes.get(&Attribute::Metadata(NOTED_DIGEST.into())).map(|value| value.to_string()))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure(self, inside, "look at it", &error)),
        }
    }

    /// Takes a file away, if it is there.
    ///
    /// # Errors
    /// When the place cannot be reached or refuses.
    pub fn remove(&self, inside: &str) -> Result<(), Error> {
        let location = self.address.of_file(inside)?;
        let removed = self.ask(&async |store: &dyn ObjectStore| store.delete(&location).await)?;
        match removed {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failure(self, inside, "remove it", &error)),
        }
    }
}

/// The file that is sent cannot be read.
fn of_file(error: std::io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "file", source: Box::new(error) }
}

/// The remark's name; Azure allows letters and digits only.
const NOTED_DIGEST: &str = "sha256";

/// What a browser is told of a file.
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
