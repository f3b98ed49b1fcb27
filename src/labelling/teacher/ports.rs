//! Finds the image input and the scores output of a graph.

use super::card::{self, GraphFacts};
use super::graph::{Graph, Port, element};
use super::refusal::Refusal;
use super::rewrite::{ImageInput, InputLayout};
use super::tail::detector;

/// Returns the image input, which must be the only input, and what the graph determines of the card.
pub(super) fn image_input(graph: &Graph) -> Result<(ImageInput, GraphFacts), Refusal> {
    let inputs = graph.inputs();
    let [input] = &inputs[..] else {
        let names: Vec<_> = inputs.iter().map(|input| input.name.as_str()).collect();
        return Err(Refusal::new(
            format!("the model has {} inputs ({}); an image classifier has one", names.len(), names.join(", ")),
            "export only the image classifier",
        ));
    };
    let unexpected = |what: String| {
        let problem = format!("the input {} {what}", describe_port(input));
        Refusal::new(problem, "export a classifier that takes float images [batch, 3, height, width]")
    };
    if matches!(input.element, element::INT64 | element::INT32) {
        return Err(unexpected("takes integers, as language models do".to_owned()));
    }
    if !matches!(input.element, element::FLOAT | element::FLOAT16) {
        return Err(unexpected("is neither float32 nor float16".to_owned()));
    }
    let dims = match &input.dims {
        Some(dims) if dims.len() == 4 => dims,
        None => &vec![None; 4],
        Some(dims) => return Err(unexpected(format!("has {} dimensions, not 4", dims.len()))),
    };
    let (layout, height, width) = match (dims[1], dims[3]) {
        (Some(3), _) => (InputLayout::Nchw, dims[2], dims[3]),
        (_, Some(3)) => (InputLayout::Nhwc, dims[1], dims[2]),
        (None, _) => (InputLayout::Nchw, dims[2], dims[3]),
        (Some(channels), _) => return Err(unexpected(format!("has {channels} channels, not 3"))),
    };
    let image = ImageInput { name: input.name.clone(), element: input.element, layout, fixed_batch: dims[0] };
    let facts = GraphFacts {
        metadata: card::values_from_metadata(graph.metadata()).map_err(|problem| {
            let advice = "correct the metadata of the ONNX file (onnx.helper.set_model_props), or remove that key";
            Refusal::new(problem, advice)
        })?,
        fixed_height_pixels: height,
        fixed_width_pixels: width,
    };
    Ok((image, facts))
}

/// Returns the output with the class scores: the one set in the card, or the only one.
pub(super) fn scores_output(graph: &Graph, named: Option<&str>) -> Result<Port, Refusal> {
    let outputs = graph.outputs();
    let names = || outputs.iter().map(describe_port).collect::<Vec<_>>().join(", ");
    match (named, &outputs[..]) {
        (Some(name), _) => outputs.iter().find(|output| output.name == name).cloned().ok_or_else(|| {
            let problem = format!("the model has no output `{name}`, only {}", names());
            Refusal::new(problem, "set `output` in the card to one of these")
        }),
        (None, [one]) => Ok(one.clone()),
        (None, _) => Err(detector(graph).unwrap_or_else(|| {
            let problem = format!("the model has {} outputs ({})", outputs.len(), names());
            Refusal::new(problem, "choose the one with the class scores: `output = \"...\"` in the card")
        })),
    }
}

/// Describes a port: name, shape and element type.
pub(super) fn describe_port(port: &Port) -> String {
    let dims = match &port.dims {
        None => "of unknown shape".to_owned(),
        Some(dims) => {
            let sides: Vec<_> = dims.iter().map(|dim| dim.map_or("any".to_owned(), |size| size.to_string())).collect();
            format!("[{}]", sides.join(", "))
        }
    };
    let kind = match port.element {
        element::FLOAT => "float32",
        element::FLOAT16 => "float16",
        element::UINT8 => "uint8",
        element::INT32 => "int32",
        element::INT64 => "int64",
        _ => "of an unsupported type",
    };
    format!("`{}` {dims} {kind}", port.name)
}
