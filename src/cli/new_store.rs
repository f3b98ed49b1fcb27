//! Manifest and settings of the store that a run writes.

use std::path::{Path, PathBuf};

use relabel::labelling::source::{Source, SplitsFound, splits_of_column};
use relabel::labelling::teacher::card::LocalityCheck;
use relabel::labelling::teacher::{ClassifierDescription, Device, TeacherCard, WeightsFile};
use relabel::shared::digest::{Digest, digest_bytes};
use relabel::shared::error::Error;
use relabel::shared::label_map::ScoreRounding;
use relabel::shared::manifest::{Manifest, manifest_bytes};
use relabel::shared::printable::printable_path;
use relabel::shared::store::{FORMAT_VERSION, MAPLESS_FORMAT_VERSION, ScoreKind, StoreInfo, TeacherInfo, ZSTD_LEVEL};
use serde_json::{Value, json};

use super::args::RunArguments;
use super::loaded_teacher::{LoadedDescription, LoadedTeacher};
use super::output::warning;
use super::tile_options::requested_tiles;

/// Returns the manifest of a new store: the given list, or all images of the source.
///
/// # Errors
/// Returns [`Error::Manifest`] or [`Error::Source`] if the list has several splits of a data set, unless `--all-splits` is given.
pub fn new_manifest(arguments: &RunArguments, source: &dyn Source) -> Result<Manifest, Error> {
    let (mut manifest, found) = if let Some(path) = &arguments.manifest {
        let (manifest, splits) = Manifest::read_with_splits(path)?;
        (manifest, splits_of_column(&splits).map(|found| (path, found)))
    } else {
        let manifest = source.list()?;
        let found = source.splits(&manifest);
        (manifest, found.map(|found| (&arguments.source, found)))
    };
    if let Some((path, SplitsFound { problem, is_certain })) = found.filter(|_| !arguments.all_splits) {
        if is_certain {
            let path = path.clone();
            return Err(match arguments.manifest {
                Some(_) => Error::Manifest { path, problem: problem.into() },
                None => Error::Source { path, problem: problem.into() },
            });
        }
        warning(&format!("{}: {problem}", printable_path(path)));
    }
    if let Some(limit) = arguments.limit {
        manifest.truncate(limit);
    }
    Ok(manifest)
}

/// Returns the digest of the manifest as a file.
///
/// # Errors
/// Returns [`Error::Internal`] if the manifest cannot be encoded.
pub fn manifest_digest(manifest: &Manifest) -> Result<Digest, Error> {
    let bytes = manifest_bytes(manifest)
        .map_err(|problem| Error::Internal { action: "encode the manifest".to_owned(), problem: problem.into() })?;
    Ok(digest_bytes(&bytes))
}

/// Returns the settings of a store that this run would write.
///
/// # Errors
/// Returns [`Error::Usage`] if `--batch` differs from a fixed batch size of the teacher, or the tiles cannot be used.
pub fn store_info(
    arguments: &RunArguments,
    loaded: &LoadedTeacher,
    source: &dyn Source,
    manifest: &Manifest,
    manifest_sha256: Digest,
) -> Result<StoreInfo, Error> {
    let description = &loaded.description;
    let map_size = description.map_size();
    let shard_images = arguments.shard_size.unwrap_or(DEFAULT_SHARD_IMAGES).min(manifest.len().max(1));
    Ok(StoreInfo {
        format_version: if map_size.is_some() { FORMAT_VERSION } else { MAPLESS_FORMAT_VERSION },
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        teacher: teacher_info(description),
        k: loaded.k,
        map_size,
        score_kind: ScoreKind::Logits,
        score_steps: arguments.score_steps,
        zstd_level: Some(ZSTD_LEVEL),
        flip_average: arguments.teacher.flip_average,
        with_lse: arguments.teacher.with_lse,
        tiles: requested_tiles(arguments, loaded.k, description.class_count())?,
        imported: None,
        images: manifest.len(),
        shard_images,
        batch_images: batch_images(arguments, loaded)?,
        manifest_sha256,
        limit: arguments.limit,
        source: source.name(),
        classes: (&description.card().classes).into(),
    })
}

