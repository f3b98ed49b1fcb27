use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::common::{Ran, relabel, repository};
use crate::tiny_graphs::Dim::{Fixed, Free};
use crate::tiny_graphs::{Dim, TinyGraph, int, ints};

/// Channels and classes of the tiny teachers.
pub const C: i64 = 6;
pub const CLASSES: i64 = 9;

/// Input shapes with fixed and free dimensions.
pub const SHAPES: [(&str, [Dim; 4]); 3] = [
    ("all fixed, batch 1", [Fixed(1), Fixed(3), Fixed(32), Fixed(48)]),
    ("free batch", [Free, Fixed(3), Fixed(32), Fixed(48)]),
    ("all free", [Free, Fixed(3), Free, Free]),
];

/// A convolution of stride 8 and a Relu: features `[batch, C, 4, 6]` called `f`.
pub fn convolution(graph: TinyGraph, input: &[Dim; 4]) -> TinyGraph {
    let channels = ["w_conv", "b_conv"];
    graph
        .input("x", input)
        .weight("w_conv", &[C, 3, 8, 8])
        .weight("b_conv", &[C])
        .node(
            "Conv",
            &["x", channels[0], channels[1]],
            &["conv"],
            &[ints("kernel_shape", &[8, 8]), ints("strides", &[8, 8])],
        )
        .node("Relu", &["conv"], &["f"], &[])
}

/// The features as a sequence of 24 `tokens`, `[batch, 24, C]`.
pub fn tokens(graph: TinyGraph) -> TinyGraph {
    graph.shape("tokens_shape", &[0, C, 24]).node("Reshape", &["f", "tokens_shape"], &["ct"], &[]).node(
        "Transpose",
        &["ct"],
        &["tokens"],
        &[ints("perm", &[0, 2, 1])],
    )
}

/// The linear layer on `[n, C]`, called `scores`.
pub fn gemm(graph: TinyGraph, features: &str) -> TinyGraph {
    graph.weight("w_fc", &[CLASSES, C]).weight("b_fc", &[CLASSES]).node(
        "Gemm",
        &[features, "w_fc", "b_fc"],
        &["scores"],
        &[int("transB", 1)],
    )
}

pub fn scores_out(graph: TinyGraph, batch: Dim) -> Vec<u8> {
    graph.output("scores", &[batch, Fixed(CLASSES)]).finish()
}

