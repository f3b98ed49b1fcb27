//! Describes a loaded teacher.

use super::batch::Views;
use super::card::TeacherCard;
use super::graph::{Graph, element};
use super::locality::Locality;
use super::placement::Placement;
use super::rewrite::{ImageInput, RewriteSpec};
use super::rewrite_check::RewriteCheck;
use super::tail::{CellGrid, Ending, Linearity, Tail};
use super::teacher_trait::TeacherShape;
use super::weights::WeightsFile;
use crate::shared::digest::Digest;

/// A loaded teacher: its file, its card, its rewrite, and the results of the verification.
#[derive(Clone, Debug)]
pub struct TeacherDescription {
    /// SHA-256 of the ONNX file.
    pub sha256: Digest,
    /// Separate files with weights.
    pub weights_files: Vec<WeightsFile>,
    /// Opset version of the standard operators.
    pub opset: i64,
    /// Name, shape and element type of the input.
    pub input: String,
    /// Name, shape and element type of the output.
    pub output: String,
    /// The rewrite, one sentence per line.
    pub rewrite: Vec<String>,
    /// The card in force.
    pub card: TeacherCard,
    /// Sizes of inputs and outputs.
    pub shape: TeacherShape,
    /// The numerical verification of the rewrite.
    pub rewrite_check: RewriteCheck,
    /// How it was verified that cells correspond to positions of the image.
    pub locality: Locality,
    /// Where the nodes of the first session ran, if it is known.
    pub placement: Option<Placement>,
}

/// Describes the rewrite, one sentence per line.
pub(super) fn describe_rewrite(
    graph: &Graph,
    tail: &Tail,
    input: &ImageInput,
    card: &TeacherCard,
    spec: &RewriteSpec,
) -> Vec<String> {
    let mut lines = vec![format!(
        "the input is u8 pixels {}, normalised inside the graph as (x/255 - mean) / std{}",
        card.input_size,
        if input.element == element::FLOAT16 { ", then float16" } else { "" }
    )];
    match &tail.ending {
        Ending::Pooled(pooling) => {
            let node = graph.node(pooling.node);
            let head: Vec<_> = pooling.head.iter().map(|&index| graph.node(index).op_type()).collect();
            let verb = if pooling.attention_values.is_some() { "pools with a learned query" } else { "averages" };
            lines.push(format!(
                "{} {verb} {} features {} over {} cells; a copy of the head after it ({}) runs on every cell instead",
                node.op_type(),
                pooling.layout,
                spec.grid.size,
                spec.grid.size.cells(),
                if head.is_empty() { "no nodes".to_owned() } else { head.join(", ") }
            ));
            lines.extend(pooling.remarks());
        }
        Ending::ScoreMap => lines.push(format!(
            "the graph already ends in a score map {} of {} cells",
            spec.grid.layout.to_string().replace("channel", "class"),
            spec.grid.size
        )),
    }
    if let Linearity::NotLinear { because_of } = tail.linearity() {
        lines.push(format!(
            "the head is not linear ({because_of}), so the mean of the cells' scores is not the score of the image"
        ));
    }
    if spec.views == Views::ImageAndMirror {
        lines.push(
            "each image is labelled together with its mirror image, whose scores are mirrored back; the scores of both are \
             averaged before ranking"
                .to_owned(),
        );
    }
    if spec.with_lse {
        lines.push("the log-sum-exp of all classes is an additional output, one number per cell".to_owned());
    }
    if !tail.left_out.is_empty() {
        lines.push(format!("scores are raw: they are taken before {}", tail.left_out.join(", ")));
    }
    lines.push(format!(
        "the top {} of {} classes are selected inside the graph; only these leave the device",
        spec.k, spec.class_count
    ));
    lines.extend(describe_order(&spec.grid));
    lines
}

/// Describes how cells are reordered by rows and columns, if they are.
fn describe_order(grid: &CellGrid) -> Option<String> {
    let order = grid.order.as_ref()?;
    let first: Vec<String> = order.iter().take(6).map(ToString::to_string).collect();
    Some(format!(
        "the cells are not in the order of rows and columns; they are reordered according to the structure of the graph (row \
         by row, they are the vectors {}, ...)",
        first.join(", ")
    ))
}
