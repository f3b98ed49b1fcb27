"""The steps of a transform pipeline, and the refusal of steps that make the box of a crop wrong."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torchvision.transforms import v2

CROPS = ("RandomResizedCrop", "RandomResizedCropAndInterpolation")
"""Names of the crops that can be remembered: torchvision v1 and v2, timm."""

MOVING = (
    "CenterCrop",
    "CenterCropOrPad",
    "CenterCropToSequence",
    "ElasticTransform",
    "FiveCrop",
    "Pad",
    "RandomAffine",
    "RandomCrop",
    "RandomCropOrPad",
    "RandomCropToSequence",
    "RandomIoUCrop",
    "RandomPad",
    "RandomPerspective",
    "RandomResizedCropToSequence",
    "RandomRotation",
    "RandomZoomOut",
    "TenCrop",
    "TrimBorder",
)
"""Names of the transforms of torchvision and timm after or before which the box of a crop is not the part of the image that the
sample shows. Automatic augmentation (RandAugment, TrivialAugment, AugMix) is not among them: it shears and shifts a
little, and training with it is common."""

DEPTH = 8
"""Levels of containers that are searched."""


def steps(transform: Any) -> Iterator[Any]:
    """Returns the steps of a transform in their order, without the containers."""
    return _steps(transform, DEPTH, set())


def is_crop(step: Any) -> bool:
    """Returns whether the box of this crop can be remembered."""
    known = any(kind.__name__ in CROPS for kind in type(step).__mro__)
    return known and any(hasattr(step, name) for name in ("make_params", "_get_params", "get_params"))


def is_flip(step: Any) -> bool:
    """Returns whether this is a horizontal flip whose outcome can be remembered."""
    return isinstance(step, torch.nn.Module) and _is_named(step, "RandomHorizontalFlip")


def check_steps(transform: Any, *, needs_sides: bool) -> None:
    """Refuses a transform whose crop is remembered, and which moves pixels before or after it.

    Args:
        transform: Any transform; nothing is refused if no crop is found in it.
        needs_sides: Whether it matters where in the crop a pixel is (token labels, CutMix by region).

    Raises:
        ValueError: If a step makes the box wrong; the message names the step and the crop.
    """
    crop = None
    before: list[Any] = []
    for step in steps(transform):
        if is_crop(step) and crop is None:
            crop = step
            for earlier in before:
                if _is_named(earlier, *MOVING, "RandomVerticalFlip"):
                    raise ValueError(_refusal(earlier, "before", crop, "remove it, or put the crop first"))
        elif crop is None:
            before.append(step)
        elif _is_named(step, *MOVING):
            raise ValueError(_refusal(step, "after", crop, "remove it"))
        elif needs_sides and _is_named(step, "RandomVerticalFlip"):
            help_ = "remove it: token labels and CutMix by region know horizontal flips only"
            raise ValueError(_refusal(step, "after", crop, help_))


def _refusal(step: Any, place: str, crop: Any, help_: str) -> str:
    return (
        f"{type(step).__name__} {place} {type(crop).__name__} moves pixels, so the box of the crop would not be the part of the "
        f"image that the sample shows\n  help: {help_}"
    )


def _is_named(step: Any, *names: str) -> bool:
    kinds = type(step).__mro__
    return any(kind.__name__ in names and kind.__module__.partition(".")[0] in ("torchvision", "timm") for kind in kinds)


def _steps(transform: Any, depth: int, seen: set[int]) -> Iterator[Any]:
    if transform is None or depth == 0 or id(transform) in seen or isinstance(transform, (type, types.ModuleType)):
        return
    seen.add(id(transform))
    inner = _inner(transform)
    if inner is None:
        yield transform
        return
    for step in inner:
        yield from _steps(step, depth - 1, seen)


def _inner(transform: Any) -> list[Any] | None:
    """Returns the transforms that a container, a function or an object of a user's own class calls, None for a step."""
    if isinstance(transform, (list, tuple, torch.nn.ModuleList, torch.nn.Sequential)):
        return list(transform)
    if isinstance(transform, functools.partial):
        return _callables([transform.func, *transform.args, *transform.keywords.values()])
    if isinstance(transform, types.MethodType):
        return [transform.__self__]
    if isinstance(transform, types.FunctionType):
        return _callables([cell.cell_contents for cell in transform.__closure__ or () if _is_filled(cell)]) or None
    if isinstance(getattr(transform, "transforms", None), (list, tuple, torch.nn.ModuleList)):
        return list(transform.transforms)
    if is_crop(transform) or isinstance(transform, v2.Transform) or type(transform).__module__.startswith(("torch", "timm")):
        return None
    values = list(vars(transform).values()) if hasattr(transform, "__dict__") else []
    if isinstance(transform, torch.nn.Module):
        values += transform.children()
    return _callables(values) or None


def _callables(values: Any) -> list[Callable[..., Any]]:
    return [value for value in values if callable(value) or isinstance(value, (list, tuple))]


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
