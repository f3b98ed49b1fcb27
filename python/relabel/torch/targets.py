"""Targets of crops, for images with and without labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from .._relabel import NotLabelled
from ..image_ids import names_or_rows
from ..labels import Convention, Fill, Labels, Pooling
from .crops import Crop
from .mix import Paste

Missing = Literal["error", "hard", "drop"]
"""Images without labels: ``"error"`` refuses the data set, ``"hard"`` uses the folder class as a one-hot target, ``"drop"``
leaves them out."""

Target = Literal["crop", "image"]
"""``"crop"``: the target of the crop. ``"image"``: the teacher's prediction for the entire image."""

HardWeight = Literal["constant", "disagreement"]
"""Weight of the folder class in a target with ``hard=``: ``"constant"`` is ``hard``; ``"disagreement"`` is ``hard`` times the
probability that the target gives to the other classes, so crops on which both agree keep their target."""


@dataclasses.dataclass(frozen=True)
class TargetOptions:
    """Options of a target. The fields without a description are those of :meth:`relabel.Labels.pool`.

    Attributes:
        target: See :data:`Target`.
        classes: The classes of the student in the order of its outputs, as ids of the teacher's classes
            (``labels.classes``). Targets have these only, and are divided by their sum. Default: all, in the teacher's order.
        hard: Weight of the folder class in the target, 0 to 1.
        hard_weight: See :data:`HardWeight`.
    """

    target: Target = "crop"
    pooling: Pooling | None = None
    output_size: int | tuple[int, int] | None = None
    dtype: DTypeLike = np.float32
    fill: Fill = 0.0
    temperature: float = 1.0
    convention: Convention = "relabel"
    classes: Sequence[str] | None = None
    hard: float = 0.0
    hard_weight: HardWeight = "constant"

    def __post_init__(self) -> None:
        if self.target not in ("crop", "image"):
            raise ValueError(f'target must be "crop" or "image", got {self.target!r}')
        if self.hard_weight not in ("constant", "disagreement"):
            raise ValueError(f'hard_weight must be "constant" or "disagreement", got {self.hard_weight!r}')
        if not (isinstance(self.hard, (int, float)) and 0 <= self.hard <= 1):
            raise ValueError(f"hard is the weight of the folder class, 0 to 1, got {self.hard!r}")
        if self.target == "image" and self.pool_options():
            raise ValueError(f'target="image" does not take {", ".join(self.pool_options())}')

    @property
    def needs_sides(self) -> bool:
        """Whether the target depends on where in the crop a pixel is."""
        return self.output_size is not None

    def pool_options(self) -> dict[str, Any]:
        """Returns the options of :meth:`relabel.Labels.pool` that differ from its defaults."""
        names = ("pooling", "output_size", "dtype", "fill", "temperature", "convention")
        return {name: getattr(self, name) for name in names if not _is_equal(getattr(self, name), getattr(TargetOptions, name))}


class CropArrays(NamedTuple):
    """The crops of a batch."""

    rows: NDArray[np.int64]
    """``[B]``."""
    boxes: NDArray[np.float32]
    """``[B, 4]``, ``x0, y0, x1, y1`` as fractions of the image."""
    flips: NDArray[np.bool_]
    """``[B]``: whether the crop was mirrored left to right."""

    @staticmethod
    def of(crops: Sequence[Crop]) -> CropArrays:
        """Returns the crops of samples."""
        return CropArrays(
            np.array([crop.row for crop in crops], dtype=np.int64),
            np.array([crop.box for crop in crops], dtype=np.float32).reshape(len(crops), 4),
            np.array([crop.flipped for crop in crops], dtype=np.bool_),
        )

    @staticmethod
    def of_collated(crops: Any) -> CropArrays:
        """Returns the crops that ``default_collate`` made one of: a :class:`Crop` of tensors ``[B]``."""
        return CropArrays(
            crops.row.cpu().numpy().astype(np.int64),
            np.stack([side.cpu().numpy() for side in crops[:4]], axis=1).astype(np.float32),
            crops.flipped.cpu().numpy().astype(np.bool_),
        )

    def at(self, positions: NDArray[np.int64]) -> CropArrays:
        """Returns the crops at positions of the batch."""
        return CropArrays(self.rows[positions], self.boxes[positions], self.flips[positions])


