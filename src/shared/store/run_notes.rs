//! Notes of runs: times, devices and speed. Only `runs/` contains times; nothing depends on it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::json_digest::verify_digest;
use super::layout;
use super::store_error::StoreError;
use crate::shared::error::Error;
use crate::shared::regular_file;

/// Note of one run. Other versions of the program may have written fewer keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunNote {
    /// Start in UTC: `2026-11-23T19:05:38Z`.
    #[serde(default)]
    pub started: Option<String>,
    /// End in UTC.
    #[serde(default)]
    pub finished: Option<String>,
    /// Outcome: `done`, `interrupted` or `failed`.
    #[serde(default)]
    pub ended: Option<String>,
    /// Devices of the teacher.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Threads of each session.
    #[serde(default)]
    pub threads: usize,
    /// Version and build of ONNX Runtime.
    #[serde(default)]
    pub onnxruntime: String,
    /// Images that were labelled or failed.
    pub images: usize,
    /// Duration in seconds.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// Images per second.
    #[serde(default)]
    pub images_per_s: Option<f64>,
    /// Version of the program.
    #[serde(default)]
    pub tool_version: Option<String>,
}

/// Larger than the number of images of any run: a note with a larger number is damaged.
const MAX_IMAGES: usize = 1 << 40;

/// Longest note that is read.
const MAX_NOTE_BYTES: u64 = 1 << 20;

/// State of a file in the folder of notes.
pub(super) enum NoteState {
    /// A valid note.
    Valid {
        /// Bytes of the file.
        bytes: Vec<u8>,
        /// The note.
        note: Box<RunNote>,
    },
    /// Not a note, with the reason.
    Damaged(String),
}

impl NoteState {
    fn read(path: &Path) -> Result<Self, Error> {
        let bytes = match regular_file::read(path, MAX_NOTE_BYTES)?.usable() {
            Ok(bytes) => bytes,
            Err(problem) => return Ok(Self::Damaged(problem.to_string())),
        };
        Ok(match parse_note(&bytes) {
            Ok(note) => Self::Valid { bytes, note: Box::new(note) },
            Err(problem) => Self::Damaged(problem.to_string()),
        })
    }
}

fn parse_note(bytes: &[u8]) -> Result<RunNote, StoreError> {
    let object = serde_json::from_slice(bytes).map_err(StoreError::NotJson)?;
    let note: RunNote = serde_json::from_value(verify_digest(object)?.into()).map_err(StoreError::NotARunNote)?;
    if note.images > MAX_IMAGES {
        return Err(StoreError::RunNoteImages { images: note.images, max_images: MAX_IMAGES });
    }
    Ok(note)
}

/// Reads every file in the folder of notes, sorted by name.
pub(super) fn all_notes(store: &Path) -> Result<Vec<(String, NoteState)>, Error> {
    let folder = store.join(layout::RUNS);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if regular_file::is_absence(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", &folder)(error)),
    };
    let mut notes = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::file("list", &folder))?;
        notes.push((entry.file_name().to_string_lossy().into_owned(), NoteState::read(&entry.path())?));
    }
    notes.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(notes)
}

/// Reads the notes of all runs that labelled any image, the earliest first. Damaged ones are skipped.
///
/// # Errors
/// Returns [`Error::File`] if the folder or a note cannot be read.
pub fn run_notes(store: &Path) -> Result<Vec<RunNote>, Error> {
    // The sort below is stable, so notes of the same second keep the order of their names.
    let notes = all_notes(store)?.into_iter().filter_map(|(_, state)| match state {
        NoteState::Valid { note, .. } => Some(*note),
        NoteState::Damaged(_) => None,
    });
    let mut notes: Vec<RunNote> = notes.filter(|note| note.images > 0).collect();
    notes.sort_by(|a, b| (&a.started, &a.finished).cmp(&(&b.started, &b.finished)));
    Ok(notes)
}

/// Reads the valid notes, sorted by name: name without extension, and bytes.
pub(super) fn valid_notes(store: &Path) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let valid = |(name, state): (String, NoteState)| match state {
        NoteState::Valid { bytes, .. } => Some((name.strip_suffix(".json")?.to_owned(), bytes)),
        NoteState::Damaged(_) => None,
    };
    Ok(all_notes(store)?.into_iter().filter_map(valid).collect())
}
