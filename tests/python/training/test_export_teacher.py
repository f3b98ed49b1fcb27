"""`relabel export-teacher`: exports from each library, and the content of the cards. All networks are tiny."""

import json
from pathlib import Path

import pytest
import tomllib
import torch
from export_command import export
from harness import REPOSITORY, call_main, load_script, run_relabel_json

from relabel.export_teacher import NetworkOptions, create_classifier
from relabel.export_teacher.image_processors import measured_preprocessing
from relabel.export_teacher.timm_networks import auxiliary_head


def card_of(path: Path) -> dict:
    return tomllib.loads(path.with_suffix(".toml").read_text())


def test_networks_with_the_size_in_the_constructor_are_created_for_it(tmp_path):
    out = tmp_path / "maxvit.onnx"
    export("test_maxvit", "--random-weights", "--input-size", "96x160", "--exporter", "legacy", "-o", out)
    assert card_of(out)["input_size"] == [96, 160]
    described = run_relabel_json("teacher", out)
    assert described["map_size"] == [3, 5]


def test_an_unsupported_size_is_refused(tmp_path):
    args = ["test_maxvit", "--random-weights", "--input-size", "100x101", "-o", tmp_path / "net.onnx"]
    reason = export(*args, code=2).stderr
    assert "100x101 pixels" in reason
    assert "Traceback" not in reason
    assert list(tmp_path.iterdir()) == []


def test_the_auxiliary_head_of_volo_returns_scores_of_each_token():
    from timm.models.volo import VOLO

    torch.manual_seed(0)
    network = VOLO(
        layers=(1, 1, 1, 1), img_size=(32, 64), num_classes=5, stem_hidden_dim=8, embed_dims=(8, 16, 16, 16),
        num_heads=(1, 1, 1, 1), mlp_ratio=2,
    ).eval()  # fmt: skip
    module = auxiliary_head(network, (32, 64))
    pixels = torch.randn(2, 3, 32, 64)
    with torch.no_grad():
        scores = module(pixels)
        tokens = network.forward_features(pixels)[:, 1:]
        expected = network.aux_head(tokens[:, 1 * 4 + 3])
    assert scores.shape == (2, 5, 2, 4)
    torch.testing.assert_close(scores[:, :, 1, 3], expected)


@pytest.fixture(scope="module")
def small_resnet(tmp_path_factory) -> Path:
    """A classifier of three classes, as `save_pretrained` writes it, with its image processor."""
    import transformers

    folder = tmp_path_factory.mktemp("transformers") / "small-resnet"
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic",
        id2label={0: "cat", 1: "dog", 2: "crane"},
    )  # fmt: skip
    transformers.ResNetForImageClassification(config).eval().save_pretrained(folder)
    settings = {
        "image_processor_type": "ConvNextImageProcessor", "do_resize": True, "size": {"shortest_edge": 96}, "crop_pct": 0.875,
        "resample": 3, "do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def test_transformers_classifiers_are_exported_with_their_processor_and_classes(tmp_path, small_resnet):
    out = tmp_path / "net.onnx"
    export(f"transformers:{small_resnet}", "-o", out)
    card = card_of(out)
    assert card["name"] == "small-resnet"
    assert card["input_size"] == [96, 96]
    assert card["filter"] == "bicubic"
    assert card["mean"] == pytest.approx([0.485, 0.456, 0.406], abs=1e-5)
    assert card["std"] == pytest.approx([0.229, 0.224, 0.225], abs=1e-5)
    assert (tmp_path / card["classes"]).read_text().splitlines() == ["cat", "dog", "crane"]
    assert str(small_resnet.parent) not in out.with_suffix(".toml").read_text()
    described = run_relabel_json("teacher", out, "--top-k", 3)
    assert described["classes"] == 3
    assert described["verification"]["linear_head"]


@pytest.mark.parametrize(
    ("settings", "order", "mean", "std"),
    [
        # MobileViT swaps the channels and does not normalise.
        ({"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True}, "bgr", [0, 0, 0], [1, 1, 1]),
        # EfficientNet divides by the standard deviation twice.
        (
            {
                "image_processor_type": "EfficientNetImageProcessor", "include_top": True, "do_center_crop": False,
                "image_mean": [0.4, 0.5, 0.6], "image_std": [0.5, 0.4, 0.2],
            },
            "rgb", [0.4, 0.5, 0.6], [0.25, 0.16, 0.04],
        ),
        ({"image_processor_type": "ViTImageProcessor", "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, "rgb", [0.5] * 3, [0.5] * 3),
    ],
)  # fmt: skip
def test_image_processors_are_measured(tmp_path, settings, order, mean, std):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    preprocessing = measured_preprocessing(str(tmp_path), needed=True)
    assert preprocessing.channel_order == order
    assert preprocessing.mean == pytest.approx(mean, abs=1e-4)
    assert preprocessing.std == pytest.approx(std, abs=1e-4)


def test_weights_without_an_image_processor_are_refused(tmp_path, small_resnet):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((small_resnet / name).read_bytes())
    reason = export(f"transformers:{bare}", "-o", tmp_path / "net.onnx", code=2).stderr
    assert "preprocessor_config.json" in reason


def test_attention_pooling_with_position_embeddings_is_refused(tmp_path):
    args = ["resnet50_clip", "--random-weights", "--num-classes", 3, "--input-size", 64, "-o", tmp_path / "net.onnx"]
    assert "attention with position embeddings" in export(*args, code=2).stderr


def test_random_weights_are_those_of_the_exported_file(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "net.onnx"
    export("torchvision:mobilenet_v3_small", "--random-weights", "--input-size", 64, "--fixed", "-o", out)
    classifier = create_classifier(NetworkOptions("torchvision:mobilenet_v3_small", random_weights=True, input_size=(64, 64)))
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = classifier.module(pixels)
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    torch.testing.assert_close(torch.tensor(session.run(None, {"input": pixels.numpy()})[0]), expected, atol=1e-5, rtol=1e-4)


def test_the_card_repeats_the_command_without_folders(tmp_path):
    torch.manual_seed(0)
    weights = tmp_path / "mine.pth"
    options = NetworkOptions("test_resnet", random_weights=True, num_classes=3, input_size=(64, 64))
    torch.save(create_classifier(options).module.state_dict(), weights)
    out = tmp_path / "net.onnx"
    settings = ["--num-classes", "3", "--input-size", "64x64", "--exporter", "legacy", "--fp16"]
    export("test_resnet", "--checkpoint", weights, *settings, "-o", out)
    card = card_of(out)
    command = ["relabel export-teacher test_resnet -o net.onnx --checkpoint mine.pth", *settings]
    assert card["export"] == " ".join(command)
    assert card["weights"] == "mine.pth"
    assert "licence" not in card
    assert str(tmp_path) not in out.with_suffix(".toml").read_text()


def test_the_list_of_networks_is_readable():
    network_table = load_script(REPOSITORY / "scripts/network_table.py")
    assert "--relabel" in call_main(network_table, "--help").stdout
    networks = network_table.read_list(network_table.LIST)
    keys = [network.key for network in networks]
    assert len(keys) == len(set(keys)) > 200
    assert {network.library for network in networks} == {"timm", "torchvision", "transformers"}
