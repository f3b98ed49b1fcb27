//! Records which images are being decoded, outside the process, so that an image that crashes the process is identified.
//!
//! A process that the kernel kills cannot report anything. Each image is therefore listed in `.in-flight/` while it is
//! decoded, and a run that ends normally removes the list. An entry that is found shows where the last run crashed:
//!
//! * Each image that was being decoded gets one strike. If it was the only one, and had been decoded for a quarter of a
//!   second or used 64 MiB, it gets two: a run that is killed from outside rarely leaves such an entry.
//! * An image with a strike is decoded alone, so that the next crash shows whether it is the cause. If it is decoded, its
//!   strikes are removed.
//! * An image with three strikes is not decoded again. Two crashes are therefore enough if it is large or slow, and three
//!   otherwise.
//!
//! Tests: `hostile_images::an_image_that_kills_the_process_twice_is_recorded_as_failed`,
//! `kill::a_killed_run_resumes_to_the_same_bytes`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::committer::create_own_folder;
use super::layout;
use super::part::Part;
use crate::shared::error::{Error, ImageError, ImageErrorKind};
use crate::shared::regular_file::{self, Lookup};

/// The images that one writer is decoding. Shared by the decoding threads.
#[derive(Debug)]
pub struct InFlight {
    folder: PathBuf,
    slots_path: PathBuf,
    strikes_path: PathBuf,
    file: OnceLock<File>,
    heartbeats: AtomicU64,
    slots: Mutex<Slots>,
    strikes: Mutex<BTreeMap<usize, u8>>,
    /// Locked for writing by an image that is decoded alone.
    decode_lock: RwLock<()>,
    /// Rows that were being decoded when the last run crashed.
    crashed_rows: Vec<usize>,
}

/// Interval at which [`InFlight::heartbeat`] must be called.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(50);

const MAX_STRIKES: u8 = 3;
/// Heartbeats from which on an image counts as slow.
const SLOW_HEARTBEATS: u64 = 5;
/// Bytes of memory from which on an image counts as large.
const LARGE_BYTES: u64 = 64 << 20;
/// Longest file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Three numbers of 20 digits, each followed by a space or a line break.
const LINE_BYTES: u64 = 63;

impl InFlight {
    /// Reads the entries that the last writer of this part left, and counts their strikes. Writes nothing before
    /// [`InFlight::begin`].
    ///
    /// # Errors
    /// Returns [`Error::File`] if they cannot be read.
    pub(super) fn open(store: &Path, part: Part) -> Result<Self, Error> {
        let folder = store.join(layout::IN_FLIGHT);
        let (slots_path, strikes_path) = (folder.join(part.to_string()), folder.join(format!("{part}.json")));
        let mut strikes: BTreeMap<usize, u8> =
            read(&strikes_path)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let crashed = read(&slots_path)?.map(|text| CrashedRun::parse(&text)).unwrap_or_default();
        for (row, strike) in crashed.strikes() {
            let so_far = strikes.entry(row).or_default();
            *so_far = so_far.saturating_add(strike).min(MAX_STRIKES);
        }
        Ok(Self {
            folder,
            slots_path,
            strikes_path,
            file: OnceLock::new(),
            heartbeats: AtomicU64::new(0),
            slots: Mutex::default(),
            strikes: Mutex::new(strikes),
            decode_lock: RwLock::new(()),
            crashed_rows: crashed.images.iter().map(|image| image.row).collect(),
        })
    }

