use std::path::Path;
use std::time::{Duration, Instant};

use relabel::shared::error::Error;
use relabel::shared::label_map::ImageLabels;
use relabel::shared::store::{RowState, StoreReader};
use serde_json::Value;

use crate::common::{LabelRun, Ran, check_onnx, python, relabel, repository, small_photographs, store_bytes};
use crate::teachers::{C, CLASSES, SHAPES, convolution, describe, gemm, scores_out, tokens};
use crate::tiny_graphs::Dim::{Fixed, Free};
use crate::tiny_graphs::{Dim, TinyGraph, float, int, ints};

/// A classifier without cells: its name, its file, and part of the reason.
type Mapless = (&'static str, Vec<u8>, &'static str);

fn class_token(input: &[Dim; 4]) -> TinyGraph {
    let graph = tokens(convolution(TinyGraph::new(17), input)).scalar("zero", 0);
    gemm(graph.node("Gather", &["tokens", "zero"], &["v"], &[int("axis", 1)]), "v")
}

fn flattened(input: &[Dim; 4]) -> TinyGraph {
    convolution(TinyGraph::new(17), input)
        .node("AveragePool", &["f"], &["same"], &[ints("kernel_shape", &[1, 1])])
        .node("Flatten", &["same"], &["v"], &[int("axis", 1)])
        .weight("w_fc", &[CLASSES, C * 24])
        .node("Gemm", &["v", "w_fc"], &["scores"], &[int("transB", 1)])
}

/// Classifiers of several families that have no score for each cell.
fn classifiers_without_cells(input: &[Dim; 4]) -> Vec<Mapless> {
    let batch = input[0];
    let backbone = || convolution(TinyGraph::new(17), input);
    vec![
        ("a class token (ViT)", scores_out(class_token(input), batch), "class token"),
        (
            "a class token, then a final Softmax",
            {
                let graph = class_token(input).node("Softmax", &["scores"], &["probs"], &[int("axis", 1)]);
                graph.output("probs", &[batch, Fixed(CLASSES)]).finish()
            },
            "class token",
        ),
        (
            "two tokens (a distilled DeiT)",
            {
                let graph = tokens(backbone())
                    .scalar("zero", 0)
                    .scalar("one", 1)
                    .node("Gather", &["tokens", "zero"], &["first"], &[int("axis", 1)])
                    .node("Gather", &["tokens", "one"], &["second"], &[int("axis", 1)])
                    .node("Add", &["first", "second"], &["v"], &[]);
                scores_out(gemm(graph, "v"), batch)
            },
            "class token",
        ),
        (
            "attention whose query is the mean (CLIP's ResNets)",
            {
                let graph = tokens(backbone())
                    .node("ReduceMean", &["tokens"], &["mean"], &[ints("axes", &[1]), int("keepdims", 1)])
                    .node("Concat", &["mean", "tokens"], &["all"], &[int("axis", 1)])
                    .node("Transpose", &["all"], &["keys"], &[ints("perm", &[0, 2, 1])])
                    .node("MatMul", &["all", "keys"], &["products"], &[])
                    .node("Softmax", &["products"], &["weights"], &[int("axis", -1)])
                    .node("MatMul", &["weights", "all"], &["mixed"], &[])
                    .scalar("zero", 0)
                    .node("Gather", &["mixed", "zero"], &["v"], &[int("axis", 1)]);
                scores_out(gemm(graph, "v"), batch)
            },
            "attention pooling",
        ),
        (
            "scores of all tokens, then one of them (the last layer of CLIP's ResNets)",
            {
                let graph = tokens(backbone()).weight("w", &[C, CLASSES]).scalar("zero", 0);
                let graph = graph.node("MatMul", &["tokens", "w"], &["all"], &[]);
                scores_out(graph.node("Gather", &["all", "zero"], &["scores"], &[int("axis", 1)]), batch)
            },
            "class token",
        ),
        ("a flattened map (VGG)", scores_out(flattened(input), batch), "flattens the entire feature map"),
        (
            "a maximum",
            {
                let graph = backbone().node("GlobalMaxPool", &["f"], &["p"], &[]);
                scores_out(gemm(graph.node("Flatten", &["p"], &["v"], &[int("axis", 1)]), "v"), batch)
            },
            "maximum over the feature map",
        ),
        (
            "a mean and a maximum",
            {
                let graph = backbone()
                    .node("GlobalAveragePool", &["f"], &["mean"], &[])
                    .node("GlobalMaxPool", &["f"], &["most"], &[])
                    .node("Add", &["mean", "most"], &["p"], &[])
                    .node("Flatten", &["p"], &["v"], &[int("axis", 1)]);
                scores_out(gemm(graph, "v"), batch)
            },
            "pools twice",
        ),
    ]
}

