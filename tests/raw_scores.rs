use std::path::Path;

use relabel::labelling::teacher::{
    BatchLabels, CardFile, CardValues, Device, OnnxClassifier, OnnxTeacher, PixelBatch, Runtime, Teacher,
    TeacherDescription, TeacherRequest, Views,
};
use relabel::shared::error::Error;
use relabel::shared::geometry::InputSize;
use relabel::shared::store::{RowState, StoreReader};

use crate::common::{Ran, relabel, repository, runtime};
use crate::teachers::{C, CLASSES, SHAPES, convolution, describe, gemm, number};
use crate::tiny_graphs::Dim::{Fixed, Free};
use crate::tiny_graphs::{TinyGraph, float, int, ints, tensor};

/// Loads teachers in this process.
struct Loader {
    runtime: &'static Runtime,
    folder: tempfile::TempDir,
}

impl Loader {
    fn new() -> Self {
        Self { runtime: runtime(), folder: tempfile::tempdir().unwrap() }
    }

    fn load(&self, model: &[u8], k: usize) -> Result<(OnnxTeacher, TeacherDescription), String> {
        let loaded = OnnxTeacher::load(self.runtime, &self.request(model, k), &[Device::Cpu], &|| false);
        loaded.map(|(mut teachers, description)| (teachers.remove(0), description)).map_err(|error| match error {
            Error::Teacher { problem, advice, .. } | Error::RewriteCheck { problem, advice, .. } => {
                format!("{problem}; {advice}")
            }
            other => format!("not a refusal: {other}"),
        })
    }

    fn request(&self, model: &[u8], k: usize) -> TeacherRequest {
        let path = self.folder.path().join("tiny.onnx");
        std::fs::write(&path, model).unwrap();
        TeacherRequest {
            path,
            card: CardFile::default(),
            flags: CardValues { mean: Some([0.5; 3]), std: Some([0.5; 3]), ..CardValues::default() },
            k,
            views: Views::Image,
            with_lse: false,
            threads: 1,
            photographs: Vec::new(),
            scratch_folder: Some(self.folder.path().to_path_buf()),
        }
    }
}

fn noise() -> PixelBatch {
    let size = InputSize::new(32, 48).unwrap();
    let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
    PixelBatch::new(2, size, (0..2 * size.rgb_bytes()).map(byte).collect())
}

/// Scores of every cell in class order, from labels of all classes.
fn scores_by_class(labels: &BatchLabels) -> Vec<f32> {
    let k = labels.k;
    let mut scores = vec![0.0; labels.scores.len()];
    for (at, (&score, &class)) in labels.scores.iter().zip(&labels.classes).enumerate() {
        scores[at / k * k + class as usize] = score;
    }
    scores
}

fn linear(opset: i64) -> TinyGraph {
    let graph = convolution(TinyGraph::new(opset), &SHAPES[1].1).node("GlobalAveragePool", &["f"], &["p"], &[]).node(
        "Flatten",
        &["p"],
        &["v"],
        &[int("axis", 1)],
    );
    gemm(graph, "v")
}

/// The scores as `[n, class, 1, 1]`, called `s4`.
fn linear_by_convolution() -> TinyGraph {
    convolution(TinyGraph::new(17), &SHAPES[1].1)
        .node("GlobalAveragePool", &["f"], &["p"], &[])
        .shape("w_shape", &[CLASSES, C, 1, 1])
        .weight("w_fc", &[CLASSES, C])
        .weight("b_fc", &[CLASSES])
        .node("Reshape", &["w_fc", "w_shape"], &["w_conv_fc"], &[])
        .node("Conv", &["p", "w_conv_fc", "b_fc"], &["s4"], &[ints("kernel_shape", &[1, 1])])
}

fn finish(graph: TinyGraph, classes: usize) -> Vec<u8> {
    graph.output("out", &[Free, Fixed(classes as i64)]).finish()
}

fn softmax(graph: TinyGraph, from: &str, to: &str) -> TinyGraph {
    graph.node("Softmax", &[from], &[to], &[int("axis", 1)])
}

