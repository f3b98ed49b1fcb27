"""Part d: bytes of label maps on disk, and the effect of rounded scores on targets."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import numpy as np

from bench import images, stores
from bench.cpu.pooling import pooled_target, random_box
from bench.cpu.setup import Setup, label
from bench.results import Report, Row, at_most

SCORE_STEPS = (16, 8)
CROPS_PER_IMAGE = 20
ARRAYS = ("scores", "classes", "image_probs", "image_classes")

Maps = tuple[np.ndarray, np.ndarray]


def part_d(setup: Setup, report: Report) -> None:
    """Bytes per image at 480, with exact and with rounded scores."""
    source, side = images.samples_and_crops(setup.count(64, 24)), 480
    _, store = label(setup, source, side)
    exact = read_maps(store)
    report_bytes(report, store, len(exact[0]), "float16 scores", bound=2900)
    distinct = statistics.mean(len(np.unique(classes)) for classes in exact[1])
    report.add(Row("distinct classes in an image's map, on average", distinct, "classes"))
    for steps in SCORE_STEPS:
        rounded = f"scores rounded to 1/{steps}"
        _, store = label(setup, source, side, "--score-steps", steps)
        report_bytes(report, store, len(exact[0]), rounded, bound=2300)
        changes = changes_of_targets(exact, read_maps(store))
        for what, value in (("on average", changes.mean()), ("at most", changes.max())):
            report.add(Row(f"{rounded}: pooled targets move by, {what}", float(value), "total variation"))


def report_bytes(report: Report, store: Path, count: int, what: str, bound: float) -> None:
    sizes = {name: bytes_of(store / name) / count for name in (*ARRAYS, "records")}
    report.add(at_most(f"{what}: all arrays and records", sum(sizes.values()), "bytes per image", bound))
    for name, size in sizes.items():
        report.add(Row(f"{what}: {name}", size, "bytes per image"))


def bytes_of(folder: Path) -> int:
    """Returns the bytes of the data, without the metadata, whose size does not depend on the images."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != "zarr.json")


def read_maps(store: Path) -> Maps:
    maps = stores.read(store)
    return maps.scores.astype(np.float64), maps.classes.astype(np.int64)


def changes_of_targets(exact: Maps, rounded: Maps) -> np.ndarray:
    """Returns the total variation between the pooled targets of two stores, for every image and crop."""
    draw = random.Random(images.SEED)
    changes = []
    for row in range(len(exact[0])):
        for _ in range(CROPS_PER_IMAGE):
            box = random_box(draw)
            first, second = (pooled_target(maps[0][row], maps[1][row], box) for maps in (exact, rounded))
            changes.append(np.abs(first - second).sum() / 2)
    return np.array(changes)
