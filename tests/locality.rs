use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Ran, relabel, run, store_bytes};
use crate::teachers::{C, CLASSES, SHAPES, convolution, describe, gemm, number, scores_out, tokens};
use crate::tiny_graphs::Dim::{Fixed, Free};
use crate::tiny_graphs::{TinyGraph, int, ints};

/// Rows and columns of the maps.
const ROWS: i64 = 4;
const COLUMNS: i64 = 6;

fn features() -> TinyGraph {
    convolution(TinyGraph::new(17), &SHAPES[1].1)
}

/// Patch merging as in torchvision's Swin: every second row and column, four times, concatenated as channels.
fn merged_patches() -> Vec<u8> {
    let graph = TinyGraph::new(17).input("x", &SHAPES[1].1).weight("w_conv", &[C, 3, 4, 4]);
    let mut graph = graph.node("Conv", &["x", "w_conv"], &["fine"], &[ints("strides", &[4, 4])]);
    graph = graph.shape("end", &[i64::MAX, i64::MAX]).shape("axes", &[2, 3]).shape("steps", &[2, 2]);
    for (part, start) in [[0, 0], [1, 0], [0, 1], [1, 1]].iter().enumerate() {
        let (name, from) = (format!("part{part}"), format!("from{part}"));
        graph = graph.shape(&from, start).node("Slice", &["fine", &from, "end", "axes", "steps"], &[&name], &[]);
    }
    let graph = graph.node("Concat", &["part0", "part1", "part2", "part3"], &["parts"], &[int("axis", 1)]);
    let graph = graph.weight("w_merge", &[C, 4 * C, 1, 1]).node("Conv", &["parts", "w_merge"], &["merged"], &[]);
    model(mean(graph, "merged", &[2, 3]), "v")
}

#[test]
fn merged_patches_are_not_part_of_the_map() {
    let folder = tempfile::tempdir().unwrap();
    let description = describe(folder.path(), &merged_patches(), &[]).expect(0).json();
    assert_eq!(
        (&description["map_size"], &description["locality"]["method"]),
        (&json!([ROWS, COLUMNS]), &json!("structure"))
    );
}

fn model(graph: TinyGraph, vector: &str) -> Vec<u8> {
    scores_out(gemm(graph, vector), Free)
}

fn mean(graph: TinyGraph, tensor: &str, axes: &[i64]) -> TinyGraph {
    graph.node("ReduceMean", &[tensor], &["v"], &[ints("axes", axes), int("keepdims", 0)])
}

fn transpose(graph: TinyGraph, from: &str, to: &str, order: &[i64]) -> TinyGraph {
    graph.node("Transpose", &[from], &[to], &[ints("perm", order)])
}

fn reshape(graph: TinyGraph, from: &str, to: &str, shape: &[i64]) -> TinyGraph {
    let name = format!("{to}_shape");
    graph.shape(&name, shape).node("Reshape", &[from, &name], &[to], &[])
}

/// Tokens in column order, by tiles, mirrored, or with permuted axes: the structure shows the order.
fn reordered_cells() -> Vec<(&'static str, Vec<u8>, bool)> {
    let tiles = |graph| {
        let graph = reshape(graph, "f", "split", &[0, C, 2, ROWS / 2, 2, COLUMNS / 2]);
        reshape(transpose(graph, "split", "tiles", &[0, 2, 4, 3, 5, 1]), "tiles", "t", &[0, ROWS * COLUMNS, C])
    };
    let mirrored = |graph: TinyGraph| {
        let graph =
            graph.shape("last", &[-1]).shape("before", &[i64::MIN + 1]).shape("axis", &[3]).shape("back", &[-1]);
        graph.node("Slice", &["f", "last", "before", "axis", "back"], &["m"], &[])
    };
    vec![
        ("rows and columns", model(mean(features(), "f", &[2, 3]), "v"), true),
        ("tokens", model(mean(tokens(features()), "tokens", &[1]), "v"), true),
        ("one axis under two", model(mean(reshape(features(), "f", "l", &[0, C, 1, 24]), "l", &[2, 3]), "v"), true),
        (
            "column by column",
            {
                let graph = transpose(features(), "f", "nwhc", &[0, 3, 2, 1]);
                model(mean(reshape(graph, "nwhc", "t", &[0, ROWS * COLUMNS, C]), "t", &[1]), "v")
            },
            false,
        ),
        (
            "[batch, x, y, channel]",
            model(mean(transpose(features(), "f", "t", &[0, 3, 2, 1]), "t", &[1, 2]), "v"),
            false,
        ),
        ("tile by tile", model(mean(tiles(features()), "t", &[1]), "v"), false),
        ("mirrored", model(mean(mirrored(features()), "m", &[2, 3]), "v"), false),
    ]
}

