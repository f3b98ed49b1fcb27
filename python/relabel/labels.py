"""A store, open for training."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Union

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _relabel

Ids = Union[str, int, Sequence[str], Sequence[int], NDArray[Any]]
"""Images: ids (paths below the source without extension) or row numbers; one of them, or a sequence.

A text is compared as a whole first, with ids and then with paths, then without the extension of an image's file. Case,
spaces and Unicode form count. A text that could mean two images is an error that names both."""

Fill = Union[float, Literal["rest"]]
"""What stands for the score of a class that a cell does not hold: a score (0 is the paper's), or the score at which
these classes together have the probability that the teacher gave them there (stores made with ``--with-lse``)."""

Convention = Literal["relabel", "naver"]
"""``"naver"`` repeats the swapped axes of the public readers of *Re-labeling ImageNet* and TokenLabeling."""


Cache = Union[str, "os.PathLike[str]", Literal[False], None]
"""Where copies of remote files are kept; see :func:`open`."""

_OF_CLOUDS = ("AWS_", "AZURE_", "GOOGLE_", "HF_")
"""What the names of variables that say how places are reached begin with."""


class SparseTargets(NamedTuple):
    """Targets without the classes that share the rest. ``m`` is the largest number of classes in the batch."""

    ids: NDArray[np.int64]
    """``[B, m]`` (``[B, m, p, p]`` with ``output_size``) class ids by falling probability; -1 where there are fewer."""
    probs: NDArray[np.float32]
    """Their probabilities, of the same shape; 0 where there are fewer."""
    rest: NDArray[np.float32]
    """``[B]`` (``[B, p, p]``) probability of all other classes together, which they have in equal shares."""

    def dense(self, num_classes: int) -> NDArray[np.float32]:
        """``[B, num_classes]`` (``[B, num_classes, p, p]``), what :meth:`Labels.pool` gives unless ``top`` cut something."""
        others = num_classes - (self.ids >= 0).sum(axis=1, keepdims=True)
        dense = np.repeat(self.rest[:, None] / np.maximum(others, 1), num_classes, axis=1).astype(np.float32)
        padded = np.concatenate([dense, dense[:, :1]], axis=1)
        np.put_along_axis(padded, self.ids, self.probs, axis=1)
        return padded[:, :num_classes]


class Labels:
    """A store that ``relabel run`` made. Make one with :func:`open`.

    Threads may share it; it survives ``fork``; pickled, it is its path or address, and is opened again.
    """

    def __init__(
        self, path: str | os.PathLike[str], threads: int | None = None, cache: Cache = None
    ) -> None:
        self.path = os.fspath(path)
        self.threads = threads
        self.cache = cache
        variables = [(name, value) for name, value in os.environ.items() if name.startswith(_OF_CLOUDS)]
        self._core = _relabel.Labels(self.path, variables, _cache_folder(cache))
        self.info: dict[str, Any] = json.loads(self._core.info())
        """``attributes["relabel"]`` of the store, as ``docs/format.md`` describes it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Labels, (self.path, self.threads, self.cache))

    def __repr__(self) -> str:
        height, width = self.map_size
        return f"relabel.open({self.path!r})  # {len(self)} images, {height}x{width} cells, top {self.k} of {self.num_classes}"

    def __len__(self) -> int:
        return int(self.info["images"])

    @property
    def num_classes(self) -> int:
        """Number of classes, the length of a target."""
        return int(self.info["classes"]["count"])

    @property
    def k(self) -> int:
        """Classes kept in each cell."""
        return int(self.info["k"])

    @property
    def map_size(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        height, width = self.info["map_size"]
        return int(height), int(width)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, for people."""
        return list(self.info["classes"]["names"])

    def ids(self) -> list[str]:
        """The id of every row. Given back, they are the rows in order: ``rows(ids())`` counts from 0."""
        return self._core.ids()

    def rows(self, ids: Ids) -> NDArray[np.int64]:
        """Row numbers of images, int64 ``[B]``. A training script does this once and keeps the rows.

        Raises:
            KeyError: an id that the store does not have, or a name that could mean two images; the message names both.
            ValueError: texts and numbers in one sequence.
        """
        if isinstance(ids, str):
            return self._core.rows([ids])
        if isinstance(ids, (int, np.integer)) and not isinstance(ids, bool):
            return np.array([ids], dtype=np.int64)
        # An array of texts would take several times the memory of a long list.
        if isinstance(ids, (list, tuple)) and any(isinstance(name, (str, bytes, os.PathLike)) for name in ids):
            return self._core.rows(_texts(ids))
        array = ids if isinstance(ids, np.ndarray) else np.asarray(ids)
        if array.ndim != 1:
            raise ValueError(f"ids are a sequence of texts or row numbers; these have {array.ndim} dimensions")
        if array.size == 0:
            return np.empty(0, dtype=np.int64)
        if array.dtype.kind == "U" or array.dtype == object:
            return self._core.rows(_texts(array.tolist()))
        if array.dtype.kind not in "iu":
            raise ValueError(f"ids are texts or whole numbers, not {array.dtype}")
        return np.ascontiguousarray(array, dtype=np.int64)

    def find_rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Row numbers, -1 for each id that the store does not have.

        Raises:
            KeyError: a name that could mean two images.
        """
        return self._core.find_rows(_texts(ids))

    def folder_classes(self) -> NDArray[np.int64]:
        """Class index of each row's folder, int64 ``[len]``; -1 where the folder is no class of the teacher."""
        return self._core.folder_classes()

    def labelled(self) -> NDArray[np.bool_]:
        """Which rows have labels, bool ``[len]``."""
        has_labels: NDArray[np.bool_] = np.equal(self._core.states()[0], 1)
        return has_labels

    def failed(self) -> dict[int, str]:
        """Why rows could not be labelled, by row."""
        return dict(self._core.states()[1])

    def pool(
        self,
        ids: Ids,
        boxes: ArrayLike,
        *,
        output_size: int | tuple[int, int] | None = None,
        flip: ArrayLike | None = None,
        dtype: DTypeLike = np.float32,
        fill: Fill = 0.0,
        temperature: float = 1.0,
        convention: Convention = "relabel",
        threads: int | None = None,
    ) -> NDArray[Any]:
        """LabelPooling (*Re-labeling ImageNet*, section 3.2): the label of a box of each image.

        Equal to ``torchvision.ops.roi_align`` of the densified map (``sampling_ratio=-1, aligned=False``, half a cell
        subtracted) and softmax, to 1e-5, without the dense map.

        Args:
            ids: ``B`` ids or row numbers.
            boxes: ``[B, 4]``, ``x0, y0, x1, y1`` in 0..1 of the image. A box may cross the edge. Float32 boxes are scaled to
                the map in float32, others in float64, as torchvision's caller would (it decides where a side is a whole
                number of cells, see ``docs/label-pooling.md``).
            output_size: parts of the box that get a label each, for token labels; one label without it.
            flip: bool ``[B]``, crops that were mirrored left to right after cutting. It only moves parts.
            dtype: float32, float16 or float64.
            fill: see :data:`Fill`.
            temperature: pooled scores are divided by it before softmax.
            convention: see :data:`Convention`.
            threads: threads of this call; by default all of this process's cores, and one in a worker of a DataLoader.

        Returns:
            ``[B, classes]``, or ``[B, classes, p, p]`` with ``output_size``: probabilities, each label summing to 1.

        Raises:
            ValueError: a box that is empty, reversed or not finite (the message names its row); other impossible values.
            KeyError: an id that the store does not have.
            NotLabelled: an image that failed or is still to do.
            StoreError: a damaged shard.
        """
        batch = self._batch(ids, boxes, flip)
        size = _output_size(output_size)
        pooled = self._core.pool(
            batch, (size, fill, temperature, _said(convention)), np.dtype(dtype).name, self._threads(threads)
        )
        shape = (len(batch[0]), self.num_classes)
        return pooled.reshape(shape if output_size is None else shape + size)

    def pool_sparse(
        self,
        ids: Ids,
        boxes: ArrayLike,
        *,
        top: int | None = None,
        output_size: int | tuple[int, int] | None = None,
        flip: ArrayLike | None = None,
        fill: Fill = 0.0,
        temperature: float = 1.0,
        convention: Convention = "relabel",
        threads: int | None = None,
    ) -> SparseTargets:
        """The same as :meth:`pool` without the classes that no cell of the box holds: they share the rest equally.

        Args:
            top: keep only so many classes of each label; what is cut goes to the rest.
        """
        batch = self._batch(ids, boxes, flip)
        size = _output_size(output_size)
        words = (size, fill, temperature, _said(convention))
        ids_flat, probs_flat, rest, counts = self._core.pool_sparse(batch, words, self._threads(threads))
        if top is not None and top < 1:
            raise ValueError(f"top is {top}; it is at least 1")
        longest = int(counts.max(initial=0))
        sparse_ids = np.full((len(counts), longest), -1, dtype=np.int64)
        probs = np.zeros((len(counts), longest), dtype=np.float32)
        filled = np.arange(longest) < counts[:, None]
        sparse_ids[filled], probs[filled] = ids_flat, probs_flat
        if top is not None and top < longest:
            rest = rest + probs[:, top:].sum(axis=1)
            sparse_ids, probs = sparse_ids[:, :top].copy(), probs[:, :top].copy()
        if output_size is None:
            return SparseTargets(sparse_ids, probs, rest)
        grid = (len(batch[0]), *size)
        move = (0, 3, 1, 2)
        return SparseTargets(
            np.ascontiguousarray(sparse_ids.reshape(*grid, -1).transpose(move)),
            np.ascontiguousarray(probs.reshape(*grid, -1).transpose(move)),
            rest.reshape(grid),
        )

    def image_targets(self, ids: Ids, *, threads: int | None = None) -> NDArray[np.float32]:
        """Global soft labels: the teacher's prediction for whole images, float32 ``[B, classes]``.

        The store keeps the best ``k`` probabilities; what they leave is spread evenly over the other classes.
        """
        rows = self.rows(ids)
        return self._core.image_targets(rows, self._threads(threads)).reshape(len(rows), self.num_classes)

    def cutmix_targets(
        self,
        ids: Ids,
        boxes: ArrayLike,
        partners: ArrayLike,
        rects: ArrayLike,
        input_size: tuple[int, int],
        *,
        flip: ArrayLike | None = None,
        fill: Fill = 0.0,
        temperature: float = 1.0,
        convention: Convention = "relabel",
        threads: int | None = None,
    ) -> NDArray[np.float32]:
        """Targets of CutMix by region, float32 ``[B, classes]``: the host's label over what stays visible of it, and
        the pasted image's over the pasted part, mixed by area (``docs/label-pooling.md``).

        Args:
            partners: int ``[B]``, position in the batch of the crop that is pasted into each.
            rects: ``[B, 4]``, what is pasted: ``x0, y0, x1, y1`` in pixels of the student's input.
            input_size: height and width of that input.
        """
        batch = self._batch(ids, boxes, flip)
        partner_rows = np.ascontiguousarray(np.asarray(partners), dtype=np.int64)
        pasted = np.ascontiguousarray(np.asarray(rects), dtype=np.uint32).reshape(-1, 4)
        words = ((1, 1), fill, temperature, _said(convention))
        targets = self._core.cutmix(batch, partner_rows, pasted, input_size, words, self._threads(threads))
        return targets.reshape(len(batch[0]), self.num_classes)

    def map(self, image: str | int) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
        """The label map of one image: scores float16 and class ids int64, both ``[k, y, x]``, best first."""
        scores, classes, _ = self._core.map(int(self.rows(image)[0]))
        shape = (self.k, *self.map_size)
        return scores.reshape(shape), classes.reshape(shape)

    def _batch(
        self, ids: Ids, boxes: ArrayLike, flip: ArrayLike | None
    ) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.bool_]]:
        rows = self.rows(ids)
        crops = np.asarray(boxes)
        crops = np.ascontiguousarray(crops, dtype=np.float32 if crops.dtype == np.float32 else np.float64)
        if crops.ndim == 1 and crops.size == 4 and len(rows) == 1:
            crops = crops.reshape(1, 4)
        if crops.ndim != 2 or crops.shape != (len(rows), 4):
            raise ValueError(f"boxes have the shape {list(crops.shape)}; {len(rows)} images need [{len(rows)}, 4]")
        if flip is None:
            return rows, crops, np.zeros(len(rows), dtype=np.bool_)
        flips = np.ascontiguousarray(np.asarray(flip), dtype=np.bool_)
        if flips.shape != (len(rows),):
            raise ValueError(f"flip has the shape {list(flips.shape)}; {len(rows)} images need [{len(rows)}]")
        return rows, crops, flips

    def _threads(self, threads: int | None) -> int:
        if threads is not None:
            return threads
        return self.threads if self.threads is not None else default_threads()


