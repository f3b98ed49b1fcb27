"""LabelPooling of label maps that are tensors, on their device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch

from ..pool_arguments import divisor, output_sides, real_number, whole_number
from .align_weights import align_windows
from .label_maps import LabelMaps
from .sparse_targets import SparseTargets
from .tensor_arguments import check_shapes, is_valid_box, is_valid_map, refuse_invalid

ENTRY_BYTES = 88
"""Memory for one class of one cell of one part, while targets are computed."""

VALUE_BYTES = 32
"""Memory for one value of a dense target, while it is computed."""


@torch.no_grad()
def pool(
    maps: LabelMaps,
    boxes: torch.Tensor,
    *,
    num_classes: int,
    output_size: int | tuple[int, int] | None = None,
    flip: torch.Tensor | None = None,
    fill: float = 0.0,
    temperature: float = 1.0,
    dtype: torch.dtype = torch.float32,
    workspace: int = 64 << 20,
) -> torch.Tensor:
    """Computes targets on the device of the maps. They equal those of :meth:`relabel.Labels.pool` to 1e-5.

    Nothing is read back from the device, except one number for each call with ``output_size`` and boxes that are on the device.

    Args:
        maps: Label maps of ``B`` images.
        boxes: ``[B, 4]``, on any device, as in :meth:`relabel.Labels.pool`: float32 boxes are scaled in float32, others in float64.
        num_classes: Number of classes of the teacher, :attr:`relabel.Labels.num_classes`.
        output_size: As in :meth:`relabel.Labels.pool`.
        flip: bool ``[B]``, as in :meth:`relabel.Labels.pool`.
        fill: Score of the classes outside a cell's top-k, a number.
        temperature: As in :meth:`relabel.Labels.pool`.
        dtype: Type of the targets. They are computed in float64, on devices without it in float32.
        workspace: Approximate limit of the memory in addition to the result, in bytes. Images are pooled in groups that need no
            more, but at least one at a time.

    Returns:
        Targets ``[B, classes]``, or ``[B, classes, p, p]`` with ``output_size``, without gradient.

    Raises:
        ValueError: If shapes do not match, an option is out of range, or a box or map is invalid: a box that is empty, reversed, not
            finite or outside the image, or a map of an image without labels. Devices other than the CPU do not wait for these
            checks of boxes and maps; the target of an invalid box or map is NaN there.
    """
    if not dtype.is_floating_point:
        raise ValueError(f"dtype is {dtype}\n  help: pass a type of floating point, such as torch.float32")
    factor = 1 / divisor(temperature)
    weights = _Weights.of(maps, boxes, num_classes, output_size, flip)
    targets = torch.empty(len(boxes), num_classes, weights.parts, dtype=dtype, device=maps.scores.device)
    for images, entries in _entries(maps, weights, num_classes, fill, workspace, weights.parts * num_classes * VALUE_BYTES):
        # Entries without weight add 0 to the last class.
        classes = entries.classes.clamp_(max=num_classes - 1).long()
        sums = entries.values.new_zeros(*classes.shape[:2], num_classes).scatter_add_(2, classes, entries.values)
        # An absent class has the sum 0. Differences to its exponential are 0 for most classes, so they lose no digits.
        highest = sums.amax(2, keepdim=True)
        exponentials = sums.sub_(highest).mul_(factor).exp_()
        absent = torch.where(highest < 0, 0, (-highest * factor).exp())
        exponentials /= (exponentials - absent).sum(2, keepdim=True) + num_classes * absent
        targets[images] = exponentials.transpose(1, 2)
    return targets.view(len(boxes), num_classes, *(() if output_size is None else weights.grid))


@torch.no_grad()
def pool_sparse(
    maps: LabelMaps,
    boxes: torch.Tensor,
    *,
    num_classes: int,
    top: int,
    output_size: int | tuple[int, int] | None = None,
    flip: torch.Tensor | None = None,
    fill: float = 0.0,
    temperature: float = 1.0,
    workspace: int = 6 << 20,
) -> SparseTargets:
    """Computes sparse targets on the device of the maps. They equal those of :meth:`relabel.Labels.pool_sparse` to 1e-5.

    Dense targets exist at no time. Token labels of 14x14 parts for 256 images with ``top=5`` take 3.2 MB, and less than 10 MB while
    they are computed from maps of at most 15x15 cells; dense ones would take 201 MB.

    Args:
        maps: As in :func:`pool`, as are all arguments but ``top``.
        top: Number of classes to keep in each target. The probability of the dropped ones is added to the rest.

    Returns:
        Targets with ``m = top`` classes (all, if the teacher has fewer), padded with -1 where the cells of a part have fewer.
    """
    top = whole_number(top, "top")
    factor = 1 / divisor(temperature)
    weights = _Weights.of(maps, boxes, num_classes, output_size, flip)
    count, width, device = len(boxes), min(top, num_classes), maps.scores.device
    ids = torch.full((count, width, weights.parts), -1, dtype=torch.int64, device=device)
    probs = torch.zeros(count, width, weights.parts, dtype=torch.float32, device=device)
    rest = torch.empty(count, weights.parts, dtype=torch.float32, device=device)
    for images, entries in _entries(maps, weights, num_classes, fill, workspace, 0):
        best, best_probs, rest[images] = _best(_sum_by_class(entries, num_classes), num_classes, width, factor)
        ids[images, : best.shape[2]], probs[images, : best.shape[2]] = best.transpose(1, 2), best_probs.transpose(1, 2)
    grid = () if output_size is None else weights.grid
    return SparseTargets(ids.view(count, width, *grid), probs.view(count, width, *grid), rest.view(count, *grid))


class _Weights(NamedTuple):
    """Weights of the cells of each map in each part of its box."""

    grid: tuple[int, int]
    cells: tuple[torch.Tensor, torch.Tensor]
    """Cells along y and x, int64 ``[B, parts, n]``."""
    weights: tuple[torch.Tensor, torch.Tensor]
    """Their weights; NaN along y if the box or the map is invalid."""

    @property
    def parts(self) -> int:
        return self.grid[0] * self.grid[1]

    @classmethod
    def of(
        cls,
        maps: LabelMaps,
        boxes: torch.Tensor,
        num_classes: int,
        output_size: int | tuple[int, int] | None,
        flip: torch.Tensor | None,
    ) -> _Weights:
        check_shapes(maps, boxes, flip, num_classes)
        grid = output_sides(output_size)
        device = maps.scores.device
        height, width = maps.scores.shape[-2:]
        dtype = _precision(device)
        boxes = boxes if boxes.dtype == torch.float32 else boxes.double()
        is_box, is_map = is_valid_box(boxes), is_valid_map(maps, num_classes)
        refuse_invalid(maps, boxes, is_box, is_map)
        entire = (torch.arange(4, device=boxes.device) >= 2).to(boxes.dtype)
        x0, y0, x1, y1 = torch.where(is_box[:, None], boxes, entire).unbind(1)
        y = align_windows((y0 * height - 0.5).float(), (y1 * height - 0.5).float(), height, grid[0], dtype)
        x = align_windows((x0 * width - 0.5).float(), (x1 * width - 0.5).float(), width, grid[1], dtype)
        y, x = y.to(device), x.to(device)
        if flip is not None:
            x = x.mirrored(flip.to(device))
        is_valid = is_box.to(device) & is_map
        return cls(grid, (y.cells, x.cells), (y.weights.masked_fill(~is_valid[:, None, None], math.nan), x.weights))


def _precision(device: torch.device) -> torch.dtype:
    # Apple's GPUs have no float64.
    return torch.float32 if device.type == "mps" else torch.float64


class _Entries(NamedTuple):
    """The classes of all cells of some images that have weight in a part, ``[B, part, entry]``."""

    classes: torch.Tensor
    """int32: class ids; the number of classes for entries without weight."""
    values: torch.Tensor
    """Weights times scores, as differences to the score of absent classes."""


def _entries(
    maps: LabelMaps, weights: _Weights, num_classes: int, fill: float, workspace: int, bytes_per_image: int
) -> Iterator[tuple[slice, _Entries]]:
    """Yields images with their entries, as many at a time as fit into the workspace."""
    absent_score = real_number(fill)
    if absent_score is None or not math.isfinite(absent_score):
        raise ValueError(f"fill is {fill!r}\n  help: pass a finite score")
    count, k, _, width = maps.scores.shape
    cells_of_part = weights.cells[0].shape[2] * weights.cells[1].shape[2]
    step = max(1, workspace // (weights.parts * cells_of_part * k * ENTRY_BYTES + bytes_per_image))
    for first in range(0, count, step):
        images = slice(first, min(first + step, count))
        y, x = (cells[images] for cells in weights.cells)
        # [B, row, column, y, x] to [B, part, cell].
        cells = (y[:, :, None, :, None] * width + x[:, None, :, None, :]).flatten(3).flatten(1, 2)
        y, x = (values[images] for values in weights.weights)
        shares = (y[:, :, None, :, None] * x[:, None, :, None, :]).flatten(3).flatten(1, 2)
        shape = (len(cells), k, *cells.shape[1:])
        index = cells.flatten(1)[:, None].expand(-1, k, -1)
        scores = maps.scores[images].flatten(2).gather(2, index).view(shape)
        values = (scores.to(shares.dtype) - absent_score) * shares[:, None]
        # Class ids of an invalid map must not become an index.
        classes = maps.classes[images].flatten(2).gather(2, index).view(shape).int().clamp_(0, num_classes - 1)
        classes.masked_fill_(shares[:, None] == 0, num_classes)
        del index, cells, scores, shares
        yield images, _Entries(classes.transpose(1, 2).flatten(2), values.transpose(1, 2).flatten(2))


def _sum_by_class(entries: _Entries, num_classes: int) -> _Entries:
    """Adds the entries of each class. Returns each class of a part once, followed by entries with the class ``num_classes``."""
    classes, order = entries.classes.sort(dim=2)
    values = entries.values.gather(2, order)
    is_first = torch.ones_like(classes, dtype=torch.bool)
    is_first[..., 1:] = classes[..., 1:] != classes[..., :-1]
    group = torch.cumsum(is_first, 2, out=order).sub_(1)
    sums = torch.zeros_like(values).scatter_add_(2, group, values)
    return _Entries(torch.full_like(classes, num_classes).scatter_(2, group, classes), sums)


def _best(
    sums: _Entries, num_classes: int, width: int, factor: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns ids and probabilities of the best ``width`` classes of each part, and the probability of the others."""
    is_listed = sums.classes < num_classes
    absent_count = num_classes - is_listed.sum(2)
    # Stable: classes are in the order of their ids, and the lower id is first if two are equal.
    scores, order = sums.values.masked_fill(~is_listed, -math.inf).sort(dim=2, descending=True, stable=True)
    ids = sums.classes.gather(2, order[..., :width]).long()
    highest = scores[..., 0]
    highest = torch.where(absent_count > 0, highest.clamp(min=0), highest)
    exponentials = scores.sub_(highest[..., None]).mul_(factor).exp_()
    absent = torch.where(absent_count > 0, (-highest * factor).exp(), 0) * absent_count
    total = exponentials.sum(2) + absent
    rest = (exponentials[..., width:].sum(2) + absent) / total
    return ids.masked_fill_(ids == num_classes, -1), exponentials[..., :width] / total[..., None], rest
