"""Stores and photographs for the tests of the training side."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import relabel

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = REPOSITORY / "target/release/relabel"
TEACHER = REPOSITORY / "models/efficientnet-lite0.onnx"
GOLDEN = REPOSITORY / "tests/data/golden"


def run_relabel(*words: object, code: int = 0) -> subprocess.CompletedProcess:
    """Runs the program and expects its exit code."""
    environment = os.environ | {"VIRTUAL_ENV": str(REPOSITORY / ".venv")}
    ran = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, env=environment, cwd=REPOSITORY)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """An ImageFolder of 24 good photographs in two classes, under names of their own."""
    root = tmp_path_factory.mktemp("photographs")
    names = ["chelsea.JPEG", "coffee.JPEG", "rocket.JPEG", "astronaut.JPEG"]
    for label in ["n02123045", "n07920052"]:
        (root / label).mkdir()
        for number in range(12):
            source = GOLDEN / "images/photos" / names[number % len(names)]
            shutil.copy(source, root / label / f"{label}_{number}.JPEG")
    return root


@pytest.fixture(scope="session")
def store(photographs, tmp_path_factory) -> Path:
    """Label maps of the photographs."""
    out = tmp_path_factory.mktemp("stores") / "labels"
    run_relabel("run", "--teacher", TEACHER, "--in", photographs, "--out", out, "--shard-size", 5)
    return out


@pytest.fixture(scope="session")
def golden_store(tmp_path_factory) -> Path:
    """Label maps of the golden images with log-sum-exp; five of the images are broken on purpose."""
    out = tmp_path_factory.mktemp("stores") / "golden"
    run_relabel("run", "--teacher", TEACHER, "--in", GOLDEN / "images", "--out", out, "--with-lse", code=3)
    return out


@pytest.fixture
def labels(store) -> relabel.Labels:
    return relabel.open(store)


@pytest.fixture
def golden_labels(golden_store) -> relabel.Labels:
    return relabel.open(golden_store)
