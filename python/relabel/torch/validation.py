"""Validation sets with the class indices of the targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from ..labels import Labels
from .targets import columns_of_classes


class TeacherClasses(Dataset[Any]):
    """A data set of classes in folders, with the class indices of the targets: ``(image, index)``.

    ``ImageFolder`` counts the classes that it finds from 0. If it finds fewer classes than the teacher has, or in another
    order, its indices are not those of the student's outputs.

    Args:
        dataset: A data set whose samples are ``(image, index)`` and whose ``class_to_idx`` has the index of each class
            id, such as ``torchvision.datasets.ImageFolder``; or a ``Subset`` of one.
        labels: The store.
        classes: The classes of the student, as in :class:`LabelMapDataset`. Default: all classes of the teacher.

    Raises:
        TypeError: If the data set has no ``class_to_idx``.
        ValueError: If a class of the data set is not a class of the student (the message has both), or the data set has a
            ``target_transform``.
    """

    def __init__(self, dataset: Any, labels: Labels, classes: Sequence[str] | None = None) -> None:
        if getattr(_innermost(dataset), "target_transform", None) is not None:
            raise ValueError(
                "the data set has a target_transform, so its indices are not those of its class_to_idx\n  help: leave it out: "
                "TeacherClasses maps the indices"
            )
        if classes is not None:
            columns_of_classes(labels, classes)
        self.dataset = dataset
        self.classes = labels.classes if classes is None else list(classes)
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.index_from_dataset = {
            index: self._index(name) for name, index in _class_indices(dataset).items()
        }

    @property
    def transform(self) -> Any:
        """The transform of the data set. May be replaced, as timm's ``create_loader`` does."""
        return getattr(_innermost(self.dataset), "transform", None)

    @transform.setter
    def transform(self, transform: Any) -> None:
        _innermost(self.dataset).transform = transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image, found = self.dataset[index]
        return image, self.index_from_dataset[int(found)]

    def _index(self, name: str) -> int:
        if name not in self.class_to_idx:
            raise ValueError(
                f"class {name!r} of the data set is not one of the {len(self.classes):,} classes of the student, whose first is "
                f"{self.classes[0]!r}"
            )
        return self.class_to_idx[name]


def _innermost(dataset: Any) -> Any:
    """Returns the data set that a ``Subset`` is of."""
    while hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
        dataset = dataset.dataset
    return dataset


def _class_indices(dataset: Any) -> dict[str, int]:
    # torchvision's ImageNet has readable names in `class_to_idx`.
    for name in ("wnid_to_idx", "class_to_idx"):
        if hasattr(dataset, name):
            return dict(getattr(dataset, name))
    if _innermost(dataset) is not dataset:
        return _class_indices(_innermost(dataset))
    reader = getattr(dataset, "reader", None)
    if reader is not None and hasattr(reader, "class_to_idx"):
        return dict(reader.class_to_idx)
    raise TypeError(f"{type(dataset).__name__} has no `class_to_idx`, which names its classes")
