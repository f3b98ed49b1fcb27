use std::path::Path;

use serde_json::Value;

use crate::common::{Ran, check_onnx, data, relabel};
use crate::teachers::{C, CLASSES, SHAPES, convolution, describe, gemm, number, scores_out};
use crate::tiny_graphs::Dim::{Fixed, Free};
use crate::tiny_graphs::{Message, TinyGraph, attribute_of_call, float, function, int, ints, node, subgraph};

/// Runs `relabel teacher` on a file of `tests/data/teachers`.
fn describe_file(file: &str, size: &str) -> Ran {
    let path = data("teachers").join(file).display().to_string();
    let how = ["--input-size", size, "--mean", "0.5,0.4,0.3", "--std", "0.2,0.25,0.3", "--top-k", "3", "--json"];
    Ran::of(relabel(Path::new(".")).args(["teacher", path.as_str()]).args(how))
}

#[test]
fn files_in_unusual_forms_are_read_and_verified() {
    let files = [
        // No node has a name.
        ("file_unnamed_nodes_small.onnx", true),
        // A branch around Squeeze after the pooling, as older PyTorch versions write it.
        ("file_if_in_head.onnx", true),
        // Written by `onnx.compose.merge_models`.
        ("file_same_opset_twice.onnx", true),
        // The float16 converter appends its casts to the list of nodes.
        ("file_fp16_converter_order.onnx", true),
        // Pooling and head are a function of the model.
        ("file_local_function_head.onnx", true),
        // `F.normalize`, then products with the class vectors.
        ("head_cosine_expand.onnx", false),
    ];
    for (file, linear) in files {
        let description = describe_file(file, "32x32").expect(0).json();
        let verification = &description["verification"];
        assert_eq!(
            (&verification["linear_head"], &description["map_size"]),
            (&linear.into(), &serde_json::json!([8, 8])),
            "{file}"
        );
        let bound = number(&verification["tolerance"]);
        assert!(number(&verification["max_cell_error"]) <= bound, "{file}: {verification}");
    }
}

#[test]
fn an_unsupported_opset_is_refused_with_the_supported_ones() {
    let refusal = describe_file("file_opset25.onnx", "32x32").expect(1).stderr;
    assert!(refusal.contains("opset 25") && refusal.contains("opsets 9 to 24 are supported"), "{refusal}");
    assert!(refusal.contains("version_converter") && !refusal.contains("is complete"), "{refusal}");
}

#[test]
fn a_window_smaller_than_the_map_is_refused_with_a_fitting_input_size() {
    let refusal = describe_file("avgpool7_larger_input.onnx", "32x32").expect(1).stderr;
    for text in ["averages 7x7 cells", "32x32 pixels gives a map of 8x8", "--input-size 28x28"] {
        assert!(refusal.contains(text), "{refusal}");
    }
    let fits = describe_file("avgpool7_larger_input.onnx", "28x28").expect(0).json();
    assert_eq!(fits["map_size"], serde_json::json!([7, 7]));
}

fn backbone() -> TinyGraph {
    convolution(TinyGraph::new(17), &SHAPES[1].1)
}

/// Returns the largest score of the verification's random images, which identifies what a graph computes, and the
/// description.
fn largest_score(model: &[u8]) -> (f64, Value) {
    let folder = tempfile::tempdir().unwrap();
    let description = describe(folder.path(), model, &[]).expect(0).json();
    (number(&description["verification"]["max_score"]), description)
}

#[test]
fn functions_are_inlined_with_attributes_and_optional_ports() {
    // mean(a, ?) averages and scales; the factor has a default, the second input may be missing.
    let mean = function(
        "Mean",
        &["a", "unused"],
        &["out", "also"],
        &[
            node("GlobalAveragePool", &["a"], &["p"], &[]),
            node("LeakyRelu", &["p"], &["l"], &[attribute_of_call("alpha", "slope", 1)]),
            node("Identity", &["l"], &["also"], &[]),
            node("Flatten", &["l"], &["out"], &[attribute_of_call("axis", "missing", 2)]),
        ],
        17,
    )
    .message(11, &float("slope", 0.5));
    // A function that calls a function and reuses an outer name in its body.
    let head = function(
        "Head",
        &["f", "w"],
        &["scores"],
        &[
            node("Mean", &["f"], &["p", ""], &[attribute_of_call("slope", "slope", 1)]).text(7, "tiny"),
            node("Gemm", &["p", "w"], &["scores"], &[int("transB", 1)]),
        ],
        17,
    )
    .text(6, "slope");
    let calls = |attributes: &[Message]| {
        let graph = backbone().weight("w_fc", &[CLASSES, C]).weight("p", &[1]);
        let graph = graph.node_of("tiny", "Head", &["conv", "w_fc"], &["scores"], attributes);
        graph.output("scores", &[Free, Fixed(CLASSES)]).finish_with(&[("tiny", 1)], &[mean.clone(), head.clone()])
    };
    let inlined = |slope: f32| {
        let graph = backbone()
            .node("GlobalAveragePool", &["conv"], &["mean"], &[])
            .node("LeakyRelu", &["mean"], &["l"], &[float("alpha", slope)])
            .node("Flatten", &["l"], &["v"], &[]);
        let graph = graph.weight("w_fc", &[CLASSES, C]);
        scores_out(graph.node("Gemm", &["v", "w_fc"], &["scores"], &[int("transB", 1)]), Free)
    };
    for (attributes, slope) in [(vec![], 0.5), (vec![float("slope", 0.125)], 0.125)] {
        let (score, description) = largest_score(&calls(&attributes));
        assert!((score - largest_score(&inlined(slope)).0).abs() < 1e-6, "slope {slope}");
        assert!(description["rewrite"].to_string().contains("LeakyRelu"), "{description}");
    }
}