fn with_teacher(model: &[u8], images: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.onnx"), model).unwrap();
    small_photographs(&folder.path().join("in"), images);
    folder
}

fn label(folder: &Path, args: &[&str]) -> Ran {
    let run = ["run", "--teacher", "tiny.onnx", "--in", "in", "--batch", "4", "--shard-size", "4", "--filter", "box"];
    Ran::of(relabel(folder).args(run).args(args))
}

fn check_predictions(folder: &Path, store: &str, flip: &str) {
    let path = |inside: &str| folder.join(inside).display().to_string();
    let script = repository("tests/python/check_predictions.py");
    let checked = python(&script, &[&path("tiny.onnx"), &path(store), &path("in"), flip]).expect(0);
    assert_eq!(checked.stdout.trim(), "5 images agree");
}

fn store_info(store: &Path) -> Value {
    let json: Value = serde_json::from_slice(&std::fs::read(store.join("zarr.json")).unwrap()).unwrap();
    json["attributes"]["relabel"].clone()
}

fn labels(store: &Path, row: usize) -> ImageLabels {
    match StoreReader::open(store).unwrap().row(row).unwrap() {
        RowState::Labelled(labels) => labels,
        other => panic!("row {row}: {other:?}"),
    }
}

#[test]
fn any_classifier_labels_tiles_with_predictions() {
    for (name, model, reason) in classifiers_without_cells(&SHAPES[1].1) {
        // Raw scores make the reference in Python simple.
        let is_raw = !name.contains("Softmax");
        let folder = with_teacher(&model, 5);
        let refused = label(folder.path(), &["--out", "refused"]).expect(1);
        assert!(refused.stderr.contains(reason) && refused.stderr.contains("--tiles 5"), "{name}: {}", refused.stderr);
        assert!(!folder.path().join("refused").exists(), "{name}");

        let run = label(folder.path(), &["--out", "out", "--tiles", "5", "--top-k", "4"]).expect(0);
        assert!(run.stderr.contains("predictions only") && run.stderr.contains(reason), "{name}: {}", run.stderr);
        let store = folder.path().join("out");
        let info = store_info(&store);
        assert_eq!((&info["format_version"], &info["map_size"], &info["k"]), (&2.into(), &Value::Null, &4.into()));
        for array in ["scores", "classes", "lse"] {
            assert!(!store.join(array).exists(), "{name}: {array}");
        }
        let first = labels(&store, 0);
        assert!(first.map.is_none());
        assert_eq!((first.tiles.len(), first.prediction.probs().len()), (5, 4), "{name}");
        if is_raw {
            check_predictions(folder.path(), "out", "straight");
        }
        Ran::of(relabel(folder.path()).args(["verify", "out", "--full"])).expect(0);
        let recompute =
            ["verify", "out", "--recompute", "5", "--teacher", "tiny.onnx", "--in", "in", "--filter", "box"];
        let recomputed = Ran::of(relabel(folder.path()).args(recompute)).expect(0);
        assert!(recomputed.stdout.contains("5 bit-identical"), "{name}: {}", recomputed.stdout);
    }
}

