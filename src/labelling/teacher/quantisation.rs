//! Teachers whose weights and values are whole numbers: which nodes round, and what those behind the pooling do to cells.

use prost::Message as _;

use super::graph::{Graph, ModelProto, NodeProto, declare_untyped};
use super::tail::{QuantisedHead, Refusal, in_words};

/// Whether values are rounded to whole numbers on the way to `tensor`, so that a difference in the last bit may become
/// one of a whole step.
pub(super) fn is_quantised(graph: &Graph, tensor: &str) -> bool {
    graph.ancestors(&[tensor.to_owned()], &std::collections::HashSet::new()).into_iter().any(|index| {
        let node = graph.node(index);
        node.op_type() == "QuantizeLinear" || on_integers(node)
    })
}

/// Operators on whole numbers, which round their results to the range that was found when the teacher was quantised.
pub(super) fn on_integers(node: &NodeProto) -> bool {
    let op = node.op_type();
    op.starts_with("QLinear") || matches!(op, "QGemm" | "QAttention" | "MatMulInteger" | "ConvInteger")
}

/// The model, which also gives `tensor`.
pub(super) fn with_output(model: &[u8], tensor: &str) -> Result<Vec<u8>, prost::DecodeError> {
    let mut model = ModelProto::decode(model)?;
    if let Some(graph) = &mut model.graph
        && graph.output.iter().all(|output| output.name() != tensor)
    {
        graph.output.push(declare_untyped(tensor));
    }
    Ok(model.encode_to_vec())
}

/// What quantisers behind the pooling do to the scores of cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cut {
    /// Cells that were compared.
    cells: usize,
    /// Cells with a score that is changed by more than [`Cut::NOTICED`] of the largest.
    changed: usize,
    /// Cells with another best class.
    other_best: usize,
    /// The largest change of a score.
    largest_change: f32,
    /// The largest score without quantisers.
    largest_score: f32,
}

impl Cut {
    /// Eight bits over the range of a layer are off by half a percent; several layers, by one or two.
    const NOTICED: f32 = 0.05;
    /// Changes of more than this part of the largest score are no rounding. The head of EfficientNet-Lite0, calibrated on
    /// photographs, changes scores by 57 to 63 %; a `ConvNeXt` with a quantised pooling alone, by 7 to 11 %.
    const REFUSED: f32 = 0.2;
    /// Cells that may be changed noticeably without a warning.
    const WARNED_SHARE: f32 = 0.02;

    /// Compares the scores `[cell, class]` with and without quantisers.
    pub(super) fn of(with: &[f32], without: &[f32], classes: usize) -> Self {
        let largest_score = without.iter().fold(0.0_f32, |largest, score| largest.max(score.abs()));
        let mut cut = Self { cells: 0, changed: 0, other_best: 0, largest_change: 0.0, largest_score };
        let best = |row: &[f32]| {
            let mut best = 0;
            (1..row.len()).for_each(|class| best = if row[class] > row[best] { class } else { best });
            best
        };
        for (with, without) in with.chunks_exact(classes).zip(without.chunks_exact(classes)) {
            let change = with.iter().zip(without).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
            cut.cells += 1;
            cut.changed += usize::from(change > Self::NOTICED * largest_score);
            cut.other_best += usize::from(best(with) != best(without));
            cut.largest_change = cut.largest_change.max(change);
        }
        cut
    }

    /// The refusal, or a warning, or neither.
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
            "{}{more} between its pooling and its scores was calibrated on means over the map, and cuts cells off, which are \
             stronger: on random images it changes the scores of {} of {} cells by more than {:.0} % of the largest score, by \
             up to {:.3} where the largest is {:.3}, and the best class of {} cells",
            in_words(graph.node(first)),
            self.changed,
            self.cells,
            Self::NOTICED * 100.0,
            self.largest_change,
            self.largest_score,
            self.other_best
        );
        let names: Vec<String> =
            head.float_nodes.iter().map(|&index| format!("\"{}\"", graph.node(index).name())).collect();
        let advice = format!(
            "quantise it again and leave the pooling and all behind it in float: in ONNX Runtime's quantize_static, \
             nodes_to_exclude=[{}]",
            names.join(", ")
        );
        if refused { Err(Refusal::new(problem, advice)) } else { Ok(Some(format!("{problem}. {advice}"))) }
    }
}

