use crate::common::check_onnx;
use crate::teachers::{C, CLASSES, SHAPES, convolution, describe, gemm, number, scores_out, tokens};
use crate::tiny_graphs::Dim::{Fixed, Free};
use crate::tiny_graphs::{Dim, TinyGraph, float, int, ints, text};

fn backbone(opset: i64) -> TinyGraph {
    convolution(TinyGraph::new(opset), &SHAPES[1].1)
}

/// Tokens `[batch, 25, C]` called `sequence`: a class token, computed from all cells, and 24 cells.
fn with_class_token(graph: TinyGraph) -> TinyGraph {
    tokens(graph)
        .node("ReduceMax", &["tokens"], &["class"], &[ints("axes", &[1]), int("keepdims", 1)])
        .node("Concat", &["class", "tokens"], &["sequence"], &[int("axis", 1)])
        .shape("zero", &[0])
        .shape("one", &[1])
        .shape("end", &[i64::MAX])
        .node("Slice", &["sequence", "one", "end", "one"], &["cells"], &[])
        .node("ReduceMean", &["cells"], &["mean"], &[ints("axes", &[1]), int("keepdims", 0)])
}

/// The linear layer on `2 C` features.
fn gemm_on_joined(graph: TinyGraph, features: &str) -> TinyGraph {
    graph.weight("w_fc", &[CLASSES, 2 * C]).node("Gemm", &[features, "w_fc"], &["scores"], &[int("transB", 1)])
}

/// Heads on a class token and the mean of the patches, and whether they are linear.
pub fn joined_heads(input: &[Dim; 4]) -> Vec<(&'static str, Vec<u8>, bool)> {
    let batch = input[0];
    let legacy = || with_class_token(convolution(TinyGraph::new(17), input));
    let joined = |graph: TinyGraph, token: &str| graph.node("Concat", &[token, "mean"], &["v"], &[int("axis", 1)]);
    vec![
        (
            "DINOv2: Gather and mean, joined",
            {
                let graph =
                    legacy().scalar("first", 0).node("Gather", &["sequence", "first"], &["t"], &[int("axis", 1)]);
                scores_out(gemm_on_joined(joined(graph, "t"), "v"), batch)
            },
            true,
        ),
        (
            "a token that is sliced and passed through Tanh before it is joined",
            {
                let graph = legacy()
                    .node("Slice", &["sequence", "zero", "one", "one"], &["t3"], &[])
                    .node("Tanh", &["t3"], &["activated"], &[])
                    .node("Squeeze", &["activated", "one"], &["t"], &[]);
                scores_out(gemm_on_joined(joined(graph, "t"), "v"), batch)
            },
            true,
        ),
        (
            "the last of two tokens, added",
            {
                let graph = legacy()
                    .shape("sizes", &[1, 24])
                    .node("Split", &["sequence", "sizes"], &["t3", "others"], &[int("axis", 1)])
                    .node("Unsqueeze", &["mean", "one"], &["mean3"], &[])
                    .node("Add", &["t3", "mean3"], &["both"], &[])
                    .node("Squeeze", &["both", "one"], &["v"], &[]);
                scores_out(gemm(graph, "v"), batch)
            },
            true,
        ),
        (
            "joined, then a norm",
            {
                let graph =
                    legacy().scalar("first", 0).node("Gather", &["sequence", "first"], &["t"], &[int("axis", 1)]);
                let graph = joined(graph, "t").weight("scale", &[2 * C]).node(
                    "LayerNormalization",
                    &["v", "scale"],
                    &["n"],
                    &[int("axis", -1), float("epsilon", 1e-6)],
                );
                scores_out(gemm_on_joined(graph, "n"), batch)
            },
            false,
        ),
    ]
}