#[test]
fn cells_in_any_order_become_the_same_map() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("in");
    std::fs::create_dir(&images).unwrap();
    for number in 0..3_u32 {
        let colour = |x: u32, y: u32| image::Rgb([(x * 5 + number * 40) as u8, (y * 7) as u8, (x * y + number) as u8]);
        image::RgbImage::from_fn(48, 32, colour).save(images.join(format!("{number}.png"))).unwrap();
    }
    let mut firsts: [Option<Vec<_>>; 2] = [None, None];
    for (name, model, in_order) in reordered_cells() {
        let description = describe(folder.path(), &model, &[]).expect(0).json();
        assert_eq!(description["map_size"], json!([ROWS, COLUMNS]), "{name}");
        assert_eq!(description["locality"]["method"], "structure", "{name}");
        let is_reported = description["rewrite"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line.as_str().unwrap().contains("not in the order of rows and columns"));
        assert_eq!(is_reported, !in_order, "{name}");
        for (views, first) in [&[][..], &["--flip-average"]].into_iter().zip(&mut firsts) {
            let args = ["run", "--teacher", "tiny.onnx", "--in", "in", "--out", "labels", "--top-k", "3"];
            Ran::of(relabel(folder.path()).args(args).args(views)).expect(0);
            let labels: Vec<_> = store_bytes(&folder.path().join("labels"))
                .into_iter()
                .filter(|(path, _)| path.starts_with("scores") || path.starts_with("classes"))
                .collect();
            assert!(!labels.is_empty());
            std::fs::remove_dir_all(folder.path().join("labels")).unwrap();
            assert!(*first.get_or_insert_with(|| labels.clone()) == labels, "{name}: labels differ");
        }
    }
}

/// Means over vectors without an image position, with a part of the refusal.
fn without_positions() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let heads = |graph: TinyGraph| {
        let graph = graph.node("GlobalAveragePool", &["f"], &["p"], &[]).node("Flatten", &["p"], &["flat"], &[]);
        let graph = graph.weight("w_heads", &[C, 6 * C]).node("MatMul", &["flat", "w_heads"], &["wide"], &[]);
        mean(reshape(graph, "wide", "heads", &[0, 6, C]), "heads", &[1])
    };
    let views = || {
        let graph = TinyGraph::new(17).input("x", &SHAPES[1].1).weight("w_conv", &[C, 3, 8, 8]);
        let graph =
            graph.shape("last", &[-1]).shape("before", &[i64::MIN + 1]).shape("axis", &[3]).shape("back", &[-1]);
        let graph = graph.node("Slice", &["x", "last", "before", "axis", "back"], &["m"], &[]);
        let graph = graph.node("Concat", &["x", "m", "x", "m", "x", "m"], &["all"], &[int("axis", 0)]);
        let graph = graph.node("Conv", &["all", "w_conv"], &["f"], &[ints("strides", &[8, 8])]);
        let graph = graph.node("GlobalAveragePool", &["f"], &["p"], &[]);
        let graph = transpose(reshape(graph, "p", "views_first", &[6, -1, C]), "views_first", "views", &[1, 0, 2]);
        mean(graph, "views", &[1])
    };
    let latents = |graph: TinyGraph| {
        let graph = transpose(tokens(graph), "tokens", "keys", &[0, 2, 1]).weight("queries", &[1, 6, C]);
        let graph = graph.node("MatMul", &["queries", "keys"], &["weights"], &[]);
        let graph = graph.node("Softmax", &["weights"], &["attention"], &[int("axis", -1)]);
        mean(graph.node("MatMul", &["attention", "tokens"], &["latents"], &[]), "latents", &[1])
    };
    let part = |graph: TinyGraph| {
        let graph = graph.shape("from", &[0, 0]).shape("to", &[2, 3]).shape("axes", &[2, 3]);
        mean(graph.node("Slice", &["f", "from", "to", "axes"], &["part"], &[]), "part", &[2, 3])
    };
    let with_class_tokens = |graph: TinyGraph| {
        let graph =
            tokens(graph).weight("class_tokens", &[1, 2, C]).shape("two", &[2]).shape("end", &[99]).shape("one", &[1]);
        let graph = graph.node("Slice", &["tokens", "two", "end", "one"], &["others"], &[]);
        let graph = graph.node("Concat", &["class_tokens", "others"], &["t"], &[int("axis", 1)]);
        mean(graph, "t", &[1])
    };
    let channels = |graph: TinyGraph| {
        let graph = mean(tokens(graph), "tokens", &[2]).weight("w_fc", &[CLASSES, 24]).weight("b_fc", &[CLASSES]);
        scores_out(graph.node("Gemm", &["v", "w_fc", "b_fc"], &["scores"], &[int("transB", 1)]), Free)
    };
    vec![
        ("channels", channels(features()), "image positions vary along axis 1"),
        ("heads", model(heads(features()), "v"), "none of the averaged vectors has an image position"),
        ("views", model(views(), "v"), "none of the averaged vectors has an image position"),
        ("learned queries", model(latents(features()), "v"), "the attention does not pool 24 cells into one vector"),
        ("a part of the map", model(part(features()), "v"), "cut away by Slice (node `Slice_part`)"),
        (
            "class tokens in the mean",
            {
                let fixed = convolution(TinyGraph::new(17), &SHAPES[0].1);
                scores_out(gemm(with_class_tokens(fixed), "v"), Fixed(1))
            },
            "2 of the 24 vectors have no image position",
        ),
    ]
}

