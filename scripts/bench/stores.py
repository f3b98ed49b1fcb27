"""Reads the label maps of a store with zarr-python, and compares stores.

    maps = read(Path("photos.labels"))          # maps.scores, maps.classes: [image, rank, y, x]
"""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

# Folders whose files may differ between stores with the same labels.
NOT_LABELS = {"runs", ".locks", ".seen", ".staging"}


@dataclass(frozen=True)
class Maps:
    """Scores (float32) and classes of all images; rows without labels have scores of -inf."""

    scores: np.ndarray
    classes: np.ndarray


def read(store: Path) -> Maps:
    """Reads all label maps of a store."""
    group = zarr.open_group(store, mode="r")
    return Maps(np.asarray(group["scores"][:]).astype(np.float32), np.asarray(group["classes"][:]))


@dataclass(frozen=True)
class Difference:
    """Difference between the label maps of a store and those of a reference store."""

    images: int
    cells: int
    # Cells with a different best class.
    other_class: int
    # Those whose two best scores in the reference are more than `gap` apart.
    other_class_beyond_gap: int
    # Largest difference of the two best scores among cells with a different class.
    largest_gap: float
    # Largest difference of scores of the same cell and rank.
    largest: float
    largest_score: float

    @property
    def share_of_largest_score(self) -> float:
        return self.largest / self.largest_score


def compare(one: Path, right: Path, gap: float, apart: np.ndarray | None = None) -> Difference:
    """Compares two stores of the same images; `right` is the reference.

    `apart` is the difference of the two best scores of each cell of the labelled images, if it is known before rounding.
    Otherwise it is computed from the store. Rounding to float16 may enlarge it by one step, which is subtracted.
    """
    ours, theirs = read(one), read(right)
    if ours.scores.shape != theirs.scores.shape:
        raise ValueError(f"{one} and {right} have different shapes: {ours.scores.shape}, {theirs.scores.shape}")
    labelled = np.isfinite(theirs.scores[:, 0, 0, 0])
    if not np.array_equal(labelled, np.isfinite(ours.scores[:, 0, 0, 0])):
        raise ValueError(f"{one} and {right} have labels for different images")
    if not labelled.any():
        raise ValueError(f"{right} has no labels to compare")
    scores, right_scores = ours.scores[labelled], theirs.scores[labelled]
    other = ours.classes[labelled, 0] != theirs.classes[labelled, 0]
    if apart is None:
        best = right_scores[:, 0]
        apart = best - right_scores[:, 1] - np.spacing(np.abs(best).astype(np.float16)).astype(np.float32)
    return Difference(
        images=int(labelled.sum()),
        cells=other.size,
        other_class=int(other.sum()),
        other_class_beyond_gap=int((other & (apart > gap)).sum()),
        largest_gap=float(apart[other].max(initial=0.0)),
        largest=float(np.abs(scores - right_scores).max()),
        largest_score=float(np.abs(right_scores).max()),
    )


def files(store: Path) -> set[str]:
    """Returns the paths of the files that labels depend on."""
    found = (file.relative_to(store) for file in store.rglob("*") if file.is_file())
    return {str(file) for file in found if file.parts[0] not in NOT_LABELS and not file.name.startswith(".")}


def different_files(one: Path, other: Path) -> list[str]:
    """Returns the files that only one of two stores has or whose bytes differ."""
    ours, theirs = files(one), files(other)
    differ = (name for name in ours & theirs if not filecmp.cmp(one / name, other / name, shallow=False))
    return sorted((ours ^ theirs) | set(differ))
