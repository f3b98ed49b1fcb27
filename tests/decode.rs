use relabel::digest::digest_bytes;
use relabel::pixels::{ExifOrientation, decode};

use crate::common::data;

/// `decode/expected.json`, written by `tests/python/make_decode_fixtures.py`, has size and SHA-256 of PIL's RGB bytes
/// for the odd files beside it and for all golden images, or says that PIL refuses the file.
#[test]
fn decoded_pixels_are_pil_to_the_bit() {
    let expected = std::fs::read(data("decode/expected.json")).unwrap();
    let expected: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&expected).unwrap();
    assert_eq!(expected.len(), 39, "the list is whole");
    for (file, pil) in &expected {
        let bytes = std::fs::read(data(file)).unwrap();
        match (decode(&bytes, ExifOrientation::Ignore), pil.get("refused")) {
            (Ok(image), None) => {
                assert_eq!(u64::from(image.width_pixels()), pil["width"], "{file}");
                assert_eq!(u64::from(image.height_pixels()), pil["height"], "{file}");
                assert_eq!(digest_bytes(image.data()).to_string(), pil["sha256"].as_str().unwrap(), "{file}");
            }
            (Err(_), Some(_)) => {}
            (ours, _) => panic!("{file}: PIL {pil}, ours {ours:?}"),
        }
    }
}
