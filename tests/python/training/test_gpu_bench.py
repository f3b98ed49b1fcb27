"""The benchmarks of `scripts/gpu`, on the processor, with a small network and a few photographs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import GOLDEN, PROGRAM, REPOSITORY

GPU_SCRIPTS = REPOSITORY / "scripts/gpu"
PHOTOGRAPHS = 12
SIDE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the scripts find below target/gpu: a teacher with random weights and photographs."""
    root = tmp_path_factory.mktemp("gpu")
    (root / "teachers").mkdir()
    (root / "photos").mkdir()
    samples = sorted((GOLDEN / "images/photos").iterdir())
    for number in range(PHOTOGRAPHS):
        shutil.copy(samples[number % len(samples)], root / "photos" / f"{number:02}.JPEG")
    out = root / "teachers/resnet18.fp32.onnx"
    script(root, "../export_teacher.py", "resnet18", "--random-weights", "--fixed", "--input-size", SIDE, "-o", out)
    return root


def script(folder: Path, name: str, *words: object, code: int = 0) -> subprocess.CompletedProcess:
    """Runs one of the scripts and expects its exit code."""
    environment = os.environ | {"RELABEL_GPU_FOLDER": str(folder), "RELABEL": str(PROGRAM)}
    environment.setdefault("VIRTUAL_ENV", str(REPOSITORY / ".venv"))
    command = [sys.executable, str(GPU_SCRIPTS / name), *map(str, words)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran


def rows(folder: Path, part: str) -> dict[str, dict]:
    """The rows that a part has saved, by what they say."""
    saved = json.loads((folder / "results" / f"{part}-resnet18.fp32.json").read_text())
    assert saved["part"] == f"{part}-resnet18.fp32"
    return {row["what"]: row for row in saved["rows"]}


def has_bare(folder: Path) -> bool:
    """Whether the bare session's benchmark is built: `make test` builds none."""
    code = "import machine; machine.bare()"
    ran = subprocess.run([sys.executable, "-c", code], cwd=GPU_SCRIPTS, capture_output=True, text=True)
    return ran.returncode == 0


def test_pytorch_gives_the_label_maps_of_the_store(folder):
    store, maps, photos = folder / "labels", folder / "maps", folder / "photos"
    teacher = folder / "teachers/resnet18.fp32.onnx"
    common = ["--input-size", SIDE, "--batch", 5]
    label = [PROGRAM, "run", "--teacher", teacher, "--in", photos, "--out", store, *common, "--shard-size", 5]
    environment = os.environ | {"VIRTUAL_ENV": str(REPOSITORY / ".venv")}
    subprocess.run(list(map(str, label)), check=True, env=environment, cwd=REPOSITORY, capture_output=True)
    words = [
        "end-to-end", "--model", "resnet18", *common, "--precision", "fp32", "--in", photos, "--out", maps,
        "--device", "cpu", "--no-compile", "--workers", 1, "--json",
    ]  # fmt: skip
    said = json.loads(script(folder, "peer.py", *words).stdout)
    assert said["images"] == PHOTOGRAPHS
    assert 0 < said["images_per_s"] < 1e6 and 0 < said["steady_images_per_s"] < 1e6

    compare = ["compare", "--store", store, "--pt", maps, "--in", photos, "--json"]
    said = json.loads(script(folder, "peer.py", *compare).stdout)
    assert said["images"] == PHOTOGRAPHS
    assert said["clear_cells"] > PHOTOGRAPHS and said["distinct_classes"] > 1
    assert said["clear_agree"] > 0.99, said
    assert said["best_score_apart"] < 0.01 * said["largest_score"], said

    # Another photograph's maps are noticed.
    shutil.copy(maps / "00.pt", maps / "01.pt")
    worse = json.loads(script(folder, "peer.py", *compare).stdout)
    assert worse["best_score_apart"] > 10 * said["best_score_apart"]


def test_a_folder_with_other_files_is_not_emptied(folder):
    words = [
        "end-to-end", "--model", "resnet18", "--device", "cpu", "--no-compile", "--precision", "fp32",
        "--in", folder / "photos", "--out", folder / "photos",
    ]  # fmt: skip
    ran = script(folder, "peer.py", *words, code=1)
    assert "is no label map" in ran.stderr
    assert len(list((folder / "photos").iterdir())) == PHOTOGRAPHS


def test_multiply_adds_are_those_of_the_literature(folder):
    words = ["flops", "--model", "resnet18", "--size", 224, "--precision", "fp32", "--batch", 1, "--json"]
    said = json.loads(script(folder, "ceiling.py", *words).stdout)
    # 1.814 billion with the head once; here it is applied to 49 cells.
    assert said["macs"] == pytest.approx(1.814e9 + 48 * 512_000, rel=0.002)
    assert said["kinds"]["linear"]["macs"] == 49 * 512_000
    assert said["bytes"] > 4 * 11.6e6


def test_whole_runs_are_held_against_the_session_alone(folder):
    words = ["end-to-end", "--teacher", "resnet18.fp32", "--device", "cpu", "--images", PHOTOGRAPHS, "--batch", 4]
    built = has_bare(folder)
    ran = script(folder, "bench.py", *words, "--repeats", 1, "--threads", 2, code=0 if built else 1)
    saved = rows(folder, "end-to-end")
    if not built:
        assert saved["end-to-end"]["value"] == "failed"
        assert "cargo build --release --bench bare" in saved["end-to-end"]["note"]
        pytest.skip("the bare session's benchmark is not built: cargo build --release --bench bare")
    assert 0 < saved["whole run over bare session"]["value"] < 10
    assert saved["whole run over bare session"]["target"] == "≥ 0.9"
    assert 0 < saved["relabel, whole run"]["value"] < 1e5
    assert 10 < saved["label maps on disk"]["value"] < 10_000
    assert 0 < saved["all cores of the machine, busy with anything"]["value"] <= 1
    assert "whole run over bare session" in ran.stdout


def test_what_is_missing_is_said(folder):
    ran = script(folder, "bench.py", "end-to-end", "--teacher", "resnet18.fp16", "--device", "cpu", code=1)
    assert "make it with scripts/gpu/teachers resnet18.fp16" in ran.stderr
    assert "one device" in script(folder, "bench.py", "knobs", "--teacher", "x", "--device", "cpu,cpu", code=2).stderr
