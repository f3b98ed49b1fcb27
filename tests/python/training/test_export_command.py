"""`relabel export-teacher` as a command: results, refusals, exit codes and signals."""

import hashlib
import importlib.util
import json
import signal
import subprocess
import sys
import time

import pytest
from export_command import export
from harness import run_python

from relabel.export_teacher import NetworkOptions, create_classifier

SMALL = ["test_resnet", "--random-weights", "--input-size", "64", "--fixed"]


def test_json_is_the_only_thing_on_stdout(tmp_path):
    out = tmp_path / "net.onnx"
    completed = export("--random-weights", "--input-size=64", f"--out={out}", "--json", "--", "test_resnet")
    document = json.loads(completed.stdout)
    assert document["file"] == str(out)
    assert document["card"] == str(out.with_suffix(".toml"))
    assert (document["exporter"], document["opset"], document["precision"]) == ("legacy", 17, "float32")
    assert document["input_size"] == [64, 64]
    assert len(document["sizes_tested"]) == 2
    assert document["max_difference"] < 1e-4 * document["max_score"]
    assert document["bytes"] == out.stat().st_size
    assert document["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert "relabel: exporting test_resnet: legacy exporter, opset 17" in completed.stderr


def test_the_result_names_the_next_command_and_quiet_hides_the_rest(tmp_path):
    out = tmp_path / "net.onnx"
    completed = export(*SMALL, "--quiet", "-o", out)
    assert completed.stdout.startswith(f"{out} (legacy exporter, opset 17, fixed height and width, ")
    assert completed.stdout.endswith(f"next: relabel teacher {out}\n")
    assert completed.stderr == ""


def test_existing_files_are_overwritten_only_with_force(tmp_path):
    out = tmp_path / "net.onnx"
    for path in [out.with_suffix(".toml"), out.with_name("net.onnx.data")]:
        path.write_text("mine")
    reason = export(*SMALL, "-o", out, code=2).stderr
    assert "net.onnx.data: the file exists\n  help: pass another --out, or --force" in reason
    assert out.with_suffix(".toml").read_text() == "mine"
    document = json.loads(export(*SMALL, "-o", out, "--force", "--json").stdout)
    assert document["external_data"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "net.toml"]


REFUSED = [
    (["resnet18"], 2, "required: -o"),
    (["resnet18", "-o", "net.pth"], 2, "must end in .onnx"),
    (["resnet18", "-o", "net.onnx", "--num-classes", "12"], 2, "published weights have a fixed number of classes"),
    (["resnet18", "-o", "net.onnx", "--input-size", "224x0"], 2, "'0' is not a positive integer"),
    (["torchvision:resnet18", "-o", "net.onnx", "--global-pool", "avg"], 2, "only timm networks offer a choice of pooling"),
    (["resnet18", "-o", "none/net.onnx"], 2, "folder none not found"),
    (["resnet18", "-o", "net.onnx", "--checkpoint", "gone.pth"], 2, "gone.pth: file not found"),
]


def test_invalid_exports_are_refused_before_pytorch_is_imported():
    script = (
        "import json, sys\n"
        "from relabel.export_teacher.command import main\n"
        "for args in json.loads(sys.argv[1]): print(main(args), flush=True)\n"
        "print(*(name for name in sys.modules if name in ('torch', 'timm', 'onnx')), 'nothing else')\n"
    )
    completed = run_python("-c", script, json.dumps([args for args, _, _ in REFUSED]))
    assert completed.stdout.splitlines() == [*(str(code) for _, code, _ in REFUSED), "nothing else"]
    messages = completed.stderr.split("relabel: ")[1:]
    for (args, _, reason), message in zip(REFUSED, messages, strict=True):
        assert reason in message, f"{args}: {message}"
    with_json = json.loads(export(*REFUSED[1][0], "--json", code=2).stdout)
    assert "must end in .onnx\n  help:" in with_json["error"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnet999", "cannot export resnet999: timm has no image classifier of this name\n  help: similar names: resnet"),
        ("torchvision:resnet19", "torchvision has no image classifier of this name\n  help: similar names: torchvision:resnet"),
        ("torchvision:resnet18.NONE", "torchvision has no weights NONE for resnet18\n  help: use one of IMAGENET1K_V1"),
        ("transformers:swinv2", "it is a type of network, without weights"),
        ("torchvision:vgg11", "it feeds the entire map to its first linear layer, so its cells have no scores"),
    ],
)
def test_networks_that_cannot_be_exported_are_wrong_usage(tmp_path, name, reason):
    weights = ["--random-weights"] if "vgg" in name or "resnet" in name else []
    stderr = export(name, *weights, "-o", tmp_path / "net.onnx", code=2).stderr
    assert reason in stderr
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named_with_the_command_that_installs_them(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("timm", "onnxscript") else found(name))
    stderr = export("resnet18", "-o", tmp_path / "net.onnx", code=1).stderr
    assert "lacks timm and onnxscript" in stderr
    assert "extras [cpu,export], or the packages: pip install torch torchvision timm onnx onnxscript onnxruntime\n" in stderr
    stderr = export("transformers:swinv2", "-o", tmp_path / "net.onnx", code=1).stderr
    assert "onnxruntime transformers\n" in stderr


def test_downloads_that_fail_may_be_repeated(tmp_path, monkeypatch):
    import timm

    def offline(*_args, **_kwargs):
        raise OSError("Temporary failure in name resolution")

    monkeypatch.setattr(timm, "create_model", offline)
    stderr = export("resnet18", "-o", tmp_path / "net.onnx", code=1).stderr
    assert "cannot download the weights of resnet18: Temporary failure in name resolution\n  help:" in stderr


def test_files_that_differ_from_pytorch_are_not_kept(tmp_path, monkeypatch):
    from relabel.export_teacher import exporting

    monkeypatch.setitem(exporting.TOLERANCE, "float32", -1.0)
    stderr = export(*SMALL, "--exporter", "legacy", "-o", tmp_path / "net.onnx", code=1).stderr
    assert "no exporter reproduces PyTorch's scores; nothing was written:\n  legacy exporter, opset 17" in stderr
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_must_match_the_network(tmp_path):
    import torch

    weights = tmp_path / "mine.pth"
    options = NetworkOptions("test_resnet", random_weights=True, num_classes=3)
    torch.save(create_classifier(options).module.state_dict(), weights)
    args = ["test_resnet", "--checkpoint", weights, "--num-classes", 4, "-o", tmp_path / "net.onnx"]
    stderr = export(*args, code=2).stderr
    assert "it does not match the network: " in stderr
    assert "help: check --num-classes" in stderr


# Runs the command with a `write_graph` that prints that it began, and then behaves as named.
STUCK = """
import sys, time
from relabel.export_teacher import exporting
from relabel.export_teacher.command import main

def write_graph(module, size, attempt, external_data, path):
    path.write_bytes(b"half a file")
    print("began", file=sys.stderr, flush=True)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            if sys.argv[1] == "raises":
                raise

exporting.write_graph = write_graph
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(("library", "number"), [("raises", signal.SIGINT), ("discards", signal.SIGTERM)])
def test_an_interrupted_export_leaves_nothing_behind(tmp_path, library, number):
    command = [sys.executable, "-c", STUCK, library, *SMALL, "--json", "-o", tmp_path / "net.onnx"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while (line := process.stderr.readline()) != "began\n":
        assert line, process.communicate()
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    sent = time.monotonic()
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - sent < 10
    assert json.loads(stdout)["error"] == "interrupted; nothing was written"
    assert list(tmp_path.iterdir()) == []
