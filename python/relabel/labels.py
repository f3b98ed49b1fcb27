"""Reads the label maps of a store for training."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _relabel
from .masks import Mask, Masks, Resize, native_masks

Ids = str | int | Sequence[str] | Sequence[int] | NDArray[Any]
"""Images: ids (paths below the source without extension) or row numbers; a single one or a sequence.

A string is looked up unchanged first, among the ids and then among the paths, and then without an image file's extension.
Lookups distinguish case, spaces and Unicode form. A string that could mean two images is an error; its message lists both."""

Fill = float | Literal["rest"]
"""Score of the classes outside a cell's top-k: a number (0 in the paper), or ``"rest"``, the score at which these classes
together have the probability that the teacher gave them in that cell (needs a store made with ``--with-lse``)."""

Convention = Literal["relabel", "naver"]
"""Order of the axes when a box is pooled. ``"naver"`` reproduces the swapped axes of the public readers of *Re-labeling
ImageNet* and TokenLabeling."""

Pooling = Literal["paper", "tiles", "calibrated"]
"""How the target of a crop is computed. ``"paper"``: LabelPooling, from the label map. ``"tiles"``: from the predictions of the
image and its tiles, weighted by how well each covers the crop (needs a store made with ``--tiles``). ``"calibrated"``: from all
labels of the image, with the parameters that ``relabel calibrate`` fitted."""

Cache = str | os.PathLike[str] | Literal[False] | None
"""Folder for copies of remote files; see :func:`open`."""

_CLOUD_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_", "HF_")
"""Prefixes of the environment variables that configure remote access."""


class SparseTargets(NamedTuple):
    """Targets as lists of classes. ``m`` is the largest number of classes of a target in the batch."""

    ids: NDArray[np.int64]
    """``[B, m]`` (``[B, m, p, p]`` with ``output_size``): class ids by decreasing probability, padded with -1."""
    probs: NDArray[np.float32]
    """Probabilities of these classes, of the same shape, padded with 0."""
    rest: NDArray[np.float32]
    """``[B]`` (``[B, p, p]``): total probability of all other classes, which share it equally."""

    def dense(self, num_classes: int) -> NDArray[np.float32]:
        """Returns dense targets ``[B, num_classes]`` (``[B, num_classes, p, p]``).

        They equal those of :meth:`Labels.pool` unless ``top`` dropped classes.
        """
        others = num_classes - (self.ids >= 0).sum(axis=1, keepdims=True)
        dense = np.repeat(self.rest[:, None] / np.maximum(others, 1), num_classes, axis=1).astype(np.float32)
        padded = np.concatenate([dense, dense[:, :1]], axis=1)
        np.put_along_axis(padded, self.ids, self.probs, axis=1)
        return padded[:, :num_classes]


class Labels:
    """The label maps of a store. Open one with :func:`open`.

    Threads may share an instance, and it survives ``fork``. Pickling stores the path or URL; unpickling opens it again.
    """

    def __init__(
        self, path: str | os.PathLike[str], threads: int | None = None, cache: Cache = None
    ) -> None:
        self.path = os.fspath(path)
        self.threads = threads
        self.cache = cache
        variables = [(name, value) for name, value in os.environ.items() if name.startswith(_CLOUD_PREFIXES)]
        self._core = _relabel.Labels(self.path, variables, _cache_folder(cache))
        self.info: dict[str, Any] = json.loads(self._core.info())
        """``attributes["relabel"]`` of the store (``docs/format.md``)."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Labels, (self.path, self.threads, self.cache))

    def __repr__(self) -> str:
        cells = "no cells" if self.map_size is None else "{}x{} cells".format(*self.map_size)
        tiles = "" if self.tiles is None else f", {len(self.tiles)} tiles"
        return f"relabel.open({self.path!r})  # {len(self)} images, {cells}{tiles}, top {self.k} of {self.num_classes}"

    def __len__(self) -> int:
        return int(self.info["images"])

    @property
    def num_classes(self) -> int:
        """Number of classes: the length of a target."""
        return int(self.info["classes"]["count"])

    @property
    def k(self) -> int:
        """Number of classes in each cell, and in the prediction for each image."""
        return int(self.info["k"])

    @property
    def map_size(self) -> tuple[int, int] | None:
        """Height and width of a label map in cells; None if the store has predictions only."""
        if self.info.get("map_size") is None:
            return None
        height, width = self.info["map_size"]
        return int(height), int(width)

    @property
    def tiles(self) -> NDArray[np.float64] | None:
        """The parts of every image that have labels of their own: ``[t, 4]``, ``x0, y0, x1, y1`` as fractions of the image; None
        if there are none."""
        tiles = self.info.get("tiles")
        return None if tiles is None else np.array(tiles["boxes"], dtype=np.float64).reshape(-1, 4)

    @property
    def pooling(self) -> dict[str, float] | None:
        """Parameters of calibrated pooling by name (``docs/calibrated-pooling.md``); None before ``relabel calibrate``."""
        parameters = self._core.calibrated_parameters()
        return None if parameters is None else dict(json.loads(parameters))

    @property
    def class_names(self) -> list[str]:
        """Readable names of the classes."""
        return list(self.info["classes"]["names"])

    def ids(self) -> list[str]:
        """Returns the id of every row; ``rows(ids())`` is ``[0, 1, 2, ...]``."""
        return self._core.ids()

    def rows(self, ids: Ids) -> NDArray[np.int64]:
        """Returns the row numbers of images. A training script calls this once and keeps the rows.

        Args:
            ids: ``B`` ids or row numbers.

        Returns:
            int64 ``[B]``.

        Raises:
            KeyError: If an id is missing in the store, or a name could mean two images; the message lists both.
            ValueError: If ids mix strings and numbers.
        """
        if isinstance(ids, str):
            return self._core.rows([ids])
        if isinstance(ids, (int, np.integer)) and not isinstance(ids, bool):
            return np.array([ids], dtype=np.int64)
        # A NumPy array of strings takes several times the memory of a list.
        if isinstance(ids, (list, tuple)) and any(isinstance(name, (str, bytes, os.PathLike)) for name in ids):
            return self._core.rows(_strings(ids))
        array = ids if isinstance(ids, np.ndarray) else np.asarray(ids)
        if array.ndim != 1:
            raise ValueError(f"ids must be one-dimensional, got {array.ndim} dimensions")
        if array.size == 0:
            return np.empty(0, dtype=np.int64)
        if array.dtype.kind == "U" or array.dtype == object:
            return self._core.rows(_strings(array.tolist()))
        if array.dtype.kind not in "iu":
            raise ValueError(f"ids must be strings or integers, got {array.dtype}")
        return np.ascontiguousarray(array, dtype=np.int64)

    def find_rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Returns the row numbers of images, int64 ``[B]``; -1 for each id that is missing in the store.

        Raises:
            KeyError: If a name could mean two images.
        """
        return self._core.find_rows(_strings(ids))

    def folder_classes(self) -> NDArray[np.int64]:
        """Returns the folder class of each row as a class index, int64 ``[n]``; -1 if the teacher has no such class."""
        return self._core.folder_classes()

    def labelled(self) -> NDArray[np.bool_]:
        """Returns which rows have labels, bool ``[n]``."""
        has_labels: NDArray[np.bool_] = np.equal(self._core.states()[0], 1)
        return has_labels

    def failed(self) -> dict[int, str]:
        """Returns the reason for each row that could not be labelled, by row number."""
        return dict(self._core.states()[1])

    def pool(
        self,
        ids: Ids,
        boxes: ArrayLike,
        *,
        pooling: Pooling | None = None,
        output_size: int | tuple[int, int] | None = None,
        flip: ArrayLike | None = None,
        dtype: DTypeLike = np.float32,
        fill: Fill = 0.0,
        temperature: float = 1.0,
        convention: Convention = "relabel",
        threads: int | None = None,
    ) -> NDArray[Any]:
        """Computes the target of a box of each image.

        The default is LabelPooling (*Re-labeling ImageNet*, section 3.2), which pools the label map over the box. It equals
        ``torchvision.ops.roi_align`` of the dense map (``sampling_ratio=-1, aligned=False``, half a cell subtracted
        from the box) followed by softmax, to 1e-5, without creating the dense map.

        Args:
            ids: ``B`` ids or row numbers.
            boxes: ``[B, 4]``, ``x0, y0, x1, y1`` as fractions (0 to 1) of the image's width and height. A box may extend
                beyond the image. float32 boxes are scaled to the map in float32, others in float64. This matters if a side
                is an integer number of cells (``docs/label-pooling.md``).
            pooling: See :data:`Pooling`. Default: ``"paper"``, or ``"tiles"`` for a store without label maps. ``output_size``,
                ``fill``, ``temperature`` and ``convention`` are options of ``"paper"`` only.
            output_size: ``p`` or ``(rows, columns)``: returns a target for each part of the box (token labels).
            flip: bool ``[B]``: whether the crop was mirrored left to right. Only matters with ``output_size``.
            dtype: float32, float16 or float64.
            fill: See :data:`Fill`.
            temperature: Divides the pooled scores before softmax, above 0.
            convention: See :data:`Convention`.
            threads: Threads of this call. Default: all cores of this process, one in a DataLoader worker.

        Returns:
            Targets ``[B, classes]``, or ``[B, classes, p, p]`` with ``output_size``: probabilities that sum to 1 over the
            classes.

        Raises:
            ValueError: If a box is empty, reversed or not finite (the message contains its row), another value is invalid, or the
                store does not have the labels that ``pooling`` needs.
            KeyError: If an id is missing in the store.
            NotLabelled: If an image failed or is not done yet.
            StoreError: If a shard is damaged.
        """
        batch = self._batch(ids, boxes, flip)
        size = _output_size(output_size)
        options = (pooling, size, fill, temperature, _checked(convention))
        pooled = self._core.pool(batch, options, np.dtype(dtype).name, self._threads(threads))
        shape = (len(batch[0]), self.num_classes)
        return pooled.reshape(shape if output_size is None else shape + size)

    def pool_sparse(
        self,
        ids: Ids,
        boxes: ArrayLike,
        *,
        top: int | None = None,
        pooling: Pooling | None = None,
        output_size: int | tuple[int, int] | None = None,
        flip: ArrayLike | None = None,
        fill: Fill = 0.0,
        temperature: float = 1.0,
        convention: Convention = "relabel",
        threads: int | None = None,
    ) -> SparseTargets:
        """Pools as :meth:`pool` does and returns only the classes that the labels of the box have. All others share the rest
        equally.

        Args:
            ids: As in :meth:`pool`, as are all arguments but ``top``.
            top: Number of classes to keep in each target. The probability of the dropped ones is added to the rest.
        """
        batch = self._batch(ids, boxes, flip)
        size = _output_size(output_size)
        options = (pooling, size, fill, temperature, _checked(convention))
        ids_flat, probs_flat, rest, counts = self._core.pool_sparse(batch, options, self._threads(threads))
        if top is not None and top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
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

    def pool_masks(
        self,
        ids: Ids,
        masks: Masks | Mask,
        *,
        resize: Resize = "linear",
        dtype: DTypeLike = np.float32,
        fill: Fill = 0.0,
        temperature: float = 1.0,
        threads: int | None = None,
    ) -> NDArray[Any]:
        """Computes the target of a region of any shape of each image: the mean of the label map's scores under a mask, then softmax.

        The mask is resized to the cells of the map and divided by its sum: the weights of the mean. With the default options it
        equals the function of MultiLabel-ImageNet (Chen et al., 2026, https://arxiv.org/abs/2603.05729,
        ``mask_level_relabel.py``) to 1e-5. That function takes the five best of these probabilities.

        Args:
            ids: ``B`` ids or row numbers. Several masks of an image repeat its id; it is decoded once if they follow each other.
            masks: ``B`` masks, of any sizes; see :data:`relabel.masks.Mask`.
            resize: See :data:`relabel.masks.Resize`.
            dtype: float32, float16 or float64.
            fill: See :data:`Fill`.
            temperature: Divides the pooled scores before softmax, above 0.
            threads: Threads of this call. Default: all cores of this process, one in a DataLoader worker.

        Returns:
            Targets ``[B, classes]``: probabilities that sum to 1 over the classes.

        Raises:
            ValueError: If a mask is empty, damaged, or has a wrong type or shape (the message contains its position), another
                value is invalid, or the store has no label maps.
            KeyError: If an id is missing in the store.
            NotLabelled: If an image failed or is not done yet.
            StoreError: If a shard is damaged.
        """
        rows = self.rows(ids)
        native, options = native_masks(masks, len(rows)), (fill, temperature)
        targets = self._core.pool_masks(rows, native, resize, options, np.dtype(dtype).name, self._threads(threads))
        return targets.reshape(len(rows), self.num_classes)

    def image_targets(self, ids: Ids, *, threads: int | None = None) -> NDArray[np.float32]:
        """Returns global soft labels, float32 ``[B, classes]``: the teacher's prediction for the entire image.

        The store keeps the ``k`` highest probabilities. The other classes share the remaining probability equally.

        Raises:
            KeyError: If an id is missing in the store.
            NotLabelled: If an image failed or is not done yet.
            StoreError: If a shard is damaged.
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
        pooling: Pooling | None = None,
        flip: ArrayLike | None = None,
        fill: Fill = 0.0,
        temperature: float = 1.0,
        convention: Convention = "relabel",
        threads: int | None = None,
    ) -> NDArray[np.float32]:
        """Returns targets for CutMix by region, float32 ``[B, classes]``.

        Pools the host over its visible region and the pasted image over the pasted region, and mixes both targets by area
        (``docs/label-pooling.md``). Predictions that ``pooling`` mixes in are those for the entire crop of the host.

        Args:
            ids: As in :meth:`pool`, as are all arguments that are not listed here.
            boxes: Boxes of the crops before pasting, as in :meth:`pool`.
            partners: int ``[B]``: position in the batch of the crop that is pasted into each.
            rects: ``[B, 4]``: the pasted rectangle, ``x0, y0, x1, y1`` in pixels of the student's input, half-open.
            input_size: Height and width of that input in pixels.
        """
        batch = self._batch(ids, boxes, flip)
        positions = np.ascontiguousarray(np.asarray(partners), dtype=np.int64)
        pasted = np.ascontiguousarray(np.asarray(rects), dtype=np.uint32).reshape(-1, 4)
        options = (pooling, (1, 1), fill, temperature, _checked(convention))
        targets = self._core.cutmix(batch, positions, pasted, input_size, options, self._threads(threads))
        return targets.reshape(len(batch[0]), self.num_classes)

    def map(self, image: str | int) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
        """Returns the label map of one image: scores float16 and class ids int64, both ``[k, y, x]``, by falling score.

        Raises:
            ValueError: If the store has no label maps.
        """
        scores, classes, _ = self._core.map(int(self.rows(image)[0]))
        shape = (self.k, *(self.map_size or ()))
        return scores.reshape(shape), classes.reshape(shape)

    def tile_predictions(self, image: str | int) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
        """Returns the teacher's predictions for the tiles of one image: probabilities float16 and class ids int64, both
        ``[t, k]``, in the order of :attr:`tiles`, by falling probability.

        Raises:
            ValueError: If the store has no tiles.
        """
        probs, classes = self._core.tile_predictions(int(self.rows(image)[0]))
        shape = (0 if self.tiles is None else len(self.tiles), -1)
        return probs.reshape(shape), classes.reshape(shape)

    def _batch(
        self, ids: Ids, boxes: ArrayLike, flip: ArrayLike | None
    ) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.bool_]]:
        rows = self.rows(ids)
        crops = np.asarray(boxes)
        crops = np.ascontiguousarray(crops, dtype=np.float32 if crops.dtype == np.float32 else np.float64)
        if crops.ndim == 1 and crops.size == 4 and len(rows) == 1:
            crops = crops.reshape(1, 4)
        if crops.ndim != 2 or crops.shape != (len(rows), 4):
            raise ValueError(f"boxes of {len(rows)} images must have shape [{len(rows)}, 4], got shape {list(crops.shape)}")
        if flip is None:
            return rows, crops, np.zeros(len(rows), dtype=np.bool_)
        flips = np.ascontiguousarray(np.asarray(flip), dtype=np.bool_)
        if flips.shape != (len(rows),):
            raise ValueError(f"flip of {len(rows)} images must have shape [{len(rows)}], got shape {list(flips.shape)}")
        return rows, crops, flips

    def _threads(self, threads: int | None) -> int:
        if threads is not None:
            return threads
        return self.threads if self.threads is not None else default_threads()


