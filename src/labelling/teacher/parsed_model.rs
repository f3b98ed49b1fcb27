//! Parses a classifier, resolves its card and recognises its ending, or its raw scores alone.

use std::path::Path;

use bytes::Bytes;

use super::card::{self, GraphFacts, TeacherCard};
use super::graph::{Graph, Port};
use super::ports::{image_input, scores_output};
use super::refusal::{Refusal, RefusalKind};
use super::rewrite::ImageInput;
use super::tail::{self, RawScores, Tail};
use super::teacher_request::{TeacherRequest, check_batch};
use super::weights::{WeightsFile, weights_files};
use super::wire;
use crate::shared::digest::{Digest, digest_bytes};
use crate::shared::error::Error;

/// A model whose ending ([`Tail`]) or raw scores ([`RawScores`]) were recognised.
pub(super) struct ParsedModel<R> {
    pub(super) sha256: Digest,
    pub(super) graph: Graph,
    pub(super) input: ImageInput,
    pub(super) output: Port,
    pub(super) recognised: R,
    pub(super) facts: GraphFacts,
    /// The card, without class list.
    pub(super) card: TeacherCard,
    pub(super) weights_files: Vec<WeightsFile>,
}

impl ParsedModel<Tail> {
    /// Reads and parses the model, resolves its card and recognises its ending.
    ///
    /// # Errors
    /// Returns [`Error::NoCells`] if it has no score for each cell, [`Error::Teacher`] if it is refused for another reason, and
    /// [`Error::Card`] if it contradicts its card.
    pub(super) fn read(request: &TeacherRequest) -> Result<Self, Error> {
        Self::read_and(request, |graph, input, output| tail::recognise(graph, input, &output.name, output.rank()))
    }
}

impl ParsedModel<RawScores> {
    /// Reads and parses the model, resolves its card and recognises its raw scores, whatever its ending is.
    ///
    /// # Errors
    /// See [`ParsedModel::read`], except for [`Error::NoCells`].
    pub(super) fn read_scores(request: &TeacherRequest) -> Result<Self, Error> {
        Self::read_and(request, |graph, input, output| tail::recognise_scores(graph, input, &output.name))
    }
}

impl<R> ParsedModel<R> {
    fn read_and(
        request: &TeacherRequest,
        recognise: impl FnOnce(&mut Graph, &str, &Port) -> Result<R, Refusal>,
    ) -> Result<Self, Error> {
        let refused = |refusal: Refusal| refusal.into_error(&request.path);
        let UnrecognisedModel { sha256, mut graph, input, output, facts, card } = UnrecognisedModel::read(request)?;
        let recognised = recognise(&mut graph, &input.name, &output).map_err(refused)?;
        let weights_files = weights_files(&graph, &request.path)?;
        Ok(Self { sha256, graph, input, output, recognised, facts, card, weights_files })
    }
}

/// Returns the reason that a classifier has no score for each cell; `None` if its ending is recognised, or it is refused for
/// another reason.
///
/// # Errors
/// Returns [`Error::Teacher`] or [`Error::Card`] if it cannot be parsed or contradicts its card.
pub(super) fn reason_without_cells(request: &TeacherRequest) -> Result<Option<String>, Error> {
    let mut model = UnrecognisedModel::read(request)?;
    let recognised = tail::recognise(&mut model.graph, &model.input.name, &model.output.name, model.output.rank());
    let refusal = recognised.err().filter(|refusal| refusal.kind == RefusalKind::NoCells);
    Ok(refusal.map(|refusal| refusal.problem.to_string()))
}

/// A parsed model with its card.
struct UnrecognisedModel {
    sha256: Digest,
    graph: Graph,
    input: ImageInput,
    output: Port,
    facts: GraphFacts,
    card: TeacherCard,
}

impl UnrecognisedModel {
    fn read(request: &TeacherRequest) -> Result<Self, Error> {
        let refused = |refusal: Refusal| refusal.into_error(&request.path);
        let bytes = read_model(&request.path)?;
        let sha256 = digest_bytes(&bytes);
        let graph = Graph::parse(bytes).map_err(refused)?;
        let (input, facts) = image_input(&graph).map_err(refused)?;
        let card = card::resolve(&request.path, &request.flags, &request.card, &facts)?;
        check_batch(&input, &card, request.views).map_err(refused)?;
        let output = scores_output(&graph, card.output.as_deref()).map_err(refused)?;
        Ok(Self { sha256, graph, input, output, facts, card })
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