#[test]
fn functions_with_branches_and_outputs_that_are_inputs_are_inlined() {
    let body = |op: &str, from: &str, to: &str| TinyGraph::new(17).unnamed(op, &[from], &[to], &[]);
    let untyped = |graph: TinyGraph, name: &str| graph.raw(12, &Message::default().text(1, name)).graph();
    let [yes, no] = [("Tanh", "y"), ("Relu", "y")].map(|(op, to)| untyped(body(op, "a", to), to));
    let branch = function(
        "Branch",
        &["a", "which"],
        &["b", "a"],
        &[node("If", &["which"], &["b"], &[subgraph("then_branch", &yes), subgraph("else_branch", &no)])],
        17,
    );
    let truth = Message::default().int(1, 1).int(2, 9).text(8, "truth").bytes(9, &[1]);
    let graph = backbone()
        .node("GlobalAveragePool", &["f"], &["p"], &[])
        .node("Flatten", &["p"], &["v"], &[])
        .raw(5, &truth)
        .node_of("tiny", "Branch", &["v", "truth"], &["y", "same"], &[])
        .node("Add", &["y", "same"], &["sum"], &[]);
    let model = gemm(graph, "sum").output("scores", &[Free, Fixed(CLASSES)]).finish_with(&[("tiny", 1)], &[branch]);
    let inlined = backbone()
        .node("GlobalAveragePool", &["f"], &["p"], &[])
        .node("Flatten", &["p"], &["v"], &[])
        .node("Tanh", &["v"], &["y"], &[])
        .node("Add", &["y", "v"], &["sum"], &[]);
    let (score, description) = largest_score(&model);
    assert!((score - largest_score(&scores_out(gemm(inlined, "sum"), Free)).0).abs() < 1e-6);
    assert!(
        description["rewrite"].to_string().contains("Tanh"),
        "a constant condition leaves one branch: {description}"
    );
}

#[test]
fn functions_that_cannot_be_inlined_are_refused_by_name() {
    let call = |functions: &[Message], inputs: &[&str]| {
        let graph = backbone().node("GlobalAveragePool", &["f"], &["p"], &[]).node("Flatten", &["p"], &["v"], &[]);
        let graph = graph.node_of("tiny", "F0", inputs, &["u"], &[]);
        check_onnx(gemm(graph, "u").output("scores", &[Free, Fixed(CLASSES)]).finish_with(&[("tiny", 1)], functions))
    };
    let calls = |name: &str, body: &[Message]| function(name, &["a"], &["b"], body, 17);
    let inner = |op: &str, from: &str, to: &str| node(op, &[from], &[to], &[]).text(7, "tiny");
    let relu = calls("F0", &[node("Relu", &["a"], &["b"], &[])]);
    assert_eq!(call(std::slice::from_ref(&relu), &["v"]), Ok(()));
    // Each calls the next one twice: 2^40 nodes.
    let mut bomb: Vec<Message> = (0..40)
        .map(|at| {
            let next = format!("F{}", at + 1);
            calls(&format!("F{at}"), &[inner(&next, "a", "m"), inner(&next, "m", "b")])
        })
        .collect();
    bomb.push(calls("F40", &[node("Relu", &["a"], &["b"], &[])]));
    let itself = TinyGraph::new(17).raw(1, &inner("F0", "a", "y")).raw(12, &Message::default().text(1, "y")).graph();
    let hidden = calls("F0", &[node("If", &["a"], &["b"], &[subgraph("then_branch", &itself)])]);
    let cases = [
        (call(&[], &["v"]), "`F0` of the domain `tiny`"),
        (call(&bomb, &["v"]), "inlining the functions of the model adds more than"),
        (call(&[calls("F0", &[inner("F0", "a", "b")])], &["v"]), "calls itself"),
        (call(&[hidden], &["v"]), "calls itself"),
        (call(&[relu.clone(), relu.clone()], &["v"]), "is defined twice"),
        (call(std::slice::from_ref(&relu), &["v", "v"]), "is called with 2 inputs"),
        (
            call(&[function("F0", &["a"], &["b"], &[node("Relu", &["a"], &["b"], &[])], 13)], &["v"]),
            "`F0` uses version 13 of the operator set `ai.onnx`, and the graph version 17",
        ),
    ];
    for (refusal, text) in cases {
        let refusal = refusal.expect_err(text);
        assert!(refusal.contains(text), "{text}: {refusal}");
    }
}

