use std::path::Path;

use crate::common::{Ran, python, relabel, repository};
use crate::teachers::{C, SHAPES, convolution, describe, gemm, number, scores_out, tokens};
use crate::tiny_graphs::Dim::{Fixed, Free};
use crate::tiny_graphs::{Dim, TinyGraph, float, int, ints};

/// A teacher with a nonlinear head; name and axis order of its features.
struct NonlinearHead {
    name: &'static str,
    model: Vec<u8>,
    features: &'static str,
    axes: &'static str,
}

/// Nonlinear heads as exporters write them.
fn nonlinear_heads(input: &[Dim; 4]) -> Vec<NonlinearHead> {
    let mut all = convnext_heads(input);
    all.extend(mobilenet_heads(input));
    all.extend(channels_last_heads(input));
    all
}

fn channels_first(name: &'static str, model: Vec<u8>) -> NonlinearHead {
    NonlinearHead { name, model, features: "f", axes: "channels-first" }
}

fn channels_last(name: &'static str, model: Vec<u8>, features: &'static str) -> NonlinearHead {
    NonlinearHead { name, model, features, axes: "channels-last" }
}

fn backbone(opset: i64, input: &[Dim; 4]) -> TinyGraph {
    convolution(TinyGraph::new(opset), input)
}

fn pooled(opset: i64, input: &[Dim; 4]) -> TinyGraph {
    backbone(opset, input).node("GlobalAveragePool", &["f"], &["p"], &[])
}

/// Flattens a tensor and adds the linear layer.
fn flat(graph: TinyGraph, tensor: &str) -> TinyGraph {
    gemm(graph.node("Flatten", &[tensor], &["v"], &[]), "v")
}

/// Heads of `ConvNeXt`: a norm between pooling and linear layer.
fn convnext_heads(input: &[Dim; 4]) -> Vec<NonlinearHead> {
    let batch = input[0];
    let last_axis = [ints("perm", &[0, 2, 3, 1])];
    let first_axis = [ints("perm", &[0, 3, 1, 2])];
    let norm = [int("axis", -1), float("epsilon", 1e-6)];
    vec![
        channels_first("ConvNeXt, legacy", {
            let graph = pooled(17, input)
                .node("Transpose", &["p"], &["t"], &last_axis)
                .weight("scale", &[C])
                .weight("shift", &[C])
                .node("LayerNormalization", &["t", "scale", "shift"], &["n"], &norm)
                .node("Transpose", &["n"], &["back"], &first_axis);
            scores_out(flat(graph, "back"), batch)
        }),
        channels_first("ConvNeXt, opset 16: the norm in single steps", {
            let graph = pooled(16, input)
                .number("two", 2.0)
                .number("epsilon", 1e-6)
                .weight("scale", &[C, 1, 1])
                .weight("shift", &[C, 1, 1])
                .node("ReduceMean", &["p"], &["m"], &[ints("axes", &[1])])
                .node("Sub", &["p", "m"], &["d"], &[])
                .node("Pow", &["d", "two"], &["d2"], &[])
                .node("ReduceMean", &["d2"], &["var"], &[ints("axes", &[1])])
                .node("Add", &["var", "epsilon"], &["var_e"], &[])
                .node("Sqrt", &["var_e"], &["sd"], &[])
                .node("Div", &["d", "sd"], &["normed"], &[])
                .node("Mul", &["normed", "scale"], &["scaled"], &[])
                .node("Add", &["scaled", "shift"], &["n"], &[]);
            scores_out(flat(graph, "n"), batch)
        }),
        channels_first("ConvNeXt, dynamo: flatten to one axis and gather", {
            let graph = backbone(20, input)
                .shape("axes", &[-1, -2])
                .node("ReduceMean", &["f", "axes"], &["p"], &[int("keepdims", 1)])
                .shape("flat", &[-1])
                .node("Reshape", &["p", "flat"], &["line"], &[])
                .node("Shape", &["x"], &["batch"], &[int("start", 0), int("end", 1)])
                .node("Squeeze", &["batch"], &["count"], &[])
                .scalar("zero", 0)
                .scalar("one", 1)
                .scalar("channels", C)
                .node("Range", &["zero", "count", "one"], &["rows"], &[])
                .node("Mul", &["rows", "channels"], &["starts"], &[])
                .shape("axes123", &[1, 2, 3])
                .node("Unsqueeze", &["starts", "axes123"], &["starts4"], &[])
                .shape("arange", &(0..C).collect::<Vec<_>>())
                .shape("arange_shape", &[1, C, 1, 1])
                .node("Reshape", &["arange", "arange_shape"], &["arange4"], &[])
                .node("Add", &["starts4", "arange4"], &["indices"], &[])
                .node("Gather", &["line", "indices"], &["again"], &[int("axis", 0)])
                .node("Transpose", &["again"], &["t"], &last_axis)
                .weight("scale", &[C])
                .node("LayerNormalization", &["t", "scale"], &["n"], &norm)
                .node("Transpose", &["n"], &["back"], &first_axis)
                .shape("target", &[-1, C])
                .node("Reshape", &["back", "target"], &["v"], &[int("allowzero", 1)]);
            scores_out(gemm(graph, "v"), batch)
        }),
    ]
}

