//! The file `.source-index`, which notes where each image of a list lies in its archives.
//!
//! Nothing depends on the file. It is believed only when it is whole and was made for the same list and archives;
//! otherwise the archives are listed again.

use super::archives::Archives;
use super::places::Place;
use crate::shared::digest::{Digest, digest_bytes};

const MAGIC: &[u8; 16] = b"relabel index 1\n";

/// Bytes of a digest in hexadecimal.
const DIGEST_BYTES: usize = 64;

/// Bytes of a row: archive, offset, length and check, little-endian.
const ROW_BYTES: usize = 4 + 8 + 8 + 8;

/// Stands for an image that is in no archive.
const NOWHERE: u32 = u32::MAX;

/// FNV-1a, a short stand-in for some bytes. It is written into files, so it may not change with the compiler.
pub(super) fn short_digest(parts: &[&[u8]]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.iter())
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// What a list and its archives are told by.
pub(super) fn key(archives: &Archives, manifest_sha256: &Digest) -> Digest {
    digest_bytes(format!("{manifest_sha256}\n{}", archives.facts()).as_bytes())
}

pub(super) fn encode(key: &Digest, places: &[Option<Place>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + 2 * DIGEST_BYTES + places.len() * ROW_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(key.to_string().as_bytes());
    for place in places {
        let place = place.unwrap_or(Place { archive: NOWHERE, offset: 0, bytes: 0, check: 0 });
        bytes.extend(place.archive.to_le_bytes());
        for value in [place.offset, place.bytes, place.check] {
            bytes.extend(value.to_le_bytes());
        }
    }
    let digest = digest_bytes(&bytes).to_string();
    bytes.extend(digest.as_bytes());
    bytes
}

/// The places of an index that fits; `None` for any other bytes.
pub(super) fn decode(bytes: &[u8], key: &Digest, rows: usize, archives: usize) -> Option<Vec<Option<Place>>> {
    let (body, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_BYTES)?)?;
    let table = body.strip_prefix(MAGIC)?.strip_prefix(key.to_string().as_bytes())?;
    if table.len() != rows.checked_mul(ROW_BYTES)? || digest_bytes(body).to_string().as_bytes() != digest {
        return None;
    }
    let place = |row: &[u8; ROW_BYTES]| {
        let (archive, values) = row.split_first_chunk::<4>()?;
        let archive = u32::from_le_bytes(*archive);
        let mut values = values.as_chunks::<8>().0.iter().map(|value| u64::from_le_bytes(*value));
        let place = Place { archive, offset: values.next()?, bytes: values.next()?, check: values.next()? };
        (archive == NOWHERE || (archive as usize) < archives).then_some((archive != NOWHERE).then_some(place))
    };
    table.as_chunks::<ROW_BYTES>().0.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_believed_only_where_it_fits() {
        let key = digest_bytes(b"list and archives");
        let place = Place { archive: 0, offset: 512, bytes: 0, check: short_digest(&[b"a", b"b"]) };
        let places = [Some(Place { archive: 1, offset: 1 << 40, bytes: 7, check: u64::MAX }), None, Some(place)];
        let bytes = encode(&key, &places);
        assert_eq!(decode(&bytes, &key, 3, 2).unwrap(), places);
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
