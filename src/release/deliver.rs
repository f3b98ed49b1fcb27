//! Brings a release to where it is published: a folder or an object store.
//!
//! A marker stands there from the first file to after the last one, and the checksums come last. So nothing that is half
//! there looks whole, whenever the delivery stops, and the same delivery again sends only what is missing or differs
//! (tests `delivery::a_publish_that_was_killed_sends_only_the_rest`, `delivery::faults_of_the_network_lose_nothing`).

mod folder;
mod bucket;
mod marker;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::Serialize;

use super::{CHECKSUMS, ReleaseFile, SIGNATURE};
use crate::shared::digest::Digest;
use crate::shared::error::Error;

use marker::Marker;
use workers::each;

pub use bucket::BucketTarget;
pub use folder::{FolderTarget, StoredAs};
pub use marker::MARKER;

/// Where a release goes.
pub trait Target: Sync {
    /// What messages call it.
    fn name(&self) -> String;

    /// Every file there with its length.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn list(&self) -> Result<BTreeMap<String, u64>, Error>;

    /// Refuses what cannot end well: too little room for so many bytes.
    ///
    /// # Errors
    /// When there is not enough room.
    fn check_room(&self, bytes: u64) -> Result<(), Error>;

    /// A small file that is there; `None` where it is not.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, inside: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Whether a file of the right length that is there has this digest, as far as that can be told cheaply: "no" only
    /// costs sending it again.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn has(&self, inside: &str, sha256: &Digest) -> Result<bool, Error>;

    /// Puts a file there, whole or not at all, in place of an older one.
    ///
    /// # Errors
    /// When it cannot be written.
    fn put(&self, file: &ReleaseFile) -> Result<(), Error>;

    /// Reads a file back and gives its digest.
    ///
    /// # Errors
    /// When it cannot be read.
    fn digest_of(&self, file: &ReleaseFile) -> Result<Digest, Error>;

    /// Takes a file away, if it is there.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&self, inside: &str) -> Result<(), Error>;
}

/// What may be done with what is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Nothing: another release there is left as it is.
    #[default]
    Keep,
    /// An older release gives way. Files that belong to no release never do.
    Replace,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many files of so many bytes are looked at and, where they are missing or differ, sent.
    Begun {
        /// Files of the release.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// A file is there, and was read back if it was sent.
    FileDone {
        /// Its bytes.
        bytes: u64,
    },
}

/// The caller's side of a delivery.
pub struct Watch<'a> {
    /// Hears how far it is, from several threads.
    pub heard: &'a (dyn Fn(Progress) + Sync),
    /// True when it should stop.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// What a delivery did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Files of the release.
    pub files: usize,
    /// Files that were sent.
    pub sent: usize,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// Files that were there already.
    pub kept: usize,
    /// Files of an older release that were removed.
    pub removed: usize,
}

