"""Settings and the release that several test modules share."""

from pathlib import Path

import pytest
import torch
from harness import run_relabel
from loop_spy import LoopSpy
from release_files import HOSTILE_NAME

# The networks of the tests are tiny: on busy cores, several threads wait for each other longer than they compute.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def release(golden_store, tmp_path_factory) -> Path:
    """A release of the golden images' store."""
    target = tmp_path_factory.mktemp("published") / "release"
    args = ["publish", golden_store, "--to", target, "--license", "CC-BY-4.0", "--name", HOSTILE_NAME]
    run_relabel(*args, "--source-dataset", "me/photographs", "--hub-repo", "me/cats")
    return target


@pytest.fixture
def spy(monkeypatch):
    """Records what a training loop trains on."""
    return LoopSpy(monkeypatch)
