"""From crops to targets: where they come from when an image has labels, and when it has none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from .._relabel import NotLabelled
from ..labels import Labels
from .crops import Crop
from .mix import Paste

Missing = Literal["error", "hard", "drop"]
"""What to do about images without labels: refuse to begin, use the folder's class as a hard label, leave them out."""

Target = Literal["crop", "image"]
"""The label of what the crop shows (LabelPooling), or of the whole image (a global soft label)."""


class Targets:
    """Targets of crops whose rows are known."""

    def __init__(self, labels: Labels, hard: NDArray[np.int64] | None, target: Target, options: dict[str, Any]) -> None:
        if target not in ("crop", "image"):
            raise ValueError(f'target is {target!r}; it is "crop" or "image"')
        if target == "image" and options:
            raise ValueError(f"the label of the whole image takes no {', '.join(options)}")
        self.labels = labels
        self.hard = hard
        self.target = target
        self.options = options

    def __call__(self, crops: Sequence[Crop]) -> torch.Tensor:
        """Float32 ``[B, classes]``, or what ``output_size`` and ``dtype`` ask for."""
        rows = np.array([crop.row for crop in crops], dtype=np.int64)
        if self.hard is None:
            return torch.from_numpy(self._soft(rows, crops))
        hard = self.hard[rows]
        has_labels = np.flatnonzero(hard < 0)
        soft = self._soft(rows[has_labels], [crops[at] for at in has_labels.tolist()])
        targets = np.zeros((len(crops), *soft.shape[1:]), dtype=soft.dtype)
        targets[has_labels] = soft
        has_none = np.flatnonzero(hard >= 0)
        targets[has_none, hard[has_none]] = 1
        return torch.from_numpy(targets)

    def of_paste(self, crops: Sequence[Crop], paste: Paste) -> torch.Tensor:
        """Targets of CutMix by region, float32 ``[B, classes]``. Where one of the two images has no labels, by area."""
        if self.target != "crop":
            raise ValueError('CutMix by region pools crops: it needs target="crop"')
        rows = np.array([crop.row for crop in crops], dtype=np.int64)
        partners = paste.partners.numpy()
        x0, y0, x1, y1 = paste.rect
        rects = np.tile(np.array([x0, y0, x1, y1], dtype=np.uint32), (len(crops), 1))
        if self.hard is None:
            return torch.from_numpy(self._region(rows, crops, partners, rects, paste.input_size))
        plain = self(crops)
        targets = paste.lam * plain + (1 - paste.lam) * plain[paste.partners]
        pairs = np.flatnonzero((self.hard[rows] < 0) & (self.hard[rows[partners]] < 0))
        if len(pairs):
            # A batch of its own: the hosts, and behind them the images that are pasted into them.
            both = np.concatenate([pairs, partners[pairs]])
            behind = np.arange(len(both), dtype=np.int64)
            behind[: len(pairs)] += len(pairs)
            rects = np.tile(rects[:1], (len(both), 1))
            regional = self._region(rows[both], [crops[at] for at in both.tolist()], behind, rects, paste.input_size)
            targets[torch.from_numpy(pairs)] = torch.from_numpy(regional[: len(pairs)])
        return targets

    def _soft(self, rows: NDArray[np.int64], crops: Sequence[Crop]) -> NDArray[Any]:
        if self.target == "image":
            return self.labels.image_targets(rows)
        return self.labels.pool(rows, _boxes(crops), flip=_flips(crops), **self.options)

    def _region(
        self,
        rows: NDArray[np.int64],
        crops: Sequence[Crop],
        partners: NDArray[np.int64],
        rects: NDArray[np.uint32],
        input_size: tuple[int, int],
    ) -> NDArray[np.float32]:
        return self.labels.cutmix_targets(
            rows, _boxes(crops), partners, rects, input_size, flip=_flips(crops), **self.options
        )


def rows_of_names(labels: Labels, names: Sequence[str], *, are_paths: bool) -> NDArray[np.int64]:
    """Rows of images by the paths of their files below the source; or by names that are ids or such paths."""
    rows: NDArray[np.int64] = labels._core.find_names([os.fspath(name) for name in names], are_paths)
    left = np.flatnonzero(rows < 0)
    if len(left):
        # Says which one, and what was probably meant.
        try:
            labels.rows([os.fspath(names[int(left[0])])])
        except KeyError as unknown:
            raise KeyError(f"{len(left)} of {len(names)} images are not in the store. {unknown.args[0]}") from None
    return rows


def without_labels(labels: Labels, rows: NDArray[np.int64], missing: Missing) -> NDArray[np.bool_]:
    """Which of the rows have none; refuses them if that is wanted."""
    if missing not in ("error", "hard", "drop"):
        raise ValueError(f'missing is {missing!r}; it is "error", "hard" or "drop"')
    lacking: NDArray[np.bool_] = ~labels.labelled()[rows]
    if missing == "error" and lacking.any():
        row = int(rows[lacking][0])
        reason = labels.failed().get(row, "its shard is not done yet")
        raise NotLabelled(
            f"{labels.path}: {int(lacking.sum())} of {len(rows)} images have no labels, the first one is row {row} "
            f'({reason}). missing="drop" leaves such images out, missing="hard" uses their folder\'s class'
        )
    return lacking


def _boxes(crops: Sequence[Crop]) -> NDArray[np.float32]:
    return np.array([crop.box for crop in crops], dtype=np.float32).reshape(len(crops), 4)


def _flips(crops: Sequence[Crop]) -> NDArray[np.bool_]:
    return np.array([crop.flipped for crop in crops], dtype=np.bool_)