/// Heads of `MobileNetV3`: a layer and its activation between pooling and linear layer.
fn mobilenet_heads(input: &[Dim; 4]) -> Vec<NonlinearHead> {
    let batch = input[0];
    vec![
        channels_first("MobileNetV3 of timm", {
            let graph = pooled(17, input)
                .weight("w_conv2", &[C, C, 1, 1])
                .weight("b_conv2", &[C])
                .node("Conv", &["p", "w_conv2", "b_conv2"], &["c"], &[ints("kernel_shape", &[1, 1])])
                .node("HardSwish", &["c"], &["h"], &[]);
            scores_out(flat(graph, "h"), batch)
        }),
        channels_first("MobileNetV3 of torchvision, HardSwish in two steps", {
            let graph = pooled(13, input)
                .node("Flatten", &["p"], &["flat"], &[])
                .weight("w_fc1", &[C, C])
                .weight("b_fc1", &[C])
                .node("Gemm", &["flat", "w_fc1", "b_fc1"], &["g"], &[int("transB", 1)])
                .node("HardSigmoid", &["g"], &["gate"], &[float("alpha", 1.0 / 6.0)])
                .node("Mul", &["g", "gate"], &["h"], &[]);
            scores_out(gemm(graph, "h"), batch)
        }),
        channels_first("HardSwish by Clip, opset 11", {
            let graph = pooled(11, input)
                .number("three", 3.0)
                .number("six", 6.0)
                .number("nought", 0.0)
                .node("Add", &["p", "three"], &["a"], &[])
                .node("Clip", &["a", "nought", "six"], &["c"], &[])
                .node("Div", &["c", "six"], &["gate"], &[])
                .node("Mul", &["p", "gate"], &["h"], &[]);
            scores_out(flat(graph, "h"), batch)
        }),
    ]
}

/// Features with channels last.
fn channels_last_heads(input: &[Dim; 4]) -> Vec<NonlinearHead> {
    let batch = input[0];
    let last_axis = [ints("perm", &[0, 2, 3, 1])];
    let norm = [int("axis", -1), float("epsilon", 1e-6)];
    vec![
        channels_last(
            "a ViT with mean pooling: prefix tokens dropped, norm after the mean",
            {
                let graph = tokens(backbone(17, input))
                    .shape("zero", &[0])
                    .shape("one", &[1])
                    .shape("end", &[i64::MAX])
                    .node("Slice", &["tokens", "zero", "one", "one"], &["prefix"], &[])
                    .node("Concat", &["prefix", "tokens"], &["sequence"], &[int("axis", 1)])
                    .node("Slice", &["sequence", "one", "end", "one"], &["cells"], &[])
                    .node("ReduceMean", &["cells"], &["m"], &[ints("axes", &[1]), int("keepdims", 0)])
                    .weight("scale", &[C])
                    .node("LayerNormalization", &["m", "scale"], &["v"], &norm);
                scores_out(gemm(graph, "v"), batch)
            },
            "cells",
        ),
        channels_last(
            "channels last, Tanh after the mean",
            {
                let graph = backbone(17, input)
                    .node("Transpose", &["f"], &["last"], &last_axis)
                    .node("ReduceMean", &["last"], &["m"], &[ints("axes", &[1, 2]), int("keepdims", 0)])
                    .node("Tanh", &["m"], &["v"], &[]);
                scores_out(gemm(graph, "v"), batch)
            },
            "last",
        ),
    ]
}

