"""Iterable data sets, such as WebDataset's: images with the targets of their crops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch.utils.data import IterableDataset

from .._relabel import NotLabelled
from ..labels import Convention, Fill, Labels, Pooling
from .crops import FULL_IMAGE, Crop, transformed, watch
from .data import no_crop
from .images import warn_of_rotation
from .pipelines import check_steps
from .samples import image_of
from .targets import CropArrays, HardWeight, Missing, Target, TargetOptions, Targets, check_missing

Key = str | int | Callable[[Any], str | int]
"""Where the id of an image is: key of a dict, index in a tuple, or a function of the sample. An id may be a path below the
source or a row."""


class CropIterable(IterableDataset[Any]):
    """Images of an iterable data set with their crops: ``(image, Crop)``. :class:`PoolCollate` adds the targets of a batch.

    Args:
        dataset: Gives samples, dicts or tuples, each with an image and an id. It divides itself among workers, as WebDataset does.
        labels: The store.
        transform: Applied to the image. A crop inside the data set cannot be attributed to its image, since the data set may shuffle
            afterwards.
        key: See :data:`Key`. ``"__key__"`` for WebDataset.
        image: As in :class:`CropDataset`.
        missing: See :data:`~relabel.torch.targets.Missing`. ``"error"`` raises at the first image without labels.

    Raises:
        TypeError: If the data set also has ``__getitem__``, as lists and map-style data sets have.
        ValueError: If a transform before or after the crop moves pixels.
    """

    _needs_crop = True
    _needs_sides = False
    rows: NDArray[np.int64] | None = None
    """Unknown before the images are read."""

    def __init__(
        self,
        dataset: Iterable[Any],
        labels: Labels,
        transform: Callable[[Any], Any],
        *,
        key: Key,
        image: str | int | None = None,
        missing: Missing = "error",
    ) -> None:
        check_missing(missing)
        warn_of_rotation(dataset, labels)
        if not isinstance(dataset, IterableDataset) and hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"{type(dataset).__name__} is not iterable only, so every worker would return all of its images\n"
                "  help: use LabelMapDataset or CropDataset"
            )
        self.dataset = dataset
        self.labels = labels
        self.transform = transform
        self.key = key
        self.image = image
        self.missing = missing
        has_labels = labels.labelled()
        self.has_labels: NDArray[np.bool_] | None = None if has_labels.all() else has_labels
        self.one_hot_rows = None if self.has_labels is None or missing != "hard" else ~self.has_labels

    def check_options(self, options: TargetOptions, *, needs_sides: bool = False) -> None:
        """Refuses a transform that makes the targets of these options wrong, as :meth:`CropDataset.check_options` does."""
        check_steps(self.transform, needs_sides=needs_sides or options.needs_sides)
        self._needs_sides |= needs_sides or options.needs_sides

    @property
    def transform(self) -> Callable[[Any], Any]:
        """Applied to the image. May be replaced."""
        return self._transform

    @transform.setter
    def transform(self, transform: Callable[[Any], Any]) -> None:
        watch(transform)
        if self._needs_crop:
            check_steps(transform, needs_sides=self._needs_sides, must_crop=True)
        self._transform = transform

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for sample in self.dataset:
            row = self._row(sample)
            if self.has_labels is not None and not self.has_labels[row]:
                if self.missing == "drop":
                    continue
                if self.missing == "error":
                    reason = self.labels.failed().get(row, "its shard is not done yet")
                    raise NotLabelled(
                        f"{self.labels.path}: row {row} has no labels ({reason})\n"
                        '  help: missing="drop" leaves such images out, missing="hard" uses their folder class'
                    )
            image, crop = transformed(self.transform, image_of(sample, self.image))
            if crop is None:
                if self._needs_crop:
                    raise ValueError(no_crop(self.labels, row))
                crop = FULL_IMAGE
            yield self._sample(image, crop._replace(row=row))

    def _sample(self, image: Any, crop: Crop) -> tuple[Any, ...]:
        return image, crop

    def _row(self, sample: Any) -> int:
        name: Any
        if callable(self.key):
            name = self.key(sample)
        elif isinstance(sample, Mapping) and self.key not in sample:
            raise KeyError(f"a sample has the keys {', '.join(map(str, sample))}, and no {self.key!r}; pass another key=")
        else:
            name = sample[self.key]
        return int(self.labels.rows(name)[0])


class LabelMapIterable(CropIterable):
    """Images of an iterable data set with the targets of their crops: ``(image, target)``.

    A loader of many images is faster with :class:`CropIterable` and :class:`PoolCollate`, which pools a batch in one call.

    Args:
        dataset: As in :class:`CropIterable`, as are ``labels``, ``transform``, ``key``, ``image`` and ``missing``.
        return_box: As in :class:`LabelMapDataset`, as are all other arguments.
    """

    def __init__(
        self,
        dataset: Iterable[Any],
        labels: Labels,
        transform: Callable[[Any], Any],
        *,
        key: Key,
        return_box: bool = False,
        return_label: bool = False,
        image: str | int | None = None,
        missing: Missing = "error",
        target: Target = "crop",
        pooling: Pooling | None = None,
        output_size: int | tuple[int, int] | None = None,
        dtype: DTypeLike = np.float32,
        fill: Fill = 0.0,
        temperature: float = 1.0,
        convention: Convention = "relabel",
        classes: Sequence[str] | None = None,
        hard: float = 0.0,
        hard_weight: HardWeight = "constant",
    ) -> None:
        options = TargetOptions(
            target, pooling, output_size, dtype, fill, temperature, convention, classes, hard, hard_weight
        )
        self._needs_crop, self._needs_sides = target == "crop", options.needs_sides
        super().__init__(dataset, labels, transform, key=key, image=image, missing=missing)
        self.return_box = return_box
        self.return_label = return_label
        self.targets = Targets(labels, options, None, self.one_hot_rows)

    def _sample(self, image: Any, crop: Crop) -> tuple[Any, ...]:
        sample: list[Any] = [image, self.targets(CropArrays.of([crop]))[0]]
        if self.return_box:
            sample.append(torch.tensor(crop.box, dtype=torch.float32))
        if self.return_label:
            sample.append(int(self.targets.folder_classes[crop.row]))
        return tuple(sample)
