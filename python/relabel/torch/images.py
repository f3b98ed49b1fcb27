"""The images of a data set: where their files are, and which of their transforms can be seen."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..labels import Labels
from .targets import rows_of_names

SAMPLED_FILES = 64
"""Number of files whose lengths are compared with those of the labelled files."""


class ImageFile(NamedTuple):
    """A file of a data set."""

    path: str
    roots: tuple[str, ...]
    """Folders that could be the labelled source, the most likely one first."""


def rows_of_files(files: Sequence[ImageFile], labels: Labels) -> NDArray[np.int64]:
    """Returns the rows of files, int64 ``[n]``. Warns if they differ in length from the labelled ones.

    Raises:
        KeyError: If an image is missing in the store, or a name could mean two images.
    """
    failure: KeyError | None = None
    for attempt in range(max((len(file.roots) for file in files), default=1)):
        names = [os.path.relpath(file.path, file.roots[min(attempt, len(file.roots) - 1)]) for file in files]
        try:
            rows = rows_of_names(labels, [name.replace(os.sep, "/") for name in names], are_paths=True)
        except KeyError as error:
            # That of the most likely root is shown.
            failure = failure or error
            continue
        _warn_of_other_files(labels, rows, [file.path for file in files])
        return rows
    assert failure is not None
    raise failure


def image_files(dataset: Any) -> list[ImageFile]:
    """Returns the files of a data set in the order of its samples.

    Knows ``ImageFolder``, ``DatasetFolder`` and ``ImageNet`` of torchvision, timm's ``ImageDataset``, and ``Subset`` and
    ``ConcatDataset`` of them.

    Raises:
        TypeError: If the data set does not list its files.
    """
    if hasattr(dataset, "datasets"):
        return [file for part in dataset.datasets for file in image_files(part)]
    if hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
        files = image_files(dataset.dataset)
        return [files[int(index)] for index in dataset.indices]
    source: Any = dataset if hasattr(dataset, "samples") else getattr(dataset, "reader", None)
    if hasattr(source, "samples") and hasattr(source, "root") and all(_is_path(path) for path, *_ in source.samples):
        # The root of torchvision's ImageNet is the parent folder of its splits.
        candidates = (getattr(source, "split_folder", None), source.root)
        roots = tuple(os.fspath(root) for root in candidates if root is not None)
        return [ImageFile(os.fspath(path), roots) for path, *_ in source.samples]
    raise TypeError(
        f"{type(dataset).__name__} does not list its files in `samples` and `root`\n  help: pass ids=, one for each image"
    )


def _is_path(found: Any) -> bool:
    # The samples of timm's archives begin with a TarInfo.
    return isinstance(found, (str, os.PathLike))


def warn_of_rotation(dataset: Any, labels: Labels) -> None:
    """Warns if a data set rotates images by their EXIF orientation and the teacher saw them as they are stored.

    ``datasets.Image()`` rotates when it decodes. The boxes of such an image would be those of the rotated one.
    """
    card = labels.info.get("teacher", {}).get("card") or {}
    if card.get("exif_orientation") == "apply":
        return
    for part in [dataset, *parts(dataset)]:
        features = getattr(part, "features", None)
        for name, feature in features.items() if isinstance(features, dict) else ():
            if type(feature).__name__ == "Image" and getattr(feature, "decode", False):
                warnings.warn(
                    f"column {name!r} is rotated by EXIF orientation when it is decoded, but {labels.path} has labels of images as they "
                    f"are stored\n  help: cast the column to datasets.Image(decode=False), and decode it in the transform "
                    "(docs/training.md)",
                    stacklevel=4,
                )


def visible_transforms(dataset: Any, depth: int = 20) -> list[list[Any]]:
    """Returns the transforms that a data set applies to its images, those of inner data sets first: a list for each of the data sets
    that it consists of."""
    own = getattr(dataset, "transform", None)
    # That of `set_transform` and `with_transform` of Hugging Face `datasets`.
    own = (_format(dataset).get("format_kwargs") or {}).get("transform") if own is None else own
    inner = [chain for part in _inner(dataset) for chain in visible_transforms(part, depth - 1)] if depth else []
    return [chain + ([] if own is None else [own]) for chain in inner or [[]]]


def _format(dataset: Any) -> dict[str, Any]:
    found = getattr(dataset, "format", None)
    return found if isinstance(found, dict) else {}


def parts(dataset: Any, depth: int = 20) -> list[Any]:
    """Returns the data sets that a data set consists of, and their parts."""
    return [found for part in _inner(dataset) for found in (part, *parts(part, depth - 1))] if depth else []


def _inner(dataset: Any) -> list[Any]:
    return [part for part in [getattr(dataset, "dataset", None), *(getattr(dataset, "datasets", None) or [])] if part is not None]


def _warn_of_other_files(labels: Labels, rows: NDArray[np.int64], paths: Sequence[str]) -> None:
    """Warns if file lengths differ from those of the labelled files: two splits may have the same names."""
    if not paths or labels.info.get("imported"):
        # An imported store has the lengths of the files of its maps, not of the images.
        return
    step = -(-len(paths) // SAMPLED_FILES)
    sampled = range(0, len(paths), step)
    listed = labels._core.file_bytes(np.ascontiguousarray(rows[::step]))
    pairs = [
        (os.path.getsize(paths[at]), int(length))
        for at, length in zip(sampled, listed, strict=True)
        if length > 0 and os.path.isfile(paths[at])
    ]
    others = sum(there != length for there, length in pairs)
    if 2 * others > len(pairs):
        warnings.warn(
            f"{labels.path}: {others} of {len(pairs)} sampled files of the data set differ in length from the labelled files\n"
            "  help: ignore this for resized or converted copies. Otherwise these are different images with the same names, such "
            "as those of a different split",
            stacklevel=5,
        )
