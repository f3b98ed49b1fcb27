//! `provenance.json`: how the labels were made, and by what they were published. Its dates are those of the runs.

use serde_json::{Value, json};

use super::facts::{Facts, clean, clean_value};

/// The file.
pub(super) const PROVENANCE: &str = "provenance.json";

/// Everything that is known of where the labels come from.
pub(super) fn provenance(facts: &Facts<'_>) -> Value {
    let (info, status, request) = (facts.info, facts.status, facts.request);
    let teacher = &info.teacher;
    let failed: Vec<Value> = status
        .failed_images
        .iter()
        .map(|image| {
            json!({ "row": image.row, "id": image.id, "kind": image.error.kind, "reason": clean(&image.error.reason) })
        })
        .collect();
    json!({
        "published_with": { "tool": "relabel", "version": request.tool.version, "commit": request.tool.commit },
        "name": facts.name,
        "partial": facts.is_partial(),
        "labels": {
            "images": status.images,
            "labelled": status.labelled,
            "failed": status.failed,
            "to_do": status.to_do,
            "bytes": status.label_bytes,
            "agreement": status.agreement,
            "verdicts": facts.verdicts,
        },
        "teacher": {
            "name": facts.teacher,
            "sha256": teacher.sha256,
            "weights_sha256": teacher.weights_sha256,
            "locality": teacher.locality,
            "card": facts.card,
            "card_origins": teacher.card_origins,
        },
        "settings": {
            "tool_version": info.tool_version,
            "format_version": info.format_version,
            "k": info.k,
            "map_size": info.map_size,
            "score_kind": info.score_kind,
            "score_steps": info.score_steps,
            "flip_average": info.flip_average,
            "with_lse": info.with_lse,
            "imported": info.imported,
            "shard_images": info.shard_images,
            "batch_images": info.batch_images,
            "limit": info.limit,
        },
        "source": { "name": facts.source, "dataset": request.source_dataset, "manifest_sha256": info.manifest_sha256 },
        "classes": { "list": info.classes.list, "count": info.classes.count },
        "runs": runs(facts),
        "failed_images": failed,
        "licence": { "name": request.licence.name(), "hub_id": request.licence.hub_id() },
        "shortened": facts.shortened.iter().map(|cut| json!({ "place": cut.place, "to": cut.to })).collect::<Vec<_>>(),
    })
}

/// The runs that made the store, as one, and one by one.
fn runs(facts: &Facts<'_>) -> Value {
    let notes = facts.notes;
    let images: usize = notes.iter().map(|note| note.images).sum();
    let seconds: f64 = notes.iter().filter_map(|note| note.seconds).sum();
    let each: Vec<Value> = notes.iter().map(|note| clean_value(&json!(note))).collect();
    json!({
        "first_started": notes.iter().filter_map(|note| note.started.as_ref()).min(),
        "last_finished": notes.iter().filter_map(|note| note.finished.as_ref()).max(),
        "images": images,
        "seconds": seconds,
        "images_per_s": (seconds > 0.0).then(|| images as f64 / seconds),
        "each": each,
    })
}
