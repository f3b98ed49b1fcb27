//! Which images are being decoded, noted outside the process, so that an image that ends the process is found.
//!
//! Nothing in the process survives a SIGKILL by the kernel. So each image is noted in `.in-flight/` while it is decoded,
//! and a run that ends in order removes its notes. Notes that are found tell where the last run died:
//!
//! * Each image that was being decoded gets one strike. If it was the only one, and had been there for a quarter of a second
//!   or taken 64 MiB, it gets two: a run that is killed from outside rarely leaves such a note.
//! * An image with a strike is decoded alone, so that the next death tells whether it is the cause. If it is decoded, its
//!   strikes are forgotten.
//! * An image with three strikes is not decoded again. So two deaths settle it if it is large or slow, and three otherwise.
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

use super::commit::create_own_folder;
use super::names;
use super::part::Part;
use crate::shared::error::{Error, ImageError, ImageErrorKind};
use crate::shared::regular_file::{self, Found};

/// The notes of one writer. Shared by the threads that decode.
#[derive(Debug)]
pub struct InFlight {
    folder: PathBuf,
    slots_path: PathBuf,
    strikes_path: PathBuf,
    file: OnceLock<File>,
    /// Beats so far.
    beats: AtomicU64,
    slots: Mutex<Slots>,
    strikes: Mutex<BTreeMap<usize, u8>>,
    /// Held for writing by an image that is decoded alone.
    turn: RwLock<()>,
    /// Rows that were being decoded when the last run died.
    died_at: Vec<usize>,
}

/// How often [`InFlight::beat`] is to be called.
pub(crate) const BEAT: Duration = Duration::from_millis(50);

const STRIKES: u8 = 3;
/// Beats in a decoder that make a death telling.
const TELLING_BEATS: u64 = 5;
/// Bytes of memory that make a death telling.
const TELLING_BYTES: u64 = 64 << 20;
/// Longest file of notes that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Three numbers of 20 digits, with a blank or a line's end behind each.
const LINE_BYTES: u64 = 63;

impl InFlight {
    /// Reads what the last writer of this part left, and counts it. Nothing is written before [`InFlight::begin`].
    ///
    /// # Errors
    /// Returns [`Error::File`] if the notes cannot be read.
    pub(super) fn open(store: &Path, part: Part) -> Result<Self, Error> {
        let folder = store.join(names::IN_FLIGHT);
        let (slots_path, strikes_path) = (folder.join(part.to_string()), folder.join(format!("{part}.json")));
        let mut strikes: BTreeMap<usize, u8> =
            read(&strikes_path)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let died = read(&slots_path)?.map(|text| Notes::parse(&text)).unwrap_or_default();
        for (row, strike) in died.strikes() {
            let so_far = strikes.entry(row).or_default();
            *so_far = so_far.saturating_add(strike).min(STRIKES);
        }
        Ok(Self {
            folder,
            slots_path,
            strikes_path,
            file: OnceLock::new(),
            beats: AtomicU64::new(0),
            slots: Mutex::default(),
            strikes: Mutex::new(strikes),
            turn: RwLock::new(()),
            died_at: died.rows.iter().map(|noted| noted.row).collect(),
        })
    }

    /// Begins the notes of a run, in the place of the last one's.
    ///
    /// # Errors
    /// Returns [`Error::File`] if they cannot be written.
    pub(crate) fn begin(&self) -> Result<(), Error> {
        create_own_folder(&self.folder)?;
        self.keep_strikes(&self.strikes());
        let file =
            regular_file::open_to_write(OpenOptions::new().write(true).create(true).truncate(true), &self.slots_path);
        let _ = self.file.set(file.map_err(Error::file("create", &self.slots_path))?);
        // The lines of images come behind it, whenever the process ends.
        self.write(0, [0; 3]);
        Ok(())
    }

    /// Rows that were being decoded when the last run died; empty if it ended in order.
    #[must_use]
    pub fn died_at(&self) -> &[usize] {
        &self.died_at
    }

    /// Forgets all but one strike of rows that are to be tried again.
    pub(crate) fn forgive(&self, rows: &[usize]) {
        let mut strikes = self.strikes();
        for row in rows {
            if let Some(strikes) = strikes.get_mut(row) {
                *strikes = 1;
            }
        }
        self.keep_strikes(&strikes);
    }

