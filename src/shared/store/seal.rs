//! A JSON object that carries a digest of itself, so that a changed bit in it is seen.

use serde_json::{Map, Value};

use crate::shared::digest::digest_bytes;

/// The key of the digest, which stands last.
const SEAL: &str = "sha256";

/// Adds the digest: of the object without it, as JSON without spaces.
pub(super) fn sealed(mut object: Map<String, Value>) -> Map<String, Value> {
    object.shift_remove(SEAL);
    let seal = digest_bytes(&compact(&object));
    object.insert(SEAL.to_owned(), Value::String(seal.to_string()));
    object
}

/// Takes the digest off and compares it. Keys that this program does not know are part of what is compared.
pub(super) fn unsealed(mut object: Map<String, Value>) -> Result<Map<String, Value>, String> {
    let seal = object.shift_remove(SEAL).ok_or("it has no sha256 of itself")?;
    let now = digest_bytes(&compact(&object)).to_string();
    if seal.as_str() == Some(&now) {
        Ok(object)
    } else {
        Err(format!("its sha256 of itself is {seal}, but its content gives {now}"))
    }
}

fn compact(object: &Map<String, Value>) -> Vec<u8> {
    serde_json::to_vec(object).unwrap_or_default()
}

/// The bytes of a JSON file for people and programs.
pub(super) fn pretty(value: &impl serde::Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_sealed_object_is_seen() {
        let object = serde_json::json!({ "shard": 3, "share": 0.1, "files": [{ "path": "é" }], "none": null });
        let Value::Object(object) = object else { panic!("an object") };
        let text = pretty(&sealed(object.clone()));
        let read = |text: &[u8]| {
            let object: Map<String, Value> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
            unsealed(object)
        };
        assert_eq!(read(&text), Ok(object.clone()));
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut flipped = text.clone();
                flipped[at] ^= 1 << bit;
                // Where spaces become other spaces, the content stays what it was.
                assert!(read(&flipped).is_err() || read(&flipped) == Ok(object.clone()), "byte {at}, bit {bit}");
            }
        }
    }
}
