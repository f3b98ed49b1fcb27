"""The scripts of scripts/gpu, as far as they go without a GPU: everything but what a GPU says."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from conftest import GOLDEN, PROGRAM, REPOSITORY, TEACHER, run_relabel

GPU = REPOSITORY / "scripts/gpu"
sys.path.insert(0, str(GPU))

import results  # noqa: E402
import runs  # noqa: E402
import stores  # noqa: E402
from results import Row  # noqa: E402


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where the scripts put what they make."""
    made = tmp_path / "gpu"
    monkeypatch.setenv("RELABEL_GPU_FOLDER", str(made))
    return made


def script(name: str, *words: object, code: int = 0, **environment: str) -> subprocess.CompletedProcess:
    """Runs a script and expects its exit code."""
    there = {"RELABEL": str(PROGRAM), "VIRTUAL_ENV": str(REPOSITORY / ".venv")}
    ran = subprocess.run(
        [sys.executable, GPU / name, *map(str, words)],
        capture_output=True,
        text=True,
        env=there | os.environ | environment,
        cwd=REPOSITORY,
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran


def saved(folder: Path, part: str) -> list[dict]:
    return json.loads((folder / f"results/{part}.json").read_text())["rows"]


@pytest.fixture
def packed(tmp_path) -> dict[str, bytes]:
    """What a wheel brings, with a part that is not carried; bytes that do not compress."""
    dice = np.random.default_rng(5)
    files = {
        "onnxruntime/capi/libonnxruntime.so.1.0": dice.bytes(90_000),
        "onnxruntime/capi/libonnxruntime_providers_cuda.so": dice.bytes(200_000),
        "onnxruntime/capi/libonnxruntime_providers_tensorrt.so": b"not carried",
        "onnxruntime/__init__.py": b"not carried",
        "nvidia/cu13/lib/libcurand.so.10": dice.bytes(70_000),
    }
    with zipfile.ZipFile(tmp_path / "made.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return {name: content for name, content in files.items() if content != b"not carried"}


def test_pieces_give_the_files_again_as_they_come(folder, packed, tmp_path):
    programs = {"RELABEL": shutil.which("true"), "RELABEL_BARE": shutil.which("false")}
    pieces, there = folder / "pieces", tmp_path / "there"
    script("pieces", "pack", tmp_path / "made.whl", "--piece-mib", 0.1, **programs)
    names = sorted(piece.name for piece in pieces.glob("*.piece"))
    assert len(names) >= 4
    assert max(piece.stat().st_size for piece in pieces.iterdir()) <= 0.1 * 2**20

    came = tmp_path / "came"
    came.mkdir()
    unpack = ["--folder", came, "unpack", "--into", there]
    assert "pieces.json is not there" in script("pieces", *unpack, code=1).stderr
    for name in ["pieces.json", names[0], names[-1]]:
        shutil.copy(pieces / name, came)
    said = script("pieces", *unpack, code=1).stderr
    assert f"{names[1]} is missing" in said and names[0] not in said
    assert os.access(there / "bin/relabel", os.X_OK)
    assert not (there / "onnxruntime/onnxruntime/capi/libonnxruntime_providers_cuda.so").exists()

    for name in names[1:-1]:
        shutil.copy(pieces / name, came)
    damaged = bytearray((came / names[1]).read_bytes())
    damaged[100] ^= 1
    (came / names[1]).write_bytes(damaged)
    assert f"{names[1]} is damaged" in script("pieces", *unpack, code=1).stderr

    shutil.copy(pieces / names[1], came)
    script("pieces", *unpack)
    assert {str(file.relative_to(there / "onnxruntime")): file.read_bytes() for file in there.rglob("*.so*")} == packed
    assert script("pieces", *unpack).stdout == "", "what is there is not unpacked again"


def test_the_bare_session_is_told_where_cudas_libraries_lie(folder, monkeypatch):
    brought = folder / "onnxruntime/nvidia/cu13/lib"
    brought.mkdir(parents=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/mine")
    there = runs.library_path().split(os.pathsep)
    assert there[0] == "/mine" and str(brought) in there


def test_photographs_depend_on_the_seed_and_their_number_alone(folder):
    def make(name: str, *words: object) -> dict[str, bytes]:
        script("photos.py", "--out", folder / name, *words)
        return {str(file.relative_to(folder / name)): file.read_bytes() for file in (folder / name).rglob("*.JPEG")}

    first = make("one", "--images", 30, "--processes", 1)
    assert len(first) == 30 and len({Path(name).parent for name in first}) == 2
    assert 70_000 < np.mean([len(photograph) for photograph in first.values()]) < 150_000
    assert make("two", "--images", 12, "--processes", 2).items() <= first.items()
    assert make("two", "--images", 30) == first, "a smaller set is added to"
    other = make("other", "--images", 4, "--seed", 2)
    assert not set(other.values()) & set(first.values())
    assert "made with" in script("photos.py", "--out", folder / "one", "--seed", 2, code=1).stderr


def test_checks_hold_on_the_processor_and_keep_their_rows(folder):
    script("check.py", "golden", "refusals", "--device", "cpu")
    golden, refusals = saved(folder, "check-golden"), saved(folder, "check-refusals")
    assert [row["met"] for row in golden] == [True, True]
    assert "1,078 cells" in golden[0]["note"]
    asked = [row for row in refusals if row["value"] == "refused"]
    assert len(asked) >= 2 and all(row["met"] and "cannot be used" in row["note"] for row in asked)
    assert str(REPOSITORY) not in json.dumps(refusals)


def test_a_check_that_cannot_be_run_is_not_met(folder):
    ran = script("check.py", "golden", code=1, RELABEL="no-such-program")
    (row,) = saved(folder, "check-golden")
    assert row["met"] is False and "no-such-program" in row["note"]
    assert "MISSED" in ran.stdout
    script("check.py", "golde", code=2)


def test_stores_are_read_as_zarr_reads_them(golden_store):
    ours, theirs = stores.read(golden_store), zarr.open_group(golden_store, mode="r")
    assert np.array_equal(ours.scores, theirs["scores"][:].astype(np.float32))
    assert np.array_equal(ours.classes, theirs["classes"][:])


def test_other_labels_are_found_to_be_others(golden_store, tmp_path):
    other = tmp_path / "other"
    words = ["--teacher", TEACHER, "--in", GOLDEN / "images", "--out", other, "--mean", "0.4,0.4,0.4"]
    run_relabel("run", *words, code=3)
    found = stores.compare(other, golden_store, gap=0.01)
    assert found.other_class_beyond_gap > 10 and found.share_of_largest_score > 1e-3
    assert "scores/c.0.0.0.0" in stores.different_files(other, golden_store)
    assert stores.compare(golden_store, golden_store, gap=0.01).other_class == 0


def test_the_table_says_what_was_met_missed_and_not_measured(folder):
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