#[test]
fn nodes_are_sorted_and_named_or_the_graph_is_refused() {
    let last_first = gemm(TinyGraph::new(17), "v").unnamed("Flatten", &["p"], &["v"], &[]).unnamed(
        "GlobalAveragePool",
        &["f"],
        &["p"],
        &[],
    );
    let (score, description) = largest_score(&scores_out(convolution(last_first, &SHAPES[1].1), Free));
    let sorted = backbone().node("GlobalAveragePool", &["f"], &["p"], &[]).node("Flatten", &["p"], &["v"], &[]);
    assert!((score - largest_score(&scores_out(gemm(sorted, "v"), Free)).0).abs() < 1e-6);
    assert_eq!(description["verification"]["linear_head"], true);

    let cycle = backbone().node("Add", &["f", "b"], &["a"], &[]).node("Relu", &["a"], &["b"], &[]);
    let cycle = check_onnx(scores_out(gemm(cycle, "b"), Free)).unwrap_err();
    assert!(cycle.contains("a cycle: Add `Add_a` ← Relu `Relu_b`"), "{cycle}");
    let missing = check_onnx(scores_out(gemm(backbone(), "nowhere"), Free)).unwrap_err();
    assert!(
        missing.contains("reads `nowhere`, which is neither an input nor a weight nor produced by another node"),
        "{missing}"
    );
    let twice = backbone().node("Relu", &["f"], &["f"], &[]);
    assert!(check_onnx(scores_out(gemm(twice, "f"), Free)).unwrap_err().contains("produces `f` twice"));
    let contradiction = gemm(backbone(), "f").output("scores", &[Free]).finish_with(&[("ai.onnx", 13)], &[]);
    let contradiction = check_onnx(contradiction).unwrap_err();
    assert!(contradiction.contains("`ai.onnx` in two versions, 17 and 13"), "{contradiction}");
}

/// Files with functions, branches and nodes out of order.
pub fn unusual_files() -> Vec<Vec<u8>> {
    let files =
        ["file_unnamed_nodes_small", "file_if_in_head", "file_fp16_converter_order", "file_local_function_head"];
    let files = files.map(|file| std::fs::read(data("teachers").join(format!("{file}.onnx"))).unwrap());
    let branch =
        branched("by_shape", &node("Identity", &["v"], &["inner"], &[]), &node("Neg", &["v"], &["inner"], &[]));
    files.into_iter().chain([branch]).collect()
}

/// A graph whose pooled vector `v` goes through an If into `q`. Each branch is one node.
fn branched(condition: &str, then: &Message, other: &Message) -> Vec<u8> {
    let body = |node: &Message| TinyGraph::new(17).raw(1, node).raw(12, &Message::default().text(1, "inner")).graph();
    let graph = backbone()
        .node("GlobalAveragePool", &["f"], &["p"], &[])
        .node("Flatten", &["p"], &["v"], &[])
        .node("Shape", &["v"], &["sides"], &[])
        .shape("at", &[1])
        .node("Gather", &["sides", "at"], &["channels"], &[])
        .shape("six", &[C])
        .node("Equal", &["channels", "six"], &["by_shape"], &[])
        .number("half", 0.5)
        .node("ReduceMax", &["v"], &["most"], &[int("keepdims", 0)])
        .node("Less", &["most", "half"], &["by_value"], &[]);
    let branches = [subgraph("then_branch", &body(then)), subgraph("else_branch", &body(other))];
    scores_out(gemm(graph.node("If", &[condition], &["q"], &branches), "q"), Free)
}

#[test]
fn branches_after_the_pooling_are_rewritten_or_refused() {
    let simple = |op: &str| node(op, &["v"], &["inner"], &[]);
    let (_, linear) = largest_score(&branched("by_shape", &simple("Identity"), &simple("Neg")));
    assert_eq!(linear["verification"]["linear_head"], true);
    let (_, nonlinear) = largest_score(&branched("by_shape", &simple("Identity"), &simple("Tanh")));
    assert_eq!(nonlinear["verification"]["linear_head"], false);
    let mixing = node("Softmax", &["v"], &["inner"], &[int("axis", 0)]);
    for (condition, then) in [("by_shape", &mixing), ("by_value", &simple("Identity"))] {
        let refusal = check_onnx(branched(condition, then, &simple("Neg"))).unwrap_err();
        assert!(refusal.contains("mixes vectors"), "{condition}: {refusal}");
    }
    let loops = TinyGraph::new(17).unnamed("Relu", &["v"], &["inner"], &[]).graph();
    let graph = backbone()
        .node("ReduceMean", &["f"], &["v"], &[ints("axes", &[2, 3]), int("keepdims", 0)])
        .scalar("times", 1)
        .node("Loop", &["times", "", "v"], &["q"], &[subgraph("body", &loops)]);
    let refusal = check_onnx(scores_out(gemm(graph, "q"), Free)).unwrap_err();
    assert!(refusal.contains("Loop (node `Loop_q`) between the pooling and the scores"), "{refusal}");
}