/// The name of a model, its file, and the classes of its output, in order.
type ActivatedModel = (&'static str, Vec<u8>, Vec<usize>);

/// Graphs that end in probabilities.
fn activated() -> Vec<ActivatedModel> {
    [activations_as_operators(), activations_spelled_out(), activations_with_fewer_classes()].concat()
}

fn all_classes(name: &'static str, graph: TinyGraph) -> ActivatedModel {
    (name, finish(graph, CLASSES as usize), (0..CLASSES as usize).collect())
}

fn probabilities() -> TinyGraph {
    softmax(linear(17), "scores", "probs")
}

/// Activations that are operators, and what exporters put after them.
fn activations_as_operators() -> Vec<ActivatedModel> {
    vec![
        all_classes("LogSoftmax", linear(17).node("LogSoftmax", &["scores"], &["out"], &[int("axis", 1)])),
        all_classes("Sigmoid", linear(17).node("Sigmoid", &["scores"], &["out"], &[])),
        all_classes("Hardmax", linear(17).node("Hardmax", &["scores"], &["out"], &[int("axis", 1)])),
        all_classes("Log", probabilities().node("Log", &["probs"], &["out"], &[])),
        all_classes(
            "Reshape",
            probabilities().shape("to", &[-1, CLASSES]).node("Reshape", &["probs", "to"], &["out"], &[]),
        ),
        all_classes(
            "Reshape to its own shape",
            probabilities().node("Shape", &["probs"], &["to"], &[]).node("Reshape", &["probs", "to"], &["out"], &[]),
        ),
        all_classes("Identity and Cast", {
            let graph = probabilities().node("Identity", &["probs"], &["i"], &[]);
            graph.node("Cast", &["i"], &["d"], &[int("to", 11)]).node("Cast", &["d"], &["out"], &[int("to", 1)])
        }),
        all_classes("Squeeze", {
            let graph = softmax(linear_by_convolution(), "s4", "probs").shape("axes", &[2, 3]);
            graph.node("Squeeze", &["probs", "axes"], &["out"], &[])
        }),
        all_classes("Transpose, Flatten", {
            let graph = softmax(linear_by_convolution(), "s4", "probs");
            let last = graph.node("Transpose", &["probs"], &["last"], &[ints("perm", &[0, 2, 3, 1])]);
            last.node("Flatten", &["last"], &["out"], &[])
        }),
        all_classes("Unsqueeze, Squeeze, Log", {
            let graph = probabilities().shape("axes", &[2]).node("Unsqueeze", &["probs", "axes"], &["u"], &[]);
            graph.node("Squeeze", &["u", "axes"], &["s"], &[]).node("Log", &["s"], &["out"], &[])
        }),
        all_classes(
            "percent",
            probabilities().number("hundred", 100.0).node("Mul", &["hundred", "probs"], &["out"], &[]),
        ),
        all_classes("Clip, Log", {
            let graph = probabilities().number("least", 1e-7).number("most", 1.0);
            graph.node("Clip", &["probs", "least", "most"], &["c"], &[]).node("Log", &["c"], &["out"], &[])
        }),
        all_classes("a Softmax twice", {
            let graph = probabilities().node("Identity", &["probs"], &["i"], &[]);
            softmax(graph, "i", "out")
        }),
        all_classes(
            "a Sigmoid, then Softmax",
            softmax(linear(17).node("Sigmoid", &["scores"], &["sigmoid"], &[]), "sigmoid", "out"),
        ),
    ]
}

/// Activations spelled out in single steps, and rounded ones.
fn activations_spelled_out() -> Vec<ActivatedModel> {
    vec![
        all_classes("spelled out: Exp, ReduceSum, Div", {
            let graph = linear(17).shape("axes", &[1]).node("Exp", &["scores"], &["e"], &[]);
            graph.node("ReduceSum", &["e", "axes"], &["sum"], &[]).node("Div", &["e", "sum"], &["out"], &[])
        }),
        all_classes("spelled out from the largest score on, opset 11", {
            linear(11)
                .node("ReduceMax", &["scores"], &["most"], &[ints("axes", &[1])])
                .node("Sub", &["scores", "most"], &["below"], &[])
                .node("Exp", &["below"], &["e"], &[])
                .node("ReduceSum", &["e"], &["sum"], &[ints("axes", &[1])])
                .node("Reciprocal", &["sum"], &["share"], &[])
                .node("Mul", &["e", "share"], &["out"], &[])
        }),
        all_classes("spelled out: a log-softmax", {
            linear(17)
                .shape("axes", &[1])
                .node("ReduceMax", &["scores"], &["most"], &[ints("axes", &[1])])
                .node("Sub", &["scores", "most"], &["below"], &[])
                .node("Exp", &["below"], &["e"], &[])
                .node("ReduceSum", &["e", "axes"], &["sum"], &[])
                .node("Log", &["sum"], &["log"], &[])
                .node("Sub", &["below", "log"], &["out"], &[])
        }),
        all_classes("spelled out: ReduceLogSumExp", {
            let graph = linear(17).node("ReduceLogSumExp", &["scores"], &["lse"], &[ints("axes", &[1])]);
            graph.node("Sub", &["scores", "lse"], &["out"], &[])
        }),
        all_classes("spelled out: a sigmoid", {
            let graph = linear(17).number("one", 1.0).node("Neg", &["scores"], &["n"], &[]);
            let graph = graph.node("Exp", &["n"], &["e"], &[]).node("Add", &["e", "one"], &["d"], &[]);
            graph.node("Div", &["one", "d"], &["out"], &[])
        }),
        all_classes("rounded to 8 bits", {
            let graph = probabilities().number("step", 1.0 / 255.0).raw(5, &tensor("zero", 2, &[]).bytes(9, &[0]));
            graph.node("QuantizeLinear", &["probs", "step", "zero"], &["q"], &[]).node(
                "DequantizeLinear",
                &["q", "step", "zero"],
                &["out"],
                &[],
            )
        }),
    ]
}

/// Outputs that have only some of the classes.
fn activations_with_fewer_classes() -> Vec<ActivatedModel> {
    vec![
        (
            "Slice that drops the first class",
            {
                let graph = probabilities()
                    .shape("minus_one", &[-1])
                    .shape("from", &[1])
                    .shape("to", &[i64::MAX])
                    .shape("axes", &[1]);
                finish(graph.node("Slice", &["probs", "from", "to", "axes"], &["out"], &[]), 8)
            },
            (1..9).collect(),
        ),
        (
            "Gather of some classes in another order",
            {
                let graph = probabilities().shape("some", &[4, 0, 8]);
                finish(graph.node("Gather", &["probs", "some"], &["out"], &[int("axis", 1)]), 3)
            },
            vec![4, 0, 8],
        ),
        (
            "Split",
            {
                let graph = probabilities().shape("parts", &[4, 5]);
                finish(graph.node("Split", &["probs", "parts"], &["background", "out"], &[int("axis", 1)]), 5)
            },
            (4..9).collect(),
        ),
    ]
}

#[test]
fn the_scores_before_a_final_activation_are_kept() {
    let loader = Loader::new();
    let plain = linear(17).node("Identity", &["scores"], &["out"], &[]);
    let (mut teacher, description) = loader.load(&finish(plain, 9), 9).unwrap();
    assert!(!description.rewrite.iter().any(|line| line.contains("scores are raw")));
    let batch = noise();
    let expected = scores_by_class(&teacher.label(&batch).unwrap());
    for (name, model, classes) in activated() {
        let (mut teacher, description) =
            loader.load(&model, classes.len()).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert!(description.rewrite_check.linear(), "{name}: {:?}", description.rewrite_check.linearity);
        let line = description.rewrite.iter().find(|line| line.contains("scores are raw"));
        assert!(line.is_some(), "{name}: {:?}", description.rewrite);
        let labels = teacher.label(&batch).unwrap();
        let scores = scores_by_class(&labels);
        assert_eq!(scores.len(), expected.len() / 9 * classes.len(), "{name}");
        for (cell, expected) in scores.chunks_exact(classes.len()).zip(expected.chunks_exact(9)) {
            for (score, &class) in cell.iter().zip(&classes) {
                assert!((score - expected[class]).abs() < 1e-4, "{name}: {score} is not {}", expected[class]);
            }
        }
    }
}

#[test]
fn activations_are_removed_from_score_maps() {
    let loader = Loader::new();
    let map = || {
        let graph = convolution(TinyGraph::new(17), &SHAPES[1].1).weight("w_head", &[CLASSES, C, 1, 1]);
        graph.node("Conv", &["f", "w_head"], &["map"], &[ints("kernel_shape", &[1, 1])])
    };
    let load = |graph: TinyGraph, classes: i64| {
        loader.load(&graph.output("out", &[Free, Fixed(classes), Free, Free]).finish(), classes as usize)
    };
    let label = |graph, classes| scores_by_class(&load(graph, classes).unwrap().0.label(&noise()).unwrap());
    let expected = label(map().node("Identity", &["map"], &["out"], &[]), 9);
    let softmax = softmax(map(), "map", "probs");
    assert_eq!(label(softmax.clone().node("Log", &["probs"], &["out"], &[]), 9), expected);
    let some = softmax.clone().shape("some", &[7, 2]).node("Gather", &["probs", "some"], &["out"], &[int("axis", 1)]);
    let picked: Vec<f32> = expected.chunks_exact(9).flat_map(|cell| [cell[7], cell[2]]).collect();
    assert_eq!(label(some, 2), picked);
    let rows = map().node("Softmax", &["map"], &["out"], &[int("axis", 3)]);
    let problem = load(rows, 9).err().unwrap();
    assert!(
        problem.contains("the scores before Softmax (node `Softmax_out`) rank them in the opposite order"),
        "{problem}"
    );
}

#[test]
fn probabilities_are_never_kept_as_scores() {
    let loader = Loader::new();
    let probs = || softmax(linear(17), "scores", "probs");
    let out = |graph| finish(graph, CLASSES as usize);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "a weight for each class",
            { out(probs().weight("prior", &[1, CLASSES]).node("Mul", &["probs", "prior"], &["out"], &[])) },
            "Mul (node `Mul_out`) after the final Softmax (node `Softmax_probs`) may change",
        ),
        (
            "reversed",
            { out(probs().number("one", 1.0).node("Sub", &["one", "probs"], &["out"], &[])) },
            "Sub (node `Sub_out`) after the final Softmax",
        ),
        (
            "a loss",
            { out(probs().node("Log", &["probs"], &["log"], &[]).node("Neg", &["log"], &["out"], &[])) },
            "Neg (node `Neg_out`) after",
        ),
        (
            "an additional class",
            {
                let graph = probs().number("nought", 0.0).shape("pads", &[0, 0, 0, 1]);
                finish(graph.node("Pad", &["probs", "pads", "nought"], &["out"], &[]), 10)
            },
            "Pad (node `Pad_out`) after",
        ),
        (
            "the logarithm of the odds",
            {
                let graph = probs().number("one", 1.0).node("Sub", &["one", "probs"], &["others"], &[]);
                out(graph.node("Div", &["probs", "others"], &["odds"], &[]).node("Log", &["odds"], &["out"], &[]))
            },
            "follows the last weights",
        ),
        (
            "two averaged predictions",
            {
                let graph = probs().node("Gemm", &["v", "w_fc"], &["s2"], &[int("transB", 1)]);
                let graph = softmax(graph, "s2", "probs2").number("two", 2.0);
                out(graph.node("Add", &["probs", "probs2"], &["sum"], &[]).node("Div", &["sum", "two"], &["out"], &[]))
            },
            "follows the last weights and turns scores into probabilities",
        ),
        (
            "a Softmax before the pooling",
            {
                let graph = convolution(TinyGraph::new(17), &SHAPES[1].1).weight("w_head", &[CLASSES, C, 1, 1]);
                let graph = graph.node("Conv", &["f", "w_head"], &["map"], &[ints("kernel_shape", &[1, 1])]);
                let graph = softmax(graph, "map", "probs").node("GlobalAveragePool", &["probs"], &["mean"], &[]);
                out(graph.node("Flatten", &["mean"], &["out"], &[]))
            },
            "Softmax (node `Softmax_probs`) follows the last weights",
        ),
        (
            "the best class",
            {
                let graph = linear(17).node("ArgMax", &["scores"], &["best"], &[int("axis", 1)]);
                out(graph.node("Cast", &["best"], &["out"], &[int("to", 1)]))
            },
            "ArgMax (node `ArgMax_best`) selects classes",
        ),
        // The structure of these graphs does not show probabilities; the values do.
        (
            "a softmax with another base",
            {
                let graph =
                    linear(17).number("base", 2.0).shape("axes", &[1]).node("Pow", &["base", "scores"], &["e"], &[]);
                out(graph.node("ReduceSum", &["e", "axes"], &["sum"], &[]).node("Div", &["e", "sum"], &["out"], &[]))
            },
            "sum to 1, as after a softmax, in each of the",
        ),
        (
            "a softmax with another base, in percent",
            {
                let graph = linear(17).number("base", 2.0).shape("axes", &[1]).number("hundred", 100.0);
                let graph = graph.node("Pow", &["base", "scores"], &["e"], &[]);
                let graph =
                    graph.node("ReduceSum", &["e", "axes"], &["sum"], &[]).node("Div", &["e", "sum"], &["d"], &[]);
                out(graph.node("Mul", &["d", "hundred"], &["out"], &[]))
            },
            "sum to 100.0000, as after a scaled softmax",
        ),
        (
            "a sigmoid made of a Tanh",
            {
                let graph = linear(17).number("half", 0.5).node("Mul", &["scores", "half"], &["h"], &[]);
                let graph = graph.node("Tanh", &["h"], &["t"], &[]).node("Mul", &["t", "half"], &["th"], &[]);
                out(graph.node("Add", &["th", "half"], &["out"], &[]))
            },
            "all values are between 0 and 1, as after a sigmoid",
        ),
    ];
    for (name, model, text) in cases {
        let problem = loader.load(&model, 3).err().unwrap_or_else(|| panic!("{name} is accepted"));
        assert!(problem.contains(text) && problem.contains("raw scores (logits)"), "{name}: {problem}");
        // Percentages are only recognised in more rows than the two images that an unmodified classifier is checked with.
        if !name.contains("percent") {
            let refused = OnnxClassifier::load(loader.runtime, &loader.request(&model, 3), Device::Cpu).err();
            assert!(refused.is_some_and(|error| error.to_string().contains(text)), "{name}");
        }
    }
}

