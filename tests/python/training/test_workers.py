"""Worker processes, threads and pickling: fork, spawn and forkserver, and the interpreter's lock."""

import multiprocessing
import pickle
import sys
import threading

import numpy as np
import pytest
import torch
from harness import run_python
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import relabel.torch as rt

# A spawned worker needs seconds to load PyTorch: one is enough. Those of the fork server share one copy.
WORKERS = {"fork": 2, "spawn": 1, "forkserver": 2}
TRANSFORM = v2.Compose([v2.RandomResizedCrop(32), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_return_what_one_process_returns(photographs, labels, context):
    # Pooling before the workers start: they must survive what it leaves in the process.
    labels.pool(np.arange(24).repeat(4), [[0, 0, 1, 1]] * 96, threads=4)
    data = rt.LabelMapDataset(ImageFolder(photographs, TRANSFORM), labels, return_box=True)
    loader = DataLoader(data, batch_size=6, num_workers=WORKERS[context], multiprocessing_context=context, timeout=120)
    batches = list(loader)
    assert sum(len(images) for images, _, _ in batches) == 24
    for number, (_, targets, boxes) in enumerate(batches):
        expected = labels.pool(np.arange(number * 6, number * 6 + 6), boxes)
        assert np.array_equal(targets.numpy(), expected)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_collate_with_cutmix_by_region(photographs, labels, context):
    data = rt.CropDataset(ImageFolder(photographs, TRANSFORM), labels)
    collate = rt.PoolCollate(data, cutmix=rt.CutMix(region=True))
    loader = DataLoader(
        data, 6, num_workers=WORKERS[context], collate_fn=collate, multiprocessing_context=context, timeout=120
    )
    for images, targets in loader:
        assert images.shape == (6, 3, 32, 32)
        assert torch.allclose(targets.sum(1), torch.ones(6), atol=1e-5)


def pool_many(labels, queue):
    queue.put(labels.pool(np.arange(24).repeat(4), [[0, 0, 1, 1]] * 96, threads=4).sum())


def test_a_fork_after_pooling_with_threads_pools_with_threads(labels):
    expected = labels.pool(np.arange(24).repeat(4), [[0, 0, 1, 1]] * 96, threads=4).sum()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=pool_many, args=(labels, queue))
    child.start()
    assert queue.get(timeout=60) == expected
    child.join(60)
    assert child.exitcode == 0


def test_pickled_labels_open_their_store_again(labels):
    again = pickle.loads(pickle.dumps(labels))
    assert np.array_equal(again.pool([3], [[0, 0, 1, 1]]), labels.pool([3], [[0, 0, 1, 1]]))


def test_a_worker_uses_one_thread(monkeypatch):
    from relabel import labels as module

    assert module.default_threads() >= 1
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: object())
    assert module.default_threads() == 1


def test_pooling_releases_the_interpreters_lock(labels):
    """With a switch interval longer than the call, another thread runs only if the lock is released."""
    ran, done = [], threading.Event()
    rows, boxes = np.arange(24).repeat(400), np.tile(np.float32([[0, 0, 1, 1]]), (9600, 1))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(100)
    try:
        started = threading.Event()

        def other():
            started.set()
            while not done.is_set():
                ran.append(1)
                done.wait(0.001)

        thread = threading.Thread(target=other)
        thread.start()
        started.wait()
        before = len(ran)
        labels.pool(rows, boxes, threads=1)
        after = len(ran)
        done.set()
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert after > before + 2


def test_the_package_does_not_import_torch():
    code = "import relabel, sys; print('torch' in sys.modules); assert relabel.__version__"
    assert run_python("-c", code).stdout.strip() == "False"
