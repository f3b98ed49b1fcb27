"""`scripts/export_teacher.py`: what it exports of each library, and what its cards record. All networks are tiny."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY, run_relabel

sys.path.insert(0, str(REPOSITORY / "scripts"))
import export_teacher  # noqa: E402


def export(monkeypatch, capsys, *words: object, code: int = 0) -> str:
    """Runs the exporter in this process, which has PyTorch loaded, and returns what it printed on stderr."""
    monkeypatch.setattr(sys, "argv", ["export_teacher.py", *map(str, words)])
    found = export_teacher.main()
    printed = capsys.readouterr()
    assert found == code, printed.out + printed.err
    return printed.err


def card_of(path: Path) -> dict:
    return tomllib.loads(path.with_suffix(".toml").read_text())


def test_a_network_that_learns_its_size_when_it_is_made_is_made_for_it(monkeypatch, capsys, tmp_path):
    out = tmp_path / "maxvit.onnx"
    export(monkeypatch, capsys, "test_maxvit", "--random-weights", "--input-size", "96x160", "--exporter", "legacy", "-o", out)
    assert card_of(out)["input_size"] == [96, 160]
    seen = json.loads(run_relabel("teacher", out, "--json").stdout)
    assert seen["map_size"] == [3, 5]


def test_a_size_that_a_network_cannot_take_is_refused(monkeypatch, capsys, tmp_path):
    words = ["test_maxvit", "--random-weights", "--input-size", "100x101", "-o", tmp_path / "net.onnx"]
    reason = export(monkeypatch, capsys, *words, code=1)
    assert "100x101 pixels" in reason and "Traceback" not in reason
    assert list(tmp_path.iterdir()) == []


def test_the_auxiliary_head_of_volo_gives_the_scores_of_each_token():
    from timm.models.volo import VOLO

    torch.manual_seed(0)
    network = VOLO(
        layers=(1, 1, 1, 1), img_size=(32, 64), num_classes=5, stem_hidden_dim=8, embed_dims=(8, 16, 16, 16),
        num_heads=(1, 1, 1, 1), mlp_ratio=2,
    ).eval()  # fmt: skip
    module = export_teacher.auxiliary_head(network, (32, 64))
    pixels = torch.randn(2, 3, 32, 64)
    with torch.no_grad():
        scores = module(pixels)
        tokens = network.forward_features(pixels)[:, 1:]
        expected = network.aux_head(tokens[:, 1 * 4 + 3])
    assert scores.shape == (2, 5, 2, 4)
    torch.testing.assert_close(scores[:, :, 1, 3], expected)


@pytest.fixture(scope="module")
def small_resnet(tmp_path_factory) -> Path:
    """A classifier of three classes as `save_pretrained` writes it, and its image processor."""
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


def test_a_classifier_of_transformers_is_exported_with_its_processor_and_its_classes(monkeypatch, capsys, tmp_path, small_resnet):
    out = tmp_path / "net.onnx"
    export(monkeypatch, capsys, f"transformers:{small_resnet}", "-o", out)
    card = card_of(out)
    assert card["name"] == "small-resnet"
    assert card["input_size"] == [96, 96]
    assert card["filter"] == "bicubic"
    assert card["mean"] == pytest.approx([0.485, 0.456, 0.406], abs=1e-5)
    assert card["std"] == pytest.approx([0.229, 0.224, 0.225], abs=1e-5)
    assert (tmp_path / card["classes"]).read_text().splitlines() == ["cat", "dog", "crane"]
    assert str(small_resnet.parent) not in out.with_suffix(".toml").read_text()
    seen = json.loads(run_relabel("teacher", out, "--top-k", 3, "--json").stdout)
    assert seen["classes"] == 3 and seen["verification"]["linear_head"]


@pytest.mark.parametrize(
    ("settings", "order", "mean", "std"),
    [
        # MobileViT swaps the channels and leaves the values between 0 and 1.
        ({"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True}, "bgr", [0, 0, 0], [1, 1, 1]),
        # EfficientNet divides by the deviation twice.
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
def test_what_an_image_processor_does_is_measured(tmp_path, settings, order, mean, std):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    feeding = export_teacher.transformers_feeding(str(tmp_path), needed=True)
    assert feeding.channel_order == order
    assert feeding.mean == pytest.approx(mean, abs=1e-4)
    assert feeding.std == pytest.approx(std, abs=1e-4)


def test_weights_without_an_image_processor_are_refused(monkeypatch, capsys, tmp_path, small_resnet):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((small_resnet / name).read_bytes())
    reason = export(monkeypatch, capsys, f"transformers:{bare}", "-o", tmp_path / "net.onnx", code=1)
    assert "preprocessor_config.json" in reason


def test_attention_pooling_that_knows_places_is_refused(monkeypatch, capsys, tmp_path):
    words = ["resnet50_clip", "--random-weights", "--num-classes", 3, "--input-size", 64, "-o", tmp_path / "net.onnx"]
    assert "attention that knows where each cell is" in export(monkeypatch, capsys, *words, code=1)


def test_the_list_of_networks_can_be_read():
    ran = subprocess.run(
        [sys.executable, REPOSITORY / "scripts/network_table.py", "--help"], capture_output=True, text=True, check=True
    )
    assert "--relabel" in ran.stdout
    import network_table

    networks = network_table.read_list(network_table.LIST)
    keys = [network.key for network in networks]
    assert len(keys) == len(set(keys)) > 200
    assert {network.library for network in networks} == {"timm", "torchvision", "transformers"}
