"""Data sets and collation: images with the labels of their crops."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, default_collate

from ..labels import Labels
from .crops import Crop
from .mix import CutMix
from .targets import Missing, Target, Targets, rows_of_names, without_labels

FILES_LOOKED_AT = 64
"""Files of a data set whose lengths are compared with those that were labelled."""


class CropDataset(Dataset[Any]):
    """Images of a data set with their crops: ``(image, Crop)``. :class:`PoolCollate` makes targets of a batch of them.

    Args:
        dataset: any map-style data set whose samples are an image or begin with one, such as
            ``torchvision.datasets.ImageFolder``.
        labels: the store.
        transform: applied to the image, unless the data set's own transform holds the crop already. The result must be
            ``(image, Crop)``.
        ids: what the store calls each image: all ids, or all paths below the source. Without it they are the paths of the
            data set's ``samples`` below its ``root``, as ImageFolder has them (``Subset`` of one as well).
        missing: see :data:`~relabel.torch.targets.Missing`.

    Raises:
        KeyError: an image that the store does not have, a name that could mean two images, or two files of which the store
            has only one.
        NotLabelled: images without labels, with ``missing="error"``.
    """

    def __init__(
        self,
        dataset: Any,
        labels: Labels,
        transform: Callable[[Any], Any] | None = None,
        *,
        ids: Sequence[str] | None = None,
        missing: Missing = "error",
    ) -> None:
        self.dataset = dataset
        self.labels = labels
        self.transform = transform
        files = _files(dataset) if ids is None else []
        names = [name for name, _ in files] if ids is None else list(ids)
        if len(names) != len(dataset):
            raise ValueError(f"there are {len(names)} ids, but {len(dataset)} images")
        rows = rows_of_names(labels, names, are_paths=ids is None)
        _warn_of_other_files(labels, rows, files)
        lacking = without_labels(labels, rows, missing)
        kept = np.flatnonzero(~lacking) if missing == "drop" else np.arange(len(rows))
        self.indices = kept.astype(np.int64)
        self.rows = rows[kept]
        self.hard: np.ndarray[Any, np.dtype[np.int64]] | None = None
        if missing == "hard" and lacking.any():
            classes = labels.folder_classes()
            nameless = rows[lacking & (classes[rows] < 0)]
            if len(nameless):
                raise ValueError(f"row {nameless[0]} has no labels, and its folder is no class of the teacher")
            self.hard = np.full(len(labels), -1, dtype=np.int64)
            self.hard[rows[lacking]] = classes[rows[lacking]]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.crop(index)

    def crop(self, index: int) -> tuple[Any, Crop]:
        """The image and where it was cut out."""
        sample = self.dataset[int(self.indices[index])]
        image = sample
        if isinstance(sample, (tuple, list)) and not _is_pair(sample):
            image = sample[0]
        if self.transform is not None:
            image = self.transform(image)
        if not _is_pair(image):
            raise TypeError(
                "the transform gives no box: begin it with relabel.torch.RandomResizedCrop, and wrap transforms that take "
                f"only an image in relabel.torch.OnImage (it gave {type(image).__name__} instead of (image, Crop))"
            )
        image, crop = image
        return image, dataclasses.replace(crop, row=int(self.rows[index]))


class LabelMapDataset(CropDataset):
    """Images with the pooled label of what they show: ``(image, target, box)``.

    ``target`` is float32 ``[classes]`` (``[classes, p, p]`` with ``output_size``), ``box`` float32 ``[4]``:
    ``x0, y0, x1, y1`` in 0..1 of the image. A DataLoader fetches a batch at a time, and so it is pooled.

    Args:
        target: see :data:`~relabel.torch.targets.Target`.
        options: those of :meth:`relabel.Labels.pool`: ``output_size``, ``dtype``, ``fill``, ``temperature``,
            ``convention``.

    The others are those of :class:`CropDataset`.
    """

    def __init__(
        self,
        dataset: Any,
        labels: Labels,
        transform: Callable[[Any], Any] | None = None,
        *,
        target: Target = "crop",
        ids: Sequence[str] | None = None,
        missing: Missing = "error",
        **options: Any,
    ) -> None:
        super().__init__(dataset, labels, transform, ids=ids, missing=missing)
        self.targets = Targets(labels, self.hard, target, options)

    def __getitem__(self, index: int) -> tuple[Any, torch.Tensor, torch.Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, torch.Tensor, torch.Tensor]]:
        images, crops = zip(*[self.crop(index) for index in indices], strict=True)
        targets = self.targets(crops)
        boxes = torch.tensor([crop.box for crop in crops], dtype=torch.float32)
        return list(zip(images, targets, boxes, strict=True))


class PoolCollate:
    """Collation for a DataLoader over a :class:`CropDataset`: ``(images, targets)``, pooled for the whole batch at once,
    with CutMix if it is given; the only way to CutMix by region, which must know the boxes.

    Args:
        dataset: the data set of the loader.
        target, options: as in :class:`LabelMapDataset`.
        cutmix: applied to the batch.
    """

    def __init__(
        self, dataset: CropDataset, *, target: Target = "crop", cutmix: CutMix | None = None, **options: Any
    ) -> None:
        self.targets = Targets(dataset.labels, dataset.hard, target, options)
        self.cutmix = cutmix
        if cutmix is not None and cutmix.region and (target != "crop" or "output_size" in options):
            raise ValueError('CutMix by region makes one label of a crop: target="crop", no output_size')

    def __call__(self, samples: Sequence[tuple[Any, Crop]]) -> tuple[torch.Tensor, torch.Tensor]:
        crops = [crop for _, crop in samples]
        images = default_collate([image for image, _ in samples])
        if self.cutmix is None:
            return images, self.targets(crops)
        if not self.cutmix.region:
            return self.cutmix.forward(images, self.targets(crops))
        paste = self.cutmix.paste(images)
        if paste is None:
            return images, self.targets(crops)
        return paste.images, self.targets.of_paste(crops, paste)


def _is_pair(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[1], Crop)


def _files(dataset: Any) -> list[tuple[str, str]]:
    """Paths below the root, and where the files are, of an ImageFolder or of a Subset of one."""
    if hasattr(dataset, "samples") and hasattr(dataset, "root"):
        root = os.fspath(dataset.root)
        return [(os.path.relpath(path, root).replace(os.sep, "/"), path) for path, _ in dataset.samples]
    if hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
        files = _files(dataset.dataset)
        return [files[index] for index in dataset.indices]
    raise TypeError(
        f"{type(dataset).__name__} has no `samples` and `root` that say what its images are called; pass ids=, one for each image"
    )


def _warn_of_other_files(labels: Labels, rows: NDArray[np.int64], files: Sequence[tuple[str, str]]) -> None:
    """Names alone do not tell one split from another: ``cat/1.jpg`` may be in both."""
    if not files or labels.info.get("imported"):
        # An imported store knows the lengths of its maps' files.
        return
    step = max(1, len(files) // FILES_LOOKED_AT)
    looked_at = range(0, len(files), step)
    listed = labels._core.file_bytes(np.ascontiguousarray(rows[::step]))
    pairs = [
        (os.path.getsize(files[at][1]), int(length))
        for at, length in zip(looked_at, listed, strict=True)
        if length > 0 and os.path.isfile(files[at][1])
    ]
    others = sum(there != length for there, length in pairs)
    if 2 * others > len(pairs):
        warnings.warn(
            f"{labels.path}: {others} of {len(pairs)} files of the data set that were looked at are not as long as when they "
            "were labelled. If they are scaled or converted copies, all is well; if not, the labels are those of other images "
            "with the same names, such as another split",
            stacklevel=4,
        )
