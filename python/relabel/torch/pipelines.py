"""The steps of a transform pipeline, and the refusal of steps that make the box of a crop wrong."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

CROPS = ("RandomResizedCrop", "RandomResizedCropAndInterpolation")
"""Names of the crops that can be remembered: torchvision v1 and v2, timm."""

MOVING = (
    "CenterCrop",
    "CenterCropOrPad",
    "CenterCropToSequence",
    "ElasticTransform",
    "FiveCrop",
    "ImageClassification",
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
    "VideoClassification",
)
"""Names of the transforms of torchvision and timm after or before which the box of a crop is not the part of the image that the
sample shows. Those named by a task are the presets of torchvision's weights. Automatic augmentation (RandAugment, TrivialAugment,
AugMix) is not among them: it shears and shifts a little, and training with it is common."""

DEPTH = 100
"""Levels of containers that are searched."""

LONGEST = 256
"""Length of the longest list that is searched. Longer ones are the files of a data set."""

LIBRARIES = ("torch", "torchvision", "timm")
"""Packages whose transforms are known by name, and not searched."""


def steps(transform: Any) -> Iterator[Any]:
    """Returns the steps of a transform in their order, without the containers."""
    return _steps(transform, DEPTH, {})


def is_crop(step: Any) -> bool:
    """Returns whether the box of this crop can be remembered."""
    return _is_named(step, *CROPS) and any(hasattr(step, name) for name in ("make_params", "_get_params", "get_params"))


def is_flip(step: Any) -> bool:
    """Returns whether this is a horizontal flip whose outcome can be remembered."""
    return isinstance(step, torch.nn.Module) and not _is_scripted(step) and _is_named(step, "RandomHorizontalFlip")


def check_steps(transform: Any, *, needs_sides: bool, must_crop: bool = False) -> None:
    """Refuses a transform whose crop is remembered, and which moves pixels before or after it.

    Args:
        transform: Any transform, or a list of those that are applied one after the other.
        must_crop: Whether there is a crop, even if none is found: then transforms of the libraries that move pixels are refused
            anyway. Otherwise nothing is refused if no crop is found.
        needs_sides: Whether it matters where in the crop a pixel is (token labels, CutMix by region).

    Raises:
        ValueError: If a step makes the box wrong; the message names the step and the crop.
    """
    crop = None
    before: list[Any] = []
    for step in steps(transform):
        if _is_scripted(step) and _is_named(step, *CROPS, "RandomHorizontalFlip"):
            raise ValueError(f"{_name(step)} is compiled by torch.jit.script and cannot remember what it does\n  help: do not compile it")
        # A choice may have several crops, each with steps of its own.
        if is_crop(step):
            crop = step
            for earlier in before:
                if _is_named(earlier, *MOVING, "RandomVerticalFlip"):
                    raise ValueError(_refusal(earlier, "before", crop, "remove it, or put the crop first"))
            continue
        before.append(step)
        if crop is not None and _is_named(step, *MOVING):
            raise ValueError(_refusal(step, "after", crop, "remove it"))
        if crop is not None and needs_sides and _is_named(step, "RandomVerticalFlip"):
            help_ = "remove it: token labels and CutMix by region know horizontal flips only"
            raise ValueError(_refusal(step, "after", crop, help_))
    moving = [step for step in before if _is_named(step, *MOVING) and (_is_scripted(step) or _is_of_library(type(step)))]
    if must_crop and crop is None and moving:
        help_ = "remove it, and use a random resized crop of torchvision or timm"
        raise ValueError(_refusal(moving[0], "before or after", None, help_))


def _refusal(step: Any, place: str, crop: Any, help_: str) -> str:
    found = "the crop" if crop is None else _name(crop)
    if crop is not None:
        help_ += ". If it belongs to another pipeline of the same object, pass the pipeline that is used"
    return (
        f"{_name(step)} {place} {found} moves pixels, so the box of the crop would not be the part of the "
        f"image that the sample shows\n  help: {help_}"
    )


def _is_named(step: Any, *names: str) -> bool:
    if _is_scripted(step):
        return step.original_name in names
    return any(kind.__name__ in names and _is_of_library(kind) for kind in type(step).__mro__)


def _name(step: Any) -> str:
    return str(step.original_name) if _is_scripted(step) else type(step).__name__


def _is_scripted(step: Any) -> bool:
    return isinstance(step, torch.jit.ScriptModule)


def _is_of_library(kind: Any) -> bool:
    return str(getattr(kind, "__module__", "")).partition(".")[0] in LIBRARIES


def _steps(transform: Any, depth: int, seen: dict[tuple[int, int], Any]) -> Iterator[Any]:
    # Each access makes a new object of a bound method. The object is kept, so that its id is not used again.
    is_method = isinstance(transform, types.MethodType)
    key = (id(transform.__func__), id(transform.__self__)) if is_method else (id(transform), 0)
    if transform is None or depth == 0 or key in seen or isinstance(transform, (type, types.ModuleType)):
        return
    seen[key] = transform
    inner = _inner(transform)
    if inner is None:
        yield transform
        return
    for step in inner:
        yield from _steps(step, depth - 1, seen)


def _inner(transform: Any) -> list[Any] | None:
    """Returns the transforms that a container, a function or an object of a user's own class calls, None for a step."""
    if isinstance(transform, (Mapping, torch.nn.ModuleDict)):
        return list(transform.values())
    if isinstance(transform, (list, tuple, torch.nn.ModuleList, torch.nn.Sequential)) or _is_scripted(transform):
        return list(transform.children() if _is_scripted(transform) else transform) or None
    if isinstance(transform, functools.partial):
        return _callables([transform.func, *transform.args, *transform.keywords.values()])
    if isinstance(transform, types.MethodType):
        return _of_method(transform.__func__, transform.__self__)
    if isinstance(transform, types.FunctionType):
        return _of_function(transform)
    if isinstance(getattr(transform, "transforms", None), (list, tuple, torch.nn.ModuleList)):
        listed = list(transform.transforms)
        # In a random order, other steps may come before the crop, where more of them are refused.
        return sorted(listed, key=is_crop) if _is_named(transform, "RandomOrder") else listed
    if _is_named(transform, "Lambda"):
        return [transform.lambd]
    if is_crop(transform) or is_flip(transform) or _is_named(transform, *MOVING) or _is_of_library(type(transform)):
        return None
    return _of_object(transform) or None