/// Delivers the files of a release, so many at a time. Every file that is sent is read back and compared.
///
/// # Errors
/// [`Error::Release`] when something else is there, or a file that was read back is another one; [`Error::Interrupted`]
/// when a stop was asked for; when the target fails.
pub fn deliver(
    files: &[ReleaseFile],
    target: &dyn Target,
    existing: Existing,
    at_a_time: NonZeroUsize,
    watch: &Watch<'_>,
) -> Result<Delivery, Error> {
    let there = target.list()?;
    let plan = Plan::new(files, target, &there, existing)?;
    let mut delivery = Delivery { files: files.len(), ..Delivery::default() };
    if plan.is_there {
        check_all(files, target, at_a_time, watch)?;
        delivery.kept = files.len();
        return Ok(delivery);
    }
    let same_length = |file: &ReleaseFile| there.get(&file.path) == Some(&file.bytes);
    target.check_room(files.iter().filter(|file| !same_length(file)).map(|file| file.bytes).sum())?;
    target.put(&plan.marker.file())?;
    // From here on it is no release until its checksums are back.
    for vouching in [CHECKSUMS, SIGNATURE].iter().filter(|path| there.contains_key(**path)) {
        target.remove(vouching)?;
    }
    for old in &plan.marker.remove {
        target.remove(old)?;
        delivery.removed += usize::from(there.contains_key(old));
    }
    let (vouching, content): (Vec<_>, Vec<_>) = files.iter().partition(|file| is_vouching(&file.path));
    (watch.heard)(Progress::Begun { files: files.len(), bytes: files.iter().map(|file| file.bytes).sum() });
    let (sent, sent_bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let is_there = |file: &ReleaseFile| match existing {
        _ if !same_length(file) => Ok(false),
        Existing::Keep => target.has(&file.path, &file.sha256),
        // It may be replaced because it was damaged.
        Existing::Replace => Ok(target.digest_of(file)? == file.sha256),
    };
    let bring = |file: &&ReleaseFile| {
        if !is_there(file)? {
            target.put(file)?;
            check(file, target)?;
            sent.fetch_add(1, Ordering::Relaxed);
            sent_bytes.fetch_add(file.bytes, Ordering::Relaxed);
        }
        (watch.heard)(Progress::FileDone { bytes: file.bytes });
        Ok(())
    };
    each(&content, at_a_time, watch.stop, bring)?;
    // The signature before what it signs, and the checksums after all.
    for path in [SIGNATURE, CHECKSUMS] {
        for file in vouching.iter().filter(|file| file.path == path) {
            target.put(file)?;
            check(file, target)?;
            sent.fetch_add(1, Ordering::Relaxed);
            sent_bytes.fetch_add(file.bytes, Ordering::Relaxed);
            (watch.heard)(Progress::FileDone { bytes: file.bytes });
        }
    }
    target.remove(MARKER)?;
    (delivery.sent, delivery.sent_bytes) = (sent.into_inner(), sent_bytes.into_inner());
    delivery.kept = delivery.files - delivery.sent;
    Ok(delivery)
}

/// What a delivery would send: the paths of files that are missing or have another length.
///
/// # Errors
/// As for [`deliver`], as far as they show before anything is written.
pub fn would_send<'a>(
    files: &'a [ReleaseFile],
    target: &dyn Target,
    existing: Existing,
) -> Result<Vec<&'a ReleaseFile>, Error> {
    let there = target.list()?;
    if Plan::new(files, target, &there, existing)?.is_there {
        return Ok(Vec::new());
    }
    Ok(files.iter().filter(|file| there.get(&file.path) != Some(&file.bytes)).collect())
}

/// What is to be done, decided before anything is.
struct Plan {
    /// This very release is there, as far as names, lengths and checksums tell.
    is_there: bool,
    marker: Marker,
}