#[test]
fn vectors_without_an_image_position_are_refused_with_the_nodes_name() {
    let folder = tempfile::tempdir().unwrap();
    for (name, model, text) in without_positions() {
        let refusal = describe(folder.path(), &model, &[]).expect(1);
        assert!(refusal.stderr.contains(text), "{name}: {}", refusal.stderr);
    }
}

/// Tokens mixed by weights, with a residual connection: the structure is inconclusive.
fn mixer(order: &[i64; 4]) -> Vec<u8> {
    let graph = transpose(features(), "f", "turned", order);
    let graph =
        reshape(graph, "turned", "ct", &[0, C, ROWS * COLUMNS]).weight("w_mix", &[24, 24]).number("little", 0.01);
    let graph =
        graph.node("MatMul", &["ct", "w_mix"], &["mixed"], &[]).node("Mul", &["mixed", "little"], &["some"], &[]);
    let graph = graph.node("Add", &["ct", "some"], &["t"], &[]);
    model(mean(graph, "t", &[2]), "v")
}

#[test]
fn if_the_structure_is_inconclusive_photographs_are_probed() {
    let folder = tempfile::tempdir().unwrap();
    let description = describe(folder.path(), &mixer(&[0, 1, 2, 3]), &[]).expect(0).json();
    let locality = &description["locality"];
    assert_eq!((&locality["method"], &locality["photographs"]), (&json!("probe"), &json!(2)), "{locality}");
    assert!(
        number(&locality["same_axis_correlation"][0]) > 0.97 && number(&locality["same_axis_correlation"][1]) > 0.97,
        "{locality}"
    );
    assert!(locality["inconclusive_node"].as_str().unwrap().contains("MatMul_mixed"), "{locality}");

    let column_major = mixer(&[0, 1, 3, 2]);
    let refusal = describe(folder.path(), &column_major, &[]).expect(1);
    assert!(
        refusal.stderr.contains("affected cells at the") && refusal.stderr.contains("MatMul_mixed"),
        "{}",
        refusal.stderr
    );
    assert!(refusal.stderr.contains("locality = \"unchecked\""), "{}", refusal.stderr);
    // `locality = "unchecked"` is accepted, and every command warns about it.
    std::fs::write(folder.path().join("tiny.toml"), "locality = \"unchecked\"\n").unwrap();
    let description = describe(folder.path(), &column_major, &[]).expect(0);
    assert!(description.stderr.contains("not checked"), "{}", description.stderr);
    assert_eq!(description.json()["locality"]["method"], "unchecked");
    std::fs::create_dir(folder.path().join("in")).unwrap();
    image::RgbImage::new(48, 32).save(folder.path().join("in/black.png")).unwrap();
    let args = ["run", "--teacher", "tiny.onnx", "--in", "in", "--out", "labels", "--top-k", "3"];
    let labelled = Ran::of(relabel(folder.path()).args(args)).expect(0);
    assert!(labelled.stdout.contains("warning"), "{}", labelled.stdout);
    let store = folder.path().join("labels").display().to_string();
    assert!(run(&["status", &store]).expect(0).stdout.contains("warning"));
    assert_eq!(run(&["status", &store, "--json"]).expect(0).json()["locality"], "unchecked");
    let out = folder.path().join("release").display().to_string();
    let licences = ["--license", "CC0-1.0"];
    let published = run(&[&["publish", &store, "--to", &out][..], &licences].concat()).expect(0);
    assert!(published.stderr.contains("not verified"), "{}", published.stderr);
    assert!(run(&["verify", &store]).expect(0).stderr.contains("not verified"));
    let card = std::fs::read_to_string(Path::new(&out).join("README.md")).unwrap();
    assert!(card.contains("**not verified**"), "{card}");
    let group: Value = serde_json::from_slice(&std::fs::read(Path::new(&store).join("zarr.json")).unwrap()).unwrap();
    let teacher = &group["attributes"]["relabel"]["teacher"];
    assert_eq!((&teacher["locality"], &teacher["card"]["locality"]), (&json!("unchecked"), &json!("unchecked")));
}

