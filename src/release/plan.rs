//! From a store to all files of its release, in memory or named where they lie. Nothing is written here.

use std::collections::BTreeSet;

use super::ReleaseFile;
use super::card::{CARD, card};
use super::checksums::{CHECKSUMS, SIGNATURE, checksums};
use super::croissant::{CROISSANT, croissant};
use super::facts::{Facts, clean, clean_value, is_filed_as_imagenet};
use super::licence::{Licence, source_terms_file};
use super::limits::Limits;
use super::overview::{OVERVIEW, overview};
use super::places::{Shortened, without_places};
use super::provenance::{PROVENANCE, provenance};
use super::request::{HubLimits, Picture, Request, Wholeness};
use super::stored::stored_files;
use super::summary::{SUMMARY, VerdictCounts, summarise};
use crate::shared::classes::ClassList;
use crate::shared::error::Error;
use crate::shared::manifest::Manifest;
use crate::shared::monitor::Monitor;
use crate::shared::store::{Part, Repair, StoreReader, StoreStatus, VerifyProgress, run_notes, verify};

/// A release that could be delivered.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its files by name, but the list of checksums last.
    pub files: Vec<ReleaseFile>,
    /// What it is called.
    pub name: String,
    /// Counts over the store.
    pub status: StoreStatus,
    /// Images by their verdict.
    pub verdicts: VerdictCounts,
    /// Ids of the images in its picture.
    pub pictured: Vec<String>,
    /// Paths of a machine that are not published as they stood.
    pub shortened: Vec<Shortened>,
    /// What the publisher should know.
    pub warnings: Vec<String>,
    /// The file `LICENSE`.
    pub licence: String,
    /// The file `SOURCE_TERMS.md`.
    pub source_terms: String,
}

impl Release {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Whether images are missing.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.status.to_do > 0
    }
}

/// Verifies a store and makes all files of its release, on the threads of the current rayon pool. `heard` hears of the
/// verification, `monitor` of images.
///
/// # Errors
/// When the store is not whole (and need be), not right, holds no label, or is beyond the Hub's limits; when it cannot be
/// read; [`Error::Interrupted`] when a stop was asked for.
pub fn plan(
    store: &StoreReader,
    request: &Request<'_>,
    heard: &(dyn Fn(VerifyProgress) + Sync),
    monitor: &dyn Monitor,
) -> Result<Release, Error> {
    let info = store.info();
    check_whole(store, request)?;
    check_picture(store, request)?;
    check_right(store, request, heard)?;
    let records = store.records()?;
    let status = StoreStatus::from_records(info, Part::WHOLE, &records);
    let manifest = store.manifest()?;
    let classes: ClassList = (&info.classes).into();
    let (mut files, shortened) = stored_files(store, &records)?;
    let mut warnings = within_limits(store, request, &files)?;
    let summarised = summarise(store, &manifest, &classes, monitor)?;
    files.push(ReleaseFile::made(SUMMARY, summarised.table));
    let (teacher, source) = (clean(&info.teacher.name), clean(&info.source));
    let (picture, pictured) = overview(store, &manifest, &classes, &teacher, &request.picture, &summarised.candidates)?;
    files.push(ReleaseFile::made(OVERVIEW, picture));
    let notes = run_notes(store.path())?;
    let facts = Facts {
        request,
        info,
        status: &status,
        verdicts: summarised.verdicts,
        notes: &notes,
        name: request.name.clone().unwrap_or_else(|| format!("Label maps of {source} by {teacher}")),
        teacher,
        source,
        card: info.teacher.card.iter().map(|(key, value)| (key.clone(), clean_value(value))).collect(),
        pictured: pictured.iter().map(|&row| manifest.id(row).to_owned()).collect(),
        shortened: &shortened,
    };
    let (licence, source_terms) = terms(request, &manifest, &classes, &mut warnings);
    files.push(ReleaseFile::made("LICENSE", licence.clone().into_bytes()));
    files.push(ReleaseFile::made("SOURCE_TERMS.md", source_terms.clone().into_bytes()));
    files.push(ReleaseFile::made(CARD, card(&facts).into_bytes()));
    files.push(ReleaseFile::made(PROVENANCE, json_file(&provenance(&facts))));
    files.push(ReleaseFile::made(CROISSANT, json_file(&croissant(&facts, &files))));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    warnings.extend(places_in_names(&manifest));
    let (name, pictured, verdicts) = (facts.name, facts.pictured, facts.verdicts);
    let list = checksums(&files);
    if let Some(sign) = request.sign {
        files.push(ReleaseFile::made(SIGNATURE, sign(&list)?));
    }
    files.push(ReleaseFile::made(CHECKSUMS, list));
    Ok(Release { files, name, status, verdicts, pictured, shortened, warnings, licence, source_terms })
}

