//! `croissant.json`: a machine-readable description of the data set, in the format Croissant 1.1.

use serde_json::{Map, Value, json};

use super::dataset_card::DATASET_CARD;
use super::escape::one_line;
use super::licence::LICENCE;
use super::provenance::PROVENANCE;
use super::published_calibration::PublishedCalibration;
use super::published_evaluation::{EVALUATION, PublishedEvaluation};
use super::published_tiles::PublishedTiles;
use super::release_file::ReleaseFile;
use super::release_metadata::ReleaseMetadata;
use super::summary::{ColumnType, SUMMARY, SUMMARY_COLUMNS, meaning};
use crate::shared::store::CALIBRATION;

/// Name of the file.
pub(super) const CROISSANT: &str = "croissant.json";

/// The JSON-LD context that the specification prescribes.
const CONTEXT: &str = include_str!("croissant/context.json");

/// Returns the content of the file.
pub(super) fn croissant(metadata: &ReleaseMetadata<'_>, files: &[ReleaseFile]) -> Value {
    let context: Value = serde_json::from_str(CONTEXT).unwrap_or_default();
    let licence = &metadata.options.licence;
    let mut description = description(metadata);
    if metadata.is_partial() {
        description += " This release is partial: some images are not labelled yet.";
    }
    let mut document = json!({
        "@context": context,
        "@type": "sc:Dataset",
        "conformsTo": CROISSANT_VERSION,
        "name": name(&metadata.name),
        "alternateName": one_line(&metadata.name),
        "description": one_line(&description),
        "license": licence.url().unwrap_or_else(|| LICENCE.to_owned()),
        "version": "1.0.0",
        "citeAs": CITE_AS,
        "keywords": [if metadata.has_maps() { "label maps" } else { "predictions" }, "soft labels", "knowledge distillation"],
    });
    if let Value::Object(document) = &mut document {
        if let Some(date) = metadata.date() {
            document.insert("datePublished".to_owned(), date.into());
        }
        if let Some(url) = metadata.hub_url() {
            document.insert("url".to_owned(), url.into());
        }
        document.insert("distribution".to_owned(), distribution(metadata, files).into());
        document.insert("recordSet".to_owned(), json!([summary(metadata.has_maps()), manifest()]));
        let of_evaluation = metadata.evaluation.iter().flat_map(PublishedEvaluation::sentences);
        let of_calibration = metadata.calibration.iter().map(PublishedCalibration::sentence);
        let sentences: Vec<String> = of_evaluation.chain(of_calibration).map(|text| one_line(&text)).collect();
        if !sentences.is_empty() {
            // The RAI vocabulary has its own version, and this property for analyses of labels.
            document.insert("conformsTo".to_owned(), json!([CROISSANT_VERSION, RAI_VERSION]));
            document.insert("rai:dataAnnotationAnalysis".to_owned(), json!(sentences));
        }
    }
    document
}

/// Describes the labels.
fn description(metadata: &ReleaseMetadata<'_>) -> String {
    let (info, teacher) = (metadata.info, &metadata.teacher);
    let mut description = if let Some(size) = info.map_size {
        format!(
            "Label maps of {} images: for every cell of a {size} grid, the {} best classes and their scores, by the teacher \
             {teacher}.",
            info.images, info.k
        )
    } else {
        format!(
            "Predictions for {} images: the {} best classes and their probabilities, by the teacher {teacher}. The store has \
             no label maps.",
            info.images, info.k
        )
    };
    if let Some(PublishedTiles { tiles, .. }) = &metadata.tiles {
        description += &format!(
            " For each of {} tiles of an image, there is a prediction of {} classes{}.",
            tiles.count(),
            tiles.k(),
            if tiles.with_maps() { " and a label map" } else { "" }
        );
    }
    description
}

const CROISSANT_VERSION: &str = "http://mlcommons.org/croissant/1.1";
const RAI_VERSION: &str = "http://mlcommons.org/croissant/RAI/1.0";

const CITE_AS: &str = "Yun et al., Re-labeling ImageNet: from Single to Multi-Labels, from Global to Localized Labels, CVPR 2021, arXiv:2101.05022; \
                       Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features, ICCV 2019, arXiv:1905.04899";

