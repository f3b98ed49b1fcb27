//! The files in which a model keeps its weights.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::external_data::{ExternalData, ExternalDataError, resolve_in_folder};
use super::graph::Graph;
use super::refusal::Refusal;
use crate::shared::digest::{Digest, digest_file};
use crate::shared::error::{Cause, Error};

/// A file of weights next to the ONNX file. It is part of the teacher's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WeightsFile {
    /// Path relative to the ONNX file.
    pub location: String,
    /// Length.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// Returns the total size of an ONNX file and of the weights files that it names and that exist. A file that cannot be
/// parsed counts alone; loading it fails later.
///
/// # Errors
/// Returns [`Error::File`] if the ONNX file cannot be read.
pub fn weights_bytes(path: &Path) -> Result<u64, Error> {
    /// A longer file contains its weights, and is not read twice for this.
    const MAX_GRAPH_BYTES: u64 = 64 << 20;
    let own_bytes = std::fs::metadata(path).map_err(Error::file("read", path))?.len();
    if own_bytes > MAX_GRAPH_BYTES {
        return Ok(own_bytes);
    }
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    let Ok(graph) = Graph::parse(bytes.into()) else { return Ok(own_bytes) };
    let folder = path.parent().unwrap_or(Path::new("."));
    let locations: BTreeSet<String> =
        graph.external_weights().filter_map(|weight| weight.ok().map(|weight| weight.location)).collect();
    let lengths = locations.iter().filter_map(|location| {
        let path = resolve_in_folder(folder, location).ok()??;
        Some(std::fs::metadata(path).ok()?.len())
    });
    Ok(lengths.fold(own_bytes, u64::saturating_add))
}

/// Hashes the files of external weights of the model at `path`: the same graph with other weights is a different teacher.
/// ONNX Runtime loads them itself, after their lengths were checked here.
///
/// # Errors
/// Returns [`Error::Teacher`] if a file is missing, too short or outside the model's folder, [`Error::File`] if it cannot
/// be read.
pub(super) fn weights_files(graph: &Graph, path: &Path) -> Result<Vec<WeightsFile>, Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let refused = |refusal: Refusal| refusal.into_error(path);
    let mut weights_of: BTreeMap<String, Vec<ExternalData>> = BTreeMap::new();
    for weight in graph.external_weights() {
        let weight = weight.map_err(|problem| refused(do_not_match(problem)))?;
        weights_of.entry(weight.location.clone()).or_default().push(weight);
    }
    let mut files = Vec::new();
    for (location, weights) in weights_of {
        let resolved = resolve_in_folder(folder, &location).map_err(|outside| {
            let problem = ExternalDataError::from(outside);
            refused(Refusal::new(problem, "keep the weights themselves, and no link to them, next to the .onnx file"))
        })?;
        let Some(file) = resolved else {
            return Err(refused(Refusal::new(
                format!("weights are missing: they are stored in `{location}`, which is not next to the .onnx file"),
                format!("copy `{location}` into the folder of the .onnx file"),
            )));
        };
        let length = std::fs::metadata(&file).map_err(Error::file("read", &file))?.len();
        weights
            .iter()
            .try_for_each(|weight| weight.check_file_length(length))
            .map_err(|problem| refused(do_not_match(problem)))?;
        let (sha256, bytes) = digest_file(&file)?;
        files.push(WeightsFile { location, bytes, sha256 });
    }
    Ok(files)
}

fn do_not_match(problem: impl Into<Cause>) -> Refusal {
    Refusal::new(problem, "check that the .onnx file and its weights files are complete and belong together")
}