#[test]
fn nonlinear_heads_are_verified_cell_by_cell() {
    for (shape, input) in SHAPES {
        for NonlinearHead { name, model, .. } in nonlinear_heads(&input) {
            let folder = tempfile::tempdir().unwrap();
            let description = describe(folder.path(), &model, &["--input-size", "32x48"]).expect(0).json();
            let verification = &description["verification"];
            assert_eq!(
                (&verification["linear_head"], &description["map_size"]),
                (&false.into(), &serde_json::json!([4, 6])),
                "{name}"
            );
            let (cells, mean) = (number(&verification["max_cell_error"]), number(&verification["max_mean_error"]));
            assert!(cells < 1e-4, "{name}, {shape}: cells {cells:e}");
            assert!(mean > 1e-4, "{name}, {shape}: the mean should differ, but only by {mean:e}");
        }
    }
}

#[test]
fn labels_equal_the_reference_on_single_cells() {
    for head in nonlinear_heads(&SHAPES[1].1) {
        let folder = tempfile::tempdir().unwrap();
        label_and_check(folder.path(), &head, &[], "straight");
    }
}

#[test]
fn flip_average_is_the_mean_with_the_mirrored_image() {
    for input in [SHAPES[1].1, [Fixed(2), Fixed(3), Fixed(32), Fixed(48)]] {
        for head in nonlinear_heads(&input) {
            let fixed = matches!(input[0], Fixed(_));
            if fixed && head.name.contains("gather") {
                continue; // check_labels.py cannot run one cell in a batch of two
            }
            let folder = tempfile::tempdir().unwrap();
            if fixed {
                let described = describe(folder.path(), &head.model, &["--flip-average"]).expect(0).json();
                assert_eq!((&described["fixed_batch"], &described["verification"]["images"]), (&1.into(), &1.into()));
            } else {
                label_and_check(folder.path(), &head, &["--flip-average", "--with-lse"], "flip");
            }
        }
    }
}

#[test]
fn flip_average_refuses_an_odd_batch() {
    let folder = tempfile::tempdir().unwrap();
    let head = nonlinear_heads(&SHAPES[0].1).remove(0);
    let refusal = describe(folder.path(), &head.model, &["--flip-average"]).expect(1);
    assert!(
        refusal.stderr.contains("the batch size is fixed at 1") && refusal.stderr.contains("help:"),
        "{}",
        refusal.stderr
    );
}

#[test]
fn log_sum_exp_gives_true_probabilities() {
    let heads = nonlinear_heads(&SHAPES[1].1);
    // With the axes of ReduceSum as an attribute, and as an input.
    for head in heads.iter().filter(|head| head.name.contains("opset 11") || head.name.contains("legacy")) {
        let folder = tempfile::tempdir().unwrap();
        label_and_check(folder.path(), head, &["--with-lse", "--score-steps", "1024"], "straight");
        let described = describe(folder.path(), &head.model, &["--with-lse"]).expect(0).json();
        assert!(number(&described["verification"]["max_lse_error"]) < 1e-4);
        let reader = relabel::shared::store::StoreReader::open(&folder.path().join("labels")).unwrap();
        let relabel::shared::store::RowState::Labelled(labels) = reader.row(0).unwrap() else {
            panic!("row 0 is labelled")
        };
        let lse = labels.label_map().unwrap().lse().expect("a log-sum-exp for each cell");
        assert!(
            lse.iter()
                .zip(labels.label_map().unwrap().cell_scores().iter().step_by(labels.label_map().unwrap().k()))
                .all(|(lse, best)| lse.to_f32() > best.to_f32() - 2e-3)
        );
    }
}

#[test]
fn a_store_with_different_views_or_lse_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let head = nonlinear_heads(&SHAPES[1].1).remove(0);
    label_and_check(folder.path(), &head, &[], "straight");
    let other = label(folder.path(), &["--flip-average", "--with-lse"]).expect(1);
    for text in ["flip average: off in the store, on requested", "lse: off in the store, on requested"] {
        assert!(other.stderr.contains(text), "{}", other.stderr);
    }
}

