//! Notes of runs: when, on what, how fast. The one place of a store that holds times; nothing depends on them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::names;
use super::seal::unsealed;
use crate::shared::error::Error;
use crate::shared::regular_file;

/// What a run noted of itself. Older and other programs may have noted less.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunNote {
    /// When it began, in UTC: `2026-11-23T19:05:38Z`.
    #[serde(default)]
    pub started: Option<String>,
    /// When it ended, in UTC.
    #[serde(default)]
    pub finished: Option<String>,
    /// How it ended: `done`, `interrupted` or `failed`.
    #[serde(default)]
    pub ended: Option<String>,
    /// Where the teacher ran.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Threads of each session.
    #[serde(default)]
    pub threads: usize,
    /// Version and build of ONNX Runtime.
    #[serde(default)]
    pub onnxruntime: String,
    /// Images that it labelled or failed to.
    pub images: usize,
    /// How long it took.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// Images a second.
    #[serde(default)]
    pub images_per_s: Option<f64>,
    /// Version of the program.
    #[serde(default)]
    pub tool_version: Option<String>,
}

/// More images than any run labels: a note with a larger number is damaged.
const MOST_IMAGES: usize = 1 << 40;

/// Most bytes that a note may have.
const MOST_BYTES: u64 = 1 << 20;

/// What is in a note's place.
pub(super) enum NoteState {
    /// A note that is whole.
    Whole {
        /// Its bytes.
        bytes: Vec<u8>,
        /// What it notes.
        note: Box<RunNote>,
    },
    /// Something else, with the reason.
    Damaged(String),
}

impl NoteState {
    fn read(path: &Path) -> Result<Self, Error> {
        let bytes = match regular_file::read(path, MOST_BYTES)?.or_problem() {
            Ok(bytes) => bytes,
            Err(problem) => return Ok(Self::Damaged(problem)),
        };
        Ok(match note(&bytes) {
            Ok(note) => Self::Whole { bytes, note: Box::new(note) },
            Err(problem) => Self::Damaged(problem),
        })
    }
}

fn note(bytes: &[u8]) -> Result<RunNote, String> {
    let object = serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON object: {error}"))?;
    let note: RunNote =
        serde_json::from_value(unsealed(object)?.into()).map_err(|error| format!("it is no note of a run: {error}"))?;
    if note.images > MOST_IMAGES {
        return Err(format!("it has {} images, and at most {MOST_IMAGES} can be", note.images));
    }
    Ok(note)
}

/// Everything in the folder of notes, sorted by name.
pub(super) fn all_notes(store: &Path) -> Result<Vec<(String, NoteState)>, Error> {
    let folder = store.join(names::RUNS);
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

/// The notes of all runs that did anything, the earliest first. Damaged ones are passed over.
///
/// # Errors
/// When the folder or a note cannot be read.
pub fn run_notes(store: &Path) -> Result<Vec<RunNote>, Error> {
    // By name first, so that notes of the same second have an order, too.
    let notes = all_notes(store)?.into_iter().filter_map(|(_, state)| match state {
        NoteState::Whole { note, .. } => Some(*note),
        NoteState::Damaged(_) => None,
    });
    let mut notes: Vec<RunNote> = notes.filter(|note| note.images > 0).collect();
    notes.sort_by(|a, b| (&a.started, &a.finished).cmp(&(&b.started, &b.finished)));
    Ok(notes)
}

/// Name without ending and bytes of each note that is whole, sorted by name.
pub(super) fn whole_notes(store: &Path) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let whole = |(name, state): (String, NoteState)| match state {
        NoteState::Whole { bytes, .. } => Some((name.strip_suffix(".json")?.to_owned(), bytes)),
        NoteState::Damaged(_) => None,
    };
    Ok(all_notes(store)?.into_iter().filter_map(whole).collect())
}
