//! Data as JavaScript: JSON that is safe inside a script, and arrays of numbers as base64.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use half::f16;
use serde::Serialize as _;
use serde_json::ser::Formatter;
use serde_json::{Serializer, Value};

/// Returns a call of one of the page's functions, as UTF-8.
pub(super) fn call(function: &str, data: &Value) -> Vec<u8> {
    let mut script = format!("{function}(").into_bytes();
    let written = data.serialize(&mut Serializer::with_formatter(&mut script, NoMarkup));
    debug_assert!(written.is_ok(), "writing to memory cannot fail");
    script.extend_from_slice(b");\n");
    script
}

/// Formats JSON that is safe inside a script. Names come from files of the user: `<` could end the script, and the two line
/// separators end a line in older versions of JavaScript.
struct NoMarkup;

impl Formatter for NoMarkup {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for part in fragment.split_inclusive(['<', '\u{2028}', '\u{2029}']) {
            let mut safe = part.chars();
            let escaped = match safe.next_back() {
                Some('<') => "\\u003c",
                Some('\u{2028}') => "\\u2028",
                Some('\u{2029}') => "\\u2029",
                _ => part,
            };
            if escaped != part {
                writer.write_all(safe.as_str().as_bytes())?;
            }
            writer.write_all(escaped.as_bytes())?;
        }
        Ok(())
    }
}

/// Encodes bytes as base64.
pub(super) fn base64(bytes: &[u8]) -> Value {
    STANDARD.encode(bytes).into()
}

/// Encodes numbers as base64 of their little-endian bytes.
pub(super) fn numbers<T: LittleEndian>(values: impl IntoIterator<Item = T>) -> Value {
    let mut bytes = Vec::new();
    for value in values {
        value.push_to(&mut bytes);
    }
    base64(&bytes)
}

/// Encodes class ids, with four bytes each if `are_wide`, otherwise with two.
pub(super) fn class_ids(classes: impl IntoIterator<Item = u32>, are_wide: bool) -> Value {
    if are_wide { numbers(classes) } else { numbers(classes.into_iter().map(|class| class as u16)) }
}

/// A number with a little-endian encoding.
pub(super) trait LittleEndian {
    fn push_to(self, bytes: &mut Vec<u8>);
}

macro_rules! impl_little_endian {
    ($($number:ty),*) => { $(impl LittleEndian for $number {
        fn push_to(self, bytes: &mut Vec<u8>) {
            bytes.extend_from_slice(&self.to_le_bytes());
        }
    })* };
}

impl_little_endian!(u8, u16, u32, f16, f32);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_cannot_end_the_script() {
        let hostile = "</script><!--\u{2028}\u{2029}\"'\\";
        let script = String::from_utf8(call("relabel.take", &json!({ "name": hostile, hostile: "plain" }))).unwrap();
        assert!(!script.contains('<') && !script.contains('\u{2028}') && !script.contains('\u{2029}'), "{script}");
        let json = script.strip_prefix("relabel.take(").and_then(|rest| rest.strip_suffix(");\n")).unwrap();
        let again: Value = serde_json::from_str(json).unwrap();
        assert_eq!((&again["name"], &again[hostile]), (&hostile.into(), &"plain".into()));
    }

    #[test]
    fn numbers_are_little_endian() {
        assert_eq!(numbers([1_u16, 0x0203]), "AQADAg==");
        assert_eq!(class_ids([1, 515], false), "AQADAg==");
        assert_eq!(class_ids([1], true), "AQAAAA==");
        assert_eq!(numbers([f16::ONE]), "ADw=");
    }
}
