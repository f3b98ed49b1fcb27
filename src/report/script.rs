//! Data as JavaScript: JSON that is safe in a script, and numbers as base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use half::f16;
use serde_json::Value;

/// A call of one of the page's functions. Names come from the user's files: `<` could end a script, and the two line
/// separators once ended a line of JavaScript.
pub(super) fn call(function: &str, data: &Value) -> String {
    let json = data.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    format!("{function}({json});\n")
}

/// Bytes as base64.
pub(super) fn base64(bytes: &[u8]) -> Value {
    STANDARD.encode(bytes).into()
}

/// Numbers as base64 of their little-endian bytes.
pub(super) fn numbers<T: Little>(values: impl IntoIterator<Item = T>) -> Value {
    let mut bytes = Vec::new();
    for value in values {
        value.push_to(&mut bytes);
    }
    base64(&bytes)
}

/// Class ids: two bytes each where the teacher's classes allow it, otherwise four.
pub(super) fn class_ids(classes: impl IntoIterator<Item = u32>, are_wide: bool) -> Value {
    if are_wide { numbers(classes) } else { numbers(classes.into_iter().map(|class| class as u16)) }
}

/// A number that is written with the lowest byte first.
pub(super) trait Little {
    fn push_to(self, bytes: &mut Vec<u8>);
}

macro_rules! little {
    ($($number:ty),*) => { $(impl Little for $number {
        fn push_to(self, bytes: &mut Vec<u8>) {
            bytes.extend_from_slice(&self.to_le_bytes());
        }
    })* };
}

little!(u8, u16, u32, f16, f32);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_in_a_name_ends_the_script() {
        let hostile = "</script><!--\u{2028}\u{2029}\"'\\";
        let script = call("relabel.take", &json!({ "name": hostile }));
        assert!(!script.contains('<') && !script.contains('\u{2028}') && !script.contains('\u{2029}'), "{script}");
        let json = script.strip_prefix("relabel.take(").and_then(|rest| rest.strip_suffix(");\n")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(json).unwrap()["name"], hostile);
    }

    #[test]
    fn numbers_stand_lowest_byte_first() {
        assert_eq!(numbers([1_u16, 0x0203]), "AQADAg==");
        assert_eq!(class_ids([1, 515], false), "AQADAg==");
        assert_eq!(class_ids([1], true), "AQAAAA==");
        assert_eq!(numbers([f16::ONE]), "ADw=");
    }
}