    /// Begins the list of a run, which replaces that of the last one.
    ///
    /// # Errors
    /// Returns [`Error::File`] if it cannot be written.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        create_own_folder(&self.folder)?;
        self.save_strikes(&self.strikes());
        let file =
            regular_file::open_to_write(OpenOptions::new().write(true).create(true).truncate(true), &self.slots_path);
        let _ = self.file.set(file.map_err(Error::file("create", &self.slots_path))?);
        // The first line is written now, so that it precedes the lines of images even after a crash.
        self.write(0, [0; 3]);
        Ok(())
    }

    /// Rows that were being decoded when the last run crashed; empty if it ended normally.
    #[must_use]
    pub fn crashed_rows(&self) -> &[usize] {
        &self.crashed_rows
    }

    /// Resets rows that are to be tried again to one strike.
    pub(crate) fn reset_strikes(&self, rows: &[usize]) {
        let mut strikes = self.strikes();
        for row in rows {
            if let Some(strikes) = strikes.get_mut(row) {
                *strikes = 1;
            }
        }
        self.save_strikes(&strikes);
    }

    /// Lists an image as being decoded until the returned guard is dropped. Waits for other images if it must be decoded
    /// alone.
    ///
    /// # Errors
    /// Returns [`ImageErrorKind::Crashed`] if the process crashed too often while it was decoded.
    pub(crate) fn enter(&self, row: usize) -> Result<DecodingImage<'_>, ImageError> {
        let strikes = self.strikes().get(&row).copied().unwrap_or_default();
        if strikes >= MAX_STRIKES {
            return Err(ImageError {
                kind: ImageErrorKind::Crashed,
                reason:
                    "the process crashed repeatedly while this image was decoded; --retry-failed tries it once more"
                        .to_owned(),
            });
        }
        let guard = if strikes == 0 {
            DecodeGuard::Shared(self.decode_lock.read().unwrap_or_else(PoisonError::into_inner))
        } else {
            DecodeGuard::Exclusive(self.decode_lock.write().unwrap_or_else(PoisonError::into_inner))
        };
        let slot = self.slots().take();
        let image = DecodingImage { in_flight: self, row, slot, since: self.heartbeats.load(Ordering::Acquire), guard };
        image.set_memory(0);
        Ok(image)
    }

    /// Records that time has passed.
    pub(crate) fn heartbeat(&self) {
        let heartbeats = self.heartbeats.fetch_add(1, Ordering::AcqRel) + 1;
        self.write(0, [heartbeats, 0, 0]);
    }

    /// Removes the list of a run that ended normally.
    pub(crate) fn finish(&self) {
        let _ = fs::remove_file(&self.slots_path);
        if self.strikes().is_empty() {
            let _ = fs::remove_file(&self.strikes_path);
        }
        // Fails while other parts have files in it.
        let _ = fs::remove_dir(&self.folder);
    }

    fn strikes(&self) -> MutexGuard<'_, BTreeMap<usize, u8>> {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Failures are only logged: images are decoded without the list too.
    fn write(&self, line: u64, numbers: [u64; 3]) {
        let [a, b, c] = numbers;
        let text = format!("{a:20} {b:20} {c:20}\n");
        if let Some(file) = self.file.get()
            && let Err(error) = file.write_all_at(text.as_bytes(), line * LINE_BYTES)
        {
            tracing::debug!("{}: {error}", self.slots_path.display());
        }
    }

    fn save_strikes(&self, strikes: &BTreeMap<usize, u8>) {
        let draft = self.strikes_path.with_extension("draft");
        let text = serde_json::to_vec(strikes).unwrap_or_default();
        let saved = regular_file::open_to_write(OpenOptions::new().write(true).create(true).truncate(true), &draft)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| fs::rename(&draft, &self.strikes_path));
        if let Err(error) = saved {
            tracing::debug!("{}: {error}", self.strikes_path.display());
        }
    }
}

/// An image that is being decoded.
#[derive(Debug)]
pub(crate) struct DecodingImage<'a> {
    in_flight: &'a InFlight,
    row: usize,
    slot: u64,
    since: u64,
    guard: DecodeGuard<'a>,
}

/// Guard of `decode_lock`, held until it is dropped.
#[derive(Debug)]
enum DecodeGuard<'a> {
    Shared(#[expect(dead_code)] RwLockReadGuard<'a, ()>),
    Exclusive(#[expect(dead_code)] RwLockWriteGuard<'a, ()>),
}

impl DecodingImage<'_> {
    /// Records the memory that the image may use.
    pub(crate) fn set_memory(&self, bytes: u64) {
        self.in_flight.write(1 + self.slot, [self.row as u64 + 1, self.since, bytes]);
    }
}

impl Drop for DecodingImage<'_> {
    fn drop(&mut self) {
        self.in_flight.write(1 + self.slot, [0; 3]);
        self.in_flight.slots().free.push(self.slot);
        if let DecodeGuard::Exclusive(_) = self.guard {
            let mut strikes = self.in_flight.strikes();
            strikes.remove(&self.row);
            self.in_flight.save_strikes(&strikes);
        }
    }
}

/// Free lines of the file, and the number of lines that were ever used.
#[derive(Debug, Default)]
struct Slots {
    free: Vec<u64>,
    used: u64,
}

impl Slots {
    fn take(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.used - 1
        })
    }
}

/// The list of a crashed run.
#[derive(Debug, Default)]
struct CrashedRun {
    heartbeats: u64,
    images: Vec<CrashedImage>,
}

#[derive(Debug)]
struct CrashedImage {
    row: usize,
    since: u64,
    bytes: u64,
}

