//! `provenance.json`: how the labels were made, and which program published them. All dates are dates of runs.

use serde_json::{Value, json};

use super::private_text::{redacted, redacted_json};
use super::published_tiles::PublishedTiles;
use super::release_metadata::ReleaseMetadata;

/// Name of the file.
pub(super) const PROVENANCE: &str = "provenance.json";

/// Returns the content of the file.
pub(super) fn provenance(metadata: &ReleaseMetadata<'_>) -> Value {
    let (info, status, options) = (metadata.info, metadata.status, metadata.options);
    let teacher = &info.teacher;
    let failed: Vec<Value> = status
        .failed_images
        .iter()
        .map(|image| {
            json!({ "row": image.row, "id": image.id, "kind": image.error.kind, "reason": redacted(&image.error.reason) })
        })
        .collect();
    let redactions: Vec<Value> = metadata
        .redactions
        .iter()
        .map(|redaction| json!({ "location": redaction.location, "to": redaction.to }))
        .collect();
    let mut document = json!({
        "published_with": { "tool": "relabel", "version": options.tool.version, "commit": options.tool.commit },
        "name": metadata.name,
        "partial": metadata.is_partial(),
        "labels": {
            "images": status.images,
            "labelled": status.labelled,
            "failed": status.failed,
            "to_do": status.to_do,
            "bytes": status.label_bytes,
            "agreement": status.agreement,
            "verdicts": metadata.verdicts,
        },
        "teacher": {
            "name": metadata.teacher,
            "sha256": teacher.sha256,
            "weights_sha256": teacher.weights_sha256,
            "locality": teacher.locality,
            "card": metadata.teacher_card,
            "card_origins": teacher.card_origins,
        },
        "settings": {
            "tool_version": info.tool_version,
            "format_version": info.format_version,
            "k": info.k,
            "map_size": info.map_size,
            "tiles": metadata.tiles.as_ref().map(PublishedTiles::provenance),
            "score_kind": info.score_kind,
            "score_steps": info.score_steps,
            "flip_average": info.flip_average,
            "with_lse": info.with_lse,
            "imported": info.imported,
            "shard_images": info.shard_images,
            "batch_images": info.batch_images,
            "limit": info.limit,
        },
        "source": { "name": metadata.source, "dataset": options.source_dataset, "manifest_sha256": info.manifest_sha256 },
        "classes": { "list": info.classes.list, "count": info.classes.count },
        "runs": runs(metadata),
        "failed_images": failed,
        "licence": { "name": options.licence.name(), "hub_id": options.licence.hub_id() },
        "redactions": redactions,
    });
    if let (Some(evaluation), Value::Object(document)) = (&metadata.evaluation, &mut document) {
        document.insert("evaluation".to_owned(), evaluation.provenance());
    }
    if let (Some(calibration), Value::Object(document)) = (&metadata.calibration, &mut document) {
        document.insert("pooling".to_owned(), calibration.provenance());
    }
    document
}

/// Describes the runs that made the store, in total and one by one.
fn runs(metadata: &ReleaseMetadata<'_>) -> Value {
    let notes = metadata.notes;
    let images: usize = notes.iter().map(|note| note.images).sum();
    let seconds: f64 = notes.iter().filter_map(|note| note.seconds).sum();
    let each: Vec<Value> = notes.iter().map(|note| redacted_json(&json!(note))).collect();
    json!({
        "first_started": notes.iter().filter_map(|note| note.started.as_ref()).min(),
        "last_finished": notes.iter().filter_map(|note| note.finished.as_ref()).max(),
        "images": images,
        "seconds": seconds,
        "images_per_s": (seconds > 0.0).then(|| images as f64 / seconds),
        "each": each,
    })
}
