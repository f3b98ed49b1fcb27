"""Masks of regions, as arrays or in COCO's run-length encoding, for :meth:`relabel.Labels.pool_masks`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray


class CocoRle(TypedDict):
    """A mask in COCO's run-length encoding, as ``pycocotools.mask.encode`` returns it and COCO files contain it."""

    size: Sequence[int]
    """Height and width of the mask in pixels."""
    counts: str | bytes | Sequence[int]
    """Compressed counts, or a list of uncompressed ones. Pixels are counted column by column; the first count is outside."""


Mask = NDArray[Any] | CocoRle
"""A region of an image: an array ``[height, width]`` of bool, or of integers with one value other than 0, or a :class:`CocoRle`.

A mask covers the entire image at any resolution, and is oriented as the image was labelled: as its file stores it, without the
rotation that EXIF asks for, unless the teacher card applies it."""

Masks = Sequence[Mask] | NDArray[Any]
"""Several masks: a sequence, or an array ``[B, height, width]``."""

Resize = Literal["linear", "area"]
"""How a mask is resized to the cells of a label map. ``"linear"``: bilinear without antialiasing, as ``cv2.resize`` with
``INTER_LINEAR``, which MultiLabel-ImageNet uses: a cell has the value of the mask at its centre. A mask that is 0 at all
centres is resized with ``"area"``. ``"area"``: the fraction of each cell that the mask covers."""

NativeMask = tuple[int, int, bool, bytes | NDArray[np.int64] | NDArray[np.uint8]]
"""Height, width, whether the pixels are in column order, and the content, for the native module."""


def native_masks(masks: Masks | Mask, count: int) -> list[NativeMask]:
    """Returns masks for the native module. A single mask is accepted if ``count`` is 1.

    Raises:
        ValueError: If the number of masks is not ``count``, or one has a wrong type or shape; the message contains its position.
    """
    is_single = isinstance(masks, Mapping) or getattr(masks, "ndim", None) == 2
    listed: Any = [masks] if is_single else masks
    if len(listed) != count:
        raise ValueError(f"masks of {count} ids must be {count} masks, got {len(listed)}; several masks of an image repeat its id")
    native = []
    for at, mask in enumerate(listed):
        try:
            native.append(_from_rle(mask) if isinstance(mask, Mapping) else _from_pixels(mask))
        except ValueError as error:
            raise ValueError(f"mask {at}: {error}") from error
    return native


def _from_rle(mask: Mapping[str, Any]) -> NativeMask:
    if "size" not in mask or "counts" not in mask:
        raise ValueError(f"a run-length encoding has the keys size and counts, got {', '.join(map(str, mask)) or 'none'}")
    size, counts = mask["size"], mask["counts"]
    sides = list(size) if isinstance(size, (list, tuple, np.ndarray)) else []
    if len(sides) != 2 or not all(isinstance(side, (int, np.integer)) and side >= 0 for side in sides):
        raise ValueError(f"size must be height and width in pixels, got {size!r}")
    height, width = int(sides[0]), int(sides[1])
    if isinstance(counts, bytes):
        return height, width, True, counts
    if isinstance(counts, str):
        # A character that is not ASCII becomes bytes that do not occur in compressed counts.
        return height, width, True, counts.encode("utf-8", "surrogatepass")
    numbers = np.asarray(counts) if len(counts) else np.empty(0, np.int64)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ValueError(f"counts must be text or a list of integers, got shape {list(numbers.shape)} of {numbers.dtype}")
    return height, width, True, np.ascontiguousarray(numbers, dtype=np.int64)


def _from_pixels(mask: Any) -> NativeMask:
    if isinstance(mask, (str, bytes)) or (isinstance(mask, (list, tuple)) and _is_polygons(mask)):
        raise ValueError(
            "it is not an array [height, width] or a run-length encoding\n  help: encode polygons with "
            "pycocotools.mask.frPyObjects and merge, or COCO.annToRLE"
        )
    pixels = np.asarray(mask)
    if pixels.ndim != 2:
        raise ValueError(f"a mask must have shape [height, width], got {list(pixels.shape)}")
    if pixels.dtype.kind not in "biu":
        raise ValueError(f"a mask must be bool or integer, got {pixels.dtype}\n  help: pass scores > threshold")
    height, width = pixels.shape
    if pixels.dtype != np.bool_:
        inside = pixels.max() if pixels.size else 0
        if pixels.size and (pixels.min() < 0 or not ((pixels == 0) | (pixels == inside)).all()):
            raise ValueError("it has several values other than 0\n  help: pass one mask for each region, as regions == number")
        pixels = pixels != 0
    is_by_columns = pixels.flags.f_contiguous and not pixels.flags.c_contiguous
    lines = pixels.T if is_by_columns else pixels
    return height, width, is_by_columns, np.ascontiguousarray(lines).view(np.uint8).reshape(-1)


def _is_polygons(mask: Sequence[Any]) -> bool:
    """Returns whether these are polygons of a COCO file: lists of coordinates of different lengths, or of floats."""
    lengths = {len(row) for row in mask if isinstance(row, (list, tuple))}
    return len(lengths) > 1 or any(isinstance(row, (list, tuple)) and any(isinstance(at, float) for at in row) for row in mask)
