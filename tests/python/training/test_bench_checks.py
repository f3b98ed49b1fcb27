"""The checks of `scripts/bench`, as far as they run without a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from harness import GOLDEN, PROGRAM, REPOSITORY, label, run_python

sys.path.insert(0, str(REPOSITORY / "scripts"))

from bench import stores
from bench.results import Report, Row


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """The folder of all generated files."""
    path = tmp_path / "bench"
    monkeypatch.setenv("RELABEL_BENCH_FOLDER", str(path))
    monkeypatch.setenv("RELABEL", str(PROGRAM))
    return path


def bench(*args: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess:
    """Runs a command and expects its exit code."""
    return run_python(REPOSITORY / "scripts/bench", *args, code=code, **environment)


def saved(folder: Path, part: str) -> list[dict]:
    return json.loads((folder / f"results/{part}.json").read_text())["rows"]


def test_photographs_depend_only_on_seed_and_index(folder):
    def make(name: str, *args: object) -> dict[str, bytes]:
        bench("photographs", "--out", folder / name, *args)
        return {str(file.relative_to(folder / name)): file.read_bytes() for file in (folder / name).rglob("*.JPEG")}

    first = make("one", "--images", 30, "--processes", 1)
    assert len(first) == 30
    assert len({Path(name).parent for name in first}) == 2
    assert 70_000 < np.mean([len(photograph) for photograph in first.values()]) < 150_000
    assert make("two", "--images", 12, "--processes", 2).items() <= first.items()
    assert make("two", "--images", 30) == first, "a smaller set is extended"
    other = make("other", "--images", 4, "--seed", 2)
    assert not set(other.values()) & set(first.values())
    assert "was made with" in bench("photographs", "--out", folder / "one", "--seed", 2, code=1).stderr


def test_checks_pass_on_the_cpu_and_save_their_rows(folder):
    bench("check", "golden", "refusals", "--device", "cpu")
    golden, refusals = saved(folder, "check-golden"), saved(folder, "check-refusals")
    assert [row["met"] for row in golden] == [True, True]
    assert "1,078 cells" in golden[0]["note"]
    refused = [row for row in refusals if row["value"] == "refused"]
    assert len(refused) >= 2
    assert all(row["met"] and "cannot be used" in row["note"] for row in refused)
    assert str(REPOSITORY) not in json.dumps(refusals)


def test_a_check_that_fails_to_run_is_not_met(folder):
    ran = bench("check", "golden", "--device", "cuda:99", code=1)
    (row,) = saved(folder, "check-golden")
    assert row["met"] is False
    assert "cannot be used" in row["note"]
    assert "golden" in ran.stdout
    assert "program not found: no-such-program" in bench("check", "golden", code=1, RELABEL="no-such-program").stderr
    bench("check", "golde", code=2)


def test_different_labels_are_detected(golden_store, tmp_path):
    other = tmp_path / "other"
    label(GOLDEN / "images", other, "--mean", "0.4,0.4,0.4", code=3)
    found = stores.compare(other, golden_store, gap=0.01)
    assert found.other_class_beyond_gap > 10
    assert found.share_of_largest_score > 1e-3
    assert "scores/c.0.0.0.0" in stores.different_files(other, golden_store)
    assert stores.compare(golden_store, golden_store, gap=0.01).other_class == 0


def test_the_table_lists_met_missed_and_unmeasured_targets():
    bench("table", code=1)
    rows = [Row("relabel end to end", 500.0, "images/s"), Row("relabel | bare", 0.8, "", ">= 0.90", False)]
    Report("end-to-end-resnet50.fp16").replace([*rows, Row("size", 2000.0, "bytes/image")])
    Report("check-golden").replace(
        [Row("cells", 0, "cells", "0", True), Row("more", "not checked", note="no network")]
    )
    Report("cpu-a").replace([Row("a part of another report", 1)])
    printed = bench("table", "--price", 2).stdout
    assert "1 met, 1 missed, 1 not measured." in printed
    assert "* missed: end-to-end-resnet50.fp16: relabel | bare: 0.8 , not >= 0.90" in printed
    assert "* not measured: check-golden: more (no network)" in printed
    assert "| resnet50.fp16 | 500 | 0.71 | EUR 1.42 | 2.6 GB |" in printed
    assert "| resnet50.fp32 | not measured |  |  |  |" in printed
    assert "relabel \\| bare" in printed
    assert "a part of another report" not in printed
