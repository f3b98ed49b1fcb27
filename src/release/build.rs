//! Builds all files of a release from a store. Generated files stay in memory, and nothing is written.

use std::collections::BTreeSet;

use super::checksums::{CHECKSUMS, SIGNATURE, checksums};
use super::croissant::{CROISSANT, croissant};
use super::dataset_card::{DATASET_CARD, dataset_card};
use super::hub_limits::check_hub_limits;
use super::licence::{LICENCE, Licence};
use super::overview_picture::{OVERVIEW, overview};
use super::private_text::{Redaction, redact, redacted, redacted_json};
use super::provenance::{PROVENANCE, provenance};
use super::publish_options::{Completeness, HubLimits, OverviewPicture, PublishOptions};
use super::published_calibration::PublishedCalibration;
use super::published_evaluation::PublishedEvaluation;
use super::published_tiles::PublishedTiles;
use super::release_file::{FileContent, ReleaseFile};
use super::release_metadata::ReleaseMetadata;
use super::source_terms::{SOURCE_TERMS, has_imagenet_folders, source_terms};
use super::summary::{SUMMARY, VerdictCounts, summarise};
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::monitor::Monitor;
use crate::shared::numbers::thousands;
use crate::shared::store::{Part, Repair, ShardRecord, StoreReader, StoreStatus, VerifyProgress, run_notes, verify};

/// A release that is ready to be delivered.
#[derive(Clone, Debug)]
pub struct Release {
    /// Files of the release, sorted by path, except that the list of checksums is last.
    pub files: Vec<ReleaseFile>,
    /// Name of the release.
    pub name: String,
    /// Counts over the store.
    pub status: StoreStatus,
    /// Number of images by verdict.
    pub verdicts: VerdictCounts,
    /// Ids of the images in the picture.
    pub pictured: Vec<String>,
    /// Private strings that were shortened.
    pub redactions: Vec<Redaction>,
    /// Warnings for the publisher.
    pub warnings: Vec<String>,
    /// Content of `LICENSE`.
    pub licence: String,
    /// Content of `SOURCE_TERMS.md`.
    pub source_terms: String,
}

impl Release {
    /// Total size of all files in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Whether shards are missing.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.status.to_do > 0
    }
}

/// Reason a store cannot be published.
#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error(
        "{shards_to_do} of {shards} shards are still to do ({} images), and only complete stores can be published\n  \
         help: finish it with `relabel run`, or publish it as a partial release with --allow-partial",
        thousands(*images_to_do)
    )]
    Incomplete { shards_to_do: usize, shards: usize, images_to_do: usize },
    #[error("no image is labelled, so there is nothing to publish\n  help: label images with `relabel run`")]
    NothingLabelled,
    #[error("damaged, nothing was published:\n{}", list(problems))]
    Damaged { problems: Vec<String> },
    #[error(
        "exceeds the limits of the Hugging Face Hub:\n{}\n  help: pass --beyond-hub-limits to publish for other hosts",
        list(exceeded)
    )]
    ExceedsHubLimits { exceeded: Vec<String> },
}

fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n")
}

impl BuildError {
    /// Adds the store.
    fn at(self, store: &StoreReader) -> Error {
        Error::Store { path: store.path().to_path_buf(), problem: self.into() }
    }
}

