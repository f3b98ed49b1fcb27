"""Published files as their programs wrote them, and what their readers make of them. Shared by the tests of exchange."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torchvision.ops import roi_align

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = REPOSITORY / "target/release/relabel"
FOLDERS = ["n01440764", "n01443537", "n02123045"]


def relabel(*words, expect=0, **environment):
    """Runs the program with this Python; gives what it said."""
    ran = subprocess.run(
        [PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        env=os.environ | {"RELABEL_PYTHON": sys.executable} | environment,
    )
    assert ran.returncode == expect, f"exit code {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran


def relabel_json(*words, expect=0):
    """The same with ``--json``; gives the document."""
    return json.loads(relabel(*words, "--json", expect=expect).stdout)


def dense_maps(count, size=(15, 15), classes=1000, seed=0):
    """Score maps that are smooth over the image and have no symmetry, float32 `[class, y, x]` each."""
    numbers = torch.Generator().manual_seed(seed)
    for _ in range(count):
        coarse = torch.randn(1, classes, 4, 4, generator=numbers) * 3 + 2
        yield torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=True)[0]


def path_of(number, count):
    folder = FOLDERS[number * len(FOLDERS) // count]
    return f"{folder}/{folder}_{number:04}.pt"


def write_naver(folder, count, k=5, **maps):
    """Files of Re-labeling ImageNet: `[2, k, h, w]` float32. Gives the tensors by path."""
    tensors = {}
    for number, dense in enumerate(dense_maps(count, **maps)):
        scores, ids = dense.topk(k, dim=0)
        tensors[path_of(number, count)] = torch.stack([scores, ids.float()])
    return save(folder, tensors)


def write_token_labeling(folder, count, k=5, **maps):
    """Files of TokenLabeling: float16, ranked with the classes as the last axis and then permuted, so not contiguous."""
    tensors = {}
    for number, dense in enumerate(dense_maps(count, **maps)):
        scores, ids = dense.permute(1, 2, 0).topk(k)
        tensors[path_of(number, count)] = torch.stack([scores.half(), ids.half()]).permute(0, 3, 1, 2)
    return save(folder, tensors)


def save(folder, tensors):
    for path, tensor in tensors.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(tensor, folder / path)
    return tensors


def densify(tensor, classes=1000):
    """`[class, y, x]`, 0 where a cell does not hold a class."""
    scores, ids = tensor.float()
    return torch.zeros(classes, *scores.shape[1:]).scatter_(0, ids.long(), scores)


def pooled(tensor, box, classes=1000, convention="relabel"):
    """LabelPooling by torchvision of a published file and a box `x0, y0, x1, y1`. The public readers hand over y before x,
    and scale all four by the width."""
    dense = densify(tensor, classes)
    height, width = dense.shape[1:]
    x0, y0, x1, y1 = box
    corners = [x0 * width, y0 * height, x1 * width, y1 * height]
    if convention == "naver":
        corners = [y0 * width, x0 * width, y1 * width, x1 * width]
    boxes = torch.tensor([[0, *(corner - 0.5 for corner in corners)]], dtype=torch.float32)
    return roi_align(dense[None], boxes, (1, 1)).flatten().softmax(0).numpy()


def store_bytes(store):
    """Every file of a store but notes, with its bytes."""
    passed_over = {".locks", ".seen", ".staging", "runs"}
    files = (path for path in sorted(Path(store).rglob("*")) if path.is_file())
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in files
        if not passed_over & set(path.relative_to(store).parts)
    }


def random_boxes(count, seed):
    corners = np.sort(np.random.default_rng(seed).random((count, 2, 2)), axis=1)
    return np.concatenate([corners[:, 0], corners[:, 1] + 0.01], axis=1).astype(np.float32)
