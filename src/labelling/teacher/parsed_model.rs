//! Parses a classifier, resolves its card and recognises its ending.

use std::path::Path;

use bytes::Bytes;

use super::card::{self, GraphFacts, TeacherCard};
use super::graph::{Graph, Port};
use super::ports::{image_input, scores_output};
use super::refusal::Refusal;
use super::rewrite::ImageInput;
use super::tail::{self, Tail};
use super::teacher_request::{TeacherRequest, check_batch};
use super::weights::{WeightsFile, weights_files};
use super::wire;
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;

/// A model whose ending was recognised.
pub(super) struct ParsedModel {
    pub(super) sha256: Digest,
    pub(super) graph: Graph,
    pub(super) input: ImageInput,
    pub(super) output: Port,
    pub(super) tail: Tail,
    pub(super) facts: GraphFacts,
    /// The card, without class list.
    pub(super) card: TeacherCard,
    pub(super) weights_files: Vec<WeightsFile>,
}

impl ParsedModel {
    /// Reads and parses the model, resolves its card and recognises its ending.
    pub(super) fn read(request: &TeacherRequest) -> Result<Self, Error> {
        let refused = |refusal: Refusal| refusal.into_error(&request.path);
        let bytes = read_model(&request.path)?;
        let sha256 = digest_bytes(&bytes);
        let mut graph = Graph::parse(bytes).map_err(refused)?;
        let (input, facts) = image_input(&graph).map_err(refused)?;
        let card = card::resolve(&request.path, &request.flags, &request.card, &facts)?;
        check_batch(&input, &card, request.views).map_err(refused)?;
        let output = scores_output(&graph, card.output.as_deref()).map_err(refused)?;
        let tail = tail::recognise(&mut graph, &input.name, &output.name, output.rank()).map_err(refused)?;
        let weights_files = weights_files(&graph, &request.path)?;
        Ok(Self { sha256, graph, input, output, tail, facts, card, weights_files })
    }
}

/// Reads the ONNX file, unless it is longer than is accepted.
fn read_model(path: &Path) -> Result<Bytes, Error> {
    let refused = |refusal: Refusal| refusal.into_error(path);
    let metadata = std::fs::metadata(path).map_err(Error::file("read", path))?;
    if !metadata.is_file() {
        return Err(refused(Refusal::damaged("not a regular file")));
    }
    wire::check_length(metadata.len()).map_err(|problem| {
        refused(Refusal::new(problem, "export with external data, which stores the weights in a separate file"))
    })?;
    Ok(Bytes::from(std::fs::read(path).map_err(Error::file("read", path))?))
}
