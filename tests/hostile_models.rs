use std::path::Path;

use crate::common::{Ran, check_onnx};
use crate::teachers::{C, CLASSES, SHAPES, convolution, describe, gemm, scores_out};
use crate::tiny_graphs::Dim::{Fixed, Free};
use crate::tiny_graphs::{Message, TinyGraph, int, ints, subgraph, tensor};

const FLOAT: i64 = 1;

fn pooled(opset: i64) -> TinyGraph {
    convolution(TinyGraph::new(opset), &SHAPES[1].1).node("GlobalAveragePool", &["f"], &["p"], &[]).node(
        "Flatten",
        &["p"],
        &["v"],
        &[int("axis", 1)],
    )
}

fn valid_model() -> Vec<u8> {
    scores_out(gemm(pooled(17), "v"), Free)
}

/// A graph whose last layer has the given weight.
fn with_weight(weight: &Message) -> Vec<u8> {
    let graph = pooled(17).raw(5, weight).node("Gemm", &["v", "w"], &["scores"], &[int("transB", 1)]);
    scores_out(graph, Free)
}

fn external(entries: &[(&str, &str)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, &str)| Message::default().text(1, key).text(2, value);
    let weight = tensor("w", FLOAT, &[CLASSES, C]).int(14, 1);
    with_weight(&entries.iter().fold(weight, |weight, pair| weight.message(13, &entry(pair))))
}

#[test]
fn inconsistent_models_are_refused_before_onnx_runtime_loads_them() {
    let weight = |dims: &[i64], bytes: usize| with_weight(&tensor("w", FLOAT, dims).bytes(9, &vec![0; bytes]));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("data too short", weight(&[CLASSES, C], 8), "requires 216 bytes, but it has 8"),
        ("dimensions that overflow", weight(&[i64::MAX, i64::MAX], 8), "an impossible number of values"),
        ("a negative dimension", weight(&[-9, 6], 216), "an impossible number of values"),
        (
            "too few float values",
            with_weight(&tensor("w", FLOAT, &[CLASSES, C]).bytes(4, &[0; 16])),
            "requires 54 values, but it has 4",
        ),
        ("opset 8", scores_out(gemm(pooled(8), "v"), Free), "opsets 9 to 24 are supported"),
        ("opset 9999", scores_out(gemm(pooled(9999), "v"), Free), "opsets 9 to 24 are supported"),
        (
            "a future version of the format",
            Message::default().int(1, 4000).message(7, &pooled(17).graph()).finish(),
            "version 4000 of the ONNX format; 3 to 13 are supported",
        ),
        (
            "a cycle",
            scores_out(
                gemm(pooled(17).node("Add", &["v", "later"], &["sooner"], &[]), "sooner").node(
                    "Relu",
                    &["sooner"],
                    &["later"],
                    &[],
                ),
                Free,
            ),
            "the graph has a cycle",
        ),
        (
            "two weights of one name",
            scores_out(gemm(pooled(17).weight("w_fc", &[CLASSES, C]), "v"), Free),
            "two weights named `w_fc`",
        ),
        ("a batch that exceeds memory", huge_batch(), "which exceeds the memory limit"),
        ("a file without a name", external(&[("offset", "0")]), "but no file is given"),
        ("an offset that is not a number", external(&[("location", "w"), ("offset", "-1")]), "has the offset `-1`"),
        ("an absolute path", external(&[("location", "/etc/passwd")]), "outside its own folder"),
        ("a path upwards", external(&[("location", "../w")]), "outside its own folder"),
        ("the memory of ONNX Runtime", external(&[("location", "*/_ORT_MEM_ADDR_/*")]), "outside its own folder"),
    ];
    for (name, model, text) in cases {
        let problem = check_onnx(model.clone()).expect_err(name);
        assert!(problem.contains(text), "{name}: {problem}");
        let folder = tempfile::tempdir().unwrap();
        let refusal = describe(folder.path(), &model, &[]).expect(1);
        assert!(refusal.stderr.contains(text) && refusal.stderr.contains("help:"), "{name}: {}", refusal.stderr);
    }
}

fn huge_batch() -> Vec<u8> {
    let graph = convolution(TinyGraph::new(17), &[Fixed(1 << 40), Fixed(3), Fixed(32), Fixed(48)])
        .node("GlobalAveragePool", &["f"], &["p"], &[])
        .node("Flatten", &["p"], &["v"], &[int("axis", 1)]);
    scores_out(gemm(graph, "v"), Free)
}

