"""Transforms that return the box of their crop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional


@dataclasses.dataclass(frozen=True)
class Crop:
    """A crop of an image. Transforms of torchvision v2 pass it through unchanged.

    A custom crop transform returns ``(image, Crop(x0, y0, x1, y1))``.
    """

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


class RandomResizedCrop(v2.RandomResizedCrop):
    """``torchvision.transforms.v2.RandomResizedCrop`` that also returns its box, with the same parameters, random numbers and
    pixels.

    Takes the complete image, PIL or tensor ``[..., height, width]``, and returns ``(image, Crop)``. Transforms that crop,
    rotate, pad or mirror must not come before it; :class:`RandomHorizontalFlip` comes after it. Other v2 transforms pass the
    :class:`Crop` through. Wrap transforms that take only an image in :class:`OnImage`.
    """

    def forward(self, *inputs: Any) -> tuple[Any, Crop]:
        image = inputs[0]
        if len(inputs) != 1 or isinstance(image, (tuple, list, dict)):
            raise TypeError("RandomResizedCrop takes one image and no label\n  help: put it first")
        height, width = functional.get_size(image)
        # Its name was `_get_params` before torchvision 0.21.
        make = self.make_params if hasattr(self, "make_params") else self._get_params
        cut = make([image])
        cropped = functional.resized_crop(
            image, **cut, size=self.size, interpolation=self.interpolation, antialias=self.antialias
        )
        x0, y0 = cut["left"] / width, cut["top"] / height
        return cropped, Crop(x0, y0, (cut["left"] + cut["width"]) / width, (cut["top"] + cut["height"]) / height)


class RandomHorizontalFlip(v2.RandomHorizontalFlip):
    """``torchvision.transforms.v2.RandomHorizontalFlip`` that records the flip in the :class:`Crop`.

    Needed for token labels and for CutMix by region. A single target per crop does not depend on mirroring.
    """

    def forward(self, *inputs: Any) -> tuple[Any, Crop]:
        image, crop = _image_and_crop(inputs, "RandomHorizontalFlip")
        if torch.rand(1) >= self.p:
            return image, crop
        return functional.horizontal_flip(image), dataclasses.replace(crop, flipped=not crop.flipped)


class OnImage(torch.nn.Module):
    """Applies a transform that takes only an image, such as those of torchvision v1 and timm, and keeps the :class:`Crop`.

    The transform must not move pixels: the box would no longer describe the image.

    Args:
        transform: Takes and returns an image.
    """

    def __init__(self, transform: Callable[[Any], Any]) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, *inputs: Any) -> tuple[Any, Crop]:
        image, crop = _image_and_crop(inputs, "OnImage")
        return self.transform(image), crop


def _image_and_crop(inputs: tuple[Any, ...], name: str) -> tuple[Any, Crop]:
    pair = inputs[0] if len(inputs) == 1 else inputs
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[1], Crop)):
        raise TypeError(f"{name} takes (image, Crop)\n  help: put it after relabel.torch.RandomResizedCrop")
    return pair[0], pair[1]
