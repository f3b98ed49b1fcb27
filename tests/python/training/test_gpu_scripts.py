"""The scripts of scripts/gpu, as far as they run without a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from harness import GOLDEN, REPOSITORY, label, run_python

GPU = REPOSITORY / "scripts/gpu"
sys.path.insert(0, str(GPU))

import results  # noqa: E402
import runs  # noqa: E402
import stores  # noqa: E402
from results import Row  # noqa: E402


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder of the scripts' files."""
    path = tmp_path / "gpu"
    monkeypatch.setenv("RELABEL_GPU_FOLDER", str(path))
    return path


def script(name: str, *args: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess:
    """Runs a script and expects its exit code."""
    return run_python(GPU / name, *args, code=code, **environment)


def saved(folder: Path, part: str) -> list[dict]:
    return json.loads((folder / f"results/{part}.json").read_text())["rows"]


def test_the_bare_session_finds_cudas_libraries(folder, monkeypatch):
    installed = folder / "onnxruntime/nvidia/cu13/lib"
    installed.mkdir(parents=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/mine")
    found = runs.library_path().split(os.pathsep)
    assert found[0] == "/mine" and str(installed) in found


def test_photographs_depend_only_on_seed_and_index(folder):
    def make(name: str, *args: object) -> dict[str, bytes]:
        script("photos.py", "--out", folder / name, *args)
        return {str(file.relative_to(folder / name)): file.read_bytes() for file in (folder / name).rglob("*.JPEG")}

    first = make("one", "--images", 30, "--processes", 1)
    assert len(first) == 30 and len({Path(name).parent for name in first}) == 2
    assert 70_000 < np.mean([len(photograph) for photograph in first.values()]) < 150_000
    assert make("two", "--images", 12, "--processes", 2).items() <= first.items()
    assert make("two", "--images", 30) == first, "a smaller set is extended"
    other = make("other", "--images", 4, "--seed", 2)
    assert not set(other.values()) & set(first.values())
    assert "was made with" in script("photos.py", "--out", folder / "one", "--seed", 2, code=1).stderr


def test_checks_pass_on_the_cpu_and_save_their_rows(folder):
    script("check.py", "golden", "refusals", "--device", "cpu")
    golden, refusals = saved(folder, "check-golden"), saved(folder, "check-refusals")
    assert [row["met"] for row in golden] == [True, True]
    assert "1,078 cells" in golden[0]["note"]
    refused = [row for row in refusals if row["value"] == "refused"]
    assert len(refused) >= 2 and all(row["met"] and "cannot be used" in row["note"] for row in refused)
    assert str(REPOSITORY) not in json.dumps(refusals)


def test_a_check_that_fails_to_run_is_not_met(folder):
    ran = script("check.py", "golden", code=1, RELABEL="no-such-program")
    (row,) = saved(folder, "check-golden")
    assert row["met"] is False and "no-such-program" in row["note"]
    assert "MISSED" in ran.stdout
    script("check.py", "golde", code=2)


def test_stores_are_read_as_zarr_python_reads_them(golden_store):
    ours, theirs = stores.read(golden_store), zarr.open_group(golden_store, mode="r")
    assert np.array_equal(ours.scores, theirs["scores"][:].astype(np.float32))
    assert np.array_equal(ours.classes, theirs["classes"][:])


def test_different_labels_are_detected(golden_store, tmp_path):
    other = tmp_path / "other"
    label(GOLDEN / "images", other, "--mean", "0.4,0.4,0.4", code=3)
    found = stores.compare(other, golden_store, gap=0.01)
    assert found.other_class_beyond_gap > 10 and found.share_of_largest_score > 1e-3
    assert "scores/c.0.0.0.0" in stores.different_files(other, golden_store)
    assert stores.compare(golden_store, golden_store, gap=0.01).other_class == 0


def test_the_table_lists_met_missed_and_unmeasured_targets(folder):
    script("table.py", code=1)
    rows = [Row("relabel end to end", 500.0, "images/s"), Row("relabel | bare", 0.8, "", ">= 0.90", False)]
    results.save("end-to-end-resnet50.fp16", [*rows, Row("size", 2000.0, "bytes/image")])
    results.save("check-golden", [Row("cells", 0, "cells", "0", True), Row("more", "not checked", note="no network")])
    printed = script("table.py", "--price", 2).stdout
    assert "1 met, 1 missed, 1 not measured." in printed
    assert "* missed: end-to-end-resnet50.fp16: relabel | bare: 0.8 , not >= 0.90" in printed
    assert "* not measured: check-golden: more (no network)" in printed
    assert "| resnet50.fp16 | 500 | 0.71 | EUR 1.42 | 2.6 GB |" in printed
    assert "| resnet50.fp32 | not measured | | | |" in printed
    assert "relabel \\| bare" in printed