    /// Notes that an image is being decoded, until what is returned is dropped. Waits for other images if it is to be
    /// decoded alone.
    ///
    /// # Errors
    /// Returns [`ImageErrorKind::Crashed`] if the process ended too often while it was decoded.
    pub(crate) fn enter(&self, row: usize) -> Result<Entry<'_>, ImageError> {
        let strikes = self.strikes().get(&row).copied().unwrap_or_default();
        if strikes >= STRIKES {
            return Err(ImageError {
                kind: ImageErrorKind::Crashed,
                reason:
                    "the process ended again and again while this image was decoded; --retry-failed tries it once more"
                        .to_owned(),
            });
        }
        let turn = if strikes == 0 {
            Turn::Shared(self.turn.read().unwrap_or_else(PoisonError::into_inner))
        } else {
            Turn::Alone(self.turn.write().unwrap_or_else(PoisonError::into_inner))
        };
        let slot = self.slots().take();
        let entry = Entry { notes: self, row, slot, since: self.beats.load(Ordering::Acquire), turn };
        entry.granted(0);
        Ok(entry)
    }

    /// Notes that time goes by.
    pub(crate) fn beat(&self) {
        let beats = self.beats.fetch_add(1, Ordering::AcqRel) + 1;
        self.write(0, [beats, 0, 0]);
    }

    /// Removes the notes of a run that ended in order.
    pub(crate) fn finish(&self) {
        let _ = fs::remove_file(&self.slots_path);
        if self.strikes().is_empty() {
            let _ = fs::remove_file(&self.strikes_path);
        }
        // Fails while other parts have notes in it.
        let _ = fs::remove_dir(&self.folder);
    }

    fn strikes(&self) -> MutexGuard<'_, BTreeMap<usize, u8>> {
        self.strikes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the notes cannot be written, images are decoded all the same.
    fn write(&self, line: u64, numbers: [u64; 3]) {
        let [a, b, c] = numbers;
        let text = format!("{a:20} {b:20} {c:20}\n");
        if let Some(file) = self.file.get()
            && let Err(error) = file.write_all_at(text.as_bytes(), line * LINE_BYTES)
        {
            tracing::debug!("{}: {error}", self.slots_path.display());
        }
    }

    fn keep_strikes(&self, strikes: &BTreeMap<usize, u8>) {
        let draft = self.strikes_path.with_extension("draft");
        let text = serde_json::to_vec(strikes).unwrap_or_default();
        let kept = regular_file::open_to_write(OpenOptions::new().write(true).create(true).truncate(true), &draft)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| fs::rename(&draft, &self.strikes_path));
        if let Err(error) = kept {
            tracing::debug!("{}: {error}", self.strikes_path.display());
        }
    }
}

/// An image that is being decoded.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    notes: &'a InFlight,
    row: usize,
    slot: u64,
    since: u64,
    turn: Turn<'a>,
}

/// The guards are held, never read.
#[derive(Debug)]
enum Turn<'a> {
    Shared(#[expect(dead_code)] RwLockReadGuard<'a, ()>),
    Alone(#[expect(dead_code)] RwLockWriteGuard<'a, ()>),
}

impl Entry<'_> {
    /// Notes how much memory the image was granted.
    pub(crate) fn granted(&self, bytes: u64) {
        self.notes.write(1 + self.slot, [self.row as u64 + 1, self.since, bytes]);
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.notes.write(1 + self.slot, [0; 3]);
        self.notes.slots().free.push(self.slot);
        if let Turn::Alone(_) = self.turn {
            let mut strikes = self.notes.strikes();
            strikes.remove(&self.row);
            self.notes.keep_strikes(&strikes);
        }
    }
}

/// Numbers of lines that no image has, and how many have been used.
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

/// What a run that died had noted.
#[derive(Debug, Default)]
struct Notes {
    beats: u64,
    rows: Vec<Noted>,
}

#[derive(Debug)]
struct Noted {
    row: usize,
    since: u64,
    bytes: u64,
}

