//! JSON objects that contain a digest of their content, so that changed bits are detected.

use serde_json::{Map, Value};

use super::store_error::StoreError;
use crate::shared::digest::digest_bytes;

/// Key of the digest, the last one of the object.
const DIGEST_KEY: &str = "sha256";

/// Adds the digest of the object without it, as JSON without spaces.
pub(super) fn with_digest(mut object: Map<String, Value>) -> Map<String, Value> {
    object.shift_remove(DIGEST_KEY);
    let digest = digest_bytes(&compact(&object));
    object.insert(DIGEST_KEY.to_owned(), Value::String(digest.to_string()));
    object
}

/// Removes the digest and verifies it. Keys that this program does not know are part of the content.
pub(super) fn verify_digest(mut object: Map<String, Value>) -> Result<Map<String, Value>, StoreError> {
    let digest = object.shift_remove(DIGEST_KEY).ok_or(StoreError::NoChecksum)?;
    let computed = digest_bytes(&compact(&object)).to_string();
    if digest.as_str() == Some(&computed) {
        Ok(object)
    } else {
        Err(StoreError::Checksum { stated: digest.to_string(), computed })
    }
}

fn compact(object: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(object).unwrap_or_default()
}

/// Returns an indented JSON file.
pub(super) fn pretty(value: &impl serde::Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_an_object_with_a_digest_is_detected() {
        let object = serde_json::json!({ "shard": 3, "share": 0.1, "files": [{ "path": "é" }], "none": null });
        let Value::Object(object) = object else { panic!("an object") };
        let text = pretty(&with_digest(object.clone()));
        let read = |text: &[u8]| serde_json::from_slice(text).ok().and_then(|object| verify_digest(object).ok());
        assert_eq!(read(&text), Some(object.clone()));
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut flipped = text.clone();
                flipped[at] ^= 1 << bit;
                // A space that becomes another space leaves the content as it was.
                let read = read(&flipped);
                assert!(read.is_none() || read == Some(object.clone()), "byte {at}, bit {bit}");
            }
        }
    }
}
