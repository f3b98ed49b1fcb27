"""Transforms that say which part of the image they show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional


@dataclasses.dataclass(frozen=True)
class Crop:
    """A part of an image. Transforms of torchvision v2 hand it on untouched.

    Any transform of yours that cuts may return ``(image, Crop(x0, y0, x1, y1))``.
    """

    x0: float
    """Left side, 0..1 of the image's width; ``x1`` is the right one."""
    y0: float
    """Upper side, 0..1 of the image's height; ``y1`` is the lower one."""
    x1: float
    y1: float
    flipped: bool = False
    """Whether it was mirrored left to right after cutting. It matters for token labels and for CutMix by region."""
    row: int = -1
    """The image's row in the store, once a :class:`~relabel.torch.CropDataset` has told."""

    @property
    def box(self) -> tuple[float, float, float, float]:
        """``x0, y0, x1, y1``, for :meth:`relabel.Labels.pool`."""
        return self.x0, self.y0, self.x1, self.y1


class RandomResizedCrop(v2.RandomResizedCrop):
    """torchvision v2's ``RandomResizedCrop``, with its parameters, random numbers and pixels, that hands out its box.

    It takes a whole image, PIL or tensor ``[..., height, width]``, so nothing that cuts, turns, pads or mirrors may come
    before it, and returns ``(image, Crop)``. Mirroring comes after it, by :class:`RandomHorizontalFlip`. The other transforms
    of v2 pass the :class:`Crop` on; wrap those that don't in :class:`OnImage`.
    """

    def forward(self, *inputs: Any) -> tuple[Any, Crop]:
        image = inputs[0]
        if len(inputs) != 1 or isinstance(image, (tuple, list, dict)):
            raise TypeError("RandomResizedCrop takes one image; put it first, and give it no label")
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
    """torchvision v2's ``RandomHorizontalFlip`` that remembers in the :class:`Crop` what it did.

    For one label of a crop torchvision's own does as well, since mirroring does not change what is there.
    """

    def forward(self, *inputs: Any) -> tuple[Any, Crop]:
        image, crop = _image_and_crop(inputs, "RandomHorizontalFlip")
        if torch.rand(1) >= self.p:
            return image, crop
        return functional.horizontal_flip(image), dataclasses.replace(crop, flipped=not crop.flipped)


class OnImage(torch.nn.Module):
    """Applies a transform that knows nothing of boxes to the image alone: those of torchvision v1, timm, your own.

    It must not move pixels, unless the box does not matter for what you do.
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
        raise TypeError(f"{name} takes (image, Crop); put it after relabel.torch.RandomResizedCrop")
    return pair[0], pair[1]
