"""The crop of an image, and how transforms remember it.

A random resized crop draws its box inside the transform, and returns only pixels. Once :func:`remember_crops` has seen it, it
also notes the box, and a data set reads the note after it has transformed an image. The pixels and the random numbers are
those of the unmodified transform, and other transforms need not know.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from .pipelines import check_steps, is_crop, is_flip, steps

T = TypeVar("T")


class Crop(NamedTuple):
    """The part of an image that a sample shows. ``default_collate`` makes one of tensors ``[B]`` from a batch."""

    x0: float
    """Left side as a fraction (0 to 1) of the image's width; ``x1`` is the right side."""
    y0: float
    """Upper side as a fraction (0 to 1) of the image's height; ``y1`` is the lower side."""
    x1: float
    y1: float
    flipped: bool = False
    """Whether the crop was mirrored left to right. Matters for token labels and for CutMix by region."""
    row: int = -1
    """Row of the image in the store, set by :class:`~relabel.torch.CropDataset`; -1 before."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """``x0, y0, x1, y1`` as :meth:`relabel.Labels.pool` takes it."""
        return self.x0, self.y0, self.x1, self.y1


FULL_IMAGE = Crop(0.0, 0.0, 1.0, 1.0)


def remember_crops(transform: T) -> T:
    """Makes the random resized crops and horizontal flips of a transform remember what they do, and returns the transform.

    :class:`~relabel.torch.CropDataset` and its subclasses call this for the transforms that they can see: those of
    the data set, in ``Compose``, ``RandomApply`` and ``Sequential``, in attributes of callable objects, in closures and in
    ``functools.partial``, and by global names that a function uses. It is needed where this search cannot look: for the crop and
    the flip of a pipeline that is built while it runs, for example.

    Knows ``RandomResizedCrop`` and ``RandomHorizontalFlip`` of torchvision v1 and v2 and the crop of timm, and subclasses.
    Their parameters, random numbers and pixels do not change. The transform may still be copied and pickled.

    Raises:
        ValueError: If a step of the transform moves pixels before or after the crop; the message names it.
    """
    check_steps(transform, needs_sides=False)
    watch(transform)
    return transform


def watch(transform: Any) -> None:
    """Makes crops and flips remember what they do, as :func:`remember_crops` does, and refuses nothing."""
    for step in steps(transform):
        if isinstance(step, (RandomResizedCrop, RandomHorizontalFlip)):
            continue
        if is_crop(step):
            # Only v2 has the first; it was named `_get_params` before torchvision 0.21. v1 and timm have the last.
            name = next(name for name in ("make_params", "_get_params", "get_params") if hasattr(step, name))
            method = getattr(step, name)
            if not isinstance(method, _RememberingParams):
                setattr(step, name, _RememberingParams(method))
        elif is_flip(step) and not isinstance(step.forward, _RememberingFlip):
            step.forward = _RememberingFlip(step.forward)


def report_crop(x0: float, y0: float, x1: float, y1: float, *, flipped: bool = False) -> None:
    """Notes the crop of the current image, for crop transforms that :func:`remember_crops` does not know.

    Args:
        x0: Left side as a fraction (0 to 1) of the width of the complete image, before the crop.
        y0: Upper side as a fraction of its height.
        x1: Right side.
        y1: Lower side.
        flipped: Whether the result is mirrored left to right.
    """
    _note.count += 1
    _note.crop = Crop(float(x0), float(y0), float(x1), float(y1), bool(flipped))


def transformed(transform: Callable[..., T], *args: Any) -> tuple[T, Crop | None]:
    """Calls a function that transforms one image, and returns its result and the crop, None if no crop was remembered.

    Raises:
        ValueError: If more than one crop was remembered.
    """
    _note.count, _note.crop, _note.is_mirrored = 0, None, False
    result = transform(*args)
    if _note.count > 1:
        raise ValueError(
            f"one image was cropped {_note.count} times, and a target describes one crop\n"
            "  help: use one random resized crop, or report the crop with relabel.torch.report_crop in a transform of your own"
        )
    return result, _note.crop


class RandomResizedCrop(v2.RandomResizedCrop):
    """``torchvision.transforms.v2.RandomResizedCrop`` that remembers its box wherever it is used, also in a function that a data
    set cannot see into. Everywhere else, torchvision's own and timm's do as well."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return dict(_RememberingParams(super().make_params)(flat_inputs))

    def _get_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        # The name of the method in torchvision before 0.21.
        return dict(_RememberingParams(super()._get_params)(flat_inputs))


class RandomHorizontalFlip(v2.RandomHorizontalFlip):
    """``torchvision.transforms.v2.RandomHorizontalFlip`` that remembers whether it mirrored, as :class:`RandomResizedCrop` does
    its box."""

    def forward(self, *inputs: Any) -> Any:
        return _RememberingFlip(super().forward)(*inputs)


class _Note(threading.local):
    """What happened to the current image of this thread."""

    count = 0
    crop: Crop | None = None
    is_mirrored = False  # before the crop


_note = _Note()


class _RememberingParams:
    """The method of a crop that draws its box; notes the box as a fraction of the image."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        params = self.method(inputs, *args, **kwargs)
        image = inputs
        if isinstance(params, dict):
            image = next(value for value in inputs if not isinstance(value, torch.Tensor) or value.ndim >= 2)
            top, left, crop_height, crop_width = (params[key] for key in ("top", "left", "height", "width"))
        else:
            top, left, crop_height, crop_width = params
        height, width = functional.get_size(image)
        x0, x1 = left / width, (left + crop_width) / width
        if _note.is_mirrored:
            x0, x1 = 1 - x1, 1 - x0
        report_crop(x0, top / height, x1, (top + crop_height) / height, flipped=_note.is_mirrored)
        return params


class _RememberingFlip:
    """The method of a flip that flips or does not; notes which."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method

    def __call__(self, *inputs: Any) -> Any:
        result = self.method(*inputs)
        # Both versions of torchvision return the very objects if they do not flip. Labels and paths remain the same if they do.
        same = result is inputs[0] if len(inputs) == 1 else all(one is other for one, other in zip(result, inputs, strict=True))
        if not same and _note.crop is not None:
            _note.crop = _note.crop._replace(flipped=not _note.crop.flipped)
        elif not same:
            _note.is_mirrored = not _note.is_mirrored
        return result
