"""The peers and the measurements of `scripts/bench` on the CPU, with a small network and a few photographs."""

import json
import os
import shutil
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from harness import GOLDEN, PROGRAM, REPOSITORY, TEACHER, run_relabel

from relabel.export_teacher.command import main as export_teacher

sys.path.insert(0, str(REPOSITORY / "scripts"))

from bench import command, machine, stores

PHOTOGRAPHS = 12
SIDE = 64


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory) -> Path:
    """The folder of all generated files, with a teacher with random weights and photographs."""
    root = tmp_path_factory.mktemp("bench")
    (root / "teachers").mkdir()
    (root / "photographs").mkdir()
    samples = sorted((GOLDEN / "images/photos").iterdir())
    for number in range(PHOTOGRAPHS):
        shutil.copy(samples[number % len(samples)], root / "photographs" / f"{number:02}.JPEG")
    out = root / "teachers/resnet18.fp32.onnx"
    assert export_teacher(["resnet18", "--random-weights", "--fixed", "--input-size", str(SIDE), "-o", str(out)]) == 0
    with mock.patch.dict(os.environ, {"RELABEL_BENCH_FOLDER": str(root), "RELABEL": str(PROGRAM)}):
        yield root


@pytest.fixture
def bench(capsys):
    """Runs a command in this process, expects its exit code, and returns its stdout and stderr."""

    def run(*args: object, code: int = 0) -> tuple[str, str]:
        try:
            found = command.main(list(map(str, args)))
        except SystemExit as exit_:
            found = 1 if isinstance(exit_.code, str) else exit_.code
            print(exit_.code, file=sys.stderr)
        printed = capsys.readouterr()
        assert found == code, printed
        return printed.out, printed.err

    return run


def rows(folder: Path, part: str) -> dict[str, dict]:
    """Returns the saved rows of a part by what they measure."""
    saved = json.loads((folder / "results" / f"{part}-resnet18.fp32.json").read_text())
    assert saved["part"] == f"{part}-resnet18.fp32"
    return {row["what"]: row for row in saved["rows"]}


def has_bare() -> bool:
    """Whether the benchmark of the bare session is built."""
    try:
        machine.bare()
    except machine.NoBare:
        return False
    return True


def test_pytorch_computes_the_label_maps_of_the_store(folder, bench):
    store, maps, photographs = folder / "labels", folder / "maps", folder / "photographs"
    teacher = folder / "teachers/resnet18.fp32.onnx"
    common = ["--input-size", SIDE, "--batch", 5]
    run_relabel("run", "--teacher", teacher, "--in", photographs, "--out", store, *common, "--shard-size", 5)
    args = [
        "torch", "--model", "resnet18", *common, "--precision", "fp32", "--in", photographs, "--out", maps,
        "--device", "cpu", "--compile", "none", "--workers", 1, "--network-images", 5,
    ]  # fmt: skip
    measured = json.loads(bench("peer", *args)[0])
    assert measured["images"] == PHOTOGRAPHS
    assert 0 < measured["images_per_s"] < 1e6
    assert 0 < measured["steady_images_per_s"] < 1e6
    assert 0 < measured["network_images_per_s"][0] < 1e6

    compare = ["compare", "--store", store, "--pt", maps, "--in", photographs]
    compared = json.loads(bench("peer", *compare)[0])
    assert compared["images"] == PHOTOGRAPHS
    assert compared["clear_cells"] > PHOTOGRAPHS
    assert compared["distinct_classes"] > 1
    assert compared["clear_agree"] > 0.99, compared
    assert compared["best_score_apart"] < 0.01 * compared["largest_score"], compared

    # Label maps of another photograph are detected.
    shutil.copy(maps / "00.pt", maps / "01.pt")
    worse = json.loads(bench("peer", *compare)[0])
    assert worse["best_score_apart"] > 10 * compared["best_score_apart"]


def test_onnx_runtime_computes_the_label_maps_of_the_store(folder, bench):
    store, maps, photographs = folder / "lite0", folder / "lite0.maps", folder / "photographs"
    run_relabel("run", "--teacher", TEACHER, "--in", photographs, "--out", store, "--input-size", SIDE)
    args = ["--in", photographs, "--out", maps, "--input-size", SIDE, "--batch", 5, "--workers", 2]
    measured = json.loads(bench("peer", "onnx", "--teacher", TEACHER, *args)[0])
    assert measured["images"] == PHOTOGRAPHS
    ours = stores.read(store)
    theirs = np.stack([np.load(file) for file in sorted(maps.iterdir())])
    assert np.abs(theirs[:, 0, 0] - ours.scores[:, 0]).max() < 0.05 * np.abs(ours.scores).max()
    assert (theirs[:, 1, 0] == ours.classes[:, 0]).mean() > 0.9


def test_a_folder_with_other_files_is_not_emptied(folder, bench):
    photographs = folder / "photographs"
    args = ["--model", "resnet18", "--device", "cpu", "--compile", "none", "--in", photographs, "--out", photographs]
    assert "is not a label map" in bench("peer", "torch", *args, code=1)[1]
    assert len(list(photographs.iterdir())) == PHOTOGRAPHS


def test_multiply_adds_are_those_of_the_literature(bench):
    args = ["--model", "resnet18", "--size", 224, "--precision", "fp32", "--batch", 1]
    counted = json.loads(bench("ceiling", *args)[0])
    # 1.814 billion with the head applied once; here it is applied to 49 cells.
    assert counted["macs"] == pytest.approx(1.814e9 + 48 * 512_000, rel=0.002)
    assert counted["kinds"]["linear"]["macs"] == 49 * 512_000
    assert counted["bytes"] > 4 * 11.6e6


def test_runs_are_compared_with_the_bare_session(folder, bench):
    args = ["--teacher", "resnet18.fp32", "--device", "cpu", "--images", PHOTOGRAPHS, "--batch", 4, "--repeats", 1]
    printed, _ = bench("measure", "end-to-end", *args, "--threads", 2)
    saved = rows(folder, "end-to-end")
    assert 0 < saved["relabel, complete run"]["value"] < 1e5
    assert 10 < saved["label maps on disk"]["value"] < 10_000
    assert 0 < saved["all cores of the machine, including other programs"]["value"] <= 1
    if not has_bare():
        pytest.skip("the benchmark of the bare session is not built: cargo bench --bench bare --no-run")
    assert 0 < saved["complete run over bare session"]["value"] < 10
    assert saved["complete run over bare session"]["target"] == "≥ 0.9"
    assert "complete run over bare session" in printed


def test_rows_of_the_bare_session_are_skipped_without_it(folder, bench):
    args = ["--teacher", "resnet18.fp32", "--device", "cpu", "--images", PHOTOGRAPHS, "--batch", 4, "--repeats", 1]
    with mock.patch.dict(os.environ, {"RELABEL_BARE": "no-such-program"}):
        bench("measure", "end-to-end", *args)
        bench("measure", "ceiling", *args)
    saved = rows(folder, "end-to-end")
    assert saved["relabel, complete run"]["value"] > 0
    assert saved["bare session"]["value"] == "not measured"
    assert "cargo bench --bench bare" in saved["bare session"]["note"]
    assert rows(folder, "ceiling")["ceiling"]["value"] == "not measured"


def test_missing_teachers_and_several_devices_are_refused(bench):
    args = ["end-to-end", "--teacher", "resnet18.fp16", "--device", "cpu"]
    assert "make it with `scripts/bench teachers resnet18.fp16`" in bench("measure", *args, code=1)[1]
    assert "one device" in bench("measure", "knobs", "--teacher", "x", "--device", "cpu,cpu", code=2)[1]