impl Plan {
    fn new(
        files: &[ReleaseFile],
        target: &dyn Target,
        there: &BTreeMap<String, u64>,
        existing: Existing,
    ) -> Result<Self, Error> {
        let refuse = |problem: String| Error::Release { place: target.name(), problem: problem.into() };
        let ours: BTreeMap<&str, &ReleaseFile> = files.iter().map(|file| (file.path.as_str(), file)).collect();
        let checksums = ours.get(CHECKSUMS).ok_or_else(|| refuse(format!("it has no {CHECKSUMS}")))?.sha256.clone();
        let unfinished = target.read(MARKER)?.map(|text| Marker::parse(&text).unwrap_or_default());
        let old_text = target.read(CHECKSUMS)?;
        let is_ours = old_text.as_ref().is_some_and(|text| crate::shared::digest::digest_bytes(text) == checksums);
        let is_complete = files.iter().all(|file| there.get(&file.path) == Some(&file.bytes));
        // A release is known by its checksums; one that is being replaced, by the marker that took their place.
        let mut old: BTreeSet<String> = unfinished.iter().flat_map(|marker| marker.remove.iter().cloned()).collect();
        old.extend(old_text.iter().flat_map(|text| paths(text)));
        old.extend(unfinished.iter().flat_map(|marker| marker.files.iter().cloned()));
        let is_stray = |path: &&String| !ours.contains_key(path.as_str()) && !is_of_a_tool(path);
        let strays: Vec<&String> = there.keys().filter(is_stray).collect();
        let is_ours_to_touch = |path: &str| old.contains(path) || is_vouching(path) || path == MARKER;
        let stranger = strays.iter().find(|path| !is_ours_to_touch(path));
        if existing == Existing::Keep && is_ours && unfinished.is_none() && is_complete && strays.is_empty() {
            return Ok(Self { is_there: true, marker: Marker::default() });
        }
        if let Some(stranger) = stranger {
            return Err(refuse(format!(
                "`{stranger}` is there, which belongs to no release. Publish into a new or empty place"
            )));
        }
        let is_blank = there.keys().all(|path| is_of_a_tool(path));
        if existing == Existing::Keep && unfinished.is_none() && !is_blank && !is_ours {
            let what = if old_text.is_some() { "another release is there" } else { "files are there" };
            return Err(refuse(format!(
                "{what} ({} files, the first is `{}`). Name another place, or give --replace to put this release there \
                 instead",
                there.len(),
                there.keys().next().map_or("", String::as_str)
            )));
        }
        let remove = strays.into_iter().filter(|path| !is_vouching(path) && path.as_str() != MARKER).cloned().collect();
        let marker = Marker {
            checksums: checksums.to_string(),
            files: ours.keys().map(|&path| path.to_owned()).collect(),
            remove,
        };
        Ok(Self { is_there: false, marker })
    }
}

/// Reads every file of a release that is there already.
fn check_all(
    files: &[ReleaseFile],
    target: &dyn Target,
    at_a_time: NonZeroUsize,
    watch: &Watch<'_>,
) -> Result<(), Error> {
    (watch.heard)(Progress::Begun { files: files.len(), bytes: files.iter().map(|file| file.bytes).sum() });
    let all: Vec<&ReleaseFile> = files.iter().collect();
    each(&all, at_a_time, watch.stop, |file| {
        check(file, target)?;
        (watch.heard)(Progress::FileDone { bytes: file.bytes });
        Ok(())
    })
}

fn check(file: &ReleaseFile, target: &dyn Target) -> Result<(), Error> {
    let found = target.digest_of(file)?;
    if found == file.sha256 {
        return Ok(());
    }
    Err(Error::Release {
        place: target.name(),
        problem: format!(
            "{} reads back with the sha256 {found}, and {} was expected: it was changed on its way or where it lies, or \
             the store was changed meanwhile. Verify the store, and publish again with --replace",
            file.path, file.sha256
        ).into(),
    })
}

/// Refuses a place in which there is something, and no release, before any work is done for one.
///
/// # Errors
/// [`Error::Release`] when there is; when the place cannot be looked at.
pub fn check_target(target: &dyn Target) -> Result<(), Error> {
    let there = target.list()?;
    let stranger = there.keys().find(|path| !is_of_a_tool(path));
    match stranger {
        Some(stranger) if ![CHECKSUMS, MARKER].iter().any(|path| there.contains_key(*path)) => Err(Error::Release {
            place: target.name(),
            problem: format!(
                "`{stranger}` is there, and no release that it could be a part of. Publish into a new or empty place"
            )
            .into(),
        }),
        _ => Ok(()),
    }
}

/// Whether a file is of git, of the Hub's program or the like: their names begin with a dot. They are left alone.
fn is_of_a_tool(path: &str) -> bool {
    path.starts_with('.') && path != MARKER
}

/// Whether a file vouches for the others.
fn is_vouching(path: &str) -> bool {
    path == CHECKSUMS || path == SIGNATURE
}

/// The paths that checksums name.
fn paths(checksums: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(checksums);
    text.lines().filter_map(|line| line.split_once("  ")).map(|(_, path)| path.to_owned()).collect()
}