impl Notes {
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let numbers: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
            <[u64; 3]>::try_from(numbers).ok()
        };
        let mut lines = text.lines();
        let beats = lines.next().and_then(line).map_or(0, |[beats, ..]| beats);
        let rows = lines.filter_map(line).filter_map(|[row, since, bytes]| {
            let row = usize::try_from(row).ok()?.checked_sub(1)?;
            Some(Noted { row, since, bytes })
        });
        Self { beats, rows: rows.collect() }
    }

    /// Each row with the strikes that this death gives it.
    fn strikes(&self) -> impl Iterator<Item = (usize, u8)> {
        let was_alone = self.rows.len() == 1;
        self.rows.iter().map(move |noted| {
            let beats = self.beats.saturating_sub(noted.since);
            let telling = was_alone && (beats >= TELLING_BEATS || noted.bytes >= TELLING_BYTES);
            (noted.row, if telling { 2 } else { 1 })
        })
    }
}

/// The text of a file of notes, if it is there. Anything but an ordinary text file of bounded length counts as missing.
fn read(path: &Path) -> Result<Option<String>, Error> {
    Ok(match regular_file::read(path, MAX_BYTES)? {
        Found::There(bytes) => String::from_utf8(bytes).ok(),
        Found::Absent | Found::Unusable(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(store: &Path) -> InFlight {
        let notes = InFlight::open(store, Part::WHOLE).unwrap();
        notes.begin().unwrap();
        notes
    }

    /// What is being decoded when the process ends without a word.
    fn dies_at(notes: &InFlight, images: &[(usize, u64)], beats: u64) {
        for &(row, bytes) in images {
            let entry = notes.enter(row).unwrap();
            entry.granted(bytes);
            // A guard that is forgotten would keep its lock, and so would the process if it lived on.
            std::mem::forget(entry);
        }
        (0..beats).for_each(|_| notes.beat());
    }

    #[test]
    fn two_deaths_settle_a_large_or_slow_image_and_three_any_other() {
        for (bytes, beats, deaths) in [(TELLING_BYTES, 0, 2), (0, TELLING_BEATS, 2), (0, 0, 3)] {
            let store = tempfile::tempdir().unwrap();
            dies_at(&open(store.path()), &[(3, 0), (7, bytes)], beats);
            for death in 2..=deaths {
                let notes = open(store.path());
                assert!(notes.died_at().contains(&7), "death {death}");
                dies_at(&notes, &[(7, bytes)], beats);
            }
            let notes = open(store.path());
            assert_eq!(notes.enter(7).unwrap_err().kind, ImageErrorKind::Crashed);
            assert!(notes.enter(3).is_ok(), "it was only there at the first death");
            notes.forgive(&[7]);
            assert!(notes.enter(7).is_ok());
            notes.finish();
            assert!(!store.path().join(names::IN_FLIGHT).exists());
        }
    }

    #[test]
    fn an_image_that_is_decoded_alone_is_forgiven() {
        let store = tempfile::tempdir().unwrap();
        dies_at(&open(store.path()), &[(7, TELLING_BYTES)], 9);
        for other in 8..11 {
            let notes = open(store.path());
            drop(notes.enter(7).unwrap());
            dies_at(&notes, &[(7, 0), (other, TELLING_BYTES)], 9);
        }
        assert!(open(store.path()).enter(7).is_ok());
    }

    #[test]
    fn a_run_that_ends_in_order_leaves_nothing() {
        let store = tempfile::tempdir().unwrap();
        let notes = open(store.path());
        drop((notes.enter(1).unwrap(), notes.enter(2).unwrap()));
        notes.finish();
        assert!(!store.path().join(names::IN_FLIGHT).exists());
        assert!(open(store.path()).died_at().is_empty());
    }

    #[test]
    fn notes_that_make_no_sense_are_none() {
        let store = tempfile::tempdir().unwrap();
        let folder = store.path().join(names::IN_FLIGHT);
        fs::create_dir(&folder).unwrap();
        for nonsense in ["", "no numbers\n1 2\n", "1 0 0\n18446744073709551615 99999999999999999999 0\n"] {
            fs::write(folder.join(Part::WHOLE.to_string()), nonsense).unwrap();
            fs::write(folder.join(format!("{}.json", Part::WHOLE)), nonsense).unwrap();
            assert!(open(store.path()).died_at().is_empty(), "{nonsense}");
        }
    }
}
