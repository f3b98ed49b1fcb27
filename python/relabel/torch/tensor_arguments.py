"""Checks of the arguments of pooling on the training device."""

from __future__ import annotations

import torch

from .label_maps import LabelMaps

MAX_COORDINATE = 16.0
"""Largest coordinate of a box, as in :meth:`relabel.Labels.pool`."""

WITHOUT_LABELS = 65535
"""Class id that a store has in rows without labels; -1 as int16."""


def check_shapes(maps: LabelMaps, boxes: torch.Tensor, flip: torch.Tensor | None, num_classes: int) -> None:
    """Checks types, shapes and devices, which are known without waiting for the device."""
    scores, classes = maps
    if scores.ndim != 4 or not scores.is_floating_point():
        raise ValueError(f"scores must be floating point [B, k, y, x], got {scores.dtype} {list(scores.shape)}")
    if classes.shape != scores.shape or classes.is_floating_point():
        raise ValueError(f"classes must be integers {list(scores.shape)} as scores, got {classes.dtype} {list(classes.shape)}")
    if classes.device != scores.device:
        raise ValueError(f"scores are on {scores.device}, classes on {classes.device}\n  help: use maps.to(device)")
    if num_classes < 1 or num_classes > 1 + torch.iinfo(classes.dtype).max:
        raise ValueError(f"num_classes is {num_classes}, but class ids are {classes.dtype}")
    count = len(scores)
    if not isinstance(boxes, torch.Tensor) or not boxes.is_floating_point():
        kind = boxes.dtype if isinstance(boxes, torch.Tensor) else type(boxes).__name__
        raise TypeError(
            f"boxes must be a tensor of floating point, got {kind}\n  help: use torch.as_tensor(boxes, dtype=torch.float32)"
        )
    if boxes.dtype not in (torch.float32, torch.float64) or scores.dtype == torch.bfloat16:
        raise TypeError(
            f"boxes are {boxes.dtype}, scores {scores.dtype}, which is too coarse\n  help: pass boxes of float32 and the scores of the "
            "store, and leave both out of casts to half precision"
        )
    if boxes.shape != (count, 4):
        raise ValueError(f"boxes of {count} images must have shape [{count}, 4], got shape {list(boxes.shape)}")
    if flip is not None and (flip.dtype != torch.bool or flip.shape != (count,)):
        raise ValueError(f"flip of {count} images must be bool [{count}], got {flip.dtype} {list(flip.shape)}")


def is_valid_box(boxes: torch.Tensor) -> torch.Tensor:
    """Returns which boxes are not empty, reversed, far away or outside the image, bool ``[B]``."""
    low, high = boxes[:, :2], boxes[:, 2:]
    is_near = (boxes.abs() <= MAX_COORDINATE).all(1)
    return is_near & (low < high).all(1) & (low < 1).all(1) & (high > 0).all(1)


def is_valid_map(maps: LabelMaps, num_classes: int) -> torch.Tensor:
    """Returns which maps have finite scores and existing classes only, bool ``[B]``."""
    scores, classes = (values.flatten(1) for values in maps)
    return scores.isfinite().all(1) & (classes >= 0).all(1) & (classes < num_classes).all(1)


def refuse_invalid(maps: LabelMaps, boxes: torch.Tensor, is_box: torch.Tensor, is_map: torch.Tensor) -> None:
    """Refuses invalid boxes and maps that are on the CPU. For other devices this would wait for the device."""
    if boxes.device.type == "cpu" and not bool(is_box.all()):
        row = int(is_box.int().argmin())
        numbers = ", ".join(f"{side:g}" for side in boxes[row].tolist())
        raise ValueError(
            f"row {row} of boxes is invalid: {numbers}\n  help: pass x0, y0, x1, y1 as fractions of the image, with x0 < x1 and "
            "y0 < y1, that overlap the image"
        )
    if is_map.device.type == "cpu" and not bool(is_map.all()):
        row = int(is_map.int().argmin())
        ids = maps.classes[row]
        found = int(ids.min()) if int(ids.min()) < 0 else int(ids.max())
        if found in (-1, WITHOUT_LABELS):
            raise ValueError(f"map {row} of the batch is that of an image without labels\n  help: use labels.maps, which refuses them")
        raise ValueError(f"map {row} of the batch has scores that are not finite, or class ids out of range (up to {found})")
