"""Checks of labels: a device's against the processor's, float16's against float32's, two sessions' against one's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import halve
import machine
import programs
import results
import stores
from results import Row

# Another best class counts where the processor's two best scores are further apart than this. Scores reach about 40.
FLOAT32_GAP = 0.01
FLOAT32_SHARE = 1e-3
FLOAT16_GAP = 0.25
FLOAT16_SHARE = 0.02


@dataclass(frozen=True)
class Settings:
    """What the checks are told."""

    device: str
    # Photographs of photos.py that are labelled besides the samples.
    photographs: int
    kills: int
    seed: int


def runs_folder() -> Path:
    """Where the checks make their stores."""
    return results.folder() / "runs/check"


def exact_gaps() -> np.ndarray:
    """How far the two best scores of each cell of the sample images are apart, as PyTorch computed them."""
    golden = np.load(machine.GOLDEN_IMAGES.parent / "lite0.npz")
    in_order = sorted(range(len(golden["ids"])), key=lambda at: str(golden["ids"][at]).encode())
    scores = golden["scores"][in_order]
    return scores[:, 0] - scores[:, 1]


def sources(settings: Settings) -> list[tuple[str, Path, list[object]]]:
    """Sample images, and photographs where they were made."""
    found: list[tuple[str, Path, list[object]]] = [("sample images", machine.GOLDEN_IMAGES, [])]
    if settings.photographs and machine.photos().is_dir():
        found.append(("photographs", machine.photos(), ["--limit", settings.photographs]))
    return found


def rows_of(what: str, found: stores.Difference, gap: float, share: float) -> list[Row]:
    """What a comparison found, and whether it is within the bounds."""
    compared = f"{found.images} images, {found.cells:,} cells; {found.other_class} cells with another class in all"
    counted = f"{compared}, at most {found.largest_gap:.4f} apart"
    off = found.share_of_largest_score
    scores = f"{found.largest:.4f} of {found.largest_score:.2f}"
    return [
        Row(
            f"{what}: cells with another class where the two best are more than {gap} apart",
            found.other_class_beyond_gap, "cells", "0", found.other_class_beyond_gap == 0, counted,
        ),
        Row(
            f"{what}: largest difference of a score",
            off, "of the largest", f"<= {share}", off <= share, scores,
        ),
    ]


def against_cpu(settings: Settings, teacher: Path, name: str, gap: float, share: float) -> list[Row]:
    """Labels of a teacher on the device against those of Lite0 in float32 on the processor."""
    rows = []
    for kind, source, words in sources(settings):
        ours, right = (runs_folder() / f"{name}.{kind.split()[0]}.{place}" for place in ("device", "cpu"))
        programs.label(teacher, source, ours, settings.device, *words)
        programs.label(machine.LITE0, source, right, "cpu", *words)
        exact = exact_gaps() if source == machine.GOLDEN_IMAGES else None
        found = stores.compare(ours, right, gap, exact)
        rows += rows_of(f"{name} on {settings.device} against float32 on cpu, {kind}", found, gap, share)
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
    """Several sessions give the labels of one."""
    kind, source, words = sources(settings)[-1]
    small_batches = [*words, "--batch", 4]
    one = runs_folder() / "sessions.one"
    programs.label(machine.LITE0, source, one, settings.device, *small_batches)
    pairs = [f"{settings.device},{settings.device}"]
    if settings.device.startswith("cuda") and machine.gpu_count() > 1:
        pairs.append("cuda:0,cuda:1")
    rows = []
    for number, pair in enumerate(pairs):
        two = runs_folder() / f"sessions.two.{number}"
        programs.label(machine.LITE0, source, two, pair, *small_batches)
        differ = stores.different_files(two, one)
        note = "every byte is the same" if not differ else f"files that differ: {', '.join(differ[:4])}"
        found = stores.compare(two, one, FLOAT32_GAP)
        what = f"Lite0 on {pair} against {settings.device}, {kind}"
        rows.append(Row(f"{what}: files of the store that differ", len(differ), "files", note=note))
        rows += rows_of(what, found, FLOAT32_GAP, FLOAT32_SHARE)
    return rows
