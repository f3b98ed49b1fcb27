//! Messages of a run on stderr.

use std::path::Path;

use relabel::labelling::teacher::{Locality, TeacherDescription};
use relabel::shared::manifest::Manifest;
use relabel::shared::printable::printable_path;
use relabel::shared::store::{Part, PartState, StoreStatus, StoreWriter};

use crate::cli::loaded_teacher::{LoadedDescription, LoadedTeacher};
use crate::cli::output::{bytes, count, message, thousands, warning};

pub fn print_comparison(bytes_to_read: u64) {
    message(&format!("verifying {} of labels that were copied and not verified since", bytes(bytes_to_read)));
}

pub fn print_repairs(store: &StoreWriter, state: &PartState) {
    for file in store.repaired() {
        message(&format!("repaired {file}, which was damaged or missing"));
    }
    for damage in &state.damaged {
        message(&format!("{damage}: labelling the shard again"));
    }
}

/// Names the images that were being decoded when the last run crashed.
pub fn print_crash(store: &StoreWriter, manifest: &Manifest) {
    const MAX_NAMES: usize = 8;
    let rows: Vec<usize> =
        store.in_flight().crashed_rows().iter().copied().filter(|&row| row < manifest.len()).collect();
    if rows.is_empty() {
        return;
    }
    let names: Vec<&str> = rows.iter().take(MAX_NAMES).map(|&row| manifest.path(row)).collect();
    let more = if rows.len() > MAX_NAMES { format!(" and {} more", rows.len() - MAX_NAMES) } else { String::new() };
    warning(&format!(
        "the last run crashed while decoding {}{more}; an image that crashes a run again is recorded as failed",
        names.join(", ")
    ));
}

pub fn print_start(store: &StoreWriter, is_new: bool, before: &StoreStatus, loaded: &LoadedTeacher, source: &str) {
    let info = store.info();
    let description = &loaded.description;
    message(&format!(
        "teacher {}: {} pixels to {}, top {} of {} classes, on {}",
        info.teacher.name,
        description.card().input_size,
        description.map_size().map_or("predictions without maps".to_owned(), |size| format!("{size} cells")),
        loaded.k,
        thousands(description.class_count()),
        loaded.device_names().join(" and "),
    ));
    match description {
        LoadedDescription::Maps(description) => print_verification(description),
        LoadedDescription::Predictions(_) => {
            message("scores verified: finite, not probabilities, and independent of the other images of a batch");
        }
    }
    message(&if is_new {
        format!(
            "labelling {} in {} from {source} into new store {}",
            count(info.images, "image"),
            count(info.shards(), "shard"),
            printable_path(store.path())
        )
    } else {
        format!(
            "resuming store {} from {source}: {} of {} images done",
            printable_path(store.path()),
            thousands(before.labelled + before.failed),
            thousands(before.images)
        )
    });
}

fn print_verification(description: &TeacherDescription) {
    let check = &description.rewrite_check;
    message(&format!(
        "rewrite verified (max cell error {:.0e}, {}); {}",
        check.cell_difference,
        if check.linear() {
            format!("max mean error {:.0e}", check.mean_difference)
        } else {
            format!("head not linear: mean over cells differs from the image score by {:.2}", check.mean_difference)
        },
        match description.locality {
            Locality::Structure => "cells match image positions by graph structure",
            Locality::Probe { .. } => "cells match image positions by probe",
            Locality::Unchecked => "cells not checked to match image positions",
        },
    ));
}

/// Prints the part that this process labels, unless it is the entire store.
pub fn print_part(store: &StoreWriter, part: Part, origin: Option<&str>) {
    if part.is_whole() {
        return;
    }
    let shards = part.shards(store.info().shards());
    let origin = origin.map(|origin| format!(" (from {origin})")).unwrap_or_default();
    message(&match shards.len() {
        0 => format!("task {part}{origin}: no shards"),
        shard_count => {
            format!("task {part}{origin}: {}, {} to {}", count(shard_count, "shard"), shards.start, shards.end - 1)
        }
    });
}

pub fn print_interrupted(status: &StoreStatus, out: &Path) {
    message(&format!(
        "{} of {} images are stored in {}; re-run the same command to resume",
        thousands(status.labelled + status.failed),
        thousands(status.images),
        printable_path(out)
    ));
}