/// Returns the settings that an existing store would have if this teacher had labelled it.
pub fn store_info_with_teacher(existing: &StoreInfo, loaded: &LoadedTeacher) -> StoreInfo {
    let description = &loaded.description;
    StoreInfo {
        teacher: teacher_info(description),
        k: loaded.k,
        map_size: description.map_size(),
        imported: None,
        classes: (&description.card().classes).into(),
        ..existing.clone()
    }
}

/// Returns how scores are rounded.
pub fn rounding(info: &StoreInfo) -> ScoreRounding {
    match info.score_steps {
        None => ScoreRounding::Float16,
        Some(steps_per_unit) => ScoreRounding::Steps { steps_per_unit },
    }
}

/// ImageNet then has about a thousand records and a few thousand files, and a CPU commits about once a minute.
const DEFAULT_SHARD_IMAGES: usize = 1024;

fn batch_images(arguments: &RunArguments, loaded: &LoadedTeacher) -> Result<usize, Error> {
    let on_cpu = loaded.devices.contains(&Device::Cpu);
    match (loaded.description.fixed_batch(), arguments.batch) {
        (Some(fixed), Some(given)) if fixed != given => Err(Error::Usage(format!(
            "--batch {given} differs from the teacher, whose batch is fixed at {fixed}\n  help: omit --batch, or export the \
             teacher with a dynamic batch size"
        ))),
        (Some(fixed), _) => Ok(fixed),
        (None, Some(given)) => Ok(given),
        (None, None) => Ok(if on_cpu { 16 } else { 64 }),
    }
}

/// Returns the settings that an existing store would have if this classifier had labelled it. Only what concerns its
/// prediction is known.
pub fn store_info_with_classifier(existing: &StoreInfo, description: &ClassifierDescription) -> StoreInfo {
    let (card, weights_files) = (&description.card, &description.weights_files);
    StoreInfo {
        teacher: described_teacher(card, &description.sha256, weights_files, existing.teacher.locality.clone()),
        classes: (&card.classes).into(),
        imported: None,
        ..existing.clone()
    }
}

fn teacher_info(description: &LoadedDescription) -> TeacherInfo {
    let locality = description.locality().map(str::to_owned);
    described_teacher(description.card(), description.sha256(), description.weights_files(), locality)
}

fn described_teacher(
    card: &TeacherCard,
    sha256: &Digest,
    weights_files: &[WeightsFile],
    locality: Option<String>,
) -> TeacherInfo {
    TeacherInfo {
        name: card.name.clone(),
        sha256: sha256.clone(),
        weights_sha256: weights_files.iter().map(|file| (file.location.clone(), file.sha256.clone())).collect(),
        locality,
        card: card_json(card),
        card_origins: card.origins.iter().map(|(key, origin)| ((*key).to_owned(), origin.to_string())).collect(),
    }
}

/// Returns the effective card as JSON: first the keys of input preparation, then the extra keys.
pub fn card_json(card: &TeacherCard) -> serde_json::Map<String, Value> {
    let mut json = serde_json::Map::new();
    json.insert("name".into(), json!(card.name));
    json.insert("input_size".into(), json!(card.input_size));
    json.insert("mean".into(), json!(card.mean));
    json.insert("std".into(), json!(card.std));
    json.insert("filter".into(), json!(card.filter));
    json.insert("channel_order".into(), json!(card.channel_order));
    json.insert("exif_orientation".into(), json!(card.exif_orientation));
    if let Some(grid) = card.grid {
        json.insert("grid".into(), json!(grid));
    }
    if let Some(layout) = card.layout {
        json.insert("layout".into(), json!(layout));
    }
    if card.locality == LocalityCheck::Unchecked {
        json.insert("locality".into(), json!(card.locality));
    }
    json.insert("classes".into(), json!(card.classes.source()));
    for (key, value) in &card.remarks {
        json.insert(key.clone(), json!(value));
    }
    json
}

/// Returns `./<source>.<teacher>.labels`.
pub fn default_store(source: &dyn Source, teacher: &Path) -> PathBuf {
    let stem = teacher.file_stem().unwrap_or_default().to_string_lossy();
    PathBuf::from(format!("{}.{stem}.labels", source.name()))
}
