//! Classes of images as JSON: an object by image, a list of objects, or one object after the other.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::table_columns::{TruthColumns, has_classes, names_images};
use super::truth_builder::{EntryClass, EntryClasses, TruthBuilder};
use super::truth_error::TruthError;

const FORMAT: &str = "JSON with the classes of images";

/// Reads `{"file or id": [classes]}`.
pub(super) fn read_by_image(json: &[u8], truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
    let mut parser = serde_json::Deserializer::from_slice(json);
    let mut refusal = None;
    let parsed = parser.deserialize_map(ByImageVisitor { truth, refusal: &mut refusal }).and_then(|()| parser.end());
    result(parsed, refusal)
}

/// Reads a list of objects, each with an image and its classes.
pub(super) fn read_list(json: &[u8], truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
    let mut parser = serde_json::Deserializer::from_slice(json);
    let mut refusal = None;
    let parsed = parser.deserialize_seq(ListVisitor { truth, refusal: &mut refusal }).and_then(|()| parser.end());
    result(parsed, refusal)
}

/// Reads objects, each with an image and its classes, one after the other.
pub(super) fn read_objects(json: &[u8], truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
    for object in serde_json::Deserializer::from_slice(json).into_iter::<ImageObject>() {
        object.map_err(|problem| unreadable(&problem))?.add_to(truth)?;
    }
    Ok(())
}

fn unreadable(problem: &serde_json::Error) -> TruthError {
    TruthError::Json { format: FORMAT, problem: problem.to_string() }
}

/// Returns the reason for which a visitor stopped, or else that of the parser.
fn result(parsed: Result<(), serde_json::Error>, refusal: Option<TruthError>) -> Result<(), TruthError> {
    match (parsed, refusal) {
        (_, Some(refusal)) => Err(refusal),
        (Err(problem), None) => Err(unreadable(&problem)),
        (Ok(()), None) => Ok(()),
    }
}

/// Keeps the reason of a refusal, and stops the parser.
fn stop<E: Error>(refusal: &mut Option<TruthError>, problem: TruthError) -> E {
    *refusal = Some(problem);
    E::custom("refused")
}

struct ByImageVisitor<'a, 'b> {
    truth: &'a mut TruthBuilder<'b>,
    refusal: &'a mut Option<TruthError>,
}

impl<'de> Visitor<'de> for ByImageVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the classes of each image")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, classes)) = map.next_entry::<String, EntryClasses>()? {
            self.truth.add(&name, &classes).map_err(|problem| stop(self.refusal, problem))?;
        }
        Ok(())
    }
}

struct ListVisitor<'a, 'b> {
    truth: &'a mut TruthBuilder<'b>,
    refusal: &'a mut Option<TruthError>,
}

impl<'de> Visitor<'de> for ListVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects, each with an image and its classes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(object) = seq.next_element::<ImageObject>()? {
            object.add_to(self.truth).map_err(|problem| stop(self.refusal, problem))?;
        }
        Ok(())
    }
}

/// An object with an image and its classes; other keys are ignored.
struct ImageObject {
    keys: Vec<String>,
    values: Vec<EntryClasses>,
}

impl ImageObject {
    fn add_to(self, truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
        let columns = TruthColumns::find(&self.keys)?;
        let name = match &self.values[columns.image] {
            EntryClasses::Cell(name) => name.clone(),
            EntryClasses::Items(items) => match items.as_slice() {
                [EntryClass::Id(number)] => number.to_string(),
                _ => String::new(),
            },
        };
        truth.add(&name, &self.values[columns.classes])
    }
}

impl<'de> Deserialize<'de> for ImageObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ImageObjectVisitor)
    }
}

struct ImageObjectVisitor;

impl<'de> Visitor<'de> for ImageObjectVisitor {
    type Value = ImageObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an image and its classes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ImageObject, A::Error> {
        let mut object = ImageObject { keys: Vec::new(), values: Vec::new() };
        while let Some(key) = map.next_key::<String>()? {
            if names_images(&key) || has_classes(&key) {
                object.keys.push(key);
                object.values.push(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(object)
    }
}
