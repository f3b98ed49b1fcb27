//! Quantised teachers: which nodes round, and how quantisers around the pooling change the scores of cells.

use prost::Message as _;

use super::graph::{Graph, ModelProto, NodeProto, declare_untyped};
use super::onnx_proto::computes_on_integers;
use super::refusal::Refusal;
use super::tail::{QuantisedHead, describe_node};

/// Whether values that `tensor` depends on are rounded to integers, so a difference in the last bit may become one of
/// a quantisation step.
pub(super) fn is_quantised(graph: &Graph, tensor: &str) -> bool {
    graph.ancestors(&[tensor.to_owned()], &std::collections::HashSet::new()).into_iter().any(|index| {
        let node = graph.node(index);
        node.op_type() == "QuantizeLinear" || computes_on_integers(node)
    })
}

/// Adds `tensor` to the outputs of a serialised model.
pub(super) fn with_output(model: &[u8], tensor: &str) -> Result<Vec<u8>, prost::DecodeError> {
    let mut model = ModelProto::decode(model)?;
    if let Some(graph) = &mut model.graph
        && graph.output.iter().all(|output| output.name() != tensor)
    {
        graph.output.push(declare_untyped(tensor));
    }
    Ok(model.encode_to_vec())
}

/// How quantisers after the pooling change the scores of cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HeadClipping {
    /// Number of compared cells.
    cells: usize,
    /// Number of cells with a score that changes by more than [`HeadClipping::NOTICEABLE`] of the largest score.
    changed: usize,
    /// Number of cells whose best class changes.
    other_best: usize,
    /// Largest change of a score.
    largest_change: f32,
    /// Largest score without quantisers.
    largest_score: f32,
}

impl HeadClipping {
    /// Eight bits over the range of a layer cause errors of half a percent; several layers, of one or two.
    const NOTICEABLE: f32 = 0.05;
    /// Changes above this fraction of the largest score are not rounding. The head of EfficientNet-Lite0, calibrated on
    /// photographs, changes scores by 57 to 63 %; a `ConvNeXt` with only its pooling quantised, by 7 to 11 %.
    const REFUSED: f32 = 0.2;
    /// Fraction of cells that may change noticeably without a warning.
    const WARNED_SHARE: f32 = 0.02;

    /// Compares the scores `[cell, class]` with and without quantisers.
    pub(super) fn compare(with: &[f32], without: &[f32], classes: usize) -> Self {
        let largest_score = without.iter().fold(0.0_f32, |largest, score| largest.max(score.abs()));
        let mut clipping = Self { cells: 0, changed: 0, other_best: 0, largest_change: 0.0, largest_score };
        let best = |row: &[f32]| {
            let mut best = 0;
            (1..row.len()).for_each(|class| best = if row[class] > row[best] { class } else { best });
            best
        };
        for (with, without) in with.chunks_exact(classes).zip(without.chunks_exact(classes)) {
            let change = with.iter().zip(without).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
            clipping.cells += 1;
            clipping.changed += usize::from(change > Self::NOTICEABLE * largest_score);
            clipping.other_best += usize::from(best(with) != best(without));
            clipping.largest_change = clipping.largest_change.max(change);
        }
        clipping
    }

    /// Returns a refusal, a warning, or neither.
    pub(super) fn verdict(&self, graph: &Graph, head: &QuantisedHead) -> Result<Option<String>, Refusal> {
        let Some(&first) = head.quantisers.first() else { return Ok(None) };
        let refused = self.largest_change > Self::REFUSED * self.largest_score;
        if !refused && self.changed as f32 <= Self::WARNED_SHARE * self.cells as f32 {
            return Ok(None);
        }
        let more = match head.quantisers.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let problem = format!(
            "{}{more} between its pooling and its scores was calibrated on means over the map, and clips single cells, whose \
             values are larger: on random images it changes the scores of {} of {} cells by more than {:.0} % of the largest \
             score, by up to {:.3} where the largest is {:.3}, and the best class of {} cells",
            describe_node(graph.node(first)),
            self.changed,
            self.cells,
            Self::NOTICEABLE * 100.0,
            self.largest_change,
            self.largest_score,
            self.other_best
        );
        let names: Vec<String> =
            head.float_nodes.iter().map(|&index| format!("\"{}\"", graph.node(index).name())).collect();
        let advice = format!(
            "quantise it again and leave the pooling and everything after it in float: in ONNX Runtime's quantize_static, \
             nodes_to_exclude=[{}]",
            names.join(", ")
        );
        if refused { Err(Refusal::new(problem, advice)) } else { Ok(Some(format!("{problem}. {advice}"))) }
    }
}

/// A quantiser before the pooling, with one range for all channels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantiser {
    /// Operator and name of the node, for messages.
    description: String,
    /// The tensor that it rounds.
    pub(super) rounded: String,
    step: f32,
    /// Smallest and largest value of its result.
    range: [f32; 2],
}

