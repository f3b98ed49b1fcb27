"""Benchmarks of training, each in its own process. Prints one JSON document; `training.py` compares them.

    scripts/bench training recipe --pt FOLDER       recipe of the paper's authors: a file per image, dense maps, RoIAlign, softmax
    scripts/bench training pool --store STORE       relabel on random images of a store; --pooling calibrated mixes all labels
    scripts/bench training forms --store STORE      sparse targets, compact maps and targets of tensors, over dense targets
    scripts/bench training mask-recipe --pt FOLDER  recipe of MultiLabel-ImageNet: labels of masks from a file per image and dense maps
    scripts/bench training pool-masks --store STORE the same with relabel
    scripts/bench training epoch --images FOLDER --store STORE     batches of a DataLoader with and without targets
    scripts/bench training open --store STORE       opening a store and finding one image
    scripts/bench training write-pt --store STORE --pt FOLDER --count 2000
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.command import parser_of
from bench.cpu.pooling import random_box

if TYPE_CHECKING:
    import torch

    import relabel


def random_boxes(count: int, seed: int) -> np.ndarray:
    """Returns random crops, float32 `[count, 4]`."""
    draw = random.Random(seed)
    return np.array([random_box(draw) for _ in range(count)], dtype=np.float32)


def memory(key: str) -> int:
    """Returns the memory of this process in bytes: `VmRSS` is the current, `VmHWM` the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def timed_batches(chosen: argparse.Namespace, images: int, make: Callable[[np.ndarray, np.ndarray], Any]) -> dict[str, float]:
    """Times targets of random batches, after a few untimed ones."""
    draw = np.random.default_rng(chosen.seed)
    batches = [draw.integers(0, images, chosen.batch) for _ in range(chosen.batches)]
    boxes = [random_boxes(chosen.batch, chosen.seed + number) for number in range(chosen.batches)]
    before = memory("VmRSS")
    output = make(batches[0], boxes[0])
    peak = memory("VmHWM") - before - output.nbytes
    for rows, batch in zip(batches[1:3], boxes[1:3], strict=True):
        make(rows, batch)
    started, core_started = time.perf_counter(), time.process_time()
    for rows, batch in zip(batches, boxes, strict=True):
        output = make(rows, batch)
    seconds, core_seconds = time.perf_counter() - started, time.process_time() - core_started
    done = chosen.batch * chosen.batches
    return {
        "images_per_s": done / seconds,
        "images_per_core_s": done / core_seconds,
        "bytes_beyond_output": max(peak, memory("VmHWM") - before - output.nbytes),
    }


def recipe(chosen: argparse.Namespace) -> dict[str, float]:
    import torch
    from torchvision.ops import roi_align

    torch.set_num_threads(chosen.threads)
    files = sorted(chosen.pt.glob("*.pt"))

    def make(rows: np.ndarray, boxes: np.ndarray) -> torch.Tensor:
        maps = [torch.load(files[row], weights_only=True) for row in rows]
        height, width = maps[0].shape[2:]
        dense = torch.zeros(len(rows), 1000, height, width)
        for full, stored in zip(dense, maps, strict=True):
            full.scatter_(0, stored[1].long(), stored[0])
        scale = torch.tensor([width, height, width, height])
        numbers = torch.arange(len(rows), dtype=torch.float32)[:, None]
        rois = torch.cat([numbers, torch.from_numpy(boxes) * scale - 0.5], 1)
        return roi_align(dense, rois, (1, 1)).squeeze().softmax(1)

    return timed_batches(chosen, len(files), make)


def read_shards(labels: relabel.Labels) -> None:
    """Opens every shard once, which an epoch does only once."""
    firsts = np.arange(0, len(labels), labels.info["shard_images"])
    labels.pool(firsts, np.tile(np.float32([[0, 0, 1, 1]]), (len(firsts), 1)))


def pool(chosen: argparse.Namespace) -> dict[str, float]:
    import relabel

    labels = relabel.open(chosen.store)
    read_shards(labels)
    options = {"pooling": chosen.pooling, "threads": chosen.threads}
    return timed_batches(chosen, len(labels), lambda rows, boxes: labels.pool(rows, boxes, **options))