/// Returns a name of letters, digits and dashes, as the format requires.
fn name(text: &str) -> String {
    let dashed: String = text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    let parts: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    let name: String = parts.join("-").chars().take(200).collect();
    if name.is_empty() { "label-maps".to_owned() } else { name }
}

/// Lists single files with their digests, and files of arrays and records by pattern.
fn distribution(metadata: &ReleaseMetadata<'_>, files: &[ReleaseFile]) -> Vec<Value> {
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
        object(SUMMARY, PARQUET, "One row per image: folder class, the teacher's top classes, whether they agree"),
        object(MANIFEST, PARQUET, "The list of images, in the order of every array"),
        object(
            CALIBRATION,
            "application/json",
            "Parameters of calibrated pooling, and what they improve on held-out crops",
        ),
        object("zarr.json", "application/json", "Metadata of the Zarr v3 group: teacher, settings and class names"),
        object(PROVENANCE, "application/json", "How the labels were made"),
        object(DATASET_CARD, "text/markdown", "The dataset card"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some(evaluation) = &metadata.evaluation {
        let about = "Figures about the quality of the labels, with the digests of the labels and of each truth";
        distribution.extend(object(EVALUATION, "application/json", about));
        let charts = evaluation.charts.iter();
        distribution
            .extend(charts.filter_map(|chart| object(&chart.file_name, "image/png", &one_line(&chart.description))));
    }
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
    for array in metadata.info.array_names() {
        let mut description =
            format!("Shards of the Zarr v3 array {array}, one file per {} images", metadata.info.shard_images);
        if let Some(tiles) = metadata.tiles.as_ref().filter(|_| array.starts_with("tile_")) {
            description += &format!("; {}", one_line(&tiles.sentence()));
        }
        distribution.push(set(array, format!("{array}/c.*"), "application/octet-stream", description));
    }
    let records = "One record per shard: counts, failed images, digests of its files".to_owned();
    distribution.push(set("records", "records/*.json".to_owned(), "application/json", records));
    distribution
}

const PARQUET: &str = "application/x-parquet";
const MANIFEST: &str = "manifest.parquet";

fn summary(has_maps: bool) -> Value {
    let field = |&(name, kind, described): &(&str, ColumnType, &'static str)| {
        field(SUMMARY, "summary", name, kind, meaning(name, described, has_maps))
    };
    let fields: Vec<Value> = SUMMARY_COLUMNS.iter().map(field).collect();
    record_set("summary", "One row per image", &fields)
}

fn manifest() -> Value {
    let fields = [
        ("row", ColumnType::Integer, "Row of the image in every array, from 0"),
        ("id", ColumnType::Text, "Id of the image: its path below the source, without the extension"),
        ("path", ColumnType::Text, "Path of the image file below the source"),
        ("label", ColumnType::Text, "Folder class: the class that the image is filed under; may be null"),
        ("bytes", ColumnType::Integer, "Size of the image file; 0 if unknown"),
    ]
    .map(|(name, kind, meaning)| field(MANIFEST, "manifest", name, kind, meaning));
    record_set("manifest", "The list of images", &fields)
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

fn field(file: &str, records: &str, column: &str, kind: ColumnType, meaning: &str) -> Value {
    let data_type = match kind {
        ColumnType::Integer => "sc:Integer",
        ColumnType::Real | ColumnType::RealList => "sc:Float",
        ColumnType::Text | ColumnType::TextList => "sc:Text",
    };
    let mut field = Map::new();
    let mut insert = |key: &str, value: Value| field.insert(key.to_owned(), value);
    insert("@type", "cr:Field".into());
    insert("@id", format!("{records}/{column}").into());
    insert("name", column.into());
    insert("description", meaning.into());
    insert("dataType", data_type.into());
    if matches!(kind, ColumnType::TextList | ColumnType::RealList) {
        insert("isArray", true.into());
        insert("arrayShape", "-1".into());
    }
    insert("source", json!({ "fileObject": { "@id": file }, "extract": { "column": column } }));
    field.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_consist_of_letters_digits_and_dashes() {
        assert_eq!(name("Label maps of train, by net_5"), "Label-maps-of-train-by-net-5");
        assert_eq!(name("é"), "label-maps");
        assert!(serde_json::from_str::<Value>(CONTEXT).is_ok());
    }
}
