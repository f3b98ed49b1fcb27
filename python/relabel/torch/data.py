"""Data sets: images with the targets of their crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch.utils.data import Dataset

from ..labels import Convention, Fill, Labels, Pooling
from .crops import FULL_IMAGE, Crop, transformed, watch
from .images import image_files, rows_of_files, visible_transforms, warn_of_rotation
from .loaded_files import LoadedFiles
from .pipelines import check_steps
from .samples import image_of
from .targets import CropArrays, HardWeight, Missing, Target, TargetOptions, Targets, rows_of_names, without_labels


class CropDataset(Dataset[Any]):
    """Images of a data set with their crops: ``(image, Crop)``. :class:`PoolCollate` adds the targets of a batch.

    The random resized crop and the horizontal flip of torchvision (v1 and v2) or timm in the transform remember what they do
    (:func:`~relabel.torch.remember_crops`), so the transform remains as it is.

    Args:
        dataset: A map-style data set whose samples are images, tuples that begin with one, or dicts with one, such as
            ``torchvision.datasets.ImageFolder``.
        labels: The store.
        transform: Applied to the image. Leave it out if the data set transforms its images.
        image: Key of the image in dicts, index in tuples. Default: the first item of a tuple, and of a dict the value of the
            first key that is ``"image"``, ``"img"``, ``"pixel_values"`` or the extension of an image file.
        ids: For each image its id, its path below the source, or its row. Default: the paths of the data set's files, as
            ``ImageFolder`` and ``ImageNet`` of torchvision, timm's ``ImageDataset``, and ``Subset`` and
            ``ConcatDataset`` of them have.
        missing: See :data:`~relabel.torch.targets.Missing`.

    Raises:
        KeyError: If an image is missing in the store, a name could mean two images, or two files have only one image in the
            store.
        NotLabelled: If images have no labels and ``missing`` is ``"error"``.
        TypeError: If the data set does not list its files, and ``ids`` is left out.
        ValueError: If the number of ids is not that of the images, or a transform before or after the crop moves pixels.
    """

    _needs_crop = True
    _needs_sides = False

    def __init__(
        self,
        dataset: Any,
        labels: Labels,
        transform: Callable[[Any], Any] | None = None,
        *,
        image: str | int | None = None,
        ids: Sequence[str] | Sequence[int] | None = None,
        missing: Missing = "error",
    ) -> None:
        self.dataset = dataset
        self.labels = labels
        self.image = image
        self.transform = transform
        warn_of_rotation(dataset, labels)
        rows, paths = self._rows(ids)
        self._loaded_files = LoadedFiles(dataset, paths)
        unlabelled = without_labels(labels, rows, missing)
        kept = np.flatnonzero(~unlabelled) if missing == "drop" else np.arange(len(rows))
        self.indices = kept.astype(np.int64)
        self.rows = rows[kept]
        self.one_hot_rows: NDArray[np.bool_] | None = None
        if missing == "hard" and unlabelled.any():
            self.one_hot_rows = np.zeros(len(labels), dtype=np.bool_)
            self.one_hot_rows[rows[unlabelled]] = True

    @property
    def transform(self) -> Callable[[Any], Any] | None:
        """Applied to the image; None if the data set transforms its images. May be replaced, as timm's ``create_loader`` does."""
        return self._transform

    @transform.setter
    def transform(self, transform: Callable[[Any], Any] | None) -> None:
        chains = self._chains(transform)
        for chain in chains:
            watch(chain)
        if self._needs_crop:
            for chain in chains:
                check_steps(chain, needs_sides=self._needs_sides, must_crop=True)
        self._transform = transform

    @property
    def classes(self) -> list[str]:
        """Ids of the classes in the order of a target."""
        return self.labels.classes

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Index of each class in a target, by its id."""
        return {name: index for index, name in enumerate(self.classes)}

    def check_options(self, options: TargetOptions, *, needs_sides: bool = False) -> None:
        """Refuses transforms that make the targets of these options wrong.

        Raises:
            ValueError: If a transform moves pixels in a way that matters; the message names it.
        """
        for chain in self._chains(self.transform):
            check_steps(chain, needs_sides=needs_sides or options.needs_sides)
        # Also transforms that are set later.
        self._needs_sides |= needs_sides or options.needs_sides

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.crop(index)

    def crop(self, index: int) -> tuple[Any, Crop]:
        """Returns the transformed image and its crop.

        Raises:
            ValueError: If the transform did not crop, or more than once.
        """
        self._loaded_files.begin()
        image, crop = transformed(self._transformed_image, int(self.indices[index]))
        self._loaded_files.check(int(self.indices[index]))
        if crop is None:
            if self._needs_crop:
                raise ValueError(no_crop(self.labels, int(self.rows[index])))
            crop = FULL_IMAGE
        return image, crop._replace(row=int(self.rows[index]))

    def _transformed_image(self, index: int) -> Any:
        image = image_of(self.dataset[index], self.image)
        return image if self.transform is None else self.transform(image)

    def _rows(self, ids: Sequence[str] | Sequence[int] | None) -> tuple[NDArray[np.int64], list[str] | None]:
        """Returns the row of each image, and its file if the data set lists its files."""
        files = image_files(self.dataset) if ids is None else None
        count = len(self.dataset)
        if files is not None:
            _check_count(len(files), "files", count)
            return rows_of_files(files, self.labels), [file.path for file in files]
        assert ids is not None
        _check_count(len(ids), "ids", count)
        return rows_of_names(self.labels, ids, are_paths=False), None

    def _chains(self, transform: Callable[[Any], Any] | None) -> list[list[Any]]:
        """Returns the transforms that are applied to an image one after the other, as far as they can be seen: a list for each of
        the data sets that the images are from."""
        return [[*chain, transform] for chain in visible_transforms(self.dataset)]


class LabelMapDataset(CropDataset):
    """Images with the targets of their crops: ``(image, target)``.

    ``target`` is float32 ``[classes]`` (``[classes, p, p]`` with ``output_size``). A DataLoader pools an entire batch in one
    call.

    Args:
        dataset: As in :class:`CropDataset`, as are all arguments that are not listed here.
        return_box: Adds the box to the sample, float32 ``[4]``, ``x0, y0, x1, y1`` as fractions of the image.
        return_label: Adds the folder class to the end of the sample, as an index into the target; -1 if it has none.
        target: See :data:`~relabel.torch.targets.Target`.
        pooling: As in :meth:`relabel.Labels.pool`, as are ``output_size``, ``dtype``, ``fill``, ``temperature`` and
            ``convention``.
        classes: See :class:`~relabel.torch.targets.TargetOptions`, as are ``hard`` and ``hard_weight``.
    """

    def __init__(
        self,
        dataset: Any,
        labels: Labels,
        transform: Callable[[Any], Any] | None = None,
        *,
        return_box: bool = False,
        return_label: bool = False,
        image: str | int | None = None,
        ids: Sequence[str] | Sequence[int] | None = None,
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
        super().__init__(dataset, labels, transform, image=image, ids=ids, missing=missing)
        self.return_box = return_box
        self.return_label = return_label
        self.targets = Targets(labels, options, self.rows, self.one_hot_rows)

    @property
    def classes(self) -> list[str]:
        options = self.targets.options
        return self.labels.classes if options.classes is None else list(options.classes)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, ...]]:
        images, crops = zip(*[self.crop(index) for index in indices], strict=True)
        columns: list[Any] = [images, self.targets(CropArrays.of(crops))]
        if self.return_box:
            columns.append(torch.tensor([crop.box for crop in crops], dtype=torch.float32))
        if self.return_label:
            columns.append(torch.from_numpy(self.targets.folder_classes[[crop.row for crop in crops]]))
        return list(zip(*columns, strict=True))


def no_crop(labels: Labels, row: int) -> str:
    """Returns the message for an image whose crop is unknown."""
    return (
        f"the transform of {labels.ids()[row]} did not crop it with a known random resized crop, so its box is unknown\n"
        "  help: use RandomResizedCrop of torchvision or timm; in a pipeline that is built while it runs, relabel.torch.RandomResizedCrop; "
        'or call relabel.torch.report_crop in a crop of your own. LabelMapDataset(..., target="image") needs no crop'
    )


def _check_count(listed: int, what: str, count: int) -> None:
    if listed != count:
        raise ValueError(f"got {listed} {what} for {count} images\n  help: pass ids=, one for each image")