def forms(chosen: argparse.Namespace) -> dict[str, object]:
    """Measures core-seconds of other forms of targets over those of dense ones, in turn on the same batches, with one thread."""
    import torch

    import relabel
    import relabel.torch

    torch.set_num_threads(1)
    labels = relabel.open(chosen.store)
    read_shards(labels)
    work: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
        "dense": lambda rows, boxes: labels.pool(rows, boxes, threads=1),
        "sparse": lambda rows, boxes: labels.pool_sparse(rows, boxes, threads=1),
        "sparse, top 5": lambda rows, boxes: labels.pool_sparse(rows, boxes, top=5, threads=1),
        "compact maps": lambda rows, boxes: labels.maps(rows, threads=1),
        "compact maps, pooled as tensors": lambda rows, boxes: relabel.torch.pool(
            relabel.torch.LabelMaps.read(labels, rows, threads=1), torch.from_numpy(boxes), num_classes=labels.num_classes
        ),
    }
    draw = np.random.default_rng(chosen.seed)
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for number in range(chosen.batches + 2):
        rows, boxes = draw.integers(0, len(labels), chosen.batch), random_boxes(chosen.batch, chosen.seed + number)
        for name, make in work.items():
            started = time.process_time()
            make(rows, boxes)
            if number >= 2:
                seconds[name].append(time.process_time() - started)
    ratios = {
        name: statistics.median(one / dense for one, dense in zip(values, seconds["dense"], strict=True))
        for name, values in seconds.items()
    }
    return {"core_s": {name: statistics.median(values) for name, values in seconds.items()}, "ratios": ratios}


def random_masks(count: int, seed: int) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Returns ellipses of 375x500 pixels as counts of a run-length encoding and as COCO's compressed encoding."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:375, :500]
    masks = []
    for _ in range(count):
        centre, radius = draw.uniform(0.2, 0.8, 2), draw.uniform(0.1, 0.5, 2)
        inside = ((y / 375 - centre[0]) / radius[0]) ** 2 + ((x / 500 - centre[1]) / radius[1]) ** 2 < 1
        flat = inside.T.ravel()
        borders = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
        counts = np.concatenate([[0] if flat[0] else [], np.diff(borders)]).astype(np.int64)
        masks.append((counts, {"size": [375, 500], "counts": compressed(counts.tolist())}))
    return masks


def compressed(counts: list[int]) -> str:
    """Returns counts in COCO's compressed encoding: 5 bits in each character, from the fourth on as differences."""
    text = []
    for at, count in enumerate(counts):
        number = count - counts[at - 2] if at > 2 else count
        while True:
            digit, number = number & 31, number >> 5
            is_last = number == (-1 if digit & 16 else 0)
            text.append(chr(48 + digit + (0 if is_last else 32)))
            if is_last:
                break
    return "".join(text)


MASKS_PER_IMAGE = 3
"""As MaskCut finds them at most."""


def timed_masks(chosen: argparse.Namespace, images: int, make: Callable[[np.ndarray, list[int]], Any]) -> dict[str, float]:
    """Times labels of masks of random images: `make` gets rows and positions in the list of masks."""
    draw = np.random.default_rng(chosen.seed)
    rows = [np.repeat(draw.integers(0, images, chosen.batch), MASKS_PER_IMAGE) for _ in range(chosen.batches)]
    masks = [draw.integers(0, chosen.count, len(batch)).tolist() for batch in rows]
    make(rows[0], masks[0])
    core_started = time.process_time()
    for batch in zip(rows, masks, strict=True):
        make(*batch)
    return {"masks_per_core_s": len(rows) * len(rows[0]) / (time.process_time() - core_started)}


