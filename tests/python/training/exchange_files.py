"""Published files as their programs wrote them, and the commands that convert them."""

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from harness import run_relabel
from torchvision.ops import roi_align

from relabel.exchange import command

FOLDERS = ["n01440764", "n01443537", "n02123045"]


def relabel(*args: object, code: int = 0) -> subprocess.CompletedProcess:
    """Runs a command and expects its exit code.

    ``import`` and ``export`` run in this process: the program would start another Python, which needs seconds to load PyTorch.
    ``test_exchange_process.py`` runs both through the program.
    """
    if args[0] not in ("import", "export"):
        return run_relabel(*args, code=code)
    words = list(map(str, args))
    with captured(1) as stdout, captured(2) as stderr:
        found = command.main(words)
    completed = subprocess.CompletedProcess(words, found, stdout.read_text(), stderr.read_text())
    stdout.unlink()
    stderr.unlink()
    assert found == code, f"exit code {found}\n{completed.stdout}\n{completed.stderr}"
    return completed


@contextlib.contextmanager
def captured(descriptor: int) -> Iterator[Path]:
    """Redirects a file descriptor of this process to a file."""
    kept = os.dup(descriptor)
    target, path = tempfile.mkstemp()
    os.dup2(target, descriptor)
    os.close(target)
    try:
        yield Path(path)
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


def relabel_json(*args: object, code: int = 0) -> dict:
    """Runs a command with ``--json`` and returns its document."""
    return json.loads(relabel(*args, "--json", code=code).stdout)


def dense_maps(count, size=(15, 15), classes=1000, seed=0):
    """Yields score maps, float32 `[class, y, x]`, that are smooth over the image and have no symmetry."""
    numbers = torch.Generator().manual_seed(seed)
    for _ in range(count):
        coarse = torch.randn(1, classes, 4, 4, generator=numbers) * 3 + 2
        yield torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=True)[0]


def path_of(number, count):
    """Returns the path of file `number` of `count` below the folder."""
    folder = FOLDERS[number * len(FOLDERS) // count]
    return f"{folder}/{folder}_{number:04}.pt"


def write_naver(folder, count, k=5, **maps):
    """Writes files of Re-labeling ImageNet, `[2, k, h, w]` float32, and returns the tensors by path."""
    tensors = {}
    for number, dense in enumerate(dense_maps(count, **maps)):
        scores, ids = dense.topk(k, dim=0)
        tensors[path_of(number, count)] = torch.stack([scores, ids.float()])
    return save(folder, tensors)


def write_token_labeling(folder, count, k=5, **maps):
    """Writes files of TokenLabeling and returns the tensors by path: float16, top-k over the last axis, then permuted, so
    not contiguous."""
    tensors = {}
    for number, dense in enumerate(dense_maps(count, **maps)):
        scores, ids = dense.permute(1, 2, 0).topk(k)
        tensors[path_of(number, count)] = torch.stack([scores.half(), ids.half()]).permute(0, 3, 1, 2)
    return save(folder, tensors)


def save(folder, tensors):
    """Writes one file per tensor."""
    for path, tensor in tensors.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(tensor, folder / path)
    return tensors


def densify(tensor, classes=1000):
    """Returns the dense map `[class, y, x]`, 0 for classes outside a cell's top-k."""
    scores, ids = tensor.float()
    return torch.zeros(classes, *scores.shape[1:]).scatter_(0, ids.long(), scores)


def pooled(tensor, box, classes=1000, convention="relabel"):
    """Pools a published file over a box `x0, y0, x1, y1` with torchvision.

    The public readers pass y before x and scale all four numbers by the width.
    """
    dense = densify(tensor, classes)
    height, width = dense.shape[1:]
    x0, y0, x1, y1 = box
    corners = [x0 * width, y0 * height, x1 * width, y1 * height]
    if convention == "naver":
        corners = [y0 * width, x0 * width, y1 * width, x1 * width]
    boxes = torch.tensor([[0, *(corner - 0.5 for corner in corners)]], dtype=torch.float32)
    return roi_align(dense[None], boxes, (1, 1)).flatten().softmax(0).numpy()


def store_bytes(store):
    """Returns the bytes of every file that labels depend on, by path."""
    ignored = {".locks", ".seen", ".staging", "runs"}
    files = (path for path in sorted(Path(store).rglob("*")) if path.is_file())
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in files
        if not ignored & set(path.relative_to(store).parts)
    }


def random_boxes(count, seed):
    """Returns boxes inside the image, float32 `[count, 4]`."""
    corners = np.sort(np.random.default_rng(seed).random((count, 2, 2)), axis=1)
    return np.concatenate([corners[:, 0], corners[:, 1] + 0.01], axis=1).astype(np.float32)