/// Files of users: a Softmax followed by Reshape, Squeeze or Log.
#[test]
fn activations_are_removed_from_contributed_teachers() {
    for (name, node) in
        [("prob_softmax_reshape", "Softmax"), ("prob_softmax_squeeze", "Softmax"), ("prob_softmax_log", "Log (node")]
    {
        let path = repository(&format!("tests/data/teachers/{name}.onnx"));
        let here = tempfile::tempdir().unwrap();
        let description = Ran::of(relabel(here.path()).args(["teacher", "--top-k", "3", "--json"]).arg(path)).expect(0);
        let description = description.json();
        let line = description["rewrite"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|line| line.as_str().filter(|line| line.starts_with("scores are raw")));
        assert!(line.is_some_and(|line| line.contains(node)), "{name}: {description}");
        assert_eq!(description["verification"]["linear_head"], true, "{name}");
    }
}

/// Quantises `from` to 8 bits and back, with 255 steps in `range`.
fn rounded(graph: TinyGraph, from: &str, to: &str, range: f32, zero: u8) -> TinyGraph {
    let (step, zero_point, quantised) = (format!("{to}_step"), format!("{to}_zero"), format!("{to}_q"));
    graph
        .number(&step, range / 255.0)
        .raw(5, &tensor(&zero_point, 2, &[]).bytes(9, &[zero]))
        .node("QuantizeLinear", &[from, &step, &zero_point], &[&quantised], &[])
        .node("DequantizeLinear", &[&quantised, &step, &zero_point], &[to], &[])
}