impl Quantiser {
    /// A cell counts as clipped if more than this fraction of its values are out of range; a few channels always are.
    const CLIPPED_VALUES_SHARE: f32 = 0.05;
    /// Fraction of clipped cells above which there is a warning.
    const WARNED_SHARE: f32 = 0.1;
    /// Nodes that are examined, from the pooling backwards.
    const MAX_NODES: usize = 64;

    /// Finds the quantisers between `features` and the last layer with weights before them.
    pub(super) fn find_before(graph: &Graph, features: &str) -> Vec<Self> {
        let (mut found, mut open) = (Vec::new(), vec![features]);
        let mut seen = std::collections::HashSet::new();
        while let Some(tensor) = open.pop() {
            let Some(index) = graph.producer(tensor).filter(|_| seen.len() < Self::MAX_NODES) else { continue };
            let node = graph.node(index);
            if !seen.insert(index) || !is_elementwise(node) {
                continue;
            }
            found.extend(if node.op_type() == "QuantizeLinear" { Self::of(graph, node) } else { None });
            open.extend(node.input.iter().map(String::as_str));
        }
        found
    }

    fn of(graph: &Graph, node: &NodeProto) -> Option<Self> {
        let rounded = node.input.first().filter(|tensor| graph.producer(tensor).is_some())?.clone();
        let step = graph.constant_float(node.input.get(1)?)?;
        let (zero, bounds) = graph.constant_small_int(node.input.get(2)?)?;
        let range = bounds.map(|bound| (bound - zero) as f32 * step);
        Some(Self { description: describe_node(node), rounded, step, range })
    }

    /// Returns a warning if many cells are out of range. `values` is `[image, channel, cell]`, or `[image, cell, channel]`.
    pub(super) fn warning(&self, values: &[f32], cells: usize, channels: usize, channels_last: bool) -> Option<String> {
        let [least, largest] = self.range;
        // Quantisers whose range begins at 0 also act as a Relu.
        let is_clipped = |value: f32| value > largest + self.step || (least < -self.step && value < least - self.step);
        let map = cells * channels;
        let (mut all, mut clipped) = (0_usize, 0_usize);
        for image in values.chunks_exact(map.max(1)) {
            for cell in 0..cells {
                let at =
                    |channel: usize| if channels_last { cell * channels + channel } else { channel * cells + cell };
                let values = (0..channels).filter(|&channel| is_clipped(image[at(channel)])).count();
                all += 1;
                clipped += usize::from(values as f32 > Self::CLIPPED_VALUES_SHARE * channels as f32);
            }
        }
        (clipped as f32 > Self::WARNED_SHARE * all as f32).then(|| {
            format!(
                "{} before its pooling has the range {least:.3} to {largest:.3}, and on random images {clipped} of {all} cells \
                 have more than {:.0} % of their values out of range: their scores are clipped. Calibrate it on images like \
                 those that will be labelled, or use the float model",
                self.description,
                Self::CLIPPED_VALUES_SHARE * 100.0
            )
        })
    }
}

/// Whether a node has no weights and keeps the shape of a map.
fn is_elementwise(node: &NodeProto) -> bool {
    matches!(
        node.op_type(),
        "QuantizeLinear"
            | "DequantizeLinear"
            | "Identity"
            | "Cast"
            | "Relu"
            | "Clip"
            | "LeakyRelu"
            | "HardSwish"
            | "HardSigmoid"
            | "Sigmoid"
            | "Add"
            | "Mul"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_many_cells_exceed_causes_a_warning() {
        let range = |least, largest| Quantiser {
            description: "Q".into(),
            rounded: "x".into(),
            step: 0.1,
            range: [least, largest],
        };
        // Two channels of four cells.
        let values = [1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0, -9.0];
        let warning = range(-5.0, 5.0).warning(&values, 4, 2, false).unwrap();
        assert!(warning.contains("2 of 4 cells"), "{warning}");
        assert!(range(0.0, 5.0).warning(&values, 4, 2, false).unwrap().contains("1 of 4 cells"));
        assert_eq!(range(-9.0, 9.0).warning(&values, 4, 2, false), None);
    }

    #[test]
    fn clipped_cells_are_counted() {
        let without = [10.0, 2.0, 1.0, 4.0, 3.0, 1.0];
        let with = [5.0, 2.0, 1.0, 4.01, 3.0, 1.0];
        let clipping = HeadClipping::compare(&with, &without, 3);
        assert_eq!((clipping.cells, clipping.changed, clipping.other_best, clipping.largest_change), (2, 1, 0, 5.0));
        assert_eq!(HeadClipping::compare(&without, &without, 3).changed, 0);
    }
}
