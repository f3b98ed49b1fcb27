//! SHA-256 digests, as 64 hexadecimal digits.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::shared::error::Error;
use crate::shared::regular_file;

/// A SHA-256 digest in lower-case hexadecimal, as `sha256sum` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(String);

/// A string that is not a SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a SHA-256 digest: expected 64 digits of 0-9 and a-f", text.escape_debug())]
pub struct DigestError {
    text: String,
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// Only valid digests are parsed: files are named after them, and the input is untrusted.
impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        Self::parse(&text).ok_or_else(|| DigestError { text: text.chars().take(80).collect() })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Digest {
    /// Parses 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 64 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Returns the digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Computes the digest of bytes in memory.
#[must_use]
pub fn digest_bytes(bytes: &[u8]) -> Digest {
    let mut sha = Sha256::new();
    sha.update(bytes);
    finish(sha)
}

/// Computes the digest and the length of a file, which is read in chunks.
///
/// # Errors
/// Returns [`Error::File`] if the file is missing or cannot be read.
pub fn digest_file(path: &Path) -> Result<(Digest, u64), Error> {
    let absent = || Error::file("open", path)(io::ErrorKind::NotFound.into());
    let (mut file, _) = regular_file::open(path)?.or_none("open", path)?.ok_or_else(absent)?;
    digest_opened(&mut file, path)
}

/// Computes the digest and the length of the rest of an open file. `path` is for messages.
///
/// # Errors
/// Returns [`Error::File`] if the file cannot be read.
pub(crate) fn digest_opened(file: &mut File, path: &Path) -> Result<(Digest, u64), Error> {
    let (mut sha, mut bytes) = (Sha256::new(), 0);
    let mut chunk = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut chunk).map_err(Error::file("read", path))?;
        if read == 0 {
            return Ok((finish(sha), bytes));
        }
        sha.update(&chunk[..read]);
        bytes += read as u64;
    }
}

/// Computes the digest of bytes that arrive in chunks.
#[derive(Debug, Default)]
pub struct DigestBuilder {
    sha: Sha256,
}

impl DigestBuilder {
    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.sha.update(bytes);
    }

    /// Returns the digest of all bytes.
    #[must_use]
    pub fn finish(self) -> Digest {
        finish(self.sha)
    }
}

fn finish(sha: Sha256) -> Digest {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    Digest(sha.finalize().iter().flat_map(|&byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_sha256sum() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest_bytes(b"abc").to_string(), abc);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"abc").unwrap();
        let (digest, bytes) = digest_file(file.path()).unwrap();
        assert_eq!((digest.to_string().as_str(), bytes), (abc, 3));
    }

    #[test]
    fn only_valid_digests_are_parsed() {
        let read = |text: &str| serde_json::from_value::<Digest>(text.into());
        assert_eq!(read(digest_bytes(b"x").as_str()).unwrap(), digest_bytes(b"x"));
        for bad in ["", "ab", "../../etc/passwd", &"g".repeat(64), &"A".repeat(64), &"a".repeat(65), &"é".repeat(32)] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