#[test]
fn scores_before_a_final_softmax_are_used_without_cells() {
    let [(_, raw, _), (_, softmax, _), ..] = &classifiers_without_cells(&SHAPES[1].1)[..] else { panic!() };
    let stores: Vec<ImageLabels> = [raw, softmax]
        .map(|model| {
            let folder = with_teacher(model, 1);
            label(folder.path(), &["--out", "out", "--tiles", "4"]).expect(0);
            labels(&folder.path().join("out"), 0)
        })
        .into();
    assert_eq!(stores[0], stores[1]);
}

#[test]
fn fixed_batches_and_mirror_images_have_the_same_predictions_without_cells() {
    for (batch, args, flip) in [
        (Fixed(4), vec![], "straight"),
        (Fixed(4), vec!["--flip-average", "--batch", "2"], "flip"),
        (Free, vec!["--flip-average"], "flip"),
        (Free, vec!["--device", "cpu,cpu"], "straight"),
    ] {
        let input = [batch, Fixed(3), Fixed(32), Fixed(48)];
        let folder = with_teacher(&scores_out(class_token(&input), batch), 5);
        let run = [
            "run",
            "--teacher",
            "tiny.onnx",
            "--in",
            "in",
            "--out",
            "out",
            "--tiles",
            "4+9",
            "--top-k",
            "9",
            "--filter",
            "box",
        ];
        Ran::of(relabel(folder.path()).args(run).args(&args)).expect(0);
        check_predictions(folder.path(), "out", flip);
    }
}

#[test]
fn a_teacher_with_cells_can_be_used_without_maps() {
    let folder = tempfile::tempdir().unwrap();
    small_photographs(&folder.path().join("in"), 4);
    let run = |out, args: &[&str]| LabelRun::new(folder.path()).out(out).small_shards().args(args).run();
    run("with", &["--tiles", "5"]).expect(0);
    let without = run("without", &["--tiles", "5", "--without-maps"]).expect(0);
    assert!(!without.stderr.contains("warning"), "{}", without.stderr);
    for row in 0..4 {
        let (with, without) = (labels(&folder.path().join("with"), row), labels(&folder.path().join("without"), row));
        assert!(with.map.is_some() && without.map.is_none());
        let close = |a: &relabel::shared::label_map::ImagePrediction,
                     b: &relabel::shared::label_map::ImagePrediction| {
            a.probs().iter().zip(b.probs()).all(|(a, b)| (a.to_f32() - b.to_f32()).abs() < 2e-3)
        };
        assert_eq!(with.prediction.classes()[0], without.prediction.classes()[0]);
        assert!(close(&with.prediction, &without.prediction));
        assert!(with.tiles.iter().zip(&without.tiles).all(|(a, b)| close(&a.prediction, &b.prediction)));
    }

    // Neither store is resumed as the other.
    let as_mapless = run("with", &["--tiles", "5", "--without-maps"]).expect(1);
    assert!(as_mapless.stderr.contains("label maps: 2x2 in the store, none requested"), "{}", as_mapless.stderr);
    let as_mapped = run("without", &["--tiles", "5"]).expect(1);
    assert!(as_mapped.stderr.contains("label maps: none in the store, 2x2 requested"), "{}", as_mapped.stderr);
}

#[test]
fn flags_for_maps_are_usage_errors_without_cells() {
    let folder = with_teacher(&scores_out(class_token(&SHAPES[1].1), Free), 2);
    for flag in [&["--tile-maps"][..], &["--with-lse"], &["--score-steps", "8"]] {
        let args = [&["--out", "out", "--tiles", "4"][..], flag].concat();
        let found_late = label(folder.path(), &args).expect(2);
        assert!(
            found_late.stderr.contains(flag[0]) && found_late.stderr.contains("class token"),
            "{}",
            found_late.stderr
        );
        let known = label(folder.path(), &[&args[..], &["--without-maps"]].concat()).expect(2);
        assert!(known.stderr.contains("cannot be used with"), "{}", known.stderr);
        assert!(!folder.path().join("out").exists());
    }
    let alone = label(folder.path(), &["--out", "out", "--without-maps"]).expect(2);
    assert!(alone.stderr.contains("--tiles"), "{}", alone.stderr);
    let too_many = label(folder.path(), &["--out", "out", "--tiles", "4", "--top-k", "10"]).expect(2);
    assert!(too_many.stderr.contains("the teacher has 9 classes"), "{}", too_many.stderr);
}