#[test]
fn misplaced_weights_are_refused() {
    let refused =
        |folder: &Path, entries: &[(&str, &str)]| -> Ran { describe(folder, &external(entries), &[]).expect(1) };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("short"), [0; 100]).unwrap();
    let beyond = refused(folder.path(), &[("location", "short")]);
    assert!(beyond.stderr.contains("bytes 0 to 216 of `short`, which has 100"), "{}", beyond.stderr);
    let beyond = refused(folder.path(), &[("location", "short"), ("offset", &u64::MAX.to_string())]);
    assert!(beyond.stderr.contains("which has 100"), "{}", beyond.stderr);
    let other = refused(folder.path(), &[("location", "short"), ("length", "50")]);
    assert!(other.stderr.contains("requires 216 bytes, but its recorded length is 50"), "{}", other.stderr);

    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("w"), [0; 216]).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("w"), folder.path().join("link")).unwrap();
    let link = refused(folder.path(), &[("location", "link")]);
    assert!(link.stderr.contains("outside its own folder: link") && link.stderr.contains("no link"), "{}", link.stderr);
}

#[test]
fn limits_are_checked_before_memory_is_allocated() {
    let graph = |inside: Vec<u8>| Message::default().int(1, 8).bytes(7, &inside).finish();
    // Each takes two bytes in the file and hundreds in memory.
    let nodes = graph([10, 0].repeat(4_000_000));
    assert!(check_onnx(nodes).unwrap_err().contains("more than 1000000 parts"));
    let long = Message::default().text(4, &"a".repeat(100 << 20)).finish();
    assert!(check_onnx(graph(Message::default().bytes(1, &long).finish())).unwrap_err().contains("name of"));
    let mut nested = TinyGraph::new(17).node("Relu", &["x"], &["y"], &[]).graph();
    for _ in 0..40 {
        nested = TinyGraph::new(17).node("If", &["x"], &["y"], &[subgraph("then_branch", &nested)]).graph();
    }
    let deep = Message::default().int(1, 8).message(7, &nested).finish();
    assert!(check_onnx(deep).unwrap_err().contains("nested more than"));
}

#[test]
fn no_file_makes_the_reader_panic() {
    let valid = valid_model();
    assert_eq!(check_onnx(valid.clone()), Ok(()));
    for end in (0..valid.len()).step_by(7) {
        assert!(check_onnx(valid[..end].to_vec()).is_err(), "{end} bytes of {}", valid.len());
    }
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..20_000 {
        let mut broken = valid.clone();
        for _ in 0..4 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = (random >> 8) as usize % broken.len();
            broken[at] = random as u8;
        }
        // Most changes are in weights and leave a valid model; only a panic would be wrong.
        if let Err(problem) = check_onnx(broken) {
            assert!(!problem.is_empty());
        }
    }
}

/// A graph with additional nodes before the pooling.
fn with_node_before_pooling(add: impl FnOnce(TinyGraph) -> TinyGraph) -> Vec<u8> {
    let graph = add(convolution(TinyGraph::new(17), &SHAPES[1].1)).node("GlobalAveragePool", &["odd"], &["p"], &[]);
    scores_out(gemm(graph.node("Flatten", &["p"], &["v"], &[int("axis", 1)]), "v"), Free)
}

#[test]
fn graphs_that_crash_onnx_runtime_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = [i64::from(i32::MAX); 2];
    let pooled = |op: &'static str, sides: &[i64]| {
        let attribute = ints("kernel_shape", sides);
        with_node_before_pooling(|graph| graph.node(op, &["f"], &["odd"], &[attribute]))
    };
    let cases = [
        ("a kernel that makes sides negative", pooled("MaxPool", &kernel), "panicked on this graph"),
        ("a larger kernel", pooled("AveragePool", &[1 << 62; 2]), "panicked on this graph"),
        ("a kernel without cells", pooled("AveragePool", &[0, 0]), "kernel_shape must only contain positive values"),
        (
            "2 kB that expand to 60,000 times the features",
            with_node_before_pooling(|graph| {
                let graph = graph.shape("times", &[60_000, 1, C, 4, 6]).shape("first", &[0]);
                let graph = graph.node("Expand", &["f", "times"], &["many"], &[]);
                let graph =
                    graph.shape("large", &[40, 1, 1, 600, 600]).node("Tile", &["many", "large"], &["more"], &[]);
                graph.node("ReduceMean", &["more"], &["odd"], &[ints("axes", &[0]), int("keepdims", 0)])
            }),
            "",
        ),
        (
            "a constant of 3 GB",
            with_node_before_pooling(|graph| {
                let graph =
                    graph.shape("sides", &[30_000, 25_000]).node("ConstantOfShape", &["sides"], &["zeros"], &[]);
                let graph = graph.node("ReduceMean", &["zeros"], &["zero"], &[int("keepdims", 0)]);
                graph.node("Add", &["f", "zero"], &["odd"], &[])
            }),
            "raise the limit with --teacher-memory 8192",
        ),
    ];
    for (name, model, reason) in cases {
        let refused = describe(folder.path(), &model, &["--mean", "0,0,0", "--std", "1,1,1"]).expect(1);
        assert!(refused.stderr.contains(reason), "{name}: {}", refused.stderr);
        assert!(refused.json()["error"].is_string(), "{name}");
    }
}
