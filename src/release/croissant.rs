//! `croissant.json`: the data set for programs, as the format Croissant 1.1 describes them.

use serde_json::{Map, Value, json};

use super::ReleaseFile;
use super::card::CARD;
use super::facts::Facts;
use super::markdown::one_line;
use super::summary::{Kind, MEANINGS, SUMMARY};

/// The file.
pub(super) const CROISSANT: &str = "croissant.json";

/// The names that the format's specification gives to its own and to schema.org's words.
const CONTEXT: &str = include_str!("croissant/context.json");

/// Describes the files of a release.
pub(super) fn croissant(facts: &Facts<'_>, files: &[ReleaseFile]) -> Value {
    let context: Value = serde_json::from_str(CONTEXT).unwrap_or_default();
    let licence = &facts.request.licence;
    let mut description = format!(
        "Label maps of {} images, {} cells, top {}, by {}.",
        facts.info.images, facts.info.map_size, facts.info.k, facts.teacher
    );
    if facts.is_partial() {
        description += " This release is partial: not all images are labelled.";
    }
    let mut document = json!({
        "@context": context,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name(&facts.name),
        "alternateName": one_line(&facts.name),
        "description": one_line(&description),
        "license": licence.address().unwrap_or_else(|| "LICENSE".to_owned()),
        "version": "1.0.0",
        "citeAs": CITE_AS,
        "keywords": ["label maps", "soft labels", "knowledge distillation"],
    });
    if let Value::Object(document) = &mut document {
        if let Some(day) = facts.day() {
            document.insert("datePublished".to_owned(), day.into());
        }
        if let Some(address) = facts.address() {
            document.insert("url".to_owned(), address.into());
        }
        document.insert("distribution".to_owned(), distribution(facts, files).into());
        document.insert("recordSet".to_owned(), json!([summary(), manifest()]));
    }
    document
}

const CITE_AS: &str = "Yun et al., Re-labeling ImageNet: from Single to Multi-Labels, from Global to Localized Labels, CVPR 2021, arXiv:2101.05022; \
                       Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features, ICCV 2019, arXiv:1905.04899";

/// A name of letters, digits and dashes, as the format wants it.
fn name(text: &str) -> String {
    let dashed: String = text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    let name: String = words.join("-").chars().take(200).collect();
    if name.is_empty() { "label-maps".to_owned() } else { name }
}

/// Files that there is one of are named with their digests; those of arrays and records by pattern.
fn distribution(facts: &Facts<'_>, files: &[ReleaseFile]) -> Vec<Value> {
    let object = |path: &str, format: &str, description: &str| {
        let file = files.iter().find(|file| file.path == path)?;
        Some(json!({
            "@type": "cr:FileObject",
            "@id": path,
            "name": path,
            "description": description,
            "contentUrl": path,
            "contentSize": format!("{} B", file.bytes),
            "encodingFormat": format,
            "sha256": file.sha256,
        }))
    };
    let mut distribution: Vec<Value> = [
        object(SUMMARY, PARQUET, "One row an image: its label, the teacher's best classes, whether they agree"),
        object(MANIFEST, PARQUET, "The images, in the order of every array"),
        object("zarr.json", "application/json", "The Zarr v3 group: what the store is, with its class names"),
        object("provenance.json", "application/json", "How the labels were made"),
        object(CARD, "text/markdown", "The data-set card"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let set = |id: &str, pattern: String, format: &str, description: String| {
        json!({
            "@type": "cr:FileSet",
            "@id": id,
            "name": id,
            "description": description,
            "includes": pattern,
            "encodingFormat": format,
        })
    };
    for array in facts.info.array_names() {
        let description =
            format!("Shards of the Zarr v3 array {array}, one file for {} images", facts.info.shard_images);
        distribution.push(set(array, format!("{array}/c.*"), "application/octet-stream", description));
    }
    let records = "What became of each shard, with the digests of its files".to_owned();
    distribution.push(set("records", "records/*.json".to_owned(), "application/json", records));
    distribution
}

const PARQUET: &str = "application/x-parquet";
const MANIFEST: &str = "manifest.parquet";

fn summary() -> Value {
    let fields: Vec<Value> =
        MEANINGS.iter().map(|(name, kind, meaning)| field(SUMMARY, "summary", name, *kind, meaning)).collect();
    record_set("summary", "One row an image", &fields)
}

fn manifest() -> Value {
    let fields = [
        ("row", Kind::Integer, "Place of the image in every array, from 0"),
        ("id", Kind::Text, "Name of the image"),
        ("path", Kind::Text, "Path of its file below the source"),
        ("label", Kind::Text, "What the image is filed under"),
        ("bytes", Kind::Integer, "Length of its file; 0 where it is not known"),
    ]
    .map(|(name, kind, meaning)| field(MANIFEST, "manifest", name, kind, meaning));
    record_set("manifest", "The images", &fields)
}

fn record_set(id: &str, description: &str, fields: &[Value]) -> Value {
    json!({
        "@type": "cr:RecordSet",
        "@id": id,
        "name": id,
        "description": description,
        "key": { "@id": format!("{id}/row") },
        "field": fields,
    })
}

fn field(file: &str, records: &str, column: &str, kind: Kind, meaning: &str) -> Value {
    let data_type = match kind {
        Kind::Integer => "sc:Integer",
        Kind::Real | Kind::RealList => "sc:Float",
        Kind::Text | Kind::TextList => "sc:Text",
    };
    let mut field = Map::new();
    let mut say = |key: &str, value: Value| field.insert(key.to_owned(), value);
    say("@type", "cr:Field".into());
    say("@id", format!("{records}/{column}").into());
    say("name", column.into());
    say("description", meaning.into());
    say("dataType", data_type.into());
    if matches!(kind, Kind::TextList | Kind::RealList) {
        say("isArray", true.into());
        say("arrayShape", "-1".into());
    }
    say("source", json!({ "fileObject": { "@id": file }, "extract": { "column": column } }));
    field.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_dashes() {
        assert_eq!(name("Label maps of train, by net_5"), "Label-maps-of-train-by-net-5");
        assert_eq!(name("é"), "label-maps");
        assert!(serde_json::from_str::<Value>(CONTEXT).is_ok());
    }
}