def open(
    path: str | os.PathLike[str], *, threads: int | None = None, cache: Cache = None
) -> Labels:
    """Opens a store. The cost does not depend on the number of images: the first lookup of an id reads their list.

    Args:
        path: Folder of a store that ``relabel run`` made or ``relabel publish`` released, or its URL: ``"s3://bucket/path"``,
            ``"gs://..."``, ``"az://..."``, ``"https://..."``, ``"hf://datasets/user/name"``. Credentials come from the
            environment (``AWS_ACCESS_KEY_ID``, ``HF_TOKEN``, ...). Public stores need none.
        threads: Threads of each call. Default: all cores of this process, one in a DataLoader worker.
        cache: Folder for copies of remote files. Default: ``$RELABEL_CACHE``, else ``relabel`` in ``$XDG_CACHE_HOME`` or
            ``~/.cache``. ``False`` keeps no copies. Copies are named by their digest, so they are never stale, and may be
            deleted at any time. The cache grows to the size of the files that were read.

    Returns:
        The opened store.

    Raises:
        StoreError: If it is not a store, has an unknown format version, or is damaged.
        OSError: If a file or a URL cannot be read.
        ValueError: If the scheme of the URL is unknown.
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
    """Returns the number of cores of this process, or 1 in a PyTorch DataLoader worker, whose siblings use the others."""
    data = sys.modules.get("torch.utils.data")
    if data is not None and data.get_worker_info() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _strings(names: Sequence[Any]) -> list[str]:
    """Returns names as strings. Refuses numbers among them, which could be rows or file names."""
    for name in names:
        if not isinstance(name, (str, os.PathLike)):
            kind = type(name).__name__
            raise ValueError(f"ids must be all strings or all row numbers, got `{name!r}` ({kind}) among strings")
    return [name if isinstance(name, str) else os.fsdecode(name) for name in names]


def _output_size(size: int | tuple[int, int] | None) -> tuple[int, int]:
    if size is None:
        return 1, 1
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _checked(convention: Convention) -> Convention:
    if convention == "naver":
        warnings.warn(
            'convention="naver" pools the box with x and y swapped, as the public reader of Re-labeling ImageNet does\n'
            "  help: use it only to reproduce results of that reader",
            stacklevel=3,
        )
    return convention