class Targets:
    """Computes the targets of crops whose rows are known.

    Args:
        labels: The store.
        options: See :class:`TargetOptions`.
        rows: The rows that are used, int64; None if unknown.
        one_hot_rows: bool ``[n]``: rows whose target is their folder class, because they have no labels. None if all rows have
            labels.

    Raises:
        ValueError: If the store cannot serve the options, or a row needs a folder class that is not a class of the target.
    """

    def __init__(
        self,
        labels: Labels,
        options: TargetOptions,
        rows: NDArray[np.int64] | None = None,
        one_hot_rows: NDArray[np.bool_] | None = None,
    ) -> None:
        self.labels = labels
        self.options = options
        self.one_hot_rows = one_hot_rows
        self.columns = None if options.classes is None else columns_of_classes(labels, options.classes)
        self.folder_classes = self._classes_of_folders()
        if one_hot_rows is not None:
            self._check_folder_classes(np.flatnonzero(one_hot_rows), "has no labels")
        if options.hard > 0:
            self._check_folder_classes(np.arange(len(labels)) if rows is None else rows, f"needs a folder class for hard={options.hard}")
        if options.target == "crop":
            # Refuses options that the store cannot serve before an epoch begins.
            labels.pool([], np.empty((0, 4)), **options.pool_options())

    @property
    def class_count(self) -> int:
        """Number of classes of a target."""
        return self.labels.num_classes if self.columns is None else len(self.columns)

    def __call__(self, crops: CropArrays, threads: int | None = None) -> torch.Tensor:
        """Returns targets, float32 ``[B, classes]`` unless ``output_size`` or ``dtype`` change that."""
        targets = self._of_labels(crops, threads)
        return torch.from_numpy(self._with_folder_class(targets, self._one_hot(crops.rows)))

    def of_paste(self, crops: CropArrays, paste: Paste) -> torch.Tensor:
        """Returns targets for CutMix by region, float32 ``[B, classes]``; by area if one of the two images has no labels."""
        partners = paste.partners.numpy()
        if self.one_hot_rows is None:
            targets = self._of_regions(crops, partners, paste)
        else:
            targets = _mixed(self._of_labels(crops, None), partners, paste.lam)
            has_labels = ~self.one_hot_rows[crops.rows]
            pairs = np.flatnonzero(has_labels & has_labels[partners])
            # A separate batch: the hosts, followed by the images that are pasted into them.
            both = np.concatenate([pairs, partners[pairs]])
            behind = np.arange(len(both), dtype=np.int64)
            behind[: len(pairs)] += len(pairs)
            targets[pairs] = self._of_regions(crops.at(both), behind, paste)[: len(pairs)]
        one_hot = self._one_hot(crops.rows)
        mixed = None if one_hot is None else _mixed(one_hot, partners, paste.lam)
        return torch.from_numpy(self._with_folder_class(targets, mixed))

    def _of_labels(self, crops: CropArrays, threads: int | None) -> NDArray[Any]:
        """Returns targets without a share of the folder class; one-hot for rows without labels."""
        if self.one_hot_rows is None:
            return self._soft(crops, threads)
        is_one_hot = self.one_hot_rows[crops.rows]
        has_labels, without = np.flatnonzero(~is_one_hot), np.flatnonzero(is_one_hot)
        soft = self._soft(crops.at(has_labels), threads)
        targets = np.zeros((len(crops.rows), *soft.shape[1:]), dtype=soft.dtype)
        targets[has_labels] = soft
        targets[without, self.folder_classes[crops.rows[without]]] = 1
        return targets

    def _soft(self, crops: CropArrays, threads: int | None) -> NDArray[Any]:
        if self.options.target == "image":
            return self._selected(self.labels.image_targets(crops.rows, threads=threads))
        options = self.options.pool_options()
        return self._selected(self.labels.pool(crops.rows, crops.boxes, flip=crops.flips, threads=threads, **options))

    def _of_regions(self, crops: CropArrays, partners: NDArray[np.int64], paste: Paste) -> NDArray[np.float32]:
        options = {name: value for name, value in self.options.pool_options().items() if name != "dtype"}
        return self._selected(
            self.labels.cutmix_targets(
                crops.rows, crops.boxes, partners, paste.rect, paste.input_size, flip=crops.flips, **options
            )
        )

    def _selected(self, targets: NDArray[Any]) -> NDArray[Any]:
        """Returns the student's classes of targets, divided by their sum."""
        if self.columns is None:
            return targets
        selected = targets[:, self.columns]
        sums = selected.sum(axis=1, keepdims=True, dtype=np.float64)
        shared = np.full_like(selected, 1 / len(self.columns))
        return np.where(sums > 0, selected / np.where(sums > 0, sums, 1), shared).astype(targets.dtype)

    def _with_folder_class(self, targets: NDArray[Any], folder: NDArray[Any] | None) -> NDArray[Any]:
        """Returns targets with the share of the folder class."""
        if folder is None:
            return targets
        folder = folder.reshape(folder.shape + (1,) * (targets.ndim - 2))
        weight: Any = self.options.hard
        if self.options.hard_weight == "disagreement":
            # The total variation distance. For one image, it is the probability of all classes but the folder class.
            weight = weight * (1 - np.minimum(targets, folder).sum(axis=1, keepdims=True))
        mixed: NDArray[Any] = (targets + weight * (folder - targets)).astype(targets.dtype)
        return mixed

    def _one_hot(self, rows: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """Returns the folder classes of rows, float32 ``[B, classes]``; None if they have no share in targets."""
        if self.options.hard == 0:
            return None
        targets = np.zeros((len(rows), self.class_count), dtype=np.float32)
        targets[np.arange(len(rows)), self.folder_classes[rows]] = 1
        return targets

    def _classes_of_folders(self) -> NDArray[np.int64]:
        """Returns the folder class of each row as an index into the target, int64 ``[n]``; -1 if it is not a class of it."""
        classes = self.labels.folder_classes()
        if self.columns is None:
            return classes
        # The last entry belongs to -1.
        position = np.full(self.labels.num_classes + 1, -1, dtype=np.int64)
        position[self.columns] = np.arange(len(self.columns))
        return position[classes]

    def _check_folder_classes(self, rows: NDArray[np.int64], reason: str) -> None:
        """Refuses rows whose folder is not a class of the target.

        Raises:
            ValueError: If there is such a row.
        """
        without = rows[self.folder_classes[rows] < 0]
        if len(without):
            name = self.labels.ids()[int(without[0])]
            whose = "teacher" if self.columns is None else "student"
            raise ValueError(f"row {without[0]} ({name}) {reason}, and its folder is not a class of the {whose}")


def columns_of_classes(labels: Labels, classes: Sequence[str]) -> NDArray[np.int64]:
    """Returns the indices of classes in the teacher's order, int64.

    Raises:
        ValueError: If a class is listed twice, is not a class of the teacher, or none is listed.
    """
    if isinstance(classes, str) or len(classes) == 0:
        raise ValueError(f"classes must list ids of classes of the teacher, got {classes!r}")
    known = labels.class_to_idx
    for at, name in enumerate(classes):
        if name not in known:
            raise ValueError(
                f"class {name!r} is not a class of the teacher, whose first is {labels.classes[0]!r}\n  help: labels.classes has all"
            )
        if name in classes[:at]:
            raise ValueError(f"class {name!r} is listed twice")
    return np.array([known[name] for name in classes], dtype=np.int64)


def rows_of_names(labels: Labels, names: Sequence[str] | Sequence[int], *, are_paths: bool) -> NDArray[np.int64]:
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
    check_missing(missing)
    unlabelled: NDArray[np.bool_] = ~labels.labelled()[rows]
    if missing == "error" and unlabelled.any():
        row = int(rows[unlabelled][0])
        reason = labels.failed().get(row, "its shard is not done yet")
        raise NotLabelled(
            f"{labels.path}: {int(unlabelled.sum())} of {len(rows)} images have no labels; the first is row {row} ({reason})\n"
            '  help: missing="drop" leaves them out, missing="hard" uses their folder class'
        )
    return unlabelled


def check_missing(missing: Missing) -> None:
    """Refuses other values than those of :data:`Missing`."""
    if missing not in ("error", "hard", "drop"):
        raise ValueError(f'missing must be "error", "hard" or "drop", got {missing!r}')


def _is_equal(value: Any, default: Any) -> bool:
    """Returns whether an option is its default. True and arrays are not equal to 1, since `pool` refuses them."""
    return value is default or (type(value) is type(default) and bool(value == default))


def _mixed(targets: NDArray[Any], partners: NDArray[np.int64], lam: float) -> NDArray[Any]:
    mixed: NDArray[Any] = (lam * targets + (1 - lam) * targets[partners]).astype(targets.dtype)
    return mixed
