"""Targets of crops, for images with and without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from .._relabel import NotLabelled
from ..image_ids import names_or_rows
from ..labels import Labels
from .crops import Crop
from .mix import Paste

Missing = Literal["error", "hard", "drop"]
"""Images without labels: ``"error"`` refuses the data set, ``"hard"`` uses the folder class as a one-hot target, ``"drop"``
leaves them out."""

Target = Literal["crop", "image"]
"""``"crop"``: the target of the crop. ``"image"``: the teacher's prediction for the entire image."""


class Targets:
    """Computes the targets of crops whose rows are known.

    Args:
        labels: The store.
        hard: int64 ``[n]``: folder class of each row without labels, -1 for rows with labels. None if all have labels.
        target: See :data:`Target`.
        options: Options of :meth:`relabel.Labels.pool`.
    """

    def __init__(self, labels: Labels, hard: NDArray[np.int64] | None, target: Target, options: dict[str, Any]) -> None:
        if target not in ("crop", "image"):
            raise ValueError(f'target must be "crop" or "image", got {target!r}')
        if target == "image" and options:
            raise ValueError(f'target="image" does not take {", ".join(options)}')
        self.labels = labels
        self.hard = hard
        self.target = target
        self.options = options
        if options:
            # Refuses options that the store cannot serve before an epoch begins.
            labels.pool([], np.empty((0, 4)), **options)

    def __call__(self, crops: Sequence[Crop]) -> torch.Tensor:
        """Returns targets, float32 ``[B, classes]`` unless ``output_size`` or ``dtype`` change that."""
        rows = np.array([crop.row for crop in crops], dtype=np.int64)
        if self.hard is None:
            return torch.from_numpy(self._soft(rows, crops))
        hard = self.hard[rows]
        has_labels = np.flatnonzero(hard < 0)
        soft = self._soft(rows[has_labels], [crops[at] for at in has_labels.tolist()])
        targets = np.zeros((len(crops), *soft.shape[1:]), dtype=soft.dtype)
        targets[has_labels] = soft
        unlabelled = np.flatnonzero(hard >= 0)
        targets[unlabelled, hard[unlabelled]] = 1
        return torch.from_numpy(targets)

    def of_paste(self, crops: Sequence[Crop], paste: Paste) -> torch.Tensor:
        """Returns targets for CutMix by region, float32 ``[B, classes]``; by area if one of the two images has no labels."""
        if self.target != "crop":
            raise ValueError('CutMix by region needs target="crop"')
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
            # A separate batch: the hosts, followed by the images that are pasted into them.
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
    """Returns the rows of images.

    Args:
        labels: The store.
        names: Paths below the source if ``are_paths``; otherwise ids, such paths or row numbers.
        are_paths: Whether names are paths of files.

    Raises:
        KeyError: If an image is missing in the store or a name could mean two images.
    """
    found = names_or_rows(names, len(labels))
    if not isinstance(found, list):
        return found
    rows: NDArray[np.int64] = labels._core.find_names(found, are_paths)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        # Its error contains the first one and a similar name.
        try:
            labels.rows(found[int(missing[0])])
        except KeyError as unknown:
            raise KeyError(f"{len(missing)} of {len(names)} images are not in the store. {unknown.args[0]}") from None
    return rows


def without_labels(labels: Labels, rows: NDArray[np.int64], missing: Missing) -> NDArray[np.bool_]:
    """Returns which of the rows have no labels, bool ``[n]``.

    Raises:
        NotLabelled: If there are any and ``missing`` is ``"error"``.
    """
    if missing not in ("error", "hard", "drop"):
        raise ValueError(f'missing must be "error", "hard" or "drop", got {missing!r}')
    unlabelled: NDArray[np.bool_] = ~labels.labelled()[rows]
    if missing == "error" and unlabelled.any():
        row = int(rows[unlabelled][0])
        reason = labels.failed().get(row, "its shard is not done yet")
        raise NotLabelled(
            f"{labels.path}: {int(unlabelled.sum())} of {len(rows)} images have no labels; the first is row {row} ({reason})\n"
            '  help: missing="drop" leaves them out, missing="hard" uses their folder class'
        )
    return unlabelled


def _boxes(crops: Sequence[Crop]) -> NDArray[np.float32]:
    return np.array([crop.box for crop in crops], dtype=np.float32).reshape(len(crops), 4)


def _flips(crops: Sequence[Crop]) -> NDArray[np.bool_]:
    return np.array([crop.flipped for crop in crops], dtype=np.bool_)
