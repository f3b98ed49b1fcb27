//! The file `.source-index`, which records where each image of a manifest is stored in its archives.
//!
//! It is only a cache: it is used if it is intact and was made for the same manifest and archives; otherwise the archives
//! are listed again.

use crate::labelling::source::archives::Archives;
use crate::labelling::source::image_location::ImageLocation;
use crate::shared::digest::{Digest, digest_bytes};

const MAGIC: &[u8; 16] = b"relabel index 1\n";

/// Bytes of a digest in hexadecimal.
const DIGEST_BYTES: usize = 64;

/// Bytes of a row: archive, offset, length and check, little-endian.
const ROW_BYTES: usize = 4 + 8 + 8 + 8;

/// Archive number of an image that is in no archive.
const NOT_FOUND: u32 = u32::MAX;

/// Returns a digest that identifies a manifest and its archives.
pub(super) fn key(archives: &Archives, manifest_sha256: &Digest) -> Digest {
    digest_bytes(format!("{manifest_sha256}\n{}", archives.identity()).as_bytes())
}

/// Encodes the locations of all rows.
pub(super) fn encode(key: &Digest, locations: &[Option<ImageLocation>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + 2 * DIGEST_BYTES + locations.len() * ROW_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(key.to_string().as_bytes());
    for location in locations {
        let location = location.unwrap_or(ImageLocation { archive: NOT_FOUND, offset: 0, bytes: 0, check: 0 });
        bytes.extend(location.archive.to_le_bytes());
        for value in [location.offset, location.bytes, location.check] {
            bytes.extend(value.to_le_bytes());
        }
    }
    let digest = digest_bytes(&bytes).to_string();
    bytes.extend(digest.as_bytes());
    bytes
}

/// Decodes the locations of all rows; returns `None` if the bytes are not an index for this key, or are damaged.
pub(super) fn decode(bytes: &[u8], key: &Digest, rows: usize, archives: usize) -> Option<Vec<Option<ImageLocation>>> {
    let (body, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_BYTES)?)?;
    let table = body.strip_prefix(MAGIC)?.strip_prefix(key.to_string().as_bytes())?;
    if table.len() != rows.checked_mul(ROW_BYTES)? || digest_bytes(body).to_string().as_bytes() != digest {
        return None;
    }
    let location = |row: &[u8; ROW_BYTES]| {
        let (archive, values) = row.split_first_chunk::<4>()?;
        let archive = u32::from_le_bytes(*archive);
        let mut values = values.as_chunks::<8>().0.iter().map(|value| u64::from_le_bytes(*value));
        let location = ImageLocation { archive, offset: values.next()?, bytes: values.next()?, check: values.next()? };
        (archive == NOT_FOUND || (archive as usize) < archives).then_some((archive != NOT_FOUND).then_some(location))
    };
    table.as_chunks::<ROW_BYTES>().0.iter().map(location).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labelling::source::image_location::fingerprint;

    #[test]
    fn an_index_is_decoded_only_if_it_matches() {
        let key = digest_bytes(b"list and archives");
        let location = ImageLocation { archive: 0, offset: 512, bytes: 0, check: fingerprint(&[b"a", b"b"]) };
        let locations =
            [Some(ImageLocation { archive: 1, offset: 1 << 40, bytes: 7, check: u64::MAX }), None, Some(location)];
        let bytes = encode(&key, &locations);
        assert_eq!(decode(&bytes, &key, 3, 2).unwrap(), locations);
        assert_eq!(decode(&bytes, &digest_bytes(b"others"), 3, 2), None);
        assert_eq!(decode(&bytes, &key, 2, 2), None);
        assert_eq!(decode(&bytes, &key, 3, 1), None, "there is no archive 1");
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut], &key, 3, 2), None);
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(decode(&flipped, &key, 3, 2), None, "{at}");
        }
    }
}
