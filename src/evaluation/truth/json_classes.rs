//! The classes of one image in JSON: an id, a name, or a list of them.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};

use super::class_names::MAX_CLASSES;
use super::truth_builder::{EntryClass, EntryClasses};

impl<'de> Deserialize<'de> for EntryClasses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClassesVisitor)
    }
}

struct ClassesVisitor;

impl<'de> Visitor<'de> for ClassesVisitor {
    type Value = EntryClasses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a class id, a class name, or a list of them")
    }

    fn visit_i64<E: Error>(self, id: i64) -> Result<EntryClasses, E> {
        Ok(EntryClasses::Items(vec![EntryClass::Id(id)]))
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<EntryClasses, E> {
        self.visit_i64(i64::try_from(id).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: Error>(self, id: f64) -> Result<EntryClasses, E> {
        Ok(EntryClasses::Items(vec![class_of_number(id)?]))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<EntryClasses, E> {
        Ok(EntryClasses::Cell(text.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<EntryClasses, E> {
        Ok(EntryClasses::Items(Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<EntryClasses, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() == MAX_CLASSES {
                return Err(A::Error::invalid_length(items.len() + 1, &"at most 65,536 classes of one image"));
            }
            items.push(item);
        }
        Ok(EntryClasses::Items(items))
    }
}

impl<'de> Deserialize<'de> for EntryClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClassVisitor)
    }
}

struct ClassVisitor;

impl Visitor<'_> for ClassVisitor {
    type Value = EntryClass;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a class id or a class name")
    }

    fn visit_i64<E: Error>(self, id: i64) -> Result<EntryClass, E> {
        Ok(EntryClass::Id(id))
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<EntryClass, E> {
        Ok(EntryClass::Id(i64::try_from(id).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, id: f64) -> Result<EntryClass, E> {
        class_of_number(id)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<EntryClass, E> {
        Ok(EntryClass::Text(text.to_owned()))
    }
}

/// Returns an id that was written with a decimal point, as pandas does in a column with gaps.
fn class_of_number<E: Error>(id: f64) -> Result<EntryClass, E> {
    let is_id = id.fract() == 0.0 && id.abs() < 1e15;
    if is_id { Ok(EntryClass::Id(id as i64)) } else { Err(E::invalid_value(Unexpected::Float(id), &"a class id")) }
}