/// A quantiser before the pooling, with one range for all channels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantiser {
    /// Operator and node.
    words: String,
    /// What it rounds.
    pub(super) rounded: String,
    step: f32,
    /// The least and the largest number that it gives.
    range: [f32; 2],
}

impl Quantiser {
    /// A cell counts when more of its values than this lie beyond the range: single channels always do.
    const VALUES_OF_A_CELL: f32 = 0.05;
    /// More cells than this are a warning.
    const WARNED_SHARE: f32 = 0.1;
    /// Quantisers and other nodes that are looked at, from the pooling backwards.
    const MOST_NODES: usize = 64;

    /// Those between the last weights before `shown` and `shown`.
    pub(super) fn before(graph: &Graph, shown: &str) -> Vec<Self> {
        let (mut found, mut open) = (Vec::new(), vec![shown]);
        let mut seen = std::collections::HashSet::new();
        while let Some(tensor) = open.pop() {
            let Some(index) = graph.producer(tensor).filter(|_| seen.len() < Self::MOST_NODES) else { continue };
            let node = graph.node(index);
            if !seen.insert(index) || !passes_on(node) {
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
        Some(Self { words: in_words(node), rounded, step, range })
    }

    /// A warning, if many cells lie beyond the range. `values` is `[image, channel, cell]`, or `[image, cell, channel]`.
    pub(super) fn warning(&self, values: &[f32], cells: usize, channels: usize, channels_last: bool) -> Option<String> {
        let [least, largest] = self.range;
        // Quantisers whose range begins at 0 stand for a Relu too.
        let beyond = |value: f32| value > largest + self.step || (least < -self.step && value < least - self.step);
        let map = cells * channels;
        let (mut all, mut cut) = (0_usize, 0_usize);
        for image in values.chunks_exact(map.max(1)) {
            for cell in 0..cells {
                let at =
                    |channel: usize| if channels_last { cell * channels + channel } else { channel * cells + cell };
                let values = (0..channels).filter(|&channel| beyond(image[at(channel)])).count();
                all += 1;
                cut += usize::from(values as f32 > Self::VALUES_OF_A_CELL * channels as f32);
            }
        }
        (cut as f32 > Self::WARNED_SHARE * all as f32).then(|| {
            format!(
                "{} before its pooling holds {least:.3} to {largest:.3}, and on random images {cut} of {all} cells have more \
                 than {:.0} % of their values beyond: their scores are cut off. Calibrate it on images like those that are to \
                 be labelled, or use the float model",
                self.words,
                Self::VALUES_OF_A_CELL * 100.0
            )
        })
    }
}

/// Nodes without weights, which keep the shape of a map.
fn passes_on(node: &NodeProto) -> bool {
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
    fn a_range_that_many_cells_exceed_is_a_warning() {
        let range =
            |least, largest| Quantiser { words: "Q".into(), rounded: "x".into(), step: 0.1, range: [least, largest] };
        // Two channels of four cells.
        let values = [1.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0, -9.0];
        let warning = range(-5.0, 5.0).warning(&values, 4, 2, false).unwrap();
        assert!(warning.contains("2 of 4 cells"), "{warning}");
        assert!(range(0.0, 5.0).warning(&values, 4, 2, false).unwrap().contains("1 of 4 cells"));
        assert_eq!(range(-9.0, 9.0).warning(&values, 4, 2, false), None);
    }

    #[test]
    fn cells_that_are_cut_off_are_counted() {
        let without = [10.0, 2.0, 1.0, 4.0, 3.0, 1.0];
        let with = [5.0, 2.0, 1.0, 4.01, 3.0, 1.0];
        let cut = Cut::of(&with, &without, 3);
        assert_eq!((cut.cells, cut.changed, cut.other_best, cut.largest_change), (2, 1, 0, 5.0));
        assert_eq!(Cut::of(&without, &without, 3).changed, 0);
    }
}
