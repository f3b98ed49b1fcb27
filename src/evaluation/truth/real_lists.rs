//! `ReaL`'s lists: the classes of ImageNet's validation images, in the order of their names (Beyer et al., 2020,
//! arXiv 2006.07159).

use serde::de::{Deserializer as _, Error as _, IgnoredAny, SeqAccess, Visitor};

use super::truth_builder::{EntryClass, EntryClasses, TruthBuilder};
use super::truth_error::TruthError;
use crate::shared::manifest::Manifest;

/// Number of validation images of ImageNet's challenge of 2012.
pub(super) const VALIDATION_IMAGES: usize = 50_000;

const PREFIX: &str = "ILSVRC2012_val_";

/// Reads a JSON list of lists of class ids.
pub(super) fn read_real(json: &[u8], truth: &mut TruthBuilder<'_>) -> Result<(), TruthError> {
    let rows = rows_of_validation_images(truth)?;
    let unreadable =
        |problem: serde_json::Error| TruthError::Json { format: "ReaL's lists", problem: problem.to_string() };
    let mut parser = serde_json::Deserializer::from_slice(json);
    let lists = parser.deserialize_seq(ListsVisitor).map_err(unreadable)?;
    parser.end().map_err(unreadable)?;
    if lists.count != VALIDATION_IMAGES {
        return Err(TruthError::RealLength { found: lists.count, expected: VALIDATION_IMAGES });
    }
    let mut start = 0;
    let mut classes = Vec::new();
    for (at, &end) in lists.ends.iter().enumerate() {
        let name = validation_name(at + 1);
        classes.clear();
        for &id in &lists.ids[start..end] {
            classes.push(truth.classes.by_id(&name, id)?);
        }
        start = end;
        truth.count(&name, rows[at]);
        if let Some(row) = rows[at] {
            truth.add_classes(row, &name, &mut classes)?;
        }
    }
    Ok(())
}

/// Returns the row of each validation image.
fn rows_of_validation_images(truth: &TruthBuilder<'_>) -> Result<Vec<Option<usize>>, TruthError> {
    let manifest = truth.manifest;
    let mut rows = vec![None; VALIDATION_IMAGES];
    for row in 0..manifest.len() {
        let Some(at) = validation_number(manifest, row).and_then(|number| number.checked_sub(1)) else { continue };
        match rows.get_mut(at) {
            Some(Some(first)) => return Err(truth.images.ambiguous(&validation_name(at + 1), *first, row)),
            Some(found) => *found = Some(row),
            None => {}
        }
    }
    if rows.iter().all(Option::is_none) {
        let example = if manifest.is_empty() { String::new() } else { manifest.id(0).to_owned() };
        return Err(TruthError::NoValidationNames { example });
    }
    Ok(rows)
}

fn validation_name(number: usize) -> String {
    format!("{PREFIX}{number:08}")
}

/// Returns the number in the name of a validation image.
fn validation_number(manifest: &Manifest, row: usize) -> Option<usize> {
    const DIGITS: usize = 8;
    [manifest.path(row), manifest.id(row)].into_iter().find_map(|name| {
        let rest = name.rsplit('/').next()?.strip_prefix(PREFIX)?;
        let digits = rest.get(..DIGITS).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        // Hugging Face appends the class.
        let has_end = rest[DIGITS..].is_empty() || rest[DIGITS..].starts_with(['.', '_']);
        if has_end { digits.parse().ok() } else { None }
    })
}

/// Lists of ids in one allocation. Lists beyond those of `ReaL` are counted, and not kept.
#[derive(Default)]
struct IdLists {
    ids: Vec<i64>,
    ends: Vec<usize>,
    count: usize,
}

struct ListsVisitor;

impl<'de> Visitor<'de> for ListsVisitor {
    type Value = IdLists;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of lists of class ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<IdLists, A::Error> {
        let mut lists = IdLists::default();
        while lists.count < VALIDATION_IMAGES {
            let Some(list) = seq.next_element()? else { return Ok(lists) };
            let EntryClasses::Items(items) = list else {
                return Err(A::Error::custom("a text, expected a list of class ids"));
            };
            for item in items {
                let EntryClass::Id(id) = item else { return Err(A::Error::custom("a text, expected a class id")) };
                lists.ids.push(id);
            }
            lists.ends.push(lists.ids.len());
            lists.count += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            lists.count += 1;
        }
        Ok(lists)
    }
}