def open(  # noqa: A001 - as in `zarr.open`
    path: str | os.PathLike[str], *, threads: int | None = None, cache: Cache = None
) -> Labels:
    """Opens a store. What it costs does not depend on the number of images; the list of images is read when an id is
    first looked up.

    Args:
        path: a folder that ``relabel run`` made, or one that was published; or the address of one:
            ``"s3://bucket/path"``, ``"gs://..."``, ``"az://..."``, ``"https://..."``, ``"hf://datasets/user/name"``.
            Credentials are taken from the environment (``AWS_ACCESS_KEY_ID``, ``HF_TOKEN``, ...); without any, what is
            public can be read.
        threads: threads of each call; by default all of this process's cores, and one in a worker of a DataLoader.
        cache: where copies of remote files are kept: a folder; by default ``$RELABEL_CACHE``, or ``relabel`` in the
            user's folder for caches; ``False`` keeps none. Copies are named by what they hold, are never out of date, and
            may be deleted at any time. A data set takes as much there as it has been read.

    Raises:
        StoreError: no store, another format version, or damage.
        OSError: a file or an address that cannot be read.
    """
    return Labels(path, threads, cache)


def _cache_folder(cache: Cache) -> str | None:
    if cache is False:
        return None
    if cache is not None:
        return os.fspath(cache)
    if folder := os.environ.get("RELABEL_CACHE"):
        return folder
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(caches, "relabel")


def default_threads() -> int:
    """All cores of this process; one in a worker of a PyTorch DataLoader, which has siblings on the other cores."""
    data = sys.modules.get("torch.utils.data")
    if data is not None and data.get_worker_info() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _texts(names: Sequence[Any]) -> list[str]:
    """Names as texts. A number among them may be a row or the name of a file, so that it is refused."""
    for name in names:
        if not isinstance(name, (str, os.PathLike)):
            raise ValueError(f"ids are all texts or all row numbers; `{name!r}` ({type(name).__name__}) is among texts")
    return [name if isinstance(name, str) else os.fsdecode(name) for name in names]


def _output_size(size: int | tuple[int, int] | None) -> tuple[int, int]:
    if size is None:
        return 1, 1
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _said(convention: Convention) -> Convention:
    if convention == "naver":
        warnings.warn(
            'convention="naver" pools the box mirrored at the diagonal of the image (x and y swapped), as the public reader '
            "of Re-labeling ImageNet does. Use it only to repeat results that were made so",
            stacklevel=3,
        )
    return convention