/// Refuses a store that is not finished, before any of its files is read.
fn check_whole(store: &StoreReader, request: &Request<'_>) -> Result<(), Error> {
    let (_, status) = StoreStatus::read(store.path())?;
    let refused = |problem: String| Err(Error::Store { path: store.path().to_path_buf(), problem: problem.into() });
    let to_do = status.shards_total - status.shards_done - status.damaged_shards.len();
    if to_do > 0 && request.wholeness == Wholeness::Whole {
        return refused(format!(
            "{to_do} of its {} shards are to do ({} images), and only whole stores are published. `relabel run` goes on with \
             it; --allow-partial publishes what there is, and the release says so",
            status.shards_total, status.to_do
        ));
    }
    if status.labelled == 0 && status.damaged_shards.is_empty() {
        return refused("none of its images is labelled, so that there is nothing to publish".to_owned());
    }
    Ok(())
}

/// Refuses a picture of an image without labels, before any work.
fn check_picture(store: &StoreReader, request: &Request<'_>) -> Result<(), Error> {
    let Picture::Of { row, .. } = request.picture else { return Ok(()) };
    let record = store.record(row / store.info().shard_images)?;
    let has_labels = record.is_some_and(|record| record.failed.iter().all(|failed| failed.row != row));
    if has_labels {
        return Ok(());
    }
    let what = "--picture: this image has no labels, so that there is no picture of it: choose another one";
    Err(Error::Usage(what.to_owned()))
}

/// Problems that are told of a store that is refused.
const PROBLEMS_TOLD: usize = 5;

/// Refuses a store that is not what was written.
fn check_right(
    store: &StoreReader,
    request: &Request<'_>,
    heard: &(dyn Fn(VerifyProgress) + Sync),
) -> Result<(), Error> {
    let found = verify(store.path(), request.depth, heard)?;
    let in_the_way: Vec<_> = found
        .problems
        .iter()
        .filter(|problem| match problem.repair {
            Repair::Delete => false,
            Repair::Resume => request.wholeness == Wholeness::Whole,
            Repair::Run | Repair::RunOrRestore => true,
        })
        .collect();
    if in_the_way.is_empty() {
        return Ok(());
    }
    let lines = in_the_way.iter().take(PROBLEMS_TOLD);
    let mut words: Vec<String> =
        lines.map(|problem| format!("  - {}: {} ({})", problem.file, problem.problem, problem.repair)).collect();
    if in_the_way.len() > PROBLEMS_TOLD {
        words.push(format!("  - and {} more; `relabel verify` lists all", in_the_way.len() - PROBLEMS_TOLD));
    }
    let problem = format!("it is not whole and right, and nothing was published:\n{}", words.join("\n"));
    Err(Error::Store { path: store.path().to_path_buf(), problem: problem.into() })
}

/// Refuses what the Hub would refuse, and tells what it advises against.
fn within_limits(store: &StoreReader, request: &Request<'_>, files: &[ReleaseFile]) -> Result<Vec<String>, Error> {
    let info = store.info();
    let limits = Limits::of(files, info.shard_images, info.images);
    match request.hub_limits {
        HubLimits::Kept if !limits.beyond.is_empty() => {
            let lines: Vec<String> = limits.beyond.iter().map(|line| format!("  - {line}")).collect();
            let problem = format!(
                "it is beyond the limits of the Hugging Face Hub:\n{}\n  --beyond-hub-limits makes a release for other places",
                lines.join("\n")
            );
            Err(Error::Store { path: store.path().to_path_buf(), problem: problem.into() })
        }
        HubLimits::Kept => Ok(limits.near),
        HubLimits::Ignored => Ok([limits.beyond, limits.near].concat()),
    }
}

/// The texts of both files of terms.
fn terms(
    request: &Request<'_>,
    manifest: &Manifest,
    classes: &ClassList,
    warnings: &mut Vec<String>,
) -> (String, String) {
    let labels: BTreeSet<&str> = (0..manifest.len()).filter_map(|row| manifest.label(row)).collect();
    let source_terms = source_terms_file(request.source_terms.as_deref(), is_filed_as_imagenet(&labels, classes));
    if request.source_terms.is_none() {
        warnings.push(
            "SOURCE_TERMS.md says that the terms of the images are not stated: --source-terms states them".to_owned(),
        );
    }
    if let Licence::Named(name) = &request.licence {
        warnings.push(format!(
            "`{name}` is no licence that the Hub has an id for, so that the card says `other`: is it spelled as it should \
             be? A file with its text makes sure that it is understood"
        ));
    }
    (request.licence.file(), source_terms)
}

/// Ids and labels are what rows are found by, and stay as they are.
fn places_in_names(manifest: &Manifest) -> Option<String> {
    let is_place = |text: &str| text.starts_with('/') && without_places(text).is_some();
    let row =
        (0..manifest.len()).find(|&row| is_place(manifest.id(row)) || manifest.label(row).is_some_and(is_place))?;
    let id = manifest.id(row);
    Some(format!("ids and labels of the list are published as they are, and that of row {row} looks like a path: {id}"))
}

fn json_file(document: &serde_json::Value) -> Vec<u8> {
    format!("{document:#}\n").into_bytes()
}