#[test]
fn models_that_are_no_classifiers_of_single_images_are_refused_without_maps_too() {
    let backbone = || convolution(TinyGraph::new(17), &SHAPES[1].1);
    let vector = || backbone().node("GlobalMaxPool", &["f"], &["p"], &[]).node("Flatten", &["p"], &["v"], &[]);
    let cases = [
        ("features of a class token", "the 6 values are features", {
            let graph = tokens(backbone()).weight("scale", &[C]).scalar("zero", 0);
            let norm = [int("axis", -1), float("epsilon", 1e-6)];
            graph
                .node("LayerNormalization", &["tokens", "scale"], &["n"], &norm)
                .node("Gather", &["n", "zero"], &["v"], &[int("axis", 1)])
                .output("v", &[Free, Fixed(C)])
                .finish()
        }),
        ("a batch norm in training mode", "depend on the other images of its batch", {
            let graph = vector().node("ReduceMean", &["v"], &["m"], &[ints("axes", &[0])]);
            scores_out(gemm(graph.node("Sub", &["v", "m"], &["d"], &[]), "d"), Free)
        }),
        ("constant scores", "the scores do not depend on the input", {
            let graph = vector().weight("constant", &[2, C]);
            scores_out(gemm(graph, "constant"), Free)
        }),
        ("a score for every token", "not [batch, class]", {
            let graph = tokens(backbone()).weight("w", &[C, CLASSES]);
            let graph = graph.node("MatMul", &["tokens", "w"], &["scores"], &[]);
            graph.output("scores", &[Free, Fixed(24), Fixed(CLASSES)]).finish()
        }),
        ("scores that overflow", "not finite", {
            let graph = gemm(vector(), "v").number("zero", 0.0).node("Div", &["scores", "zero"], &["all"], &[]);
            graph.output("all", &[Free, Fixed(CLASSES)]).finish()
        }),
        ("random scores", "not deterministic", {
            let graph =
                vector().node("RandomNormalLike", &["v"], &["noise"], &[]).node("Add", &["v", "noise"], &["n"], &[]);
            scores_out(gemm(graph, "n"), Free)
        }),
        ("probabilities", "contains probabilities", {
            let graph = gemm(vector(), "v").node("Relu", &["scores"], &["r"], &[]).number("one", 1.0);
            let graph = graph.node("Add", &["r", "one"], &["a"], &[]).shape("axis", &[1]);
            let graph = graph.node("ReduceSum", &["a", "axis"], &["sum"], &[int("keepdims", 1)]);
            graph.node("Div", &["a", "sum"], &["probs"], &[]).output("probs", &[Free, Fixed(CLASSES)]).finish()
        }),
        ("text", "not an ONNX model", b"this is not a model".to_vec()),
    ];
    for (name, reason, model) in cases {
        let folder = with_teacher(&model, 2);
        for args in [&["--tiles", "5"][..], &["--tiles", "5", "--without-maps"]] {
            let refused = label(folder.path(), &[&["--out", "out"][..], args].concat()).expect(1);
            assert!(refused.stderr.contains(reason) && refused.stderr.contains("help:"), "{name}: {}", refused.stderr);
        }
        assert!(!folder.path().join("out").exists());
    }
}

