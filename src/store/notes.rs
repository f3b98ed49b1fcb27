//! Notes of runs: when, on what, how fast. The one place of a store that holds times; nothing depends on them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::names;
use super::seal::unsealed;
use crate::error::Error;

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

/// The notes of all runs that did anything, the earliest first. Damaged ones are passed over.
///
/// # Errors
/// When the folder cannot be read.
pub fn run_notes(store: &Path) -> Result<Vec<RunNote>, Error> {
    let folder = store.join(names::RUNS);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", &folder)(error)),
    };
    let read = |path: &Path| -> Option<RunNote> {
        let object = unsealed(serde_json::from_slice(&std::fs::read(path).ok()?).ok()?).ok()?;
        serde_json::from_value(object.into()).ok()
    };
    // By name first, so that notes of the same second have an order, too.
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let mut notes: Vec<RunNote> = files.iter().filter_map(|path| read(path)).filter(|note| note.images > 0).collect();
    notes.sort_by(|a, b| (&a.started, &a.finished).cmp(&(&b.started, &b.finished)));
    Ok(notes)
}

/// Name without ending and bytes of each note that is whole, sorted by name.
pub(super) fn whole_notes(store: &Path) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let folder = store.join(names::RUNS);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", &folder)(error)),
    };
    let whole = |path: &Path| {
        let name = path.file_name()?.to_str()?.strip_suffix(".json")?.to_owned();
        let bytes = std::fs::read(path).ok()?;
        unsealed(serde_json::from_slice(&bytes).ok()?).ok()?;
        Some((name, bytes))
    };
    let mut notes: Vec<_> = entries.filter_map(|entry| whole(&entry.ok()?.path())).collect();
    notes.sort();
    Ok(notes)
}