impl CrashedRun {
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let numbers: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
            <[u64; 3]>::try_from(numbers).ok()
        };
        let mut lines = text.lines();
        let heartbeats = lines.next().and_then(line).map_or(0, |[heartbeats, ..]| heartbeats);
        let images = lines.filter_map(line).filter_map(|[row, since, bytes]| {
            let row = usize::try_from(row).ok()?.checked_sub(1)?;
            Some(CrashedImage { row, since, bytes })
        });
        Self { heartbeats, images: images.collect() }
    }

    /// Returns each row with the strikes that this crash adds.
    fn strikes(&self) -> impl Iterator<Item = (usize, u8)> {
        let was_alone = self.images.len() == 1;
        self.images.iter().map(move |image| {
            let heartbeats = self.heartbeats.saturating_sub(image.since);
            let is_suspect = was_alone && (heartbeats >= SLOW_HEARTBEATS || image.bytes >= LARGE_BYTES);
            (image.row, if is_suspect { 2 } else { 1 })
        })
    }
}

/// Reads a UTF-8 file. Anything but a regular file of bounded length counts as missing.
fn read(path: &Path) -> Result<Option<String>, Error> {
    Ok(match regular_file::read(path, MAX_BYTES)? {
        Lookup::Found(bytes) => String::from_utf8(bytes).ok(),
        Lookup::Absent | Lookup::Unusable(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(store: &Path) -> InFlight {
        let in_flight = InFlight::open(store, Part::WHOLE).unwrap();
        in_flight.begin().unwrap();
        in_flight
    }

    /// Leaves the list of a process that crashes while it decodes these images.
    fn crash_at(in_flight: &InFlight, images: &[(usize, u64)], heartbeats: u64) {
        for &(row, bytes) in images {
            let image = in_flight.enter(row).unwrap();
            image.set_memory(bytes);
            std::mem::forget(image);
        }
        (0..heartbeats).for_each(|_| in_flight.heartbeat());
    }

    #[test]
    fn two_crashes_are_enough_for_a_large_or_slow_image_and_three_for_any_other() {
        for (bytes, heartbeats, crashes) in [(LARGE_BYTES, 0, 2), (0, SLOW_HEARTBEATS, 2), (0, 0, 3)] {
            let store = tempfile::tempdir().unwrap();
            crash_at(&open(store.path()), &[(3, 0), (7, bytes)], heartbeats);
            for crash in 2..=crashes {
                let in_flight = open(store.path());
                assert!(in_flight.crashed_rows().contains(&7), "crash {crash}");
                crash_at(&in_flight, &[(7, bytes)], heartbeats);
            }
            let in_flight = open(store.path());
            assert_eq!(in_flight.enter(7).unwrap_err().kind, ImageErrorKind::Crashed);
            assert!(in_flight.enter(3).is_ok(), "it was decoded only during the first crash");
            in_flight.reset_strikes(&[7]);
            assert!(in_flight.enter(7).is_ok());
            in_flight.finish();
            assert!(!store.path().join(layout::IN_FLIGHT).exists());
        }
    }

    #[test]
    fn the_strikes_of_an_image_that_is_decoded_alone_are_removed() {
        let store = tempfile::tempdir().unwrap();
        crash_at(&open(store.path()), &[(7, LARGE_BYTES)], 9);
        for other in 8..11 {
            let in_flight = open(store.path());
            drop(in_flight.enter(7).unwrap());
            crash_at(&in_flight, &[(7, 0), (other, LARGE_BYTES)], 9);
        }
        assert!(open(store.path()).enter(7).is_ok());
    }

    #[test]
    fn a_run_that_ends_normally_leaves_nothing() {
        let store = tempfile::tempdir().unwrap();
        let in_flight = open(store.path());
        drop((in_flight.enter(1).unwrap(), in_flight.enter(2).unwrap()));
        in_flight.finish();
        assert!(!store.path().join(layout::IN_FLIGHT).exists());
        assert!(open(store.path()).crashed_rows().is_empty());
    }

    #[test]
    fn invalid_files_are_ignored() {
        let store = tempfile::tempdir().unwrap();
        let folder = store.path().join(layout::IN_FLIGHT);
        fs::create_dir(&folder).unwrap();
        for text in ["", "no numbers\n1 2\n", "1 0 0\n18446744073709551615 99999999999999999999 0\n"] {
            fs::write(folder.join(Part::WHOLE.to_string()), text).unwrap();
            fs::write(folder.join(format!("{}.json", Part::WHOLE)), text).unwrap();
            assert!(open(store.path()).crashed_rows().is_empty(), "{text}");
        }
    }
}
