//! What of a store goes with it to others: the files that its records name, and its texts for people, which may have to
//! be said otherwise there.

use serde_json::{Map, Value};

use super::arrays::StoreArray;
use super::files::SMALL_FILE_BYTES;
use super::info::{FED_BY, StoreInfo};
use super::reader::StoreReader;
use super::record::ShardRecord;
use super::seal::{pretty, sealed, unsealed};
use super::{names, record_file};
use crate::shared::error::Error;
use crate::shared::regular_file;

/// Says a text otherwise; `None` where it may stay. It is told where the text stands.
pub type Reword<'a> = dyn FnMut(&str, &str) -> Option<String> + 'a;

impl StoreReader {
    /// The group's `zarr.json` with other words in what is said only for people: the teacher's and the source's name, and
    /// the card's free keys. It stays the store that it is: no record depends on them (test
    /// `publish::no_path_of_the_machine_is_published`). `None` where nothing changes.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn group_reworded(&self, reword: &mut Reword<'_>) -> Result<Option<Vec<u8>>, Error> {
        let damaged = |problem: String| Error::Store { path: self.path().to_path_buf(), problem: problem.into() };
        let mut group = self.object(names::GROUP)?;
        let info = group.get_mut("attributes").and_then(|attributes| attributes.get_mut("relabel"));
        let info = info.ok_or_else(|| damaged("its zarr.json has no attributes of relabel".to_owned()))?;
        let mut object = unsealed(std::mem::take(info).as_object().cloned().unwrap_or_default()).map_err(damaged)?;
        let mut has_changed = false;
        if let Some(source) = object.get_mut("source") {
            has_changed |= reworded("source", source, reword);
        }
        if let Some(Value::Object(teacher)) = object.get_mut("teacher") {
            for (key, value) in teacher.iter_mut() {
                let place = format!("teacher.{key}");
                has_changed |= match value {
                    Value::Object(card) if key == "card" => {
                        let mut has_changed = false;
                        for (key, value) in card.iter_mut().filter(|(key, _)| !FED_BY.contains(&key.as_str())) {
                            has_changed |= reworded(&format!("{place}.{key}"), value, reword);
                        }
                        has_changed
                    }
                    value if key == "name" => reworded(&place, value, reword),
                    _ => false,
                };
            }
        }
        *info = sealed(object).into();
        Ok(has_changed.then(|| pretty(&group)))
    }

    /// The record of a finished shard with other reasons of failed images. `None` where nothing changes.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn record_reworded(&self, shard: usize, reword: &mut Reword<'_>) -> Result<Option<Vec<u8>>, Error> {
        let damaged = |problem: String| Error::Store { path: self.path().to_path_buf(), problem: problem.into() };
        let mut record = unsealed(self.object(&record_file(shard))?).map_err(damaged)?;
        let mut has_changed = false;
        for failed in record.get_mut("failed").and_then(Value::as_array_mut).into_iter().flatten() {
            let row = failed["row"].clone();
            if let Some(reason) = failed.get_mut("reason") {
                has_changed |= reworded(&format!("the reason of row {row}"), reason, reword);
            }
        }
        Ok(has_changed.then(|| pretty(&sealed(record))))
    }

    fn object(&self, inside: &str) -> Result<Map<String, Value>, Error> {
        let path = self.path().join(inside);
        let text = regular_file::read(&path, SMALL_FILE_BYTES)?.or_none("read", &path)?.unwrap_or_default();
        serde_json::from_slice(&text).map_err(|error| Error::Store {
            path: self.path().to_path_buf(),
            problem: format!("{inside} is no JSON object: {error}").into(),
        })
    }
}

impl StoreInfo {
    /// The files that a store has once, by their paths inside: its description, the list, the arrays' descriptions.
    #[must_use]
    pub fn fixed_files(&self) -> Vec<String> {
        let arrays = StoreArray::of(self).iter().map(|array| array.metadata_file());
        [names::GROUP, names::MANIFEST].map(str::to_owned).into_iter().chain(arrays).collect()
    }

    /// The arrays of the store: their folders.
    #[must_use]
    pub fn array_names(&self) -> Vec<&'static str> {
        StoreArray::of(self).iter().map(|array| array.name()).collect()
    }
}

impl ShardRecord {
    /// Path of the record inside the store.
    #[must_use]
    pub fn path(&self) -> String {
        record_file(self.shard)
    }
}

/// Rewords every text in a value. True when any changed.
fn reworded(place: &str, value: &mut Value, reword: &mut Reword<'_>) -> bool {
    match value {
        Value::String(text) => match reword(place, text) {
            Some(other) => {
                *text = other;
                true
            }
            None => false,
        },
        Value::Array(values) => {
            let mut has_changed = false;
            for value in values {
                has_changed |= reworded(place, value, reword);
            }
            has_changed
        }
        Value::Object(object) => {
            let mut has_changed = false;
            for (key, value) in object.iter_mut() {
                has_changed |= reworded(&format!("{place}.{key}"), value, reword);
            }
            has_changed
        }
        _ => false,
    }
}
