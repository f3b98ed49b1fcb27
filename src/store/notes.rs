//! Notes of runs: when, on what, how fast. The one place of a store that holds times; nothing depends on them.

use std::path::Path;

use serde::Deserialize;

use super::names;
use super::seal::unsealed;
use crate::error::Error;

/// What a run noted of how it computed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RunNote {
    /// Where the teacher ran.
    pub devices: Vec<String>,
    /// Threads of each session.
    pub threads: usize,
    /// Version and build of ONNX Runtime.
    pub onnxruntime: String,
    /// Images that it labelled or failed to.
    pub images: usize,
}

/// The notes of all runs that did anything. Damaged ones are passed over.
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
    let notes = entries.filter_map(|entry| read(&entry.ok()?.path()));
    Ok(notes.filter(|note| note.images > 0).collect())
}
