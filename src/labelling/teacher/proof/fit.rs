//! Names an input size that fits, where an average over a window of fixed size does not cover the map.

use super::Subject;
use super::images::{normalised, random_images};
use crate::labelling::teacher::TeacherCard;
use crate::labelling::teacher::graph::{attribute_ints, declare_untyped, without_dead_nodes};
use crate::labelling::teacher::runtime::Runtime;
use crate::labelling::teacher::tail::{Ending, Layout, Pooling, Refusal};
use crate::labelling::teacher::tensors::run_floats;
use crate::shared::error::Error;
use crate::shared::geometry::InputSize;

/// Explains why the unmodified teacher did not run, if its window does not fit; else gives the error back.
pub(super) fn explain(runtime: &Runtime, subject: &Subject<'_>, error: Error) -> Result<Refusal, Error> {
    let Ending::Pooled(pooling) = &subject.tail.ending else { return Err(error) };
    match misfit(runtime, subject, pooling) {
        Some(refusal) if matches!(error, Error::Inference { .. }) => Ok(refusal),
        _ => Err(error),
    }
}

/// The same for a refusal that does not know of windows.
pub(super) fn advise(runtime: &Runtime, subject: &Subject<'_>, pooling: &Pooling, refusal: Refusal) -> Refusal {
    misfit(runtime, subject, pooling).unwrap_or(refusal)
}

fn misfit(runtime: &Runtime, subject: &Subject<'_>, pooling: &Pooling) -> Option<Refusal> {
    let node = subject.graph.node(pooling.node);
    if node.op_type() != "AveragePool" || pooling.layout != Layout::Nchw {
        return None;
    }
    let [window_height, window_width] = attribute_ints(node, "kernel_shape")? else { return None };
    let window = [usize::try_from(*window_height).ok()?, usize::try_from(*window_width).ok()?];
    let size = subject.card.input_size;
    let input = [size.height_pixels() as usize, size.width_pixels() as usize];
    let map = map_at(runtime, subject, pooling, size)?;
    if map == window {
        return None;
    }
    let fitting = candidates(input, map, window)
        .into_iter()
        .find(|&size| map_at(runtime, subject, pooling, size) == Some(window));
    let problem = format!(
        "its last pooling does not cover the whole map: AveragePool (node `{}`) averages {}x{} cells, and an input of {size} \
         pixels makes a map of {}x{}",
        node.name(),
        window[0],
        window[1],
        map[0],
        map[1]
    );
    let advice = match fitting {
        Some(fitting) => format!("use the input size that fits: --input-size {fitting}"),
        None => "export it with the input size that it was made for, or with an average over the whole map".to_owned(),
    };
    Some(Refusal::new(problem, advice))
}

/// Input sizes that may make a map as large as the window: as many pixels a cell as now, by powers of two and by what the
/// present map has.
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

/// Height and width of the features for an input of this size, if the graph takes it.
fn map_at(runtime: &Runtime, subject: &Subject<'_>, pooling: &Pooling, size: InputSize) -> Option<[usize; 2]> {
    let graph = subject.graph;
    let outputs = vec![declare_untyped(&pooling.features)];
    let inputs = graph.input_declaration(&subject.input.name).cloned().into_iter().collect();
    let nodes = without_dead_nodes(graph.nodes().to_vec(), &outputs);
    let mut session = subject.session(runtime, &graph.serialise_with(nodes, inputs, outputs, Vec::new())).ok()?;
    let card = TeacherCard { input_size: size, ..subject.card.clone() };
    let image = normalised(&random_images(subject.input.fixed_batch.unwrap_or(1), size), &card, subject.input);
    let features = run_floats(&mut session, &[(&subject.input.name, &image)], &[&pooling.features]).ok()?;
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
