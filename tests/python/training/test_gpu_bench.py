"""The benchmarks of `scripts/gpu` on the CPU, with a small network and a few photographs."""

import json
import os
import shutil
from pathlib import Path
from unittest import mock

import pytest
from harness import GOLDEN, REPOSITORY, call_main, load_script, run_python, run_relabel

GPU_SCRIPTS = REPOSITORY / "scripts/gpu"
PHOTOGRAPHS = 12
SIDE = 64

peer = load_script(GPU_SCRIPTS / "peer.py")
ceiling = load_script(GPU_SCRIPTS / "ceiling.py")
export_teacher = load_script(REPOSITORY / "scripts/export_teacher.py")


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory) -> Path:
    """The folder of the scripts' files (target/gpu): a teacher with random weights and photographs."""
    root = tmp_path_factory.mktemp("gpu")
    (root / "teachers").mkdir()
    (root / "photos").mkdir()
    samples = sorted((GOLDEN / "images/photos").iterdir())
    for number in range(PHOTOGRAPHS):
        shutil.copy(samples[number % len(samples)], root / "photos" / f"{number:02}.JPEG")
    out = root / "teachers/resnet18.fp32.onnx"
    call_main(export_teacher, "resnet18", "--random-weights", "--fixed", "--input-size", SIDE, "-o", out)
    with mock.patch.dict(os.environ, {"RELABEL_GPU_FOLDER": str(root)}):
        yield root


def rows(folder: Path, part: str) -> dict[str, dict]:
    """Returns the saved rows of a part by what they measure."""
    saved = json.loads((folder / "results" / f"{part}-resnet18.fp32.json").read_text())
    assert saved["part"] == f"{part}-resnet18.fp32"
    return {row["what"]: row for row in saved["rows"]}


def has_bare() -> bool:
    """Whether the benchmark of the bare session is built."""
    import machine

    try:
        machine.bare()
    except machine.Missing:
        return False
    return True


def test_pytorch_computes_the_label_maps_of_the_store(folder):
    store, maps, photos = folder / "labels", folder / "maps", folder / "photos"
    teacher = folder / "teachers/resnet18.fp32.onnx"
    common = ["--input-size", SIDE, "--batch", 5]
    run_relabel("run", "--teacher", teacher, "--in", photos, "--out", store, *common, "--shard-size", 5)
    args = [
        "end-to-end", "--model", "resnet18", *common, "--precision", "fp32", "--in", photos, "--out", maps,
        "--device", "cpu", "--no-compile", "--workers", 1, "--json",
    ]  # fmt: skip
    measured = json.loads(call_main(peer, *args).stdout)
    assert measured["images"] == PHOTOGRAPHS
    assert 0 < measured["images_per_s"] < 1e6 and 0 < measured["steady_images_per_s"] < 1e6

    compare = ["compare", "--store", store, "--pt", maps, "--in", photos, "--json"]
    compared = json.loads(call_main(peer, *compare).stdout)
    assert compared["images"] == PHOTOGRAPHS
    assert compared["clear_cells"] > PHOTOGRAPHS and compared["distinct_classes"] > 1
    assert compared["clear_agree"] > 0.99, compared
    assert compared["best_score_apart"] < 0.01 * compared["largest_score"], compared

    # Label maps of another photograph are detected.
    shutil.copy(maps / "00.pt", maps / "01.pt")
    worse = json.loads(call_main(peer, *compare).stdout)
    assert worse["best_score_apart"] > 10 * compared["best_score_apart"]


def test_a_folder_with_other_files_is_not_emptied(folder):
    args = [
        "end-to-end", "--model", "resnet18", "--device", "cpu", "--no-compile", "--precision", "fp32",
        "--in", folder / "photos", "--out", folder / "photos",
    ]  # fmt: skip
    assert "is not a label map" in call_main(peer, *args, code=1).stderr
    assert len(list((folder / "photos").iterdir())) == PHOTOGRAPHS


def test_multiply_adds_are_those_of_the_literature():
    args = ["flops", "--model", "resnet18", "--size", 224, "--precision", "fp32", "--batch", 1, "--json"]
    counted = json.loads(call_main(ceiling, *args).stdout)
    # 1.814 billion with the head applied once; here it is applied to 49 cells.
    assert counted["macs"] == pytest.approx(1.814e9 + 48 * 512_000, rel=0.002)
    assert counted["kinds"]["linear"]["macs"] == 49 * 512_000
    assert counted["bytes"] > 4 * 11.6e6


def test_runs_are_compared_with_the_bare_session(folder):
    args = ["end-to-end", "--teacher", "resnet18.fp32", "--device", "cpu", "--images", PHOTOGRAPHS, "--batch", 4]
    built = has_bare()
    ran = run_python(GPU_SCRIPTS / "bench.py", *args, "--repeats", 1, "--threads", 2, code=0 if built else 1)
    saved = rows(folder, "end-to-end")
    if not built:
        assert saved["end-to-end"]["value"] == "failed"
        assert "cargo build --release --bench bare" in saved["end-to-end"]["note"]
        pytest.skip("the benchmark of the bare session is not built: cargo build --release --bench bare")
    assert 0 < saved["complete run over bare session"]["value"] < 10
    assert saved["complete run over bare session"]["target"] == "≥ 0.9"
    assert 0 < saved["relabel, complete run"]["value"] < 1e5
    assert 10 < saved["label maps on disk"]["value"] < 10_000
    assert 0 < saved["all cores of the machine, including other programs"]["value"] <= 1
    assert "complete run over bare session" in ran.stdout


def test_missing_teachers_and_several_devices_are_refused():
    ran = run_python(GPU_SCRIPTS / "bench.py", "end-to-end", "--teacher", "resnet18.fp16", "--device", "cpu", code=1)
    assert "make it with scripts/gpu/teachers resnet18.fp16" in ran.stderr
    args = ["knobs", "--teacher", "x", "--device", "cpu,cpu"]
    assert "one device" in run_python(GPU_SCRIPTS / "bench.py", *args, code=2).stderr
