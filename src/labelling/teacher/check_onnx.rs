//! Checks an ONNX file without ONNX Runtime.

use std::path::Path;

use bytes::Bytes;

use super::batch::Views;
use super::card::{self, CardFile, CardValues};
use super::graph::{Graph, element};
use super::ports::{image_input, scores_output};
use super::refusal::{Refusal, RefusalKind};
use super::rewrite::{
    HeadDims, ImageInput, RewriteSpec, copied_head_model, labelling_model, model_with_outputs, tail_model,
};
use super::tail::{self, CellGrid, Ending, FeatureLayout, check_plain_classifier, end_in_layer_with_weights};
use super::teacher_request::check_batch;
use super::tensors::FloatTensor;
use crate::shared::error::Error;
use crate::shared::geometry::{InputSize, MapSize};

/// Runs the first steps of loading a teacher on the bytes of an ONNX file: the file is parsed, its ending is recognised and
/// its rewrite is built. It opens no file and does not use ONNX Runtime, so it can be fuzzed.
///
/// # Errors
/// Returns [`Error::Teacher`] or [`Error::Card`] if the file is refused.
pub fn check_onnx(bytes: Vec<u8>) -> Result<(), Error> {
    let path = Path::new("teacher.onnx");
    let refused = |refusal: Refusal| refusal.into_error(path);
    let bytes = Bytes::from(bytes);
    let mut graph = Graph::parse(bytes.clone()).map_err(refused)?;
    let (input, facts) = image_input(&graph).map_err(refused)?;
    let is_free = facts.fixed_height_pixels.is_none() || facts.fixed_width_pixels.is_none();
    let flags = CardValues {
        input_size: if is_free { InputSize::new(224, 224).ok() } else { None },
        mean: Some([0.5; 3]),
        std: Some([0.5; 3]),
        ..CardValues::default()
    };
    let card = card::resolve(path, &flags, &CardFile::default(), &facts)?;
    let output = scores_output(&graph, None).map_err(refused)?;
    let recognised = tail::recognise(&mut graph, &input.name, &output.name, output.rank());
    if matches!(&recognised, Err(refusal) if refusal.kind == RefusalKind::NoCells) {
        check_plain(bytes, &input, &output.name).map_err(refused)?;
    }
    let tail = recognised.map_err(refused)?;
    check_batch(&input, &card, Views::Image).map_err(refused)?;
    let map_size = MapSize::new(7, 7)
        .map_err(|problem| Error::Internal { action: "create a label map".to_owned(), problem: problem.into() })?;
    let head_dims = HeadDims { cells: 49, channels: 1, heads: 1, value_axes: 4 };
    for views in [Views::Image, Views::ImageAndMirror] {
        let spec = RewriteSpec {
            input_size: card.input_size,
            grid: CellGrid::raster(FeatureLayout::Nchw, map_size),
            k: 1,
            image_ranks: 1,
            class_count: 1,
            head_dims,
            views,
            with_lse: true,
        };
        labelling_model(&graph, &tail, &input, &card, &spec);
    }
    if let Ending::Pooled(pooling) = &tail.ending {
        let features = FloatTensor { dims: vec![1; 4], values: vec![], element: element::FLOAT };
        let given = [(pooling.features.as_str(), &features)];
        tail_model(&graph, &tail, pooling, &input, &given);
        let grid = CellGrid::raster(pooling.layout, map_size);
        copied_head_model(&graph, &tail, pooling, &input, &given, head_dims, &grid);
    }
    let mut weights = graph.external_weights();
    weights.try_for_each(|weight| weight.map(drop)).map_err(|problem| refused(Refusal::damaged(problem)))
}

/// Runs the first steps of loading a classifier of which no cells are needed.
fn check_plain(bytes: Bytes, input: &ImageInput, output: &str) -> Result<(), Refusal> {
    let mut graph = Graph::parse(bytes)?;
    let scores = tail::recognise_scores(&mut graph, &input.name, output)?;
    check_plain_classifier(&graph, &input.name, &scores)?;
    end_in_layer_with_weights(&graph, &input.name, &scores);
    model_with_outputs(&graph, input, &[&scores.tensor, &scores.output]);
    Ok(())
}
