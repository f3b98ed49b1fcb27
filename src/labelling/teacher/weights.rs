//! Weights that lie in files beside the ONNX file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::graph::Graph;
use super::integrity;
use super::tail::Refusal;
use crate::shared::digest::{Digest, digest_file};
use crate::shared::error::Error;

/// A file of external weights. It is part of what the teacher is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WeightsFile {
    /// Its path relative to the ONNX file.
    pub location: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// Bytes of an ONNX file, and of the files of weights that it names and that are there. A file that cannot be read as ONNX
/// names none; it is refused when it is loaded.
///
/// # Errors
/// Returns [`Error::File`] if the ONNX file cannot be read.
pub fn weights_bytes(path: &Path) -> Result<u64, Error> {
    /// A longer file has its weights inside, and is not read twice for this.
    const GRAPH_BYTES: u64 = 64 << 20;
    let own_bytes = std::fs::metadata(path).map_err(Error::file("read", path))?.len();
    if own_bytes > GRAPH_BYTES {
        return Ok(own_bytes);
    }
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    let Ok(graph) = Graph::parse(bytes.into()) else { return Ok(own_bytes) };
    let folder = path.parent().unwrap_or(Path::new("."));
    let locations: BTreeSet<String> =
        graph.external_weights().filter_map(|weight| weight.ok().map(|weight| weight.location)).collect();
    let lengths = locations.iter().filter_map(|location| {
        let path = integrity::inside(folder, location).ok()??;
        Some(std::fs::metadata(path).ok()?.len())
    });
    Ok(lengths.fold(own_bytes, u64::saturating_add))
}

/// The external weights, with digests: the same graph with other weights is another teacher. The bytes are hashed on
/// the way past and not kept; ONNX Runtime loads them by itself, after they were found to be as long as the graph says.
pub(super) fn weights_files(graph: &Graph, folder: &Path) -> Result<Vec<WeightsFile>, Result<Error, Refusal>> {
    let mut weights: BTreeMap<String, Vec<integrity::External>> = BTreeMap::new();
    for weight in graph.external_weights() {
        let weight = weight.map_err(|problem| Err(damaged(problem)))?;
        weights.entry(weight.location.clone()).or_default().push(weight);
    }
    let mut files = Vec::new();
    for (location, weights) in weights {
        let path = integrity::inside(folder, &location).map_err(|problem| {
            Err(Refusal::new(problem, "keep the weights themselves, and no link to them, beside the .onnx file"))
        })?;
        let Some(path) = path else {
            return Err(Err(Refusal::new(
                format!("its weights are missing: it keeps them in `{location}`, which is not beside it"),
                format!("copy `{location}` into the folder of the .onnx file"),
            )));
        };
        let length = std::fs::metadata(&path).map_err(|error| Ok(Error::file("read", &path)(error)))?.len();
        weights.iter().try_for_each(|weight| weight.fits(length)).map_err(|problem| Err(damaged(problem)))?;
        let (sha256, bytes) = digest_file(&path).map_err(Ok)?;
        files.push(WeightsFile { location, bytes, sha256 });
    }
    Ok(files)
}

fn damaged(problem: String) -> Refusal {
    Refusal::new(problem, "check that the .onnx file and the files of its weights arrived whole and belong together")
}
