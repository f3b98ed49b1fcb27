"""Image folders and stores that several test modules share. Created once; tests must not change them."""

import multiprocessing
import shutil
from pathlib import Path

import harness
import pytest
from harness import GOLDEN, PHOTOGRAPHS, label

import relabel

harness.isolate_environment()
# PyTorch takes seconds to load. Workers of the fork server then share one copy.
multiprocessing.set_forkserver_preload(["relabel.torch"])


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """An ImageFolder of 24 readable photographs in two classes."""
    root = tmp_path_factory.mktemp("photographs")
    names = ["chelsea.JPEG", "coffee.JPEG", "rocket.JPEG", "astronaut.JPEG"]
    for folder_class in ["n02123045", "n07920052"]:
        (root / folder_class).mkdir()
        for number in range(12):
            target = root / folder_class / f"{folder_class}_{number}.JPEG"
            shutil.copy(PHOTOGRAPHS / names[number % len(names)], target)
    return root


@pytest.fixture(scope="session")
def store(photographs, tmp_path_factory) -> Path:
    """Label maps of the photographs, in shards of five images."""
    return label(photographs, tmp_path_factory.mktemp("stores") / "labels", "--shard-size", 5)


@pytest.fixture(scope="session")
def golden_store(tmp_path_factory) -> Path:
    """Label maps of the golden images with log-sum-exp; five of the images are damaged on purpose."""
    return label(GOLDEN / "images", tmp_path_factory.mktemp("stores") / "golden", "--with-lse", code=3)


@pytest.fixture
def labels(store) -> relabel.Labels:
    return relabel.open(store)


@pytest.fixture
def golden_labels(golden_store) -> relabel.Labels:
    return relabel.open(golden_store)
