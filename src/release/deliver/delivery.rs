//! Sends the files of a release to a destination and reads them back.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::Serialize;

use super::delivery_plan::{DeliveryPlan, Existing, MARKER};
use super::destination::{DeliveryError, ReleaseDestination};
use super::parallel::for_each;
use crate::release::checksums::{CHECKSUMS, SIGNATURE, is_checksums_or_signature};
use crate::release::release_file::ReleaseFile;
use crate::shared::error::Error;

/// Progress of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryProgress {
    /// The delivery starts.
    Started {
        /// Number of files of the release.
        files: usize,
        /// Total size of the files in bytes.
        bytes: u64,
    },
    /// A file is delivered and verified, or already was there.
    FileDone {
        /// Size of the file in bytes.
        bytes: u64,
    },
}

/// Callbacks of a delivery.
pub struct DeliveryCallbacks<'a> {
    /// Receives the progress, from several threads.
    pub on_progress: &'a (dyn Fn(DeliveryProgress) + Sync),
    /// Returns whether a stop was requested.
    pub should_stop: &'a (dyn Fn() -> bool + Sync),
}

/// Result of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Files of the release.
    pub files: usize,
    /// Files that were sent.
    pub sent: usize,
    /// Bytes that were sent.
    pub sent_bytes: u64,
    /// Files that were already there.
    pub kept: usize,
    /// Files of an older release that were removed.
    pub removed: usize,
}

/// Delivers the files of a release, up to `concurrency` at a time. Every file that is sent is read back and compared.
///
/// # Errors
/// Returns [`Error::Release`] if the destination contains other files, or a file that was read back differs;
/// [`Error::Interrupted`] if a stop was requested; [`Error::Threads`] if no thread can be started; and the errors of the
/// destination.
pub fn deliver(
    files: &[ReleaseFile],
    destination: &dyn ReleaseDestination,
    existing: Existing,
    concurrency: NonZeroUsize,
    callbacks: &DeliveryCallbacks<'_>,
) -> Result<Delivery, Error> {
    let there = destination.list()?;
    let plan = DeliveryPlan::new(files, destination, &there, existing)?;
    let mut delivery = Delivery { files: files.len(), ..Delivery::default() };
    if plan.is_delivered {
        verify_all(files, destination, concurrency, callbacks)?;
        delivery.kept = files.len();
        return Ok(delivery);
    }
    let has_same_length = |file: &ReleaseFile| there.get(&file.path) == Some(&file.bytes);
    destination.check_space(files.iter().filter(|file| !has_same_length(file)).map(|file| file.bytes).sum())?;
    destination.put(&plan.marker.file())?;
    // From here on the destination contains no valid release until its checksums are written.
    for old in [CHECKSUMS, SIGNATURE].iter().filter(|path| there.contains_key(**path)) {
        destination.remove(old)?;
    }
    for old in &plan.marker.remove {
        destination.remove(old)?;
        delivery.removed += usize::from(there.contains_key(old));
    }
    let (last, content): (Vec<_>, Vec<_>) = files.iter().partition(|file| is_checksums_or_signature(&file.path));
    (callbacks.on_progress)(started(files));
    let (sent, sent_bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let send = |file: &ReleaseFile| {
        destination.put(file)?;
        verify_sent(file, destination)?;
        sent.fetch_add(1, Ordering::Relaxed);
        sent_bytes.fetch_add(file.bytes, Ordering::Relaxed);
        Ok::<(), Error>(())
    };
    let is_there = |file: &ReleaseFile| match existing {
        _ if !has_same_length(file) => Ok(false),
        Existing::Keep => destination.has(&file.path, &file.sha256),
        // The old release may be replaced because it was damaged.
        Existing::Replace => Ok(destination.digest_of(file)? == file.sha256),
    };
    for_each(&content, concurrency, callbacks.should_stop, |file| {
        if !is_there(file)? {
            send(file)?;
        }
        (callbacks.on_progress)(DeliveryProgress::FileDone { bytes: file.bytes });
        Ok(())
    })?;
    for path in [SIGNATURE, CHECKSUMS] {
        for file in last.iter().filter(|file| file.path == path) {
            send(file)?;
            (callbacks.on_progress)(DeliveryProgress::FileDone { bytes: file.bytes });
        }
    }
    destination.remove(MARKER)?;
    (delivery.sent, delivery.sent_bytes) = (sent.into_inner(), sent_bytes.into_inner());
    delivery.kept = delivery.files - delivery.sent;
    Ok(delivery)
}

/// Returns the files that a delivery would send: those that are missing or have a different length.
///
/// # Errors
/// Returns the errors of [`deliver`] that occur before anything is written.
pub fn files_to_send<'a>(
    files: &'a [ReleaseFile],
    destination: &dyn ReleaseDestination,
    existing: Existing,
) -> Result<Vec<&'a ReleaseFile>, Error> {
    let there = destination.list()?;
    if DeliveryPlan::new(files, destination, &there, existing)?.is_delivered {
        return Ok(Vec::new());
    }
    Ok(files.iter().filter(|file| there.get(&file.path) != Some(&file.bytes)).collect())
}

fn started(files: &[ReleaseFile]) -> DeliveryProgress {
    DeliveryProgress::Started { files: files.len(), bytes: files.iter().map(|file| file.bytes).sum() }
}

/// Reads and compares every file of a release that is already delivered.
fn verify_all(
    files: &[ReleaseFile],
    destination: &dyn ReleaseDestination,
    concurrency: NonZeroUsize,
    callbacks: &DeliveryCallbacks<'_>,
) -> Result<(), Error> {
    (callbacks.on_progress)(started(files));
    for_each(files, concurrency, callbacks.should_stop, |file| {
        verify_sent(file, destination)?;
        (callbacks.on_progress)(DeliveryProgress::FileDone { bytes: file.bytes });
        Ok(())
    })
}

fn verify_sent(file: &ReleaseFile, destination: &dyn ReleaseDestination) -> Result<(), Error> {
    let found = destination.digest_of(file)?;
    if found == file.sha256 {
        return Ok(());
    }
    let (path, expected) = (file.path.clone(), file.sha256.clone());
    Err(DeliveryError::ReadBack { path, found, expected }.at(destination))
}
