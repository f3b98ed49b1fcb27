"""Data sets and collation: images with the targets of their crops."""

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
from ..pool_arguments import target_dtype
from .crops import Crop
from .mix import CutMix
from .targets import Missing, Target, Targets, rows_of_names, without_labels

SAMPLED_FILES = 64
"""Number of files whose lengths are compared with those of the labelled files."""


class CropDataset(Dataset[Any]):
    """Images of a data set with their crops: ``(image, Crop)``. :class:`PoolCollate` adds the targets of a batch.

    Args:
        dataset: A map-style data set whose samples are images or tuples that begin with one, such as
            ``torchvision.datasets.ImageFolder``.
        labels: The store.
        transform: Applied to the image, and returns ``(image, Crop)``. Leave it out if the data set's own transform
            contains the crop.
        ids: The id, or the path below the source, of each image. Default: the paths of the data set's ``samples`` below its
            ``root``, as ImageFolder (or a ``Subset`` of one) has them.
        missing: See :data:`~relabel.torch.targets.Missing`.

    Raises:
        KeyError: If an image is missing in the store, a name could mean two images, or two files have only one image in the
            store.
        NotLabelled: If images have no labels and ``missing`` is ``"error"``.
        ValueError: If the number of ids is not that of the images.
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
            raise ValueError(f"got {len(names)} ids for {len(dataset)} images")
        rows = rows_of_names(labels, names, are_paths=ids is None)
        _warn_of_other_files(labels, rows, files)
        unlabelled = without_labels(labels, rows, missing)
        kept = np.flatnonzero(~unlabelled) if missing == "drop" else np.arange(len(rows))
        self.indices = kept.astype(np.int64)
        self.rows = rows[kept]
        self.hard: np.ndarray[Any, np.dtype[np.int64]] | None = None
        if missing == "hard" and unlabelled.any():
            classes = labels.folder_classes()
            without_class = rows[unlabelled & (classes[rows] < 0)]
            if len(without_class):
                raise ValueError(f"row {without_class[0]} has no labels, and its folder is not a class of the teacher")
            self.hard = np.full(len(labels), -1, dtype=np.int64)
            self.hard[rows[unlabelled]] = classes[rows[unlabelled]]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.crop(index)

    def crop(self, index: int) -> tuple[Any, Crop]:
        """Returns the transformed image and its crop."""
        sample = self.dataset[int(self.indices[index])]
        image = sample
        if isinstance(sample, (tuple, list)) and not _is_pair(sample):
            image = sample[0]
        if self.transform is not None:
            image = self.transform(image)
        if not _is_pair(image):
            raise TypeError(
                f"the transform returned {type(image).__name__}, expected (image, Crop)\n  help: begin it with "
                "relabel.torch.RandomResizedCrop, and wrap transforms that take only an image in relabel.torch.OnImage"
            )
        image, crop = image
        return image, dataclasses.replace(crop, row=int(self.rows[index]))


class LabelMapDataset(CropDataset):
    """Images with the targets and boxes of their crops: ``(image, target, box)``.

    ``target`` is float32 ``[classes]`` (``[classes, p, p]`` with ``output_size``). ``box`` is float32 ``[4]``,
    ``x0, y0, x1, y1`` as fractions of the image. A DataLoader pools an entire batch in one call.

    Args:
        dataset: As in :class:`CropDataset`, as are all arguments that are not listed here.
        target: See :data:`~relabel.torch.targets.Target`.
        options: Options of :meth:`relabel.Labels.pool`: ``pooling``, ``output_size``, ``dtype``, ``fill``,
            ``temperature``, ``convention``.
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
    """Collates samples of a :class:`CropDataset` into ``(images, targets)``. Pools the batch in one call and applies CutMix.

    CutMix by region needs this class, because it needs the boxes.

    Args:
        dataset: The data set of the loader.
        target: As in :class:`LabelMapDataset`.
        cutmix: Applied to the batch.
        options: As in :class:`LabelMapDataset`.
    """

    def __init__(
        self, dataset: CropDataset, *, target: Target = "crop", cutmix: CutMix | None = None, **options: Any
    ) -> None:
        if cutmix is not None and cutmix.region:
            if target != "crop" or options.pop("output_size", None) is not None:
                raise ValueError('CutMix by region needs target="crop" and no output_size')
            dtype = options.pop("dtype", None)
            if target_dtype(dtype) != "float32":
                raise ValueError(f"dtype is {dtype!r}\n  help: leave it out, since CutMix by region returns float32")
        self.targets = Targets(dataset.labels, dataset.hard, target, options)
        self.cutmix = cutmix

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
    """Returns (path below the root, path) of each file of an ImageFolder or of a Subset of one."""
    if hasattr(dataset, "samples") and hasattr(dataset, "root"):
        root = os.fspath(dataset.root)
        return [(os.path.relpath(path, root).replace(os.sep, "/"), path) for path, _ in dataset.samples]
    if hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
        files = _files(dataset.dataset)
        return [files[index] for index in dataset.indices]
    raise TypeError(
        f"{type(dataset).__name__} has no `samples` and `root`, which list its images\n  help: pass ids=, one for each image"
    )


def _warn_of_other_files(labels: Labels, rows: NDArray[np.int64], files: Sequence[tuple[str, str]]) -> None:
    """Warns if file lengths differ from those of the labelled files: two splits may have the same names."""
    if not files or labels.info.get("imported"):
        # An imported store has the lengths of the files of its maps, not of the images.
        return
    step = max(1, len(files) // SAMPLED_FILES)
    sampled = range(0, len(files), step)
    listed = labels._core.file_bytes(np.ascontiguousarray(rows[::step]))
    pairs = [
        (os.path.getsize(files[at][1]), int(length))
        for at, length in zip(sampled, listed, strict=True)
        if length > 0 and os.path.isfile(files[at][1])
    ]
    others = sum(there != length for there, length in pairs)
    if 2 * others > len(pairs):
        warnings.warn(
            f"{labels.path}: {others} of {len(pairs)} sampled files of the data set differ in length from the labelled files\n"
            "  help: ignore this for resized or converted copies. Otherwise these are different images with the same names, such "
            "as those of a different split",
            stacklevel=4,
        )
