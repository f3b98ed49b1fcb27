"""The preprocessing of transformers' image processors, measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoImageProcessor

from relabel.console import Usage

from .network_errors import in_one_line
from .options import Size

# PIL's numbers of the filters.
PIL_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box"}


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a network's image processor."""

    size: Size | None
    """None: the processor does not resize."""
    mean: Sequence[float]
    std: Sequence[float]
    filter: str
    channel_order: str


USUAL_PREPROCESSING = Preprocessing(None, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear", "rgb")


def measured_preprocessing(name: str, needed: bool) -> Preprocessing | None:
    """Measures the image processor on images of one colour.

    Its settings have many names, and some processors divide by the standard deviation twice, swap channels or do not
    normalise.

    Args:
        name: Name on the hub, or folder.
        needed: Refuse a network without an image processor. Otherwise None is returned.
    """
    try:
        processor = AutoImageProcessor.from_pretrained(name)
    except Exception as problem:  # transformers raises many types for a missing file.
        if needed:
            raise Usage(
                f"cannot read the preprocessing of {name}: no image processor ({in_one_line(problem)})\n  help: put a"
                " preprocessor_config.json next to its config.json"
            ) from problem
        return None
    black, white, grey, red = (_processed(name, processor, colour) for colour in ((0,) * 3, (255,) * 3, (51,) * 3, (255, 0, 0)))
    at = (slice(None), black.shape[1] // 2, black.shape[2] // 2)
    slope = white[at] - black[at]
    resizes = black.shape == _processed(name, processor, (0, 0, 0), side=512).shape
    nonlinear = np.abs(grey - (black + 0.2 * (white - black))).max() > 1e-2 * np.abs(slope).max()
    if not (slope > 0).all() or nonlinear or np.ptp(black, axis=(1, 2)).max() > 1e-3:
        raise _indescribable(name, "it does not normalise all pixels equally")
    responding = list(np.flatnonzero(np.abs(red[at] - black[at]) > 1e-3))
    if responding not in ([0], [2]):
        raise _indescribable(name, "it mixes the colour channels")
    number = getattr(processor, "resample", None)
    if number is not None and int(number) not in PIL_FILTERS:
        raise _indescribable(name, f"it resizes with PIL's filter {int(number)}, which relabel does not support")
    return Preprocessing(
        size=(black.shape[1], black.shape[2]) if resizes else None,
        mean=[round(float(-value / rise), 6) + 0.0 for value, rise in zip(black[at], slope, strict=True)],
        std=[round(float(1 / value), 6) for value in slope],
        filter=PIL_FILTERS[2 if number is None else int(number)],
        channel_order="rgb" if responding == [0] else "bgr",
    )


def _processed(name: str, processor: Any, colour: tuple[int, ...], side: int = 640) -> NDArray[Any]:
    """Returns the pixels ``[3, height, width]`` that the processor makes of an image of one colour."""
    image = Image.new("RGB", (side, side), colour)
    pixels = np.asarray(processor(images=image, return_tensors="np")["pixel_values"])
    if pixels.ndim != 4 or pixels.shape[:2] != (1, 3):
        raise _indescribable(name, f"it makes images of the shape {list(pixels.shape)}, not [1, 3, height, width]")
    found: NDArray[Any] = pixels[0]
    return found


def _indescribable(name: str, cause: str) -> Usage:
    return Usage(
        f"cannot describe the image processor of {name} in a teacher card: {cause}\n  help: choose another network"
    )