/// A convolution with its input and features quantised to 8 bits. With mean and standard deviation 0.5, each pixel value is
/// halfway between two steps of the input. The number of cells is odd: the mean of an even number can be halfway between two steps of
/// the features, and then the order of a sum, which differs between processors, would decide how it is rounded.
fn rounded_features() -> TinyGraph {
    let graph = TinyGraph::new(17)
        .input("x", &[Free, Fixed(3), Fixed(40), Fixed(40)])
        .weight("w_conv", &[C, 3, 8, 8])
        .weight("b_conv", &[C]);
    let graph = rounded(graph, "x", "rx", 2.0, 127);
    let sides = [ints("kernel_shape", &[8, 8]), ints("strides", &[8, 8])];
    let graph = graph.node("Conv", &["rx", "w_conv", "b_conv"], &["conv"], &sides).node("Relu", &["conv"], &["r"], &[]);
    rounded(graph, "r", "f", 16.0, 0)
}

fn rounded_head(range: Option<f32>) -> Vec<u8> {
    let graph = rounded_features().node("GlobalAveragePool", &["f"], &["p"], &[]);
    let graph = match range {
        Some(range) => rounded(graph, "p", "rp", range, 0).node("Flatten", &["rp"], &["v"], &[]),
        None => graph.node("Flatten", &["p"], &["v"], &[]),
    };
    finish(gemm(graph, "v").node("Identity", &["scores"], &["out"], &[]), 9)
}

