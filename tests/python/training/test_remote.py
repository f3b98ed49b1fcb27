"""Stores read over the network: the labels of the folder, in one process and in workers, with and without copies."""

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel
import relabel.torch as rt

SERVER = Path(__file__).resolve().parents[1] / "server.py"


@pytest.fixture
def serve():
    """Starts a web server over a folder; gives its address."""
    started = []

    def start(folder, *words):
        server = subprocess.Popen([sys.executable, SERVER, "folder", folder, *words], stdout=subprocess.PIPE, text=True)
        started.append(server)
        return f"http://127.0.0.1:{server.stdout.readline().strip()}"

    yield start
    for server in started:
        server.kill()
        server.wait()


def test_labels_over_the_network_are_those_of_the_folder(store, labels, serve, tmp_path):
    boxes = np.random.default_rng(1).uniform(0, 0.5, (24, 4)) + [0, 0, 0.5, 0.5]
    wanted = labels.pool(np.arange(24), boxes)
    for words in [[], ["--no-ranges"]]:
        address = serve(store, *words)
        for cache in [tmp_path / "cache", tmp_path / "cache", False]:
            remote = relabel.open(address, cache=cache)
            assert np.array_equal(remote.pool(np.arange(24), boxes, threads=4), wanted)
            assert remote.ids() == labels.ids() and remote.info == labels.info
            assert remote.labelled().all() and remote.failed() == {}
            assert repr(remote).startswith(f"relabel.open('{address}')")
    copies = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    # Five shards' files of scores, classes, image_probs; the manifest; a plain store has no list of its small files.
    assert len(copies) == 11 and all(len(path.name) == 64 for path in copies)


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_read_over_the_network(photographs, store, labels, serve, tmp_path, context):
    remote = relabel.open(serve(store), cache=tmp_path / "cache")
    # Connections that the process has before its workers are made are not theirs.
    remote.pool(np.arange(24).repeat(4), [[0, 0, 1, 1]] * 96, threads=4)
    transform = v2.Compose([rt.RandomResizedCrop(32), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    data = rt.LabelMapDataset(ImageFolder(photographs, transform), remote)
    loader = DataLoader(data, batch_size=6, num_workers=2, multiprocessing_context=context, timeout=120)
    for number, (_, targets, boxes) in enumerate(loader):
        wanted = labels.pool(np.arange(number * 6, number * 6 + 6), boxes)
        assert np.array_equal(targets.numpy(), wanted)
    # And the process itself goes on.
    assert remote.pool([0], [[0, 0, 1, 1]]).shape == (1, 1000)


def test_pickled_labels_hold_no_credentials(store, serve, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_secret_of_the_tests")
    remote = relabel.open(serve(store), cache=tmp_path / "cache")
    pickled = pickle.dumps(remote)
    assert b"hf_secret" not in pickled
    assert pickle.loads(pickled).cache == tmp_path / "cache"


def test_the_hubs_addresses_are_understood(store, serve, monkeypatch, tmp_path):
    release = tmp_path / "hub/datasets/me/maps/resolve/main"
    release.parent.mkdir(parents=True)
    release.symlink_to(store)
    # The server gives nothing outside of its folder, where links lead.
    monkeypatch.setenv("HF_ENDPOINT", serve(Path("/")) + str(tmp_path / "hub"))
    assert len(relabel.open("hf://datasets/me/maps", cache=False)) == 24
    with pytest.raises(relabel.StoreError, match="not a store"):
        relabel.open("hf://datasets/me/other", cache=False)


def test_the_folder_for_copies(store, serve, monkeypatch, tmp_path):
    monkeypatch.setenv("RELABEL_CACHE", str(tmp_path / "mine"))
    relabel.open(serve(store)).ids()
    assert any((tmp_path / "mine").rglob("*"))
    monkeypatch.delenv("RELABEL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    relabel.open(serve(store)).ids()
    assert os.listdir(tmp_path / "caches") == ["relabel"]


def test_what_cannot_be_reached_says_so(serve, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(OSError, match=": cannot read the file: "):
        relabel.open(nowhere)
    with pytest.raises(relabel.StoreError, match="it has no zarr.json"):
        relabel.open(serve(tmp_path))
    with pytest.raises(ValueError, match="relabel supports s3://"):
        relabel.open("ftp://host/labels")
