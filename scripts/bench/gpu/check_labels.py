"""Compares labels: a device with the CPU, float16 with float32, two sessions with one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, programs, stores
from bench.gpu import halve
from bench.results import Row, at_most

# A different best class counts only if the two best scores on the CPU are further apart than this. Scores reach 40.
FLOAT32_GAP = 0.01
FLOAT32_SHARE = 1e-3
FLOAT16_GAP = 0.25
FLOAT16_SHARE = 0.02


@dataclass(frozen=True)
class Settings:
    """Options of the checks."""

    device: str
    # Photographs of the command `photographs` to label in addition to the samples.
    photographs: int
    kills: int
    seed: int


def runs_folder() -> Path:
    """Returns the folder of the checks' stores."""
    return machine.folder() / "runs/check"


def label(teacher: Path, source: Path, out: Path, device: str, *words: object) -> dict[str, Any]:
    """Labels into a new store and returns the JSON document of the run."""
    codes = (0, programs.SOME_FAILED)
    return programs.label(teacher, source, out, "--device", device, *words, codes=codes, limit_s=programs.LIMIT_S).document


def exact_gaps() -> np.ndarray:
    """Returns the difference of the two best scores of each cell of the sample images, as PyTorch computed them."""
    golden = np.load(machine.GOLDEN_IMAGES.parent / "lite0.npz")
    in_order = sorted(range(len(golden["ids"])), key=lambda at: str(golden["ids"][at]).encode())
    scores = golden["scores"][in_order]
    return scores[:, 0] - scores[:, 1]


def sources(settings: Settings) -> list[tuple[str, Path, list[object]]]:
    """Returns the sample images, and the photographs if they exist."""
    found: list[tuple[str, Path, list[object]]] = [("sample images", machine.GOLDEN_IMAGES, [])]
    if settings.photographs and machine.photographs().is_dir():
        found.append(("photographs", machine.photographs(), ["--limit", settings.photographs]))
    return found


def rows_of(what: str, found: stores.Difference, gap: float, share: float) -> list[Row]:
    """Returns the rows of a comparison, with the bounds as targets."""
    compared = f"{found.images} images, {found.cells:,} cells; {found.other_class} cells with a different class in total"
    counted = f"{compared}, at most {found.largest_gap:.4f} apart"
    off = found.share_of_largest_score
    scores = f"{found.largest:.4f} of {found.largest_score:.2f}"
    return [
        Row(
            f"{what}: cells with a different class where the two best scores are more than {gap} apart",
            found.other_class_beyond_gap, "cells", "0", found.other_class_beyond_gap == 0, counted,
        ),
        at_most(f"{what}: largest score difference", off, "of the largest", share, scores),
    ]


def against_cpu(settings: Settings, teacher: Path, name: str, gap: float, share: float) -> list[Row]:
    """Compares the labels of a teacher on the device with those of Lite0 in float32 on the CPU."""
    rows = []
    for kind, source, words in sources(settings):
        ours, right = (runs_folder() / f"{name}.{kind.split()[0]}.{side}" for side in ("device", "cpu"))
        label(teacher, source, ours, settings.device, *words)
        label(machine.LITE0, source, right, "cpu", *words)
        exact = exact_gaps() if source == machine.GOLDEN_IMAGES else None
        found = stores.compare(ours, right, gap, exact)
        rows += rows_of(f"{name} on {settings.device} compared with float32 on cpu, {kind}", found, gap, share)
    return rows


def golden(settings: Settings) -> list[Row]:
    """Lite0 in float32."""
    return against_cpu(settings, machine.LITE0, "Lite0 float32", FLOAT32_GAP, FLOAT32_SHARE)


def fp16(settings: Settings) -> list[Row]:
    """Lite0 in float16."""
    teacher = runs_folder() / "lite0.fp16.onnx"
    teacher.parent.mkdir(parents=True, exist_ok=True)
    halve.halve(machine.LITE0, teacher)
    return against_cpu(settings, teacher, "Lite0 float16", FLOAT16_GAP, FLOAT16_SHARE)


def sessions(settings: Settings) -> list[Row]:
    """Several sessions compute the labels of one."""
    kind, source, words = sources(settings)[-1]
    small_batches = [*words, "--batch", 4]
    one = runs_folder() / "sessions.one"
    label(machine.LITE0, source, one, settings.device, *small_batches)
    pairs = [f"{settings.device},{settings.device}"]
    if settings.device.startswith("cuda") and machine.gpu_count() > 1:
        pairs.append("cuda:0,cuda:1")
    rows = []
    for number, pair in enumerate(pairs):
        two = runs_folder() / f"sessions.two.{number}"
        label(machine.LITE0, source, two, pair, *small_batches)
        differ = stores.different_files(two, one)
        note = "all bytes are equal" if not differ else f"files that differ: {', '.join(differ[:4])}"
        found = stores.compare(two, one, FLOAT32_GAP)
        what = f"Lite0 on {pair} compared with {settings.device}, {kind}"
        rows.append(Row(f"{what}: files of the store that differ", len(differ), "files", note=note))
        rows += rows_of(what, found, FLOAT32_GAP, FLOAT32_SHARE)
    return rows
