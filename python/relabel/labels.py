"""Reads the label maps of a store for training."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import _relabel, pool_arguments
from .image_ids import Ids, names, names_or_rows
from .locations import Cache, cache_folder, cache_setting, store_location
from .masks import Mask, Masks, Resize, native_masks

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

_CLOUD_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_", "HF_")
"""Prefixes of the environment variables that configure remote access."""


class SparseTargets(NamedTuple):
    """Targets as lists of classes. ``m`` is ``top``, or the largest number of classes of a target in the batch."""

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

    Threads may share an instance, and it survives ``fork``. Pickling stores the absolute path or the URL; unpickling opens it
    again.
    """

    def __init__(
        self, path: str | os.PathLike[str], threads: int | None = None, cache: Cache = None
    ) -> None:
        self.path = store_location(path)
        """Absolute path or URL."""
        self.threads = None if threads is None else pool_arguments.whole_number(threads, "threads")
        self.cache = cache_setting(cache)
        variables = [(name, value) for name, value in os.environ.items() if name.startswith(_CLOUD_PREFIXES)]
        self._core = _relabel.Labels(self.path, variables, cache_folder(self.cache))
        self.info: dict[str, Any] = json.loads(self._core.info())
        """``attributes["relabel"]`` of the store (``docs/format.md``)."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.path, self.threads, self.cache))

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
    def classes(self) -> list[str]:
        """The classes in the order of targets, by the name of their folder, such as ``n01440764``, as ImageFolder's ``classes``
        has them. The names themselves if the class list has only these; ``0``, ``1``, ... if the classes have no names."""
        return [name or str(index) for index, name in enumerate(self.info["classes"]["ids"])]

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Position of each of :attr:`classes` in a target. The ``class_to_idx`` of an ImageFolder differs from it if classes have no
        folder, or have another order."""
        return {name: index for index, name in enumerate(self.classes)}

    @property
    def class_names(self) -> list[str]:
        """Readable names of the classes in the order of targets, such as ``tench, Tinca tinca``. Two may be equal."""
        return list(self.info["classes"]["names"])

    def ids(self) -> list[str]:
        """Returns the id of every row; ``rows(ids())`` is ``[0, 1, 2, ...]``."""
        return self._core.ids()

    def rows(self, ids: Ids) -> NDArray[np.int64]:
        """Returns the row numbers of images. A training script calls this once and keeps the rows.

        Args:
            ids: ``B`` names or row numbers (:data:`~relabel.image_ids.Ids`).

        Returns:
            int64 ``[B]``.

        Raises:
            KeyError: If an image is missing in the store, a name could mean two images, or two files match one image.
            ValueError: If ids mix names and numbers, or a row does not exist.
        """
        found = names_or_rows(ids, len(self))
        return self._core.rows(found) if isinstance(found, list) else found

    def find_rows(self, ids: str | os.PathLike[str] | Sequence[str] | Sequence[os.PathLike[str]]) -> NDArray[np.int64]:
        """Returns the row numbers of images by name, int64 ``[B]``; -1 for each one that is missing in the store.

        Raises:
            KeyError: If a name could mean two images, or two files match one image.
            ValueError: If ids are not names.
        """
        return self._core.find_rows(names(ids))

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
            ids: ``B`` names or row numbers (:data:`~relabel.image_ids.Ids`).
            boxes: ``[B, 4]``, ``x0, y0, x1, y1`` as fractions (0 to 1) of the image's width and height. A box may extend
                beyond the image, but a part must be inside. float32 boxes are scaled to the map in float32, others in float64.
                This matters if a side is an integer number of cells (``docs/label-pooling.md``).
            pooling: See :data:`Pooling`. Default: ``"paper"``, or ``"tiles"`` for a store without label maps. ``output_size``,
                ``fill``, ``temperature`` and ``convention`` are options of ``"paper"`` only.
            output_size: ``p`` or ``(rows, columns)``: returns a target for each part of the box (token labels).
            flip: bool ``[B]``: whether the crop was mirrored left to right. Only matters with ``output_size``.
            dtype: float32, float16 or float64, of NumPy or PyTorch.
            fill: See :data:`Fill`.
            temperature: Divides the pooled scores before softmax, above 0.
            convention: See :data:`Convention`.
            threads: Threads of this call. Default: all cores of this process, one in a DataLoader worker.

        Returns:
            Targets ``[B, classes]``, or ``[B, classes, p, p]`` with ``output_size``: probabilities that sum to 1 over the
            classes.

        Raises:
            ValueError: If a box is empty, reversed, not finite or outside of the image (the message contains its row), another
                argument is invalid, or the store does not have the labels that ``pooling`` needs.
            KeyError: As :meth:`rows`.
            NotLabelled: If an image failed or is not done yet.
            StoreError: If a shard is damaged.
        """
        batch = self._batch(ids, boxes, flip)
        options = _options(pooling, output_size, fill, temperature, convention)
        pooled = self._core.pool(batch, options, pool_arguments.target_dtype(dtype), self._threads(threads))
        shape = (len(batch[0]), self.num_classes)
        return pooled.reshape(shape if output_size is None else shape + options[1])

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
            top: Number of classes to keep in each target, which is then ``m``. The probability of the dropped ones is added to the
                rest.
        """
        batch = self._batch(ids, boxes, flip)
        options = _options(pooling, output_size, fill, temperature, convention)
        if top is not None:
            top = pool_arguments.whole_number(top, "top")
        width, classes, probs, rest = self._core.pool_sparse(batch, top, options, self._threads(threads))
        grid = () if output_size is None else options[1]
        shape = (len(batch[0]), width, *grid)
        return SparseTargets(classes.reshape(shape), probs.reshape(shape), rest.reshape(len(batch[0]), *grid))

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
            dtype: float32, float16 or float64, of NumPy or PyTorch.
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
        native = native_masks(masks, len(rows))
        options = (pool_arguments.fill_score(fill), pool_arguments.divisor(temperature))
        chosen = pool_arguments.choice(resize, "resize", get_args(Resize))
        name = pool_arguments.target_dtype(dtype)
        targets = self._core.pool_masks(rows, native, chosen, options, name, self._threads(threads))
        return targets.reshape(len(rows), self.num_classes)

    def image_targets(self, ids: Ids, *, threads: int | None = None) -> NDArray[np.float32]:
        """Returns global soft labels, float32 ``[B, classes]``: the teacher's prediction for the entire image.

        The store keeps the ``k`` highest probabilities. The other classes share the remaining probability equally.

        Raises:
            KeyError: As :meth:`rows`.
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
            rects: ``[B, 4]``: the pasted rectangle, ``x0, y0, x1, y1`` in whole pixels of the student's input, half-open; or
                ``[4]``, one for all.
            input_size: Height and width of that input in pixels.
        """
        batch = self._batch(ids, boxes, flip)
        count = len(batch[0])
        positions, pasted = pool_arguments.partner_array(partners, count), pool_arguments.rect_array(rects, count)
        sides = pool_arguments.input_sides(input_size)
        options = _options(pooling, None, fill, temperature, convention)
        targets = self._core.cutmix(batch, positions, pasted, sides, options, self._threads(threads))
        return targets.reshape(count, self.num_classes)

    def map(self, image: str | int) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
        """Returns the label map of one image: scores float16 and class ids int64, both ``[k, y, x]``, by falling score.

        Raises:
            ValueError: If the store has no label maps.
        """
        scores, classes, _ = self._core.map(self._row(image))
        shape = (self.k, *(self.map_size or ()))
        return scores.reshape(shape), classes.reshape(shape)

    def maps(
        self, ids: Ids, *, threads: int | None = None
    ) -> tuple[NDArray[np.float16], NDArray[np.int16] | NDArray[np.int32]]:
        """Returns the label maps of many images in one pass. ``relabel.torch.LabelMaps`` takes them to the training device.

        Args:
            ids: ``B`` ids or row numbers.
            threads: As in :meth:`pool`.

        Returns:
            Scores float16 and class ids, both ``[B, k, y, x]``, by falling score. The ids are int16 (int32 for teachers with more
            than 32,768 classes), which all operations of PyTorch take.

        Raises:
            ValueError: If the store has no label maps.
            KeyError: If an id is missing in the store.
            NotLabelled: If an image failed or is not done yet.
            StoreError: If a shard is damaged.
        """
        rows = self.rows(ids)
        scores, classes = self._core.maps(rows, self._threads(threads))
        shape = (len(rows), self.k, *(self.map_size or ()))
        return scores.reshape(shape), classes.reshape(shape)

    def tile_predictions(self, image: str | int) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
        """Returns the teacher's predictions for the tiles of one image: probabilities float16 and class ids int64, both
        ``[t, k]``, in the order of :attr:`tiles`, by falling probability.

        Raises:
            ValueError: If the store has no tiles.
        """
        probs, classes = self._core.tile_predictions(self._row(image))
        shape = (0 if self.tiles is None else len(self.tiles), -1)
        return probs.reshape(shape), classes.reshape(shape)

    def _batch(
        self, ids: Ids, boxes: ArrayLike, flip: ArrayLike | None
    ) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.bool_]]:
        rows = self.rows(ids)
        return rows, pool_arguments.box_array(boxes, len(rows)), pool_arguments.flip_array(flip, len(rows))

    def _row(self, image: str | int) -> int:
        rows = self.rows(image)
        if len(rows) != 1:
            raise ValueError(f"got {len(rows)} images\n  help: pass the id or the row number of one image")
        return int(rows[0])

    def _threads(self, threads: int | None) -> int:
        if threads is not None:
            return pool_arguments.whole_number(threads, "threads")
        return self.threads if self.threads is not None else default_threads()