/// The name of a model, and its file.
pub type NamedModel = (&'static str, Vec<u8>);

/// Every linear head as the two exporters of PyTorch write it.
pub fn linear_heads(input: &[Dim; 4]) -> Vec<NamedModel> {
    let mut all =
        [convolutional_heads(input), transformer_heads(input), other_poolings(input), other_outputs(input)].concat();
    if matches!(input[0], Fixed(_)) {
        all.extend(fixed_batch_heads(input));
    }
    all
}

/// Heads of convolutional networks.
fn convolutional_heads(input: &[Dim; 4]) -> Vec<NamedModel> {
    let batch = input[0];
    let legacy = || convolution(TinyGraph::new(17), input);
    let dynamo = || convolution(TinyGraph::new(20), input);
    vec![
        ("GlobalAveragePool, Flatten, Gemm", {
            let graph = legacy().node("GlobalAveragePool", &["f"], &["p"], &[]).node(
                "Flatten",
                &["p"],
                &["v"],
                &[int("axis", 1)],
            );
            scores_out(gemm(graph, "v"), batch)
        }),
        ("GlobalAveragePool, Reshape to a computed shape, Gemm (EfficientNet-Lite)", {
            let graph = legacy()
                .node("GlobalAveragePool", &["f"], &["p"], &[])
                .node("Shape", &["p"], &["p_shape"], &[])
                .scalar("zero", 0)
                .node("Gather", &["p_shape", "zero"], &["n"], &[int("axis", 0)])
                .shape("axes0", &[0])
                .node("Unsqueeze", &["n", "axes0"], &["n1"], &[])
                .shape("minus_one", &[-1])
                .node("Concat", &["n1", "minus_one"], &["target"], &[int("axis", 0)])
                .node("Reshape", &["p", "target"], &["v"], &[]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("GlobalAveragePool, Reshape to a shape computed from the input, Gemm", {
            let graph = legacy()
                .node("GlobalAveragePool", &["f"], &["p"], &[])
                .node("Shape", &["x"], &["x_shape"], &[])
                .shape("index0", &[0])
                .node("Gather", &["x_shape", "index0"], &["n1"], &[int("axis", 0)])
                .shape("minus_one", &[-1])
                .node("Concat", &["n1", "minus_one"], &["target"], &[int("axis", 0)])
                .node("Reshape", &["p", "target"], &["v"], &[]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("ReduceMean with axes as input, Reshape [-1, C], Gemm", {
            let graph = dynamo()
                .shape("axes", &[-1, -2])
                .node("ReduceMean", &["f", "axes"], &["p"], &[int("keepdims", 1)])
                .shape("target", &[-1, C])
                .node("Reshape", &["p", "target"], &["v"], &[int("allowzero", 1)]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("ReduceMean with axes attribute, no kept axes, Gemm (ShuffleNet)", {
            let graph = legacy().node("ReduceMean", &["f"], &["v"], &[ints("axes", &[2, 3]), int("keepdims", 0)]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("GlobalAveragePool, Conv 1x1, Flatten (ResNetV2)", {
            let graph = legacy()
                .node("GlobalAveragePool", &["f"], &["p"], &[])
                .weight("w_head", &[CLASSES, C, 1, 1])
                .weight("b_head", &[CLASSES])
                .node("Conv", &["p", "w_head", "b_head"], &["s4"], &[ints("kernel_shape", &[1, 1])])
                .node("Flatten", &["s4"], &["scores"], &[int("axis", 1)]);
            scores_out(graph, batch)
        }),
        ("Conv, Relu, GlobalAveragePool, Flatten (SqueezeNet)", {
            let graph = legacy()
                .weight("w_head", &[CLASSES, C, 1, 1])
                .node("Conv", &["f", "w_head"], &["map"], &[ints("kernel_shape", &[1, 1])])
                .node("Relu", &["map"], &["positive"], &[])
                .node("GlobalAveragePool", &["positive"], &["p"], &[])
                .node("Flatten", &["p"], &["scores"], &[int("axis", 1)]);
            scores_out(graph, batch)
        }),
    ]
}

/// Heads on tokens, or with channels last.
fn transformer_heads(input: &[Dim; 4]) -> Vec<NamedModel> {
    let batch = input[0];
    let legacy = || convolution(TinyGraph::new(17), input);
    let dynamo = || convolution(TinyGraph::new(20), input);
    vec![
        ("NHWC, LayerNorm, ReduceMean [1, 2], Gemm (Swin of timm)", {
            let graph = legacy()
                .node("Transpose", &["f"], &["last"], &[ints("perm", &[0, 2, 3, 1])])
                .weight("scale", &[C])
                .node("LayerNormalization", &["last", "scale"], &["normed"], &[int("axis", -1)])
                .node("ReduceMean", &["normed"], &["v"], &[ints("axes", &[1, 2]), int("keepdims", 0)]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("Transpose, ReduceMean, Reshape [-1], Gather, Reshape, Gemm (Swin of torchvision)", {
            let graph = dynamo()
                .shape("axes", &[-1, -2])
                .node("ReduceMean", &["f", "axes"], &["p"], &[int("keepdims", 1)])
                .shape("flat", &[-1])
                .node("Reshape", &["p", "flat"], &["line"], &[int("allowzero", 0)])
                // Indices n * C + c of shape [n, C, 1, 1], computed from the input's batch.
                .node("Shape", &["x"], &["batch"], &[int("start", 0), int("end", 1)])
                .node("Squeeze", &["batch"], &["count"], &[])
                .scalar("zero", 0)
                .scalar("one", 1)
                .node("Range", &["zero", "count", "one"], &["rows"], &[])
                .scalar("channels", C)
                .node("Mul", &["rows", "channels"], &["starts"], &[])
                .shape("axes123", &[1, 2, 3])
                .node("Unsqueeze", &["starts", "axes123"], &["starts4"], &[])
                .shape("arange", &(0..C).collect::<Vec<_>>())
                .shape("arange_shape", &[1, C, 1, 1])
                .node("Reshape", &["arange", "arange_shape"], &["arange4"], &[])
                .node("Add", &["starts4", "arange4"], &["indices"], &[])
                .node("Gather", &["line", "indices"], &["again"], &[int("axis", 0)])
                .shape("target", &[-1, C])
                .node("Reshape", &["again", "target"], &["v"], &[int("allowzero", 1)]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("tokens, ReduceMean [1], MatMul and Add (MLP-Mixer)", {
            let graph = legacy()
                .node("Shape", &["f"], &["f_shape"], &[])
                .shape("first_two", &[0, 1])
                .node("Gather", &["f_shape", "first_two"], &["nc"], &[int("axis", 0)])
                .shape("minus_one", &[-1])
                .node("Concat", &["nc", "minus_one"], &["tokens_shape"], &[int("axis", 0)])
                .node("Reshape", &["f", "tokens_shape"], &["channel_tokens"], &[])
                .node("Transpose", &["channel_tokens"], &["tokens"], &[ints("perm", &[0, 2, 1])])
                .node("ReduceMean", &["tokens"], &["v"], &[ints("axes", &[1]), int("keepdims", 0)])
                .weight("w_mat", &[C, CLASSES])
                .weight("b_mat", &[CLASSES])
                .node("MatMul", &["v", "w_mat"], &["product"], &[])
                .node("Add", &["product", "b_mat"], &["scores"], &[]);
            scores_out(graph, batch)
        }),
    ]
}

/// Means in other forms than one operator over rows and columns.
fn other_poolings(input: &[Dim; 4]) -> Vec<NamedModel> {
    let batch = input[0];
    let legacy = || convolution(TinyGraph::new(17), input);
    let dynamo = || convolution(TinyGraph::new(20), input);
    vec![
        ("ReduceMean over one axis after the other, none kept", {
            let graph = legacy()
                .node("ReduceMean", &["f"], &["rows"], &[ints("axes", &[-1]), int("keepdims", 0)])
                .node("ReduceMean", &["rows"], &["v"], &[ints("axes", &[-1]), int("keepdims", 0)]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("ReduceMean over one axis after the other, both kept", {
            let graph = legacy()
                .node("ReduceMean", &["f"], &["rows"], &[ints("axes", &[2])])
                .node("ReduceMean", &["rows"], &["p"], &[ints("axes", &[3])])
                .node("Flatten", &["p"], &["v"], &[]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("NHWC, ReduceMean over one axis after the other", {
            let graph = dynamo()
                .node("Transpose", &["f"], &["last"], &[ints("perm", &[0, 2, 3, 1])])
                .shape("axis1", &[1])
                .node("ReduceMean", &["last", "axis1"], &["rows"], &[int("keepdims", 0)])
                .node("ReduceMean", &["rows", "axis1"], &["v"], &[int("keepdims", 0)]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("ReduceSum and Div", {
            let graph = legacy()
                .shape("axes", &[2, 3])
                .number("cells", 24.0)
                .node("ReduceSum", &["f", "axes"], &["sum"], &[int("keepdims", 0)])
                .node("Div", &["sum", "cells"], &["v"], &[]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("AveragePool over the entire map", {
            let graph = legacy().node("AveragePool", &["f"], &["p"], &[ints("kernel_shape", &[4, 6])]).node(
                "Flatten",
                &["p"],
                &["v"],
                &[],
            );
            scores_out(gemm(graph, "v"), batch)
        }),
        ("GlobalAveragePool of a sequence (the original Swin)", {
            let graph = tokens(legacy())
                .node("Transpose", &["tokens"], &["back"], &[ints("perm", &[0, 2, 1])])
                .node("GlobalAveragePool", &["back"], &["p"], &[])
                .node("Flatten", &["p"], &["v"], &[int("axis", 1)]);
            scores_out(gemm(graph, "v"), batch)
        }),
    ]
}

/// Averaged layers, activations, score maps, other number types and opsets.
fn other_outputs(input: &[Dim; 4]) -> Vec<NamedModel> {
    let batch = input[0];
    let legacy = || convolution(TinyGraph::new(17), input);
    vec![
        ("two averaged linear layers (LeViT)", {
            let graph = legacy()
                .node("GlobalAveragePool", &["f"], &["p"], &[])
                .node("Flatten", &["p"], &["v"], &[int("axis", 1)])
                .weight("w_a", &[CLASSES, C])
                .weight("w_b", &[CLASSES, C])
                .number("two", 2.0)
                .node("Gemm", &["v", "w_a"], &["a"], &[int("transB", 1)])
                .node("Gemm", &["v", "w_b"], &["b"], &[int("transB", 1)])
                .node("Add", &["a", "b"], &["sum"], &[])
                .node("Div", &["sum", "two"], &["scores"], &[]);
            scores_out(graph, batch)
        }),
        ("a final Softmax", {
            let graph = legacy().node("GlobalAveragePool", &["f"], &["p"], &[]).node(
                "Flatten",
                &["p"],
                &["v"],
                &[int("axis", 1)],
            );
            let graph = gemm(graph, "v").node("Softmax", &["scores"], &["probs"], &[int("axis", 1)]);
            graph.output("probs", &[batch, Fixed(CLASSES)]).finish()
        }),
        ("a score map", {
            let graph = legacy().weight("w_head", &[CLASSES, C, 1, 1]).node(
                "Conv",
                &["f", "w_head"],
                &["map"],
                &[ints("kernel_shape", &[1, 1])],
            );
            graph.output("map", &[batch, Fixed(CLASSES), Free, Free]).finish()
        }),
        ("float16", {
            let graph = convolution(TinyGraph::new(17).in_half(), input)
                .node("GlobalAveragePool", &["f"], &["p"], &[])
                .node("Flatten", &["p"], &["v"], &[int("axis", 1)]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("opset 9", {
            let graph = convolution(TinyGraph::new(9), input).node("GlobalAveragePool", &["f"], &["p"], &[]).node(
                "Flatten",
                &["p"],
                &["v"],
                &[int("axis", 1)],
            );
            scores_out(gemm(graph, "v"), batch)
        }),
    ]
}

/// Reshapes that contain the fixed batch.
fn fixed_batch_heads(input: &[Dim; 4]) -> Vec<NamedModel> {
    let batch = input[0];
    let features = |opset| convolution(TinyGraph::new(opset), input);
    vec![
        ("GlobalAveragePool, Reshape to [1, -1], Gemm", {
            let graph = features(17).node("GlobalAveragePool", &["f"], &["p"], &[]).shape("target", &[1, -1]);
            scores_out(gemm(graph.node("Reshape", &["p", "target"], &["v"], &[]), "v"), batch)
        }),
        ("ReduceMean, Reshape to [1, C] with allowzero, Gemm", {
            let graph = features(20)
                .shape("axes", &[-1, -2])
                .node("ReduceMean", &["f", "axes"], &["p"], &[int("keepdims", 1)])
                .shape("target", &[1, C])
                .node("Reshape", &["p", "target"], &["v"], &[int("allowzero", 1)]);
            scores_out(gemm(graph, "v"), batch)
        }),
    ]
}

#[test]
fn every_linear_head_is_rewritten_and_verified() {
    for (shape, input) in SHAPES {
        for (name, model) in linear_heads(&input) {
            let folder = tempfile::tempdir().unwrap();
            // SqueezeNet has no weights after its pooling, so only a class list shows that the outputs are scores.
            std::fs::write(folder.path().join("names.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\n").unwrap();
            let args = ["--input-size", "32x48", "--classes", "names.txt"];
            let description = describe(folder.path(), &model, &args).expect(0).json();
            assert_eq!(description["map_size"], serde_json::json!([4, 6]), "{name}, {shape}");
            assert_eq!(description["classes"], CLASSES, "{name}, {shape}");
            let verification = &description["verification"];
            assert_eq!(verification["linear_head"], true, "{name}, {shape}");
            let (cells, mean) = (number(&verification["max_cell_error"]), number(&verification["max_mean_error"]));
            let bound = if name == "float16" { 0.05 } else { 1e-4 };
            assert!(cells < bound && mean < bound, "{name}, {shape}: cells {cells:e}, mean {mean:e}");
        }
    }
}

#[test]
fn external_weights_are_part_of_the_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let graph = convolution(TinyGraph::new(17), &SHAPES[1].1).node("GlobalAveragePool", &["f"], &["p"], &[]).node(
        "Flatten",
        &["p"],
        &["v"],
        &[int("axis", 1)],
    );
    let (graph, weights) = graph.external_weight("w_fc", &[CLASSES, C], "tiny.onnx.data");
    let graph = graph.node("Gemm", &["v", "w_fc"], &["scores"], &[int("transB", 1)]);
    let model = scores_out(graph, Free);

    let missing = describe(folder.path(), &model, &[]).expect(1);
    assert!(missing.stderr.contains("tiny.onnx.data"), "{}", missing.stderr);
    std::fs::write(folder.path().join("tiny.onnx.data"), weights).unwrap();
    let description = describe(folder.path(), &model, &[]).expect(0).json();
    assert_eq!(description["weights"][0]["location"], "tiny.onnx.data");
    assert_eq!(description["weights"][0]["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn ties_go_to_the_lower_class() {
    let folder = tempfile::tempdir().unwrap();
    // The weights of the last layer are zero: every class scores 0 in every cell.
    let graph = convolution(TinyGraph::new(17), &SHAPES[1].1)
        .node("GlobalAveragePool", &["f"], &["p"], &[])
        .node("Flatten", &["p"], &["v"], &[int("axis", 1)])
        .node("Sub", &["b_fc0", "b_fc0"], &["zeros"], &[])
        .weight("b_fc0", &[C, CLASSES])
        .node("MatMul", &["v", "zeros"], &["scores"], &[]);
    let model = scores_out(graph, Free);
    std::fs::write(folder.path().join("tiny.onnx"), model).unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    std::fs::copy(repository("tests/data/golden/images/photos/coffee.JPEG"), folder.path().join("in/a.JPEG")).unwrap();
    Ran::of(relabel(folder.path()).args([
        "run",
        "--teacher",
        "tiny.onnx",
        "--in",
        "in",
        "--out",
        "out",
        "--top-k",
        "3",
    ]))
    .expect(0);
    let reader = relabel::shared::store::StoreReader::open(&folder.path().join("out")).unwrap();
    let relabel::shared::store::RowState::Labelled(labels) = reader.row(0).unwrap() else {
        panic!("row 0 is labelled")
    };
    for cell in 0..labels.label_map().unwrap().size().cells() {
        assert_eq!(labels.label_map().unwrap().cell(cell).1, [0, 1, 2]);
    }
}

/// The name of a model, its file, and part of the reason for which it is refused.
type RefusedModel = (&'static str, Vec<u8>, &'static str);

fn pooled_vector() -> TinyGraph {
    let graph = convolution(TinyGraph::new(17), &SHAPES[1].1).node("GlobalAveragePool", &["f"], &["p"], &[]);
    graph.node("Flatten", &["p"], &["v"], &[int("axis", 1)])
}

/// Models whose scores do not come from one mean over the feature map.
fn models_without_a_single_mean() -> Vec<RefusedModel> {
    let legacy = || convolution(TinyGraph::new(17), &SHAPES[1].1);
    vec![
        (
            "a flattened map (VGG)",
            {
                let graph = legacy()
                    .node("AveragePool", &["f"], &["same"], &[ints("kernel_shape", &[1, 1])])
                    .node("Flatten", &["same"], &["v"], &[int("axis", 1)])
                    .weight("w_fc", &[CLASSES, C * 24])
                    .node("Gemm", &["v", "w_fc"], &["scores"], &[int("transB", 1)]);
                scores_out(graph, Free)
            },
            "flattens the entire feature map",
        ),
        (
            "a class token (ViT)",
            {
                let graph = legacy()
                    .shape("tokens_shape", &[0, C, 24])
                    .node("Reshape", &["f", "tokens_shape"], &["ct"], &[])
                    .node("Transpose", &["ct"], &["tokens"], &[ints("perm", &[0, 2, 1])])
                    .scalar("zero", 0)
                    .node("Gather", &["tokens", "zero"], &["v"], &[int("axis", 1)]);
                scores_out(gemm(graph, "v"), Free)
            },
            "class token",
        ),
        (
            "two tokens (a distilled DeiT)",
            {
                let graph = tokens(legacy())
                    .scalar("zero", 0)
                    .scalar("one", 1)
                    .node("Gather", &["tokens", "zero"], &["first"], &[int("axis", 1)])
                    .node("Gather", &["tokens", "one"], &["second"], &[int("axis", 1)])
                    .node("Add", &["first", "second"], &["v"], &[]);
                scores_out(gemm(graph, "v"), Free)
            },
            "class token",
        ),
        (
            "a mean and a maximum",
            {
                let graph = legacy()
                    .node("GlobalAveragePool", &["f"], &["mean"], &[])
                    .node("GlobalMaxPool", &["f"], &["most"], &[])
                    .node("Add", &["mean", "most"], &["p"], &[])
                    .node("Flatten", &["p"], &["v"], &[int("axis", 1)]);
                scores_out(gemm(graph, "v"), Free)
            },
            "pools twice",
        ),
    ]
}

/// Models whose head cannot be moved before the mean.
fn models_with_unsupported_heads() -> Vec<RefusedModel> {
    vec![
        (
            "a head that mixes images",
            {
                let graph = pooled_vector().node("ReduceMean", &["v"], &["m"], &[ints("axes", &[0])]).node(
                    "Sub",
                    &["v", "m"],
                    &["d"],
                    &[],
                );
                scores_out(gemm(graph, "d"), Free)
            },
            "ReduceMean (node `ReduceMean_m`) between the pooling and the scores mixes",
        ),
        (
            "an unknown operator",
            scores_out(gemm(pooled_vector().node("Magic", &["v"], &["m"], &[]), "m"), Free),
            "Magic (node `Magic_m`) between the pooling and the scores is not known",
        ),
        (
            "dynamic quantisation",
            {
                let quantised = ["q", "q_scale", "q_zero"];
                let graph = pooled_vector().node("DynamicQuantizeLinear", &["v"], &quantised, &[]).node(
                    "DequantizeLinear",
                    &quantised,
                    &["d"],
                    &[],
                );
                scores_out(gemm(graph, "d"), Free)
            },
            "quantised dynamically",
        ),
        (
            "a detector",
            {
                let graph = pooled_vector().node("NonMaxSuppression", &["v", "v"], &["boxes"], &[]);
                gemm(graph, "v").output("boxes", &[Free, Fixed(3)]).output("scores", &[Free, Fixed(CLASSES)]).finish()
            },
            "the model is a detector",
        ),
    ]
}

/// Models that pool a part of the map, a single cell, or by a maximum.
fn models_with_unsupported_poolings() -> Vec<RefusedModel> {
    let legacy = || convolution(TinyGraph::new(17), &SHAPES[1].1);
    vec![
        (
            "an incomplete grid of tokens",
            {
                let graph = tokens(legacy())
                    .node("Slice", &["tokens", "from", "to", "axis"], &["some"], &[])
                    .shape("from", &[0])
                    .shape("to", &[23])
                    .shape("axis", &[1])
                    .node("ReduceMean", &["some"], &["v"], &[ints("axes", &[1]), int("keepdims", 0)]);
                scores_out(gemm(graph, "v"), Free)
            },
            "the 23 vectors, in 4 rows and 6 columns of the image, do not form a complete grid",
        ),
        (
            "a single cell",
            {
                let graph = legacy()
                    .node("AveragePool", &["f"], &["one"], &[ints("kernel_shape", &[4, 6])])
                    .node("Relu", &["one"], &["r"], &[])
                    .node("GlobalAveragePool", &["r"], &["p"], &[])
                    .node("Flatten", &["p"], &["v"], &[int("axis", 1)]);
                scores_out(gemm(graph, "v"), Free)
            },
            "are a single cell",
        ),
        (
            "a maximum",
            {
                let graph = legacy().node("GlobalMaxPool", &["f"], &["p"], &[]).node(
                    "Flatten",
                    &["p"],
                    &["v"],
                    &[int("axis", 1)],
                );
                scores_out(gemm(graph, "v"), Free)
            },
            "maximum over the feature map",
        ),
        (
            "a pooling that leaves a map",
            {
                let graph = legacy()
                    .node("AveragePool", &["f"], &["p"], &[ints("kernel_shape", &[2, 3]), ints("strides", &[2, 3])])
                    .node("Flatten", &["p"], &["v"], &[int("axis", 1)])
                    .weight("w_fc", &[CLASSES, C * 4])
                    .node("Gemm", &["v", "w_fc"], &["scores"], &[int("transB", 1)]);
                scores_out(graph, Free)
            },
            "does not cover the entire feature map",
        ),
    ]
}

/// Files that are not classifiers of RGB images.
fn models_with_other_interfaces() -> Vec<RefusedModel> {
    vec![
        (
            "two inputs",
            {
                let graph = pooled_vector().input("y", &[Free, Fixed(C)]).node("Add", &["v", "y"], &["sum"], &[]);
                scores_out(gemm(graph, "sum"), Free)
            },
            "2 inputs (x, y)",
        ),
        (
            "two outputs",
            {
                let graph = gemm(pooled_vector(), "v").output("v", &[Free, Fixed(C)]);
                scores_out(graph, Free)
            },
            "2 outputs",
        ),
        (
            "one channel",
            {
                let graph = TinyGraph::new(17)
                    .input("x", &[Free, Fixed(1), Fixed(32), Fixed(48)])
                    .node("GlobalAveragePool", &["x"], &["p"], &[])
                    .node("Flatten", &["p"], &["scores"], &[int("axis", 1)]);
                graph.output("scores", &[Free, Fixed(1)]).finish()
            },
            "1 channels, not 3",
        ),
        ("text", b"this is not a model".to_vec(), "not an ONNX model"),
        (
            "half a model",
            {
                let mut model = linear_heads(&SHAPES[1].1)[0].1.clone();
                model.truncate(model.len() / 2);
                model
            },
            "not an ONNX model",
        ),
        ("nothing", Vec::new(), "no graph"),
    ]
}

#[test]
fn unsupported_models_are_refused_with_a_reason_and_help() {
    let cases = [
        models_without_a_single_mean(),
        models_with_unsupported_heads(),
        models_with_unsupported_poolings(),
        models_with_other_interfaces(),
    ];
    for (name, model, reason) in cases.concat() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = describe(folder.path(), &model, &[]).expect(1);
        assert!(refusal.stderr.contains(reason), "{name}: {}", refusal.stderr);
        assert!(refusal.stderr.contains("help:"), "{name} has no help: {}", refusal.stderr);
    }
}

#[test]
fn the_card_chooses_the_scoring_output() {
    let folder = tempfile::tempdir().unwrap();
    let graph = convolution(TinyGraph::new(17), &SHAPES[1].1)
        .node("GlobalAveragePool", &["f"], &["p"], &[])
        .node("Flatten", &["p"], &["v"], &[int("axis", 1)])
        .output("v", &[Free, Fixed(C)]);
    let model = scores_out(gemm(graph, "v"), Free);
    std::fs::write(folder.path().join("tiny.toml"), "output = \"scores\"\n").unwrap();
    assert_eq!(describe(folder.path(), &model, &[]).expect(0).json()["classes"], CLASSES);
}

#[test]
fn the_origin_of_each_card_value_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.toml"), "mean = [0.5, 0.5, 0.5]\nlicence = \"MIT\"\n").unwrap();
    let model = linear_heads(&SHAPES[1].1).remove(0).1;
    let description =
        describe(folder.path(), &model, &["--std", "0.25,0.25,0.25", "--channel-order", "bgr"]).expect(0).json();
    let origins = &description["card_origins"];
    let expected = [
        ("mean", "card"),
        ("std", "flag"),
        ("channel_order", "flag"),
        ("input_size", "onnx-graph"),
        ("filter", "default"),
    ];
    for (key, origin) in expected {
        assert_eq!(origins[key], origin, "{key}");
    }
    assert_eq!(description["card"]["licence"], "MIT");
}

pub fn describe(folder: &Path, model: &[u8], args: &[&str]) -> Ran {
    let path: PathBuf = folder.join("tiny.onnx");
    std::fs::write(&path, model).unwrap();
    Ran::of(relabel(folder).args(["teacher", "tiny.onnx", "--top-k", "3", "--json"]).args(args))
}

pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}