#[test]
fn static_quantisation_before_the_pooling_is_verified_on_the_same_features() {
    let loader = Loader::new();
    let (_, description) = loader.load(&rounded_head(None), 3).unwrap();
    let check = description.rewrite_check;
    assert!(check.linear() && check.cell_difference < 1e-4 && check.mean_difference < 1e-4, "{check:?}");
    assert!(check.normalised_difference < 1e-6, "{check:?}");
    let quantised = check.quantised.expect("the comparison from pixels on");
    assert!(quantised.score_difference <= quantised.tolerance, "{quantised:?}");
    assert_eq!(check.warnings, Vec::<String>::new());
    let map = rounded_features().weight("w_head", &[CLASSES, C, 1, 1]);
    let map = map.node("Conv", &["f", "w_head"], &["map"], &[ints("kernel_shape", &[1, 1])]);
    let map = rounded(map, "map", "out", 64.0, 128).output("out", &[Free, Fixed(CLASSES), Free, Free]);
    assert!(loader.load(&map.finish(), 3).unwrap().1.rewrite_check.quantised.is_some());
}

#[test]
fn quantisers_after_the_pooling_are_refused_if_they_clip_cells() {
    let loader = Loader::new();
    let problem = loader.load(&rounded_head(Some(1.0)), 3).err().unwrap();
    for text in ["QuantizeLinear (node `QuantizeLinear_rp_q`)", "clips single cells", "in float", "\"Gemm_scores\""] {
        assert!(problem.contains(text), "{problem}");
    }
    // As wide as the range of the features: nothing is clipped.
    let (_, description) = loader.load(&rounded_head(Some(16.0)), 3).unwrap();
    assert_eq!(description.rewrite_check.warnings, Vec::<String>::new());
}