#[test]
fn every_opset_from_9_to_21_works() {
    for opset in 9..=21 {
        let folder = tempfile::tempdir().unwrap();
        let graph = convolution(TinyGraph::new(opset), &SHAPES[1].1)
            .node("GlobalAveragePool", &["f"], &["p"], &[])
            .node("HardSigmoid", &["p"], &["gate"], &[])
            .node("Mul", &["p", "gate"], &["h"], &[])
            .node("Flatten", &["h"], &["v"], &[]);
        let model = scores_out(gemm(graph, "v"), Free);
        let description = describe(folder.path(), &model, &["--flip-average", "--with-lse"]).expect(0).json();
        assert_eq!(
            (&description["opset"], &description["verification"]["linear_head"]),
            (&opset.into(), &false.into())
        );
    }
}

#[test]
fn the_card_sets_the_token_grid() {
    let folder = tempfile::tempdir().unwrap();
    // Cells of 16 x 8 pixels.
    let graph = TinyGraph::new(17).input("x", &SHAPES[1].1).weight("w_conv", &[C, 3, 16, 8]);
    let graph = graph.node("Conv", &["x", "w_conv"], &["f"], &[ints("strides", &[16, 8])]);
    let graph = graph.shape("tokens_shape", &[0, C, 12]).node("Reshape", &["f", "tokens_shape"], &["ct"], &[]);
    let graph = graph.node("ReduceMean", &["ct"], &["v"], &[ints("axes", &[2]), int("keepdims", 0)]);
    let model = scores_out(gemm(graph, "v"), Free);
    let refusal = describe(folder.path(), &model, &[]).expect(1);
    assert!(refusal.stderr.contains("2x6 cells (rows x columns) contradicts the input"), "{}", refusal.stderr);
    std::fs::write(folder.path().join("tiny.toml"), "grid = [2, 6]\n").unwrap();
    let description = describe(folder.path(), &model, &[]).expect(0).json();
    assert_eq!(
        (&description["map_size"], &description["card"]["grid"]),
        (&serde_json::json!([2, 6]), &serde_json::json!([2, 6]))
    );
    // A card that contradicts the structure is refused.
    std::fs::write(folder.path().join("tiny.toml"), "grid = [3, 4]\n").unwrap();
    let refusal = describe(folder.path(), &model, &[]).expect(1);
    assert!(refusal.stderr.contains("grid = 3x4") && refusal.stderr.contains("2x6 cells"), "{}", refusal.stderr);
}

#[test]
fn at_most_256_cells_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let free = [Free, Fixed(3), Free, Free];
    let model = nonlinear_heads(&free).remove(0).model;
    let description = describe(folder.path(), &model, &["--input-size", "480x320"]).expect(0).json();
    let verification = &description["verification"];
    assert_eq!((&verification["cells_compared"], &verification["cells_total"]), (&256.into(), &(2 * 60 * 40).into()));
}

fn label(folder: &Path, args: &[&str]) -> Ran {
    let run = ["run", "--teacher", "tiny.onnx", "--in", "in", "--out", "labels", "--top-k", "3"];
    Ran::of(relabel(folder).args(run).args(args))
}

/// Labels two random images and checks the store with `check_labels.py`.
fn label_and_check(folder: &Path, head: &NonlinearHead, args: &[&str], views: &str) {
    std::fs::write(folder.join("tiny.onnx"), &head.model).unwrap();
    std::fs::create_dir(folder.join("in")).unwrap();
    for number in 0..2_u32 {
        let colour = |x: u32, y: u32| {
            let mixed = (x * 7919 + y * 104_729 + number * 15_485_863).wrapping_mul(2_654_435_761);
            image::Rgb([(mixed >> 8) as u8, (mixed >> 16) as u8, (mixed >> 24) as u8])
        };
        image::RgbImage::from_fn(48, 32, colour).save(folder.join(format!("in/{number}.png"))).unwrap();
    }
    label(folder, args).expect(0);
    let script = repository("tests/python/check_labels.py");
    let path = |inside: &str| folder.join(inside).display().to_string();
    let checked = python(&script, &[&path("tiny.onnx"), &path("labels"), &path("in"), head.features, head.axes, views]);
    assert!(checked.code == 0, "{}: {}", head.name, checked.stderr);
    assert_eq!(checked.stdout.trim(), "2 images agree");
}