def mask_recipe(chosen: argparse.Namespace) -> dict[str, float]:
    """The steps of `mask_level_relabel.py`. Its masks are decoded from counts, which needs no package and takes less time."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(chosen.threads)
    files = sorted(chosen.pt.glob("*.pt"))
    counts = [mask[0] for mask in random_masks(chosen.count, chosen.seed)]

    def make(rows: np.ndarray, masks: list[int]) -> list[torch.return_types.topk]:
        best = []
        for at, mask in enumerate(masks):
            if at % MASKS_PER_IMAGE == 0:
                stored = torch.load(files[rows[at]], weights_only=True)
                dense = torch.zeros(1000, *stored.shape[2:]).scatter_(0, stored[1].long(), stored[0])
            lengths = counts[mask]
            pixels = np.repeat(np.arange(len(lengths), dtype=np.uint8) % 2, lengths).reshape(500, 375).T
            values = torch.from_numpy(pixels.astype(np.float32))[None, None]
            weights = functional.interpolate(values, dense.shape[1:], mode="bilinear")[0]
            best.append(((dense * weights).sum((1, 2)) / weights.sum()).softmax(0).topk(5))
        return best

    return timed_masks(chosen, len(files), make)


def pool_masks(chosen: argparse.Namespace) -> dict[str, float]:
    import relabel

    labels = relabel.open(chosen.store)
    masks = [mask[1] for mask in random_masks(chosen.count, chosen.seed)]
    shard = labels.info["shard_images"]
    firsts = np.arange(0, len(labels), shard)
    labels.pool_masks(firsts, masks[:1] * len(firsts), threads=chosen.threads)

    def make(rows: np.ndarray, chosen_masks: list[int]) -> np.ndarray:
        return labels.pool_masks(rows, [masks[mask] for mask in chosen_masks], threads=chosen.threads)

    return timed_masks(chosen, len(labels), make)


def epoch(chosen: argparse.Namespace) -> dict[str, object]:
    """Measures the cost of targets in workers that decode, crop, normalise and collate, and of pooling in the training process.

    Batches without targets, with targets of the worker and with targets of the training process alternate in the same worker, on
    the same images with the same random numbers: consecutive epochs differ by more than that cost. Each is repeated, and the
    least time counts, because interruptions only add to it.
    """
    import torch
    from torch.utils.data import DataLoader, Dataset, default_collate
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    import relabel
    import relabel.torch
    from relabel.torch.targets import CropArrays, TargetOptions, Targets

    end = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]

    def folder() -> ImageFolder:
        return ImageFolder(chosen.images, v2.Compose([v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), *end]))

    labels = relabel.open(chosen.store)
    names = labels.ids()
    draw = np.random.default_rng(chosen.seed)
    without = folder()
    spread = [names[row] for row in draw.choice(len(labels), len(without), replace=False)]
    of_worker = relabel.torch.LabelMapDataset(folder(), labels, ids=spread)
    crops = relabel.torch.CropDataset(folder(), labels, ids=spread)
    targets = Targets(labels, TargetOptions())

    class Mixed(Dataset):
        def __getitems__(self, batch: tuple[str, int, list[int]]) -> tuple[str, float, list[object]]:
            kind, seed, indices = batch
            started = time.process_time()
            torch.manual_seed(seed)
            if kind == "worker":
                return kind, started, of_worker.__getitems__(indices)
            data = without if kind == "none" else crops
            return kind, started, [data[index] for index in indices]

    def collate(fetched: tuple[str, float, list[object]]) -> tuple[str, object, float]:
        kind, started, samples = fetched
        return kind, default_collate(samples), time.process_time() - started

    kinds = ["none", "worker", "process"]
    batches = []
    for group in range(0, chosen.batches, chosen.threads):
        # Workers take batches in turn, so the batches of a group are as many batches apart as there are workers.
        seeds = range(group, group + chosen.threads)
        same = [(seed, draw.choice(len(without), chosen.batch, replace=False).tolist()) for seed in seeds]
        turn = group // chosen.threads % len(kinds)
        batches += chosen.repeats * [(kind, *one) for kind in kinds[turn:] + kinds[:turn] for one in same]
    seconds: dict[tuple[str, int], float] = {}
    pooling: list[float] = []
    loader = DataLoader(Mixed(), batch_sampler=batches, num_workers=chosen.threads, collate_fn=collate)
    for (_, seed, _), (kind, (_, marks), used) in zip(batches, loader, strict=True):
        if kind == "process":
            started = time.thread_time()
            targets(CropArrays.of_collated(marks), threads=1)
            pooling.append((time.thread_time() - started) / chosen.batch)
        seconds[kind, seed] = min(used / chosen.batch, seconds.get((kind, seed), math.inf))
    # The first batches of a worker open the shards.
    measured = {kind: [value for (one, seed), value in seconds.items() if one == kind and seed >= 4 * chosen.threads] for kind in kinds}
    none = measured["none"]
    ratios = {kind: [one / other for one, other in zip(measured[kind], none, strict=True)] for kind in kinds[1:]}
    return {
        "groups": len(none),
        "ratios": ratios,
        "core_s_per_image": statistics.median(none),
        "pooling_core_s_per_image": statistics.median(pooling),
    }


def open_store(chosen: argparse.Namespace) -> dict[str, float]:
    import relabel

    before = memory("VmRSS")
    started = time.perf_counter()
    labels = relabel.open(chosen.store)
    opened = time.perf_counter()
    labels.rows([chosen.id])
    found = time.perf_counter()
    return {
        "open_s": opened - started,
        "open_and_find_s": found - started,
        "bytes": memory("VmHWM"),
        "bytes_of_store": memory("VmHWM") - before,
    }


def write_pt(chosen: argparse.Namespace) -> dict[str, float]:
    import torch

    import relabel

    labels = relabel.open(chosen.store)
    chosen.pt.mkdir(parents=True, exist_ok=True)
    for row in range(chosen.count):
        scores, classes = labels.map(row)
        stored = torch.stack([torch.from_numpy(scores.astype(np.float32)), torch.from_numpy(classes.astype(np.float32))])
        torch.save(stored, chosen.pt / f"{row}.pt")
    return {"images": chosen.count}


def main(words: list[str]) -> int:
    # Without this, torch uses every core while it starts.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = parser_of("training", __doc__)
    what: dict[str, Callable[[argparse.Namespace], Any]] = {
        "recipe": recipe, "pool": pool, "forms": forms, "mask-recipe": mask_recipe, "pool-masks": pool_masks, "epoch": epoch,
        "open": open_store, "write-pt": write_pt,
    }  # fmt: skip
    parser.add_argument("what", choices=what)
    parser.add_argument("--pt", type=Path)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--id")
    parser.add_argument("--pooling")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(words)
    print(json.dumps(what[chosen.what](chosen)))
    return 0