#[test]
fn class_tokens_next_to_a_mean_are_repeated_in_each_cell() {
    for (shape, input) in [SHAPES[0], SHAPES[1], ("batch 2", [Fixed(2), Fixed(3), Fixed(32), Fixed(48)])] {
        for (name, model, linear) in joined_heads(&input) {
            let folder = tempfile::tempdir().unwrap();
            let description = describe(folder.path(), &model, &[]).expect(0).json();
            let verification = &description["verification"];
            assert_eq!(
                (&verification["linear_head"], &description["map_size"]),
                (&linear.into(), &serde_json::json!([4, 6])),
                "{name}, {shape}"
            );
            assert!(number(&verification["max_cell_error"]) < 1e-4, "{name}, {shape}: {verification}");
            assert!(number(&verification["max_mean_error"]) < 1e-4 || !linear, "{name}, {shape}: {verification}");
            let rewrite = description["rewrite"].to_string();
            assert!(rewrite.contains("only the contribution of the pooled features varies"), "{name}: {rewrite}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, model, _) = joined_heads(&SHAPES[1].1).remove(0);
    describe(folder.path(), &model, &["--flip-average", "--with-lse"]).expect(0);
}

/// Keys and values of two heads from one layer: `[batch, 24, 2 C]` to `[2, batch, heads, 24, C / heads]`.
fn split_heads(graph: TinyGraph) -> TinyGraph {
    graph
        .weight("w_kv", &[C, 2 * C])
        .weight("b_kv", &[2 * C])
        .node("MatMul", &["tokens", "w_kv"], &["kv_0"], &[])
        .node("Add", &["b_kv", "kv_0"], &["kv_1"], &[])
        .shape("kv_shape", &[0, 24, 2, 2, C / 2])
        .node("Reshape", &["kv_1", "kv_shape"], &["kv_2"], &[])
        .node("Transpose", &["kv_2"], &["kv"], &[ints("perm", &[2, 0, 3, 1, 4])])
        .scalar("zero", 0)
        .scalar("one", 1)
        .node("Gather", &["kv", "zero"], &["k"], &[int("axis", 0)])
        .node("Gather", &["kv", "one"], &["values"], &[int("axis", 0)])
        .node("Transpose", &["k"], &["keys"], &[ints("perm", &[0, 1, 3, 2])])
}

/// Attention poolings as exporters write them: heads in one product, keys and values from one layer.
pub fn attention_poolings(input: &[Dim; 4]) -> Vec<(&'static str, Vec<u8>)> {
    let batch = input[0];
    let with_tokens = || tokens(convolution(TinyGraph::new(17), input));
    vec![
        ("one head, values not projected", {
            let graph = with_tokens()
                .weight("query", &[1, 1, C])
                .node("Transpose", &["tokens"], &["keys"], &[ints("perm", &[0, 2, 1])])
                .node("MatMul", &["query", "keys"], &["products"], &[])
                .node("Softmax", &["products"], &["weights"], &[int("axis", -1)])
                .node("MatMul", &["weights", "tokens"], &["one"], &[])
                .scalar("zero", 0)
                .node("Gather", &["one", "zero"], &["v"], &[int("axis", 1)]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("AIMv2: the result of the single query is averaged", {
            let graph = with_tokens()
                .weight("query", &[1, 1, C])
                .weight("w_v", &[C, C])
                .node("MatMul", &["tokens", "w_v"], &["values"], &[])
                .node("Transpose", &["tokens"], &["keys"], &[ints("perm", &[0, 2, 1])])
                .node("MatMul", &["query", "keys"], &["products"], &[])
                .node("Softmax", &["products"], &["weights"], &[int("axis", -1)])
                .node("MatMul", &["weights", "values"], &["one"], &[])
                .node("ReduceMean", &["one"], &["v"], &[ints("axes", &[1]), int("keepdims", 0)]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("timm's AttentionPoolLatent: the query is expanded to the batch, an MLP follows", {
            let graph = split_heads(with_tokens())
                .weight("latent", &[1, 2, 1, C / 2])
                .node("Shape", &["tokens"], &["sides"], &[])
                .shape("at0", &[0])
                .shape("more", &[2, 1, C / 2])
                .node("Gather", &["sides", "at0"], &["count"], &[int("axis", 0)])
                .node("Concat", &["count", "more"], &["query_shape"], &[int("axis", 0)])
                .node("Expand", &["latent", "query_shape"], &["query"], &[])
                .number("scale", 0.7)
                .node("Mul", &["query", "scale"], &["scaled"], &[])
                .node("MatMul", &["scaled", "keys"], &["products"], &[])
                .node("Softmax", &["products"], &["weights"], &[int("axis", -1)])
                .node("MatMul", &["weights", "values"], &["heads"], &[])
                .node("Transpose", &["heads"], &["turned"], &[ints("perm", &[0, 2, 1, 3])])
                .shape("last", &[1, C])
                .node("Concat", &["count", "last"], &["pooled_shape"], &[int("axis", 0)])
                .node("Reshape", &["turned", "pooled_shape"], &["pooled"], &[])
                .weight("norm", &[C])
                .node("LayerNormalization", &["pooled", "norm"], &["n"], &[int("axis", -1)])
                .weight("w_mlp", &[C, C])
                .node("MatMul", &["n", "w_mlp"], &["m"], &[])
                .node("Relu", &["m"], &["r"], &[])
                .node("Add", &["pooled", "r"], &["sum"], &[])
                .node("Gather", &["sum", "zero"], &["v"], &[int("axis", 1)]);
            scores_out(gemm(graph, "v"), batch)
        }),
        ("torch.nn.MultiheadAttention: heads next to the batch, the sequence first", multihead_attention(input)),
    ]
}

/// `torch.nn.MultiheadAttention`: sequence first, heads in one axis with the batch.
fn multihead_attention(input: &[Dim; 4]) -> Vec<u8> {
    // [batch, 24, C] -> [24, batch, C] -> [24, batch * heads, C / heads] -> [batch * heads, 24, C / heads]
    let project = |graph: TinyGraph, name: &str| {
        let of = |part: &str| format!("{name}_{part}");
        graph
            .weight(&of("w"), &[C, C])
            .node("MatMul", &["turned", &of("w")], &[&of("p")], &[])
            .node("Reshape", &[&of("p"), "heads_shape"], &[&of("h")], &[])
            .node("Transpose", &[&of("h")], &[name], &[ints("perm", &[1, 0, 2])])
    };
    let graph = tokens(convolution(TinyGraph::new(17), input))
        .node("Transpose", &["tokens"], &["turned"], &[ints("perm", &[1, 0, 2])])
        .node("Shape", &["turned"], &["sides"], &[])
        .shape("at1", &[1])
        .node("Gather", &["sides", "at1"], &["count"], &[int("axis", 0)])
        .shape("two", &[2])
        .node("Mul", &["count", "two"], &["twice"], &[])
        .shape("cells", &[24])
        .shape("half", &[C / 2])
        .node("Concat", &["cells", "twice", "half"], &["heads_shape"], &[int("axis", 0)]);
    let graph = project(project(graph, "k"), "values")
        .node("Transpose", &["k"], &["keys"], &[ints("perm", &[0, 2, 1])])
        .weight("probe", &[2, 1, C / 2])
        .shape("each", &[1, 1])
        .node("Concat", &["count", "each"], &["repeats"], &[int("axis", 0)])
        .node("Tile", &["probe", "repeats"], &["query"], &[])
        .node("MatMul", &["query", "keys"], &["products"], &[])
        .node("Softmax", &["products"], &["weights"], &[int("axis", -1)])
        .node("MatMul", &["weights", "values"], &["heads"], &[])
        .node("Transpose", &["heads"], &["heads_t"], &[ints("perm", &[1, 0, 2])])
        .shape("c", &[C])
        .node("Concat", &["count", "c"], &["rows_shape"], &[int("axis", 0)])
        .node("Reshape", &["heads_t", "rows_shape"], &["rows"], &[])
        .weight("w_out", &[C, C])
        .node("Gemm", &["rows", "w_out"], &["projected"], &[])
        .shape("first", &[1])
        .node("Concat", &["first", "count", "c"], &["sequence_shape"], &[int("axis", 0)])
        .node("Reshape", &["projected", "sequence_shape"], &["first_axis"], &[])
        .node("Transpose", &["first_axis"], &["back"], &[ints("perm", &[1, 0, 2])])
        .scalar("zero", 0)
        .node("Gather", &["back", "zero"], &["v"], &[int("axis", 1)]);
    scores_out(gemm(graph, "v"), input[0])
}

/// `torch.nn.MultiheadAttention` with constant shapes, as the newer exporter writes them: -1 or the batch size.
fn multihead_with_fixed_shapes(input: &[Dim; 4], side: i64) -> Vec<u8> {
    let swap = [ints("perm", &[1, 0, 2])];
    let graph = tokens(convolution(TinyGraph::new(17), input))
        .node("Transpose", &["tokens"], &["turned"], &swap)
        .shape("heads_shape", &[24, if side < 0 { -1 } else { side * 2 }, C / 2])
        .weight("w_v", &[C, C])
        .node("MatMul", &["turned", "w_v"], &["projected_values"], &[])
        .node("Reshape", &["projected_values", "heads_shape"], &["heads_of"], &[])
        .node("Transpose", &["heads_of"], &["values"], &swap)
        .node("Transpose", &["values"], &["keys"], &[ints("perm", &[0, 2, 1])])
        .weight("query", &[1, 1, C / 2])
        .node("MatMul", &["query", "keys"], &["products"], &[])
        .node("Softmax", &["products"], &["weights"], &[int("axis", -1)])
        .node("MatMul", &["weights", "values"], &["heads"], &[])
        .node("Transpose", &["heads"], &["heads_t"], &swap)
        .shape("rows_shape", &[side, C])
        .node("Reshape", &["heads_t", "rows_shape"], &["rows"], &[])
        .weight("w_out", &[C, C])
        .node("Gemm", &["rows", "w_out"], &["projected"], &[])
        .shape("sequence_shape", &[1, side, C])
        .node("Reshape", &["projected", "sequence_shape"], &["first_axis"], &[])
        .node("Transpose", &["first_axis"], &["back"], &swap)
        .scalar("zero", 0)
        .node("Gather", &["back", "zero"], &["v"], &[int("axis", 1)]);
    scores_out(gemm(graph, "v"), input[0])
}

#[test]
fn attention_with_a_learned_query_uses_the_value_of_each_cell() {
    for (side, batch) in [(-1, Free), (1, Fixed(1)), (2, Fixed(2))] {
        let model = multihead_with_fixed_shapes(&[batch, Fixed(3), Fixed(32), Fixed(48)], side);
        let folder = tempfile::tempdir().unwrap();
        let description = describe(folder.path(), &model, &[]).expect(0).json();
        assert_eq!(description["verification"]["linear_head"], false, "{side}");
    }
    for (name, model) in attention_poolings(&SHAPES[1].1) {
        let folder = tempfile::tempdir().unwrap();
        let description = describe(folder.path(), &model, &["--flip-average"]).expect(0).json();
        let verification = &description["verification"];
        assert_eq!(
            (&verification["linear_head"], &description["map_size"]),
            (&false.into(), &serde_json::json!([4, 6])),
            "{name}"
        );
        assert!(number(&verification["max_cell_error"]) < 1e-4, "{name}: {verification}");
        assert!(number(&verification["max_mean_error"]) > 1e-4, "{name}: {verification}");
        let rewrite = description["rewrite"].to_string();
        assert!(rewrite.contains("attention pooling") && rewrite.contains("not linear"), "{name}: {rewrite}");
    }
}

#[test]
fn onnx_runtime_operators_in_heads_are_supported() {
    let ours = "com.microsoft";
    let pooled = || backbone(17).node("GlobalAveragePool", &["f"], &["p"], &[]).node("Flatten", &["p"], &["v"], &[]);
    let cases = [
        ("FusedMatMul", true, {
            let graph = pooled().weight("w", &[CLASSES, C]);
            graph.node_of(ours, "FusedMatMul", &["v", "w"], &["scores"], &[int("transB", 1), float("alpha", 0.5)])
        }),
        ("Gelu", false, gemm(pooled().node_of(ours, "Gelu", &["v"], &["g"], &[]), "g")),
        ("BiasGelu", false, gemm(pooled().weight("b", &[C]).node_of(ours, "BiasGelu", &["v", "b"], &["g"], &[]), "g")),
        ("QuickGelu", false, gemm(pooled().node_of(ours, "QuickGelu", &["v"], &["g"], &[float("alpha", 1.7)]), "g")),
        ("FusedGemm", false, {
            let graph = pooled().weight("w", &[C, C]).weight("b", &[C]);
            let attributes = [int("transB", 1), text("activation", "Relu")];
            gemm(graph.node_of(ours, "FusedGemm", &["v", "w", "b"], &["g"], &attributes), "g")
        }),
        ("FusedConv", false, {
            let graph = backbone(17).node("GlobalAveragePool", &["f"], &["p"], &[]).weight("w", &[C, C, 1, 1]);
            let attributes = [ints("kernel_shape", &[1, 1]), text("activation", "Relu")];
            let graph = graph.node_of(ours, "FusedConv", &["p", "w"], &["c"], &attributes);
            gemm(graph.node("Flatten", &["c"], &["g"], &[]), "g")
        }),
        ("SkipLayerNormalization", false, {
            let graph = pooled().weight("scale", &[C]).shape("one", &[1]).node("Unsqueeze", &["v", "one"], &["u"], &[]);
            let graph = graph.node("Neg", &["u"], &["skip"], &[]).node("Abs", &["skip"], &["s"], &[]);
            let norm = ["u", "s", "scale"];
            let graph = graph.node_of(ours, "SkipLayerNormalization", &norm, &["n"], &[float("epsilon", 1e-5)]);
            gemm(graph.node("Squeeze", &["n", "one"], &["g"], &[]), "g")
        }),
        ("SimplifiedLayerNormalization", false, {
            let graph = pooled().weight("scale", &[C]);
            gemm(graph.node("SimplifiedLayerNormalization", &["v", "scale"], &["g"], &[int("axis", -1)]), "g")
        }),
        ("Einsum", true, {
            let graph = pooled().weight("w", &[CLASSES, C]);
            graph.node("Einsum", &["v", "w"], &["scores"], &[text("equation", "bc, kc -> bk")])
        }),
        ("LpNormalization", false, gemm(pooled().node("LpNormalization", &["v"], &["g"], &[int("axis", 1)]), "g")),
        ("Expand to a shape of the input", true, {
            let graph = pooled()
                .node("Shape", &["x"], &["sides"], &[])
                .shape("at0", &[0])
                .shape("c", &[C])
                .node("Gather", &["sides", "at0"], &["count"], &[int("axis", 0)])
                .node("Concat", &["count", "c"], &["rows"], &[int("axis", 0)])
                .weight("shift", &[1, C])
                .node("Expand", &["shift", "rows"], &["shifts"], &[])
                .node("Add", &["v", "shifts"], &["moved"], &[])
                .node("ConstantOfShape", &["rows"], &["zeros"], &[])
                .node("Add", &["moved", "zeros"], &["g"], &[]);
            gemm(graph, "g")
        }),
        ("Expand of the pooled vector", true, {
            let graph = pooled()
                .node("Shape", &["x"], &["count"], &[int("start", 0), int("end", 1)])
                .shape("c", &[C])
                .shape("one", &[1])
                .node("ReduceSum", &["v", "one"], &["sum"], &[int("keepdims", 1)])
                .node("Concat", &["count", "c"], &["rows"], &[int("axis", 0)])
                .node("Expand", &["sum", "rows"], &["g"], &[]);
            gemm(graph, "g")
        }),
    ];
    for (name, linear, graph) in cases {
        let folder = tempfile::tempdir().unwrap();
        let model = graph.output("scores", &[Free, Fixed(CLASSES)]).finish_with(&[(ours, 1)], &[]);
        let description = describe(folder.path(), &model, &[]).expect(0).json();
        let verification = &description["verification"];
        assert_eq!(verification["linear_head"], linear, "{name}");
        assert!(number(&verification["max_cell_error"]) < 1e-4, "{name}: {verification}");
    }
    let einsum = |equation: &str| {
        let graph = pooled().weight("w", &[CLASSES, C]);
        scores_out(graph.node("Einsum", &["v", "w"], &["scores"], &[text("equation", equation)]), Free)
    };
    assert!(check_onnx(einsum("bc,kc->kb")).unwrap_err().contains("mixes vectors"));
}

#[test]
fn refusals_name_what_is_pooled_instead() {
    let sequence = || with_class_token(backbone(17));
    let token = |graph: TinyGraph, of: &str, to: &str| {
        graph.scalar(&format!("{to}_at"), 0).node("Gather", &[of, &format!("{to}_at")], &[to], &[int("axis", 1)])
    };
    let mean = |graph: TinyGraph, of: &str, to: &str| {
        graph.node("ReduceMean", &[of], &[to], &[ints("axes", &[1]), int("keepdims", 0)])
    };
    let both = |graph: TinyGraph| graph.node("Add", &["a", "b"], &["v"], &[]);
    let cases = [
        ("a class token that is averaged alone (CvT)", "class token", {
            let graph = sequence().shape("sizes", &[1, 24]).node(
                "Split",
                &["sequence", "sizes"],
                &["first", "others"],
                &[int("axis", 1)],
            );
            mean(graph, "first", "v")
        }),
        ("class tokens of two scales (CrossViT, CoaT)", "class token", {
            let graph = sequence().node("Relu", &["sequence"], &["other_scale"], &[]);
            both(token(token(graph, "sequence", "a"), "other_scale", "b"))
        }),
        ("a class token with a norm after it (an older ViT)", "class token", {
            let graph = token(sequence(), "sequence", "t").node(
                "ReduceMean",
                &["t"],
                &["m"],
                &[ints("axes", &[-1]), int("keepdims", 1)],
            );
            graph.node("Sub", &["t", "m"], &["v"], &[])
        }),
        (
            "means of two maps (EfficientViM, CrossViT with mean pooling)",
            "averages 2 feature maps and joins the means",
            {
                let graph = tokens(backbone(17)).node("Tanh", &["tokens"], &["other_scale"], &[]);
                both(mean(mean(graph, "tokens", "a"), "other_scale", "b"))
            },
        ),
        ("attention over tokens with positions", "positions are added just before", {
            let graph = tokens(backbone(17))
                .weight("positions", &[1, 24, C])
                .node("Add", &["tokens", "positions"], &["positioned"], &[])
                .weight("query", &[1, 1, C])
                .node("Transpose", &["positioned"], &["keys"], &[ints("perm", &[0, 2, 1])])
                .node("MatMul", &["query", "keys"], &["products"], &[])
                .node("Softmax", &["products"], &["weights"], &[int("axis", -1)])
                .node("MatMul", &["weights", "positioned"], &["one"], &[]);
            token(graph, "one", "v")
        }),
        (
            "attention whose query is the mean (CLIP's ResNets)",
            "whose query is not known to be a single learned vector",
            {
                let graph = tokens(backbone(17))
                    .node("ReduceMean", &["tokens"], &["mean"], &[ints("axes", &[1]), int("keepdims", 1)])
                    .node("Concat", &["mean", "tokens"], &["all"], &[int("axis", 1)])
                    .node("Transpose", &["all"], &["keys"], &[ints("perm", &[0, 2, 1])])
                    .node("MatMul", &["all", "keys"], &["products"], &[])
                    .node("Softmax", &["products"], &["weights"], &[int("axis", -1)])
                    .node("MatMul", &["weights", "all"], &["mixed"], &[]);
                token(graph, "mixed", "v")
            },
        ),
    ];
    for (name, text, graph) in cases {
        let refusal = check_onnx(scores_out(gemm(graph, "v"), Free)).expect_err(name);
        assert!(refusal.contains(text) && !refusal.contains("VGG"), "{name}: {refusal}");
    }
}
