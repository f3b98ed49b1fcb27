//! Suggests an input size for which an average over a window of fixed size covers the map.

use super::images::{normalised, random_images};
use super::reference_teacher::ReferenceTeacher;
use crate::labelling::teacher::TeacherCard;
use crate::labelling::teacher::graph::{attribute_ints, declare_untyped, without_dead_nodes};
use crate::labelling::teacher::refusal::Refusal;
use crate::labelling::teacher::runtime::Runtime;
use crate::labelling::teacher::tail::{Ending, FeatureLayout, Pooling};
use crate::labelling::teacher::tensors::run_floats;
use crate::shared::error::Error;
use crate::shared::geometry::InputSize;

/// Explains an error of the reference if its pooling window does not fit; else returns the error.
pub(super) fn explain_error(runtime: &Runtime, teacher: &ReferenceTeacher<'_>, error: Error) -> Result<Refusal, Error> {
    let Ending::Pooled(pooling) = &teacher.tail.ending else { return Err(error) };
    match misfit(runtime, teacher, pooling) {
        Some(refusal) if matches!(error, Error::Inference { .. }) => Ok(refusal),
        _ => Err(error),
    }
}

/// Replaces a refusal if the pooling window does not fit.
pub(super) fn explain_refusal(
    runtime: &Runtime,
    teacher: &ReferenceTeacher<'_>,
    pooling: &Pooling,
    refusal: Refusal,
) -> Refusal {
    misfit(runtime, teacher, pooling).unwrap_or(refusal)
}

fn misfit(runtime: &Runtime, teacher: &ReferenceTeacher<'_>, pooling: &Pooling) -> Option<Refusal> {
    let node = teacher.graph.node(pooling.node);
    if node.op_type() != "AveragePool" || pooling.layout != FeatureLayout::Nchw {
        return None;
    }
    let [window_height, window_width] = attribute_ints(node, "kernel_shape")? else { return None };
    let window = [usize::try_from(*window_height).ok()?, usize::try_from(*window_width).ok()?];
    let size = teacher.card.input_size;
    let input = [size.height_pixels() as usize, size.width_pixels() as usize];
    let map = feature_size(runtime, teacher, pooling, size)?;
    if map == window {
        return None;
    }
    let fitting = candidates(input, map, window)
        .into_iter()
        .find(|&size| feature_size(runtime, teacher, pooling, size) == Some(window));
    let problem = format!(
        "the last pooling does not cover the entire feature map: AveragePool (node `{}`) averages {}x{} cells, and an input \
         of {size} pixels gives a map of {}x{}",
        node.name(),
        window[0],
        window[1],
        map[0],
        map[1]
    );
    Some(if let Some(fitting) = fitting {
        Refusal::new(problem, format!("use the input size that fits: --input-size {fitting}"))
    } else {
        let advice = "export it with the input size it was designed for, or with global average pooling";
        Refusal::new(problem, advice).for_lack_of_cells()
    })
}

/// Input sizes that may give a map as large as the window: with the stride of the present map, or the nearest power of
/// two.
fn candidates(input: [usize; 2], map: [usize; 2], window: [usize; 2]) -> Vec<InputSize> {
    let strides = [input[0] as f64 / map[0].max(1) as f64, input[1] as f64 / map[1].max(1) as f64];
    let power = |axis: usize| 2_f64.powf(strides[axis].log2().round());
    let sides = |side: &dyn Fn(usize) -> f64| [0, 1].map(|axis| side(axis).round().max(1.0) as u32);
    let by = |axis: usize, stride: f64| input[axis] as f64 + (window[axis] as f64 - map[axis] as f64) * stride;
    let pixels = [
        sides(&|axis| power(axis) * window[axis] as f64),
        sides(&|axis| strides[axis] * window[axis] as f64),
        sides(&|axis| by(axis, power(axis))),
        sides(&|axis| by(axis, strides[axis])),
    ];
    pixels.into_iter().filter_map(|[height, width]| InputSize::new(height, width).ok()).collect()
}

/// Height and width of the features for an input of this size, if the graph accepts it.
fn feature_size(
    runtime: &Runtime,
    teacher: &ReferenceTeacher<'_>,
    pooling: &Pooling,
    size: InputSize,
) -> Option<[usize; 2]> {
    let graph = teacher.graph;
    let outputs = vec![declare_untyped(&pooling.features)];
    let inputs = graph.input_declaration(&teacher.input.name).cloned().into_iter().collect();
    let nodes = without_dead_nodes(graph.nodes().to_vec(), &outputs);
    let mut session = teacher.session(runtime, &graph.serialise_with(nodes, inputs, outputs, Vec::new())).ok()?;
    let card = TeacherCard { input_size: size, ..teacher.card.clone() };
    let image = normalised(&random_images(teacher.input.fixed_batch.unwrap_or(1), size), &card, teacher.input);
    let features = run_floats(&mut session, &[(&teacher.input.name, &image)], &[&pooling.features]).ok()?;
    match features.first()?.dims[..] {
        [_, _, height, width] => Some([height, width]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_the_stride_of_the_map_are_tried() {
        let size = |height, width| InputSize::new(height, width).unwrap();
        assert!(candidates([32, 32], [8, 8], [7, 7]).contains(&size(28, 28)));
        assert!(candidates([256, 320], [8, 10], [7, 7]).contains(&size(224, 224)));
        // 299 pixels make 10 cells of 32, rounded up.
        assert!(candidates([299, 299], [10, 10], [7, 7]).contains(&size(224, 224)));
    }
}