def open(
    path: str | os.PathLike[str], *, threads: int | None = None, cache: Cache = None
) -> Labels:
    """Opens a store. The cost does not depend on the number of images: the first lookup of an id reads their list.

    Args:
        path: Folder of a store that ``relabel run`` made or ``relabel publish`` released (``~`` is expanded, and the current
            folder may change afterwards), or its URL: ``"s3://bucket/path"``,
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
        ValueError: If the scheme of the URL is unknown, or an argument is invalid.
    """
    return Labels(path, threads, cache)


def default_threads() -> int:
    """Returns the number of cores of this process, or 1 in a PyTorch DataLoader worker, whose siblings use the others."""
    data = sys.modules.get("torch.utils.data")
    if data is not None and data.get_worker_info() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _options(
    pooling: Pooling | None,
    output_size: int | tuple[int, int] | None,
    fill: Fill,
    temperature: float,
    convention: Convention,
) -> tuple[str | None, tuple[int, int], float | str, float, str]:
    if convention == "naver":
        warnings.warn(
            'convention="naver" pools the box with x and y swapped, as the public reader of Re-labeling ImageNet does\n'
            "  help: use it only to reproduce results of that reader",
            stacklevel=3,
        )
    return (
        None if pooling is None else pool_arguments.choice(pooling, "pooling", get_args(Pooling)),
        pool_arguments.output_sides(output_size),
        pool_arguments.fill_score(fill),
        pool_arguments.divisor(temperature),
        pool_arguments.choice(convention, "convention", get_args(Convention)),
    )
