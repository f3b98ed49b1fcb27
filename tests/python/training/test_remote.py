"""Stores read over HTTP, in this process and in workers, with and without a cache."""

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import REPOSITORY
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel
import relabel.torch as rt

SERVER = REPOSITORY / "tests/python/server.py"


@pytest.fixture
def serve():
    """Returns a function that starts a web server over a folder and returns its URL."""
    started = []

    def start(folder, *args):
        server = subprocess.Popen([sys.executable, SERVER, "folder", folder, *args], stdout=subprocess.PIPE, text=True)
        started.append(server)
        return f"http://127.0.0.1:{server.stdout.readline().strip()}"

    yield start
    for server in started:
        server.kill()
        server.wait()


def test_a_remote_store_equals_its_folder(store, labels, serve, tmp_path):
    boxes = np.random.default_rng(1).uniform(0, 0.5, (24, 4)) + [0, 0, 0.5, 0.5]
    expected = labels.pool(np.arange(24), boxes)
    for args in [[], ["--no-ranges"]]:
        url = serve(store, *args)
        for cache in [tmp_path / "cache", tmp_path / "cache", False]:
            remote = relabel.open(url, cache=cache)
            assert np.array_equal(remote.pool(np.arange(24), boxes, threads=4), expected)
            assert remote.ids() == labels.ids() and remote.info == labels.info
            assert remote.labelled().all() and remote.failed() == {}
            assert repr(remote).startswith(f"relabel.open('{url}')")
    copies = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    # The files of scores, classes and image_probs of five shards, and the manifest: an unpublished store has no list of
    # its small files.
    assert len(copies) == 11 and all(len(path.name) == 64 for path in copies)


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_read_a_remote_store(photographs, store, labels, serve, tmp_path, context):
    remote = relabel.open(serve(store), cache=tmp_path / "cache")
    # Workers must not share the connections that the process has opened.
    remote.pool(np.arange(24).repeat(4), [[0, 0, 1, 1]] * 96, threads=4)
    transform = v2.Compose([rt.RandomResizedCrop(32), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    data = rt.LabelMapDataset(ImageFolder(photographs, transform), remote, return_box=True)
    # A spawned worker needs seconds to load PyTorch: one is enough here.
    workers = 1 if context == "spawn" else 2
    loader = DataLoader(data, batch_size=6, num_workers=workers, multiprocessing_context=context, timeout=120)
    for number, (_, targets, boxes) in enumerate(loader):
        expected = labels.pool(np.arange(number * 6, number * 6 + 6), boxes)
        assert np.array_equal(targets.numpy(), expected)
    # The process itself still reads.
    assert remote.pool([0], [[0, 0, 1, 1]]).shape == (1, 1000)


def test_pickled_labels_contain_no_credentials(store, serve, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_the_tests")
    remote = relabel.open(serve(store), cache=tmp_path / "cache")
    pickled = pickle.dumps(remote)
    assert b"hf_secret" not in pickled
    assert pickle.loads(pickled).cache == tmp_path / "cache"


def test_hugging_face_urls_are_resolved(store, serve, monkeypatch, tmp_path):
    release = tmp_path / "hub/datasets/me/maps/resolve/main"
    release.parent.mkdir(parents=True)
    release.symlink_to(store)
    # The server does not follow links out of its folder, so it serves the root.
    monkeypatch.setenv("HF_ENDPOINT", serve(Path("/")) + str(tmp_path / "hub"))
    assert len(relabel.open("hf://datasets/me/maps", cache=False)) == 24
    with pytest.raises(relabel.StoreError, match="not a store"):
        relabel.open("hf://datasets/me/other", cache=False)


def test_the_default_cache_folder(store, serve, monkeypatch, tmp_path):
    monkeypatch.setenv("RELABEL_CACHE", str(tmp_path / "mine"))
    relabel.open(serve(store)).ids()
    assert any((tmp_path / "mine").rglob("*"))
    monkeypatch.delenv("RELABEL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    relabel.open(serve(store)).ids()
    assert os.listdir(tmp_path / "caches") == ["relabel"]


def test_unreachable_and_unknown_urls_are_errors(serve, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        unused = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(OSError, match=": cannot read the file: "):
        relabel.open(unused)
    with pytest.raises(relabel.StoreError, match="it has no zarr.json"):
        relabel.open(serve(tmp_path))
    with pytest.raises(ValueError, match="relabel supports s3://"):
        relabel.open("ftp://host/labels")
