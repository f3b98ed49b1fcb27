//! Recognises the structure of a JSON file by its beginning.

use super::table_columns::{has_classes, names_images};
use super::truth_error::TruthError;

/// The structure of a JSON file with true classes or boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonKind {
    /// A list of lists: `ReaL`'s.
    Lists,
    /// A list of objects, each with an image and its classes.
    ListOfObjects,
    /// One object after the other, each with an image and its classes.
    Objects,
    /// One object with the classes of each image.
    ByImage,
    /// COCO's annotations.
    Coco,
}

/// Keys of the first object that are read. An object about one image has fewer.
const MAX_KEYS: usize = 32;

impl JsonKind {
    /// Recognises a file that begins with `[` or `{`.
    ///
    /// # Errors
    /// Returns [`TruthError`] if the structure is not known.
    pub(super) fn of(json: &[u8]) -> Result<Self, TruthError> {
        let mut start = FileStart { json, at: 0 };
        let first = start.token();
        if first != Some(b'[') {
            return start.kind_of_object();
        }
        start.at += 1;
        let unknown = |found| Err(TruthError::JsonStructure { found });
        match start.token() {
            Some(b'[') => Ok(Self::Lists),
            Some(b'{') => Ok(Self::ListOfObjects),
            Some(b']') => Err(TruthError::NoEntries),
            Some(b'"') => unknown("list of texts"),
            Some(b'-' | b'0'..=b'9') => unknown("list of numbers"),
            Some(_) => unknown("list of other values"),
            None => Err(TruthError::Json { format: "JSON", problem: "the file ends after `[`".to_owned() }),
        }
    }
}

/// Reads the beginning of a file. Damage further on is found when it is parsed.
struct FileStart<'a> {
    json: &'a [u8],
    at: usize,
}

/// A key of the first object, and the first bytes of its value: of the value itself, and of its first element.
struct FirstEntry {
    key: String,
    value: u8,
    element: Option<u8>,
}

impl FirstEntry {
    fn is_part_of_coco(&self) -> bool {
        let is_part = ["images", "annotations", "categories"].contains(&self.key.as_str());
        is_part && self.value == b'[' && self.element == Some(b'{')
    }

    fn names_image(&self) -> bool {
        names_images(&self.key) && !b"[{".contains(&self.value)
    }
}

impl FileStart<'_> {
    fn kind_of_object(&mut self) -> Result<JsonKind, TruthError> {
        self.at += 1;
        let mut entries: Vec<FirstEntry> = Vec::new();
        while entries.len() < MAX_KEYS && !entries.iter().any(FirstEntry::is_part_of_coco) {
            let Some(entry) = self.entry() else { break };
            entries.push(entry);
        }
        Ok(if entries.iter().any(FirstEntry::is_part_of_coco) {
            JsonKind::Coco
        } else if entries.len() < MAX_KEYS
            && entries.iter().any(FirstEntry::names_image)
            && entries.iter().any(|entry| has_classes(&entry.key))
        {
            JsonKind::Objects
        } else if entries.is_empty() && self.token() == Some(b'}') {
            return Err(TruthError::NoEntries);
        } else {
            JsonKind::ByImage
        })
    }

    /// Returns the next byte that is not white space.
    fn token(&mut self) -> Option<u8> {
        let rest = self.json.get(self.at..)?;
        self.at += rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.json.get(self.at).copied()
    }

    /// Reads a key and skips its value; `None` at the end of the object or of the file, or where it is damaged.
    fn entry(&mut self) -> Option<FirstEntry> {
        if self.token()? == b',' {
            self.at += 1;
        }
        self.token().filter(|&byte| byte == b'"')?;
        let key_at = self.at;
        self.skip_text()?;
        let key = serde_json::from_slice(&self.json[key_at..self.at]).ok()?;
        self.token().filter(|&byte| byte == b':')?;
        self.at += 1;
        let value = self.token()?;
        let value_at = self.at;
        self.at += 1;
        let element = if value == b'[' { self.token() } else { None };
        let entry = FirstEntry { key, value, element };
        if !entry.is_part_of_coco() {
            self.at = value_at;
            self.skip_value()?;
        }
        Some(entry)
    }

    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.token()? {
                b'"' => self.skip_text()?,
                b'[' | b'{' => {
                    depth += 1;
                    self.at += 1;
                }
                b']' | b'}' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b']' | b'}' if depth == 0 => return Some(()),
                _ => self.at += 1,
            }
        }
    }

    /// Skips a text that begins here.
    fn skip_text(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.json.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_recognised() {
        for (json, kind) in [
            ("[[1], []]", JsonKind::Lists),
            (" [\n[", JsonKind::Lists),
            (r#"[{"file": "x", "labels": [1]}]"#, JsonKind::ListOfObjects),
            (r#"{"labels": [1, {"a": "]"}], "image_id": 5}"#, JsonKind::Objects),
            (r#"{"file": "x\"", "gt": 1}{"file": "y", "gt": 2}"#, JsonKind::Objects),
            (r#"{"x.jpg": [1], "y.jpg": 2"#, JsonKind::ByImage),
            (r#"{"file": [1], "label": [2]}"#, JsonKind::ByImage),
            (r#"{"x": "#, JsonKind::ByImage),
            (r#"{"info": {"images": 3}, "images": [{"id": 1"#, JsonKind::Coco),
        ] {
            assert_eq!(JsonKind::of(json.as_bytes()).unwrap(), kind, "{json}");
        }
        for (json, problem) in [
            ("[]", "no entries"),
            ("{ }", "no entries"),
            ("[1, 2]", "a JSON list of numbers is not a truth"),
            (r#"["x"]"#, "list of texts"),
            ("[true]", "list of other values"),
            ("[ ", "the file ends after `[`"),
        ] {
            let message = JsonKind::of(json.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(problem), "{json}: {message}");
        }
    }
}