#[test]
fn cells_that_saturate_float16_fail_the_image_with_their_number() {
    let folder = tempfile::tempdir().unwrap();
    // White cells score above 65,504; the random images of the verification have none.
    let graph = TinyGraph::new(17)
        .input("x", &SHAPES[1].1)
        .number("nearly_white", 0.95)
        .number("strong", 1e8)
        .weight("w_fc", &[CLASSES, 3])
        .weight("b_fc", &[CLASSES])
        .node("AveragePool", &["x"], &["a"], &[ints("kernel_shape", &[8, 8]), ints("strides", &[8, 8])])
        .node("Sub", &["a", "nearly_white"], &["over"], &[])
        .node("Relu", &["over"], &["r"], &[])
        .node("Mul", &["r", "strong"], &["f"], &[])
        .node("GlobalAveragePool", &["f"], &["p"], &[])
        .node("Flatten", &["p"], &["v"], &[])
        .node("Gemm", &["v", "w_fc", "b_fc"], &["out"], &[int("transB", 1), float("alpha", 1.0)]);
    std::fs::write(folder.path().join("tiny.onnx"), finish(graph, 9)).unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let save = |name: &str, colour: &dyn Fn(u32, u32) -> u8| {
        let image = image::RgbImage::from_fn(48, 32, |x, y| image::Rgb([colour(x, y); 3]));
        image.save(folder.path().join("in").join(name)).unwrap();
    };
    save("grey.png", &|_, _| 120);
    save("half_white.png", &|x, _| if x < 24 { 255 } else { 0 });
    let run = ["run", "--teacher", "tiny.onnx", "--in", "in", "--out", "labels", "--top-k", "3"];
    let ran = Ran::of(relabel(folder.path()).args(run).args(["--mean", "0,0,0", "--std", "1,1,1"])).expect(3);
    let reader = StoreReader::open(&folder.path().join("labels")).unwrap();
    assert!(matches!(reader.row(0).unwrap(), RowState::Labelled(_)), "{}", ran.stderr);
    let RowState::Failed(failed) = reader.row(1).unwrap() else { panic!("row 1 fails") };
    assert!(failed.error.reason.starts_with("12 of 24 cells are not finite in float16"), "{}", failed.error);
}

#[test]
fn teacher_reports_removed_nodes_and_the_normalisation() {
    let folder: &Path = &tempfile::tempdir().unwrap().keep();
    let (_, model, _) = activated().remove(3);
    let description = describe(folder, &model, &[]).expect(0).json();
    assert!(number(&description["verification"]["max_input_error"]) < 1e-6);
    let output = Ran::of(relabel(folder).args(["teacher", "tiny.onnx", "--top-k", "3"])).expect(0).stdout;
    assert!(output.contains("they are taken before Softmax (node `Softmax_probs`), Log (node `Log_out`)"), "{output}");
    std::fs::remove_dir_all(folder).unwrap();
}
