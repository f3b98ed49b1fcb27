//! JSON objects that contain a digest of themselves, so that changed bits are detected.

use serde_json::{Map, Value};

use super::store_error::StoreError;
use crate::shared::digest::digest_bytes;

/// Key of the digest, the last one of the object.
const SEAL: &str = "sha256";

/// Adds the digest of the object without it, as JSON without spaces.
pub(super) fn sealed(mut object: Map<String, Value>) -> Map<String, Value> {
    object.shift_remove(SEAL);
    let seal = digest_bytes(&compact(&object));
    object.insert(SEAL.to_owned(), Value::String(seal.to_string()));
    object
}

/// Removes the digest and verifies it. Keys that this program does not know are part of the content.
pub(super) fn unsealed(mut object: Map<String, Value>) -> Result<Map<String, Value>, StoreError> {
    let seal = object.shift_remove(SEAL).ok_or(StoreError::NoSeal)?;
    let computed = digest_bytes(&compact(&object)).to_string();
    if seal.as_str() == Some(&computed) {
        Ok(object)
    } else {
        Err(StoreError::Seal { stated: seal.to_string(), computed })
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
    fn every_flipped_bit_of_a_sealed_object_is_detected() {
        let object = serde_json::json!({ "shard": 3, "share": 0.1, "files": [{ "path": "é" }], "none": null });
        let Value::Object(object) = object else { panic!("an object") };
        let text = pretty(&sealed(object.clone()));
        let read = |text: &[u8]| serde_json::from_slice(text).ok().and_then(|object| unsealed(object).ok());
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