#[test]
fn photographs_of_the_source_are_probed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let noise = |x: u32, y: u32| image::Rgb([((x * 7919 + y * 104_729).wrapping_mul(2_654_435_761) >> 16) as u8; 3]);
    image::RgbImage::from_fn(96, 64, noise).save(folder.path().join("in/one.png")).unwrap();
    let description = describe(folder.path(), &mixer(&[0, 1, 2, 3]), &["--in", "in"]).expect(0).json();
    assert_eq!(description["locality"]["photographs"], 1, "{description}");
}

#[test]
fn axes_of_score_maps_come_from_structure_classes_or_card() {
    let folder = tempfile::tempdir().unwrap();
    let classes_last = |hidden: bool| {
        let graph = features().weight("w_map", &[CLASSES, C, 1, 1]).node("Conv", &["f", "w_map"], &["s"], &[]);
        let graph = if hidden {
            // A product over all cells makes the structure inconclusive.
            let graph =
                reshape(graph, "s", "flat", &[0, CLASSES, 24]).weight("w_mix", &[24, 24]).number("little", 0.01);
            let graph =
                graph.node("MatMul", &["flat", "w_mix"], &["mix"], &[]).node("Mul", &["mix", "little"], &["some"], &[]);
            reshape(graph.node("Add", &["flat", "some"], &["sum"], &[]), "sum", "map", &[0, CLASSES, ROWS, COLUMNS])
        } else {
            graph.node("Identity", &["s"], &["map"], &[])
        };
        let dims = [Free, Fixed(ROWS), Fixed(COLUMNS), Fixed(CLASSES)];
        transpose(graph, "map", "scores", &[0, 2, 3, 1]).output("scores", &dims).finish()
    };
    std::fs::write(folder.path().join("names.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\n").unwrap();
    let map_and_classes = |hidden: bool| {
        let args: &[&str] = if hidden { &["--classes", "names.txt"] } else { &[] };
        let description = describe(folder.path(), &classes_last(hidden), args).expect(0).json();
        (description["map_size"].clone(), description["classes"].clone())
    };
    let expected = (json!([ROWS, COLUMNS]), json!(CLASSES));
    assert_eq!(map_and_classes(false), expected);
    assert_eq!(map_and_classes(true), expected, "by the number of classes");
    // [batch, 4, 4, 4]: the sizes fit both orders and there is no class list, so the card decides.
    let ambiguous = {
        let graph = convolution(TinyGraph::new(17), &[Free, Fixed(3), Fixed(32), Fixed(32)]);
        let graph = graph.weight("w_map", &[4, C, 1, 1]).node("Conv", &["f", "w_map"], &["s"], &[]);
        let graph = reshape(graph, "s", "flat", &[0, 4, 16]).weight("w_mix", &[16, 16]).number("little", 0.01);
        let graph =
            graph.node("MatMul", &["flat", "w_mix"], &["mix"], &[]).node("Mul", &["mix", "little"], &["some"], &[]);
        let graph = reshape(graph.node("Add", &["flat", "some"], &["sum"], &[]), "sum", "map", &[0, 4, 4, 4]);
        graph
            .node("Identity", &["map"], &["scores"], &[])
            .output("scores", &[Free, Fixed(4), Fixed(4), Fixed(4)])
            .finish()
    };
    let refusal = describe(folder.path(), &ambiguous, &[]).expect(1);
    assert!(refusal.stderr.contains("layout = \"nchw\""), "{}", refusal.stderr);
    std::fs::write(folder.path().join("tiny.toml"), "layout = \"nchw\"\n").unwrap();
    assert_eq!(describe(folder.path(), &ambiguous, &[]).expect(0).json()["classes"], 4);
    std::fs::write(folder.path().join("tiny.toml"), "layout = \"nhwc\"\n").unwrap();
    assert!(describe(folder.path(), &ambiguous, &[]).expect(1).stderr.contains("affected cells"));
}

#[test]
fn features_without_a_head_are_refused_unless_classes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let headless = {
        let graph = features().node("GlobalAveragePool", &["f"], &["p"], &[]).node("Flatten", &["p"], &["scores"], &[]);
        graph.output("scores", &[Free, Fixed(C)]).finish()
    };
    let refusal = describe(folder.path(), &headless, &[]).expect(1);
    assert!(refusal.stderr.contains("no weights") && refusal.stderr.contains("classes = "), "{}", refusal.stderr);
    std::fs::write(folder.path().join("names.txt"), "a\nb\nc\nd\ne\nf\n").unwrap();
    assert_eq!(describe(folder.path(), &headless, &["--classes", "names.txt"]).expect(0).json()["classes"], C);
}