#[test]
fn refusals_for_lack_of_cells_are_an_error_of_their_own() {
    let folder = with_teacher(&scores_out(flattened(&SHAPES[1].1), Free), 1);
    let model = std::fs::read(folder.path().join("tiny.onnx")).unwrap();
    assert!(check_onnx(model.clone()).unwrap_err().contains("or label with --tiles 5, which needs predictions only"));
    let error = relabel::labelling::teacher::check_onnx(model).unwrap_err();
    assert!(matches!(error, Error::NoCells { .. }), "{error}");
    let error = relabel::labelling::teacher::check_onnx(b"not a model".to_vec()).unwrap_err();
    assert!(matches!(error, Error::Teacher { .. }), "{error}");
}

#[test]
fn teachers_without_cells_are_described_and_probed() {
    let folder = with_teacher(&[], 4);
    let model = scores_out(class_token(&SHAPES[1].1), Free);
    describe(folder.path(), &model, &[]).expect(1);
    let description = describe(folder.path(), &model, &["--without-maps"]).expect(0).json();
    assert_eq!((&description["map_size"], &description["classes"]), (&Value::Null, &CLASSES.into()));
    assert!(description["no_cells"].as_str().unwrap().contains("class token"), "{description}");
    let text =
        Ran::of(relabel(folder.path()).args(["teacher", "tiny.onnx", "--top-k", "3", "--without-maps"])).expect(0);
    for part in
        ["none, predictions only from 32x48 pixels", "class token", "--tiles 5", "independent of the other images"]
    {
        assert!(text.stdout.contains(part), "{part}: {}", text.stdout);
    }
    // Few images cannot show which input is right.
    let probed = describe(folder.path(), &model, &["--probe", "in"]);
    assert!(probed.stderr.contains("predictions only"), "{}", probed.stderr);
    let probed = probed.expect(0).json();
    assert_eq!(probed["probe"]["positions"], Value::Null);
    assert!(probed["probe"]["alternatives"].as_array().unwrap().len() > 1, "{probed}");
}

#[test]
fn a_killed_run_without_maps_resumes_to_the_same_bytes() {
    let folder = with_teacher(&scores_out(class_token(&SHAPES[1].1), Free), 60);
    std::fs::write(folder.path().join("in/n02123045/0007.JPEG"), b"").unwrap();
    let args = |out| ["--out", out, "--tiles", "5"];
    let started = Instant::now();
    label(folder.path(), &args("unbroken")).expect(3);
    let duration = started.elapsed();
    for part in 2..9_u32 {
        let run =
            ["run", "--teacher", "tiny.onnx", "--in", "in", "--batch", "4", "--shard-size", "4", "--filter", "box"];
        let mut command = relabel(folder.path());
        command.args(run).args(args("killed")).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(duration.mul_f64(0.1 * f64::from(part)).max(Duration::from_millis(20)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    label(folder.path(), &args("killed")).expect(3);
    let (unbroken, killed) = (store_bytes(&folder.path().join("unbroken")), store_bytes(&folder.path().join("killed")));
    assert!(unbroken.len() > 60);
    assert!(unbroken == killed);
    Ran::of(relabel(folder.path()).args(["verify", "killed", "--full"])).expect(0);
}

#[test]
fn commands_that_need_maps_name_the_store_without_them() {
    let folder = with_teacher(&scores_out(class_token(&SHAPES[1].1), Free), 4);
    label(folder.path(), &["--out", "out", "--tiles", "5"]).expect(0);
    let status = Ran::of(relabel(folder.path()).args(["status", "out", "--json"])).expect(0).json();
    assert_eq!(status["labelled"], 4);
    let reader = StoreReader::open(&folder.path().join("out")).unwrap();
    let error = reader.map_size("draw label maps").unwrap_err();
    assert!(matches!(error, Error::NoLabelMaps { .. }), "{error}");
    assert!(error.to_string().contains("cannot draw label maps: store") && error.to_string().contains("help:"));
    let dry_run = label(folder.path(), &["--out", "other", "--tiles", "5", "--dry-run", "--json"]).expect(0).json();
    assert_eq!((&dry_run["tiles"], &dry_run["to_do"]), (&5.into(), &4.into()));
}