/// Verifies a store and builds all files of its release, on the threads of the current rayon pool. `on_step` receives the
/// progress of the verification, `monitor` that of the summary.
///
/// # Errors
/// Returns [`Error::Store`] if the store cannot be read, is damaged, has no labels, exceeds the limits of the Hub, or is
/// incomplete and [`Completeness::Required`]; [`Error::Usage`] if the image of the picture has no labels, or the evaluation is of other labels;
/// [`Error::Interrupted`] if a stop was requested.
pub fn build_release(
    store: &StoreReader,
    options: &PublishOptions<'_>,
    on_step: &(dyn Fn(VerifyProgress) + Sync),
    monitor: &dyn Monitor,
) -> Result<Release, Error> {
    let info = store.info();
    if let Some(evaluation) = &options.evaluation {
        evaluation.verify_store(store)?;
    }
    check_completeness(store, options)?;
    check_picture(store, options)?;
    check_integrity(store, options, on_step)?;
    let records = store.records()?;
    let status = StoreStatus::from_records(info, Part::WHOLE, &records);
    let manifest = store.manifest()?;
    let classes: ClassList = (&info.classes).into();
    let (mut files, mut redactions) = store_files(store, &records)?;
    let calibration = PublishedCalibration::read(store)?;
    files.extend(calibration.iter().map(|calibration| calibration.document.clone()));
    let mut warnings = enforce_hub_limits(store, options, &files)?;
    let summarised = summarise(store, &manifest, &classes, monitor)?;
    files.push(ReleaseFile::from_bytes(SUMMARY, summarised.table));
    let (teacher, source) = (redacted(&info.teacher.name), redacted(&info.source));
    let (picture, pictured) = overview(store, &manifest, &classes, &teacher, &options.picture, &summarised.candidates)?;
    files.push(ReleaseFile::from_bytes(OVERVIEW, picture));
    let evaluation = published_evaluation(store, options, &mut redactions)?;
    files.extend(evaluation.iter().flat_map(PublishedEvaluation::files));
    let notes = run_notes(store.path())?;
    let metadata = ReleaseMetadata {
        options,
        info,
        status: &status,
        verdicts: summarised.verdicts,
        notes: &notes,
        name: options.name.clone().unwrap_or_else(|| {
            let what = if info.map_size.is_some() { "Label maps" } else { "Predictions" };
            format!("{what} of {source} by {teacher}")
        }),
        teacher,
        source,
        teacher_card: info.teacher.card.iter().map(|(key, value)| (key.clone(), redacted_json(value))).collect(),
        pictured: pictured.iter().map(|&row| manifest.id(row).to_owned()).collect(),
        redactions: &redactions,
        evaluation,
        tiles: info.tiles.as_ref().map(PublishedTiles::new),
        calibration,
    };
    let folder_classes: BTreeSet<&str> = (0..manifest.len()).filter_map(|row| manifest.folder_class(row)).collect();
    let is_imagenet = has_imagenet_folders(&folder_classes, &classes);
    let licence = options.licence.file();
    let source_terms = source_terms(options.source_terms.as_deref(), is_imagenet);
    warnings.extend(licence_warnings(options));
    files.push(ReleaseFile::from_bytes(LICENCE, licence.clone().into_bytes()));
    files.push(ReleaseFile::from_bytes(SOURCE_TERMS, source_terms.clone().into_bytes()));
    files.push(ReleaseFile::from_bytes(DATASET_CARD, dataset_card(&metadata).into_bytes()));
    files.push(ReleaseFile::from_bytes(PROVENANCE, json_file(&provenance(&metadata))));
    files.push(ReleaseFile::from_bytes(CROISSANT, json_file(&croissant(&metadata, &files))));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    warnings.extend(private_name_warning(&manifest));
    let (name, pictured, verdicts) = (metadata.name, metadata.pictured, metadata.verdicts);
    let list = checksums(&files);
    if let Some(sign) = options.sign {
        files.push(ReleaseFile::from_bytes(SIGNATURE, sign(&list)?));
    }
    files.push(ReleaseFile::from_bytes(CHECKSUMS, list));
    Ok(Release { files, name, status, verdicts, pictured, redactions, warnings, licence, source_terms })
}

/// Draws the charts of the evaluation.
fn published_evaluation(
    store: &StoreReader,
    options: &PublishOptions<'_>,
    redactions: &mut Vec<Redaction>,
) -> Result<Option<PublishedEvaluation>, Error> {
    let published = options.evaluation.as_ref().map(|evaluation| PublishedEvaluation::new(evaluation, redactions));
    published.transpose().map_err(|problem| Error::Store {
        path: store.path().to_path_buf(),
        problem: format!("cannot draw the charts of the evaluation: {problem}").into(),
    })
}

/// Refuses an unfinished store before any of its files is read.
fn check_completeness(store: &StoreReader, options: &PublishOptions<'_>) -> Result<(), Error> {
    let (_, status) = StoreStatus::read(store.path())?;
    let shards_to_do = status.shards_total - status.shards_done - status.damaged_shards.len();
    if shards_to_do > 0 && options.completeness == Completeness::Required {
        let (shards, images_to_do) = (status.shards_total, status.to_do);
        return Err(BuildError::Incomplete { shards_to_do, shards, images_to_do }.at(store));
    }
    if status.labelled == 0 && status.damaged_shards.is_empty() {
        return Err(BuildError::NothingLabelled.at(store));
    }
    Ok(())
}

/// Refuses a picture of an image without labels before any work.
fn check_picture(store: &StoreReader, options: &PublishOptions<'_>) -> Result<(), Error> {
    let OverviewPicture::Image { row, .. } = options.picture else { return Ok(()) };
    let record = store.record(row / store.info().shard_images)?;
    let has_labels = record.is_some_and(|record| record.failed.iter().all(|failed| failed.row != row));
    if has_labels {
        return Ok(());
    }
    let problem = "cannot draw the image of --picture: it has no labels\n  help: choose a labelled image";
    Err(Error::Usage(problem.to_owned()))
}

/// Number of problems that the error lists.
const PROBLEMS_LISTED: usize = 5;