def _of_function(function: types.FunctionType) -> list[Any] | None:
    """Returns what a function may call: values of its closure, its defaults, and global objects that it names."""
    if _is_of_library(function):
        return None
    found = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    found += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    found += [function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__]
    return _callables(found) or None


def _of_method(function: Any, owner: Any) -> list[Any] | None:
    """Returns what a method may call: attributes of its object that it names, and what functions may call. All attributes if it
    names none of them that can be called."""
    if not isinstance(function, types.FunctionType):
        return _callables(_attributes(owner).values()) or None
    attributes = _attributes(owner)
    named = [attributes[name] for name in _names(function.__code__) if name in attributes]
    found = _callables(named) + (_of_function(function) or [])
    return found or _callables(attributes.values()) or None


def _of_object(transform: Any) -> list[Any] | None:
    """Returns what calling an object may call."""
    for name in ("transform", "_transform", "forward") if isinstance(transform, torch.nn.Module) else ("__call__",):
        function = getattr(type(transform), name, None)
        if isinstance(function, types.FunctionType) and not _is_of_library(function):
            return _of_method(function, transform)
    return _callables(_attributes(transform).values())


def _attributes(owner: Any) -> dict[str, Any]:
    """Returns the attributes of an object by name: its own, submodules, and those of its class, with methods bound."""
    found: dict[str, Any] = {}
    for kind in reversed(type(owner).__mro__):
        if _is_of_library(kind) or kind is object:
            continue
        for name, value in vars(kind).items():
            if name.startswith("__"):
                continue
            if isinstance(value, types.FunctionType):
                found[name] = types.MethodType(value, owner)
            elif isinstance(value, types.MemberDescriptorType):
                found[name] = getattr(owner, name, None)
            else:
                found[name] = value
    found |= getattr(owner, "__dict__", {})
    if isinstance(owner, torch.nn.Module):
        found |= dict(owner.named_children())
    return found


def _names(code: types.CodeType) -> list[str]:
    """Returns the names that a function uses, also in functions and comprehensions inside it, in their order."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return list(dict.fromkeys([*code.co_names, *(name for one in inner for name in _names(one))]))


def _callables(values: Iterable[Any]) -> list[Any]:
    """Returns the values that may be transforms or lists of them."""
    containers = (list, tuple, Mapping)
    return [
        value
        for value in values
        if (isinstance(value, containers) and len(value) <= LONGEST) or (callable(value) and not isinstance(value, containers))
    ]


def _is_filled(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
