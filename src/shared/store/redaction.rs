//! Copies of a store's small files for publication, with replaced strings.

use serde_json::{Map, Value};

use super::info::INPUT_KEYS;
use super::json_digest::{pretty, verify_digest, with_digest};
use super::layout::{self, SMALL_FILE_BYTES, record_file};
use super::reader::StoreReader;
use crate::shared::error::Error;
use crate::shared::regular_file;

/// Returns the replacement of a string, `None` to keep it. Arguments: where the string appears, and the string.
pub type Redact<'a> = dyn FnMut(&str, &str) -> Option<String> + 'a;

impl StoreReader {
    /// Returns the group's `zarr.json` with replaced strings: the names of teacher, source and covering, and the free keys of
    /// the card.
    /// The identity of the store does not depend on them, so its records stay valid (test
    /// `publish::no_local_path_is_published`). `None` if nothing changes.
    ///
    /// # Errors
    /// Returns [`Error::File`] if it cannot be read; [`Error::Store`] if it is damaged.
    pub fn redacted_group(&self, redact: &mut Redact<'_>) -> Result<Option<Vec<u8>>, Error> {
        let mut group = self.read_object(layout::GROUP)?;
        let info = group.get_mut("attributes").and_then(|attributes| attributes.get_mut("relabel"));
        let info = info.ok_or_else(|| Error::Store {
            path: self.path().to_path_buf(),
            problem: "its zarr.json has no attributes of relabel".into(),
        })?;
        let mut object = self.verify(std::mem::take(info).as_object().cloned().unwrap_or_default())?;
        let mut has_changed = false;
        if let Some(source) = object.get_mut("source") {
            has_changed |= redact_value("source", source, redact);
        }
        if let Some(covering) = object.get_mut("tiles").and_then(|tiles| tiles.get_mut("covering")) {
            has_changed |= redact_value("tiles.covering", covering, redact);
        }
        if let Some(Value::Object(teacher)) = object.get_mut("teacher") {
            for (key, value) in teacher.iter_mut() {
                let key_path = format!("teacher.{key}");
                has_changed |= match value {
                    Value::Object(card) if key == "card" => {
                        let mut has_changed = false;
                        for (key, value) in card.iter_mut().filter(|(key, _)| !INPUT_KEYS.contains(&key.as_str())) {
                            has_changed |= redact_value(&format!("{key_path}.{key}"), value, redact);
                        }
                        has_changed
                    }
                    value if key == "name" => redact_value(&key_path, value, redact),
                    _ => false,
                };
            }
        }
        *info = with_digest(object).into();
        Ok(has_changed.then(|| pretty(&group)))
    }

    /// Returns the record of a finished shard with replaced reasons of failed images. `None` if nothing changes.
    ///
    /// # Errors
    /// Returns [`Error::File`] if it cannot be read; [`Error::Store`] if it is damaged.
    pub fn redacted_record(&self, shard: usize, redact: &mut Redact<'_>) -> Result<Option<Vec<u8>>, Error> {
        let mut record = self.verify(self.read_object(&record_file(shard))?)?;
        let mut has_changed = false;
        for failed in record.get_mut("failed").and_then(Value::as_array_mut).into_iter().flatten() {
            let row = failed["row"].clone();
            if let Some(reason) = failed.get_mut("reason") {
                has_changed |= redact_value(&format!("the reason of row {row}"), reason, redact);
            }
        }
        Ok(has_changed.then(|| pretty(&with_digest(record))))
    }

    fn read_object(&self, inside: &str) -> Result<Map<String, Value>, Error> {
        let path = self.path().join(inside);
        let text = regular_file::read(&path, SMALL_FILE_BYTES)?.or_none("read", &path)?.unwrap_or_default();
        serde_json::from_slice(&text).map_err(|error| Error::Store {
            path: self.path().to_path_buf(),
            problem: format!("{inside} is not a JSON object: {error}").into(),
        })
    }

    fn verify(&self, object: Map<String, Value>) -> Result<Map<String, Value>, Error> {
        verify_digest(object)
            .map_err(|problem| Error::Store { path: self.path().to_path_buf(), problem: problem.into() })
    }
}

/// Redacts every string in a value. Returns whether any changed.
fn redact_value(key_path: &str, value: &mut Value, redact: &mut Redact<'_>) -> bool {
    match value {
        Value::String(text) => match redact(key_path, text) {
            Some(other) => {
                *text = other;
                true
            }
            None => false,
        },
        Value::Array(values) => {
            let mut has_changed = false;
            for value in values {
                has_changed |= redact_value(key_path, value, redact);
            }
            has_changed
        }
        Value::Object(object) => {
            let mut has_changed = false;
            for (key, value) in object.iter_mut() {
                has_changed |= redact_value(&format!("{key_path}.{key}"), value, redact);
            }
            has_changed
        }
        _ => false,
    }
}