/// Refuses a damaged store.
fn check_integrity(
    store: &StoreReader,
    options: &PublishOptions<'_>,
    on_step: &(dyn Fn(VerifyProgress) + Sync),
) -> Result<(), Error> {
    let found = verify(store.path(), options.depth, on_step)?;
    let relevant: Vec<_> = found
        .problems
        .iter()
        .filter(|problem| match problem.repair {
            Repair::Delete => false,
            Repair::Resume => options.completeness == Completeness::Required,
            Repair::Run | Repair::RunOrRestore | Repair::Calibrate => true,
        })
        .collect();
    if relevant.is_empty() {
        return Ok(());
    }
    let listed = relevant.iter().take(PROBLEMS_LISTED);
    let mut problems: Vec<String> =
        listed.map(|problem| format!("{}: {} ({})", problem.file, problem.problem, problem.repair)).collect();
    if relevant.len() > PROBLEMS_LISTED {
        let more = relevant.len() - PROBLEMS_LISTED;
        problems.push(format!("and {} more; `relabel verify` lists all", thousands(more)));
    }
    Err(BuildError::Damaged { problems }.at(store))
}

/// Returns the files of the store that the release contains, and what was shortened in them.
///
/// Digests of shard files are taken from the records; the verification has compared them.
fn store_files(store: &StoreReader, records: &[ShardRecord]) -> Result<(Vec<ReleaseFile>, Vec<Redaction>), Error> {
    let (mut files, mut redactions) = (Vec::new(), Vec::new());
    let mut redact_in = |file: &str, key: &str, text: &str| {
        let (text, found) = redact(text)?;
        let location = format!("{file}: {key}");
        redactions.extend(found.into_iter().map(|(from, to)| Redaction { location: location.clone(), from, to }));
        Some(text)
    };
    for path in store.info().fixed_files() {
        let changed =
            if path == GROUP { store.redacted_group(&mut |key, text| redact_in(GROUP, key, text))? } else { None };
        files.push(changed_or_stored(store, path, changed)?);
    }
    for record in records {
        let path = record.path();
        let changed = store.redacted_record(record.shard, &mut |key, text| redact_in(&path, key, text))?;
        files.push(changed_or_stored(store, path, changed)?);
        files.extend(record.all_files().map(|file| ReleaseFile {
            path: file.path.clone(),
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            content: FileContent::Disk(store.path().join(&file.path)),
        }));
    }
    Ok((files, redactions))
}

const GROUP: &str = "zarr.json";

fn changed_or_stored(store: &StoreReader, path: String, changed: Option<Vec<u8>>) -> Result<ReleaseFile, Error> {
    if let Some(bytes) = changed {
        return Ok(ReleaseFile::from_bytes(&path, bytes));
    }
    let file = store.path().join(&path);
    ReleaseFile::from_disk(path, file)
}

/// Refuses a release that the Hub would refuse. Returns warnings about the rest.
fn enforce_hub_limits(
    store: &StoreReader,
    options: &PublishOptions<'_>,
    files: &[ReleaseFile],
) -> Result<Vec<String>, Error> {
    let info = store.info();
    let found = check_hub_limits(files, info.shard_images, info.images);
    match options.hub_limits {
        HubLimits::Enforced if !found.exceeded.is_empty() => {
            Err(BuildError::ExceedsHubLimits { exceeded: found.exceeded }.at(store))
        }
        HubLimits::Enforced => Ok(found.discouraged),
        HubLimits::Ignored => Ok([found.exceeded, found.discouraged].concat()),
    }
}

fn licence_warnings(options: &PublishOptions<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    if options.source_terms.is_none() {
        warnings.push(format!(
            "{SOURCE_TERMS} does not state a licence of the images\n  help: state it with --source-terms"
        ));
    }
    if let Licence::Named(name) = &options.licence {
        warnings.push(format!(
            "the Hub does not know the licence `{name}`, so the dataset card lists `other`\n  help: check the spelling, or pass \
             a file with the text of the licence"
        ));
    }
    warnings
}

/// Returns a warning if a name in the manifest looks like a path. Rows are found by ids and folder classes, so
/// these are never shortened.
fn private_name_warning(manifest: &Manifest) -> Option<String> {
    let is_path = |text: &str| text.starts_with('/') && redact(text).is_some();
    let row = (0..manifest.len())
        .find(|&row| is_path(manifest.id(row)) || manifest.folder_class(row).is_some_and(is_path))?;
    let id = manifest.id(row);
    Some(format!("ids and folder classes are published unchanged, and those of row {row} look like a path: `{id}`"))
}

fn json_file(document: &serde_json::Value) -> Vec<u8> {
    format!("{document:#}\n").into_bytes()
}
