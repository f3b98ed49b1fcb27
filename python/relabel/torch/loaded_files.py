"""The files that a data set loads, compared with those that its rows were computed from."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .images import parts


class LoadedFiles:
    """Compares the files that a data set loads with those that its rows were computed from.

    A data set that returns the next image for one that it cannot read, as timm's ``ImageDataset`` does, would give it the target of
    the unreadable one. So would a subclass of ``ImageFolder`` with an order of its own. timm's retries are turned off; the loader of
    torchvision's data sets notes the file.

    Args:
        dataset: The data set.
        paths: The file of each image; None if they are unknown.
    """

    def __init__(self, dataset: Any, paths: Sequence[str] | None) -> None:
        for part in [dataset, *parts(dataset)]:
            if hasattr(part, "_max_retries"):
                part._max_retries = 1
            if paths is not None and hasattr(part, "samples") and callable(getattr(part, "loader", None)):
                part.loader = part.loader if isinstance(part.loader, _NotingLoader) else _NotingLoader(part.loader)
        # Four bytes for each image, and not a list that every worker would copy.
        self._digests = None if paths is None else np.array([_digest(path) for path in paths], dtype=np.uint32)

    def begin(self) -> None:
        """Forgets the file of the previous image."""
        _loaded.path = None

    def check(self, index: int) -> None:
        """Compares the file that was loaded with that of an image.

        Raises:
            ValueError: If they differ.
        """
        path = _loaded.path
        if path is not None and self._digests is not None and _digest(path) != self._digests[index]:
            raise ValueError(
                f"the data set returned the image of {path} for image {index}, which has another file\n  help: its target would be that "
                "of the other file. A data set must not replace images that it cannot read, and list them in `samples` in its own "
                "order; otherwise pass ids=, one for each image"
            )


class _Loaded(threading.local):
    """The file that this thread loaded last."""

    path: str | None = None


_loaded = _Loaded()


class _NotingLoader:
    """The loader of a data set; notes the path of the file."""

    def __init__(self, loader: Callable[[Any], Any]) -> None:
        self.loader = loader

    def __call__(self, path: Any) -> Any:
        _loaded.path = os.fspath(path)
        return self.loader(path)


def _digest(path: str) -> int:
    return zlib.crc32(os.fsencode(path))
